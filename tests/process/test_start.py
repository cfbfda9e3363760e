"""What a command does not import."""

import os
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


def test_no_command_imports_pandas(tmp_path: Path) -> None:
    # pyarrow asks it whether a list is a series, wherever it is installed.
    (tmp_path / "pandas.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()\n")
    paths = os.pathsep.join([str(tmp_path), *(str(REPO / name) for name in ("invoke", "functions/runtime"))])
    command = [sys.executable, "-m", "skyfan", "run", str(REPO / "tests/data/demo/ib4606c6q_flc.fits")]
    options = ["--function", "FitsSummary", "--jobs", "1", "--output", str(tmp_path / "out")]
    subprocess.run([*command, *options], env=os.environ | {"PYTHONPATH": paths}, check=True)
    assert not (tmp_path / "imported").exists()
    code = "import pyarrow; pyarrow.array(['a'])"
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths}, check=False)
    assert (tmp_path / "imported").exists(), (
        "pyarrow does not import pandas any more: remove what prevents it"
    )
