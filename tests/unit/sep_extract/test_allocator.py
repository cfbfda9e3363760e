"""Memory that is freed and used again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_CODE = """
import resource, sys
import numpy as np
if sys.argv[1:]:
    from sep_extract.allocator import keep_freed
    keep_freed()
faults = [0]
for _ in range(8):
    images = [np.ones(2_000_000, np.float32) for _ in range(12)]
    del images
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[-1] - faults[2])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have no such setting")
def test_arrays_of_one_size_after_another_are_cleared_by_the_kernel_once() -> None:
    def faults(*words: str) -> int:
        # Pages of 4 KB, whatever the kernel would join.
        command = [sys.executable, "-c", _CODE, *words]
        environment = {"NUMPY_MADVISE_HUGEPAGE": "0", "PYTHONPATH": ":".join(sys.path)}
        return int(
            subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
        )

    assert faults("kept") < faults() / 100
