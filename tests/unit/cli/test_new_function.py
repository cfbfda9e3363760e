"""skyfan new-function: in a stack it makes a function that runs, elsewhere it says where it would."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from astropy.io import fits
from click.testing import CliRunner, Result
from standins.processes import SKYFAN

from skyfan import template
from skyfan.cli import main

REPO = Path(__file__).parents[3]


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the stack, which is the working folder."""
    folder = tmp_path / "stack"
    for name in ("functions", "build"):
        shutil.copytree(REPO / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPO / "template.yaml", folder)
    monkeypatch.chdir(folder)
    return folder


def new_function(name: str, *more: str) -> Result:
    return CliRunner().invoke(main, ["new-function", name, *more])


@pytest.mark.slow
def test_a_new_function_runs_on_the_local_engine(stack: Path, demo_data: Path) -> None:
    made = new_function("pixel_census")
    assert made.exit_code == 0, made.output
    assert "--function PixelCensus" in made.stdout
    image = demo_data / "j8bt06nyq_flt.fits"
    broken = stack / "broken.fits"
    broken.write_text("no stars here")
    command = [
        sys.executable,
        "-m",
        "skyfan",
        "run",
        "--function",
        "PixelCensus",
        "--output",
        "out",
        "--json",
    ]
    environment = {**os.environ, "PYTHONPATH": SKYFAN}
    done = subprocess.run(
        [*command, image, broken], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["failed"] == 1
    results = stack / "out/runs/default"
    (result,) = results.glob("pixel_census/**/*.cat.fits")
    with fits.open(result) as hdus:
        assert list(hdus[1].data["EXTNAME"]) == ["SCI", "ERR", "DQ"]
    (record,) = results.glob("failures/**/*.json")
    assert json.loads(record.read_text())["responsePayload"]["errorType"] == "NotFitsError"


def test_json_names_what_was_made(stack: Path) -> None:
    made = new_function("pixel_census", "--json")
    assert json.loads(made.stdout) == {
        "function": "PixelCensus",
        "folder": str(stack / "functions/pixel_census"),
        "template": str(stack / "template.yaml"),
    }


def test_a_refused_name_ends_with_2_and_the_reason(stack: Path) -> None:
    for name, reason in (("FitsSummary", "fits_summary exists already"), ("2d", "words of letters")):
        refused = new_function(name)
        assert refused.exit_code == 2
        assert reason in refused.stderr
    assert template.read(stack / "template.yaml").functions == template.read(REPO / "template.yaml").functions


def test_outside_a_stack_nothing_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused = new_function("PixelCensus")
    assert refused.exit_code == 2
    assert str(tmp_path) in refused.stderr
    assert "skyfan stack copy" in refused.stderr
    assert not (REPO / "functions/pixel_census").exists()


def test_the_installed_stack_is_not_changed(stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "OWN", stack.resolve())
    monkeypatch.setattr(template, "IS_INSTALLED", True)
    refused = new_function("PixelCensus")
    assert refused.exit_code == 2
    assert "skyfan stack copy" in refused.stderr
    assert not (stack / "functions/pixel_census").exists()


def test_a_stack_without_the_script_is_named(stack: Path) -> None:
    (stack / "build/new_function.py").unlink()
    refused = new_function("PixelCensus")
    assert refused.exit_code == 2
    assert str(stack / "build/new_function.py") in refused.stderr
