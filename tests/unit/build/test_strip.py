"""build/strip.py on a real library: it loads and works as before, and is smaller."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import strip

LIBRARY = Path(np.linalg._umath_linalg.__file__)  # type: ignore[attr-defined]
ELF = LIBRARY.read_bytes()[:4] == b"\x7fELF"


@pytest.mark.skipif(not ELF, reason="this machine's libraries are not ELF")
def test_a_library_without_its_tail_still_works(tmp_path: Path) -> None:
    shutil.copytree(
        Path(np.__file__).parent, tmp_path / "numpy", ignore=shutil.ignore_patterns("tests", "f2py")
    )
    if (libraries := Path(np.__file__).parents[1] / "numpy.libs").is_dir():
        shutil.copytree(libraries, tmp_path / "numpy.libs")
    strip.strip(tmp_path)
    assert (tmp_path / "numpy/linalg" / LIBRARY.name).stat().st_size < LIBRARY.stat().st_size
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]; import numpy as np;"
        "assert np.__file__.startswith(sys.argv[1]);"
        "a = np.random.default_rng(1).random((50, 50)); assert np.allclose(np.linalg.inv(a) @ a, np.eye(50))"
    )
    subprocess.run([sys.executable, "-I", "-c", code, str(tmp_path)], check=True)


@pytest.mark.skipif(not ELF, reason="this machine's libraries are not ELF")
def test_stripping_twice_changes_nothing_more() -> None:
    once = strip.stripped(LIBRARY.read_bytes())
    assert strip.stripped(once) == once


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF\x01\x01" + bytes(80), b"GROUP ( libc.so.6 )", b"\x7fELF\x02\x01"]
)
def test_what_is_no_64_bit_library_is_left_alone(data: bytes) -> None:
    assert strip.stripped(data) == data
