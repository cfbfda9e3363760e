"""`make mutants` on a project of one module."""

import subprocess
import sys
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "build"
MODULE = """
def share(a, b):
    while b < 0:
        b += 10
    return a * 2 / b if a > 5 else 0


def unused(a):
    return a + 1
"""
TESTS = """
from toycode.toy import share


def test_share():
    assert share(6, 4) == 3 and share(6, -6) == 3 and share(5, 1) == 0
"""


@pytest.mark.slow
def test_survivors_are_printed_and_counted(tmp_path: Path) -> None:
    for name, text in (("toycode/toy.py", MODULE), ("tests/unit/toys/test_toy.py", TESTS)):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    (tmp_path / "equivalent.toml").write_text('["toycode/toy.py"]\n"b += 10 => b = 10" = "of no interest"\n')
    script = f"""
import sys; sys.path.insert(0, {str(BUILD)!r})
import mutants
from pathlib import Path
mutants.ROOT, mutants.EQUIVALENT = Path({str(tmp_path)!r}), Path("equivalent.toml")
mutants.GROUPS = {{"toys": ("toycode", "toy", "unit/toys/test_{{}}.py")}}
sys.exit(mutants.main(["--sample", "all", "--jobs", "2"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1, "below 90 %"
    *survived, _, row = done.stdout.splitlines()
    assert sorted(line.partition(": ")[0] for line in survived) == [
        "toycode/toy.py:3", "toycode/toy.py:3", "toycode/toy.py:9", "toycode/toy.py:9"
    ]  # fmt: skip
    assert row.split() == ["toys", "13", "8", "4", "1", "67%"]
