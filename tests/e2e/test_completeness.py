"""skyfan completeness on a run of real images: the table, the curve, a second call, and what it refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from skyfan.cli import main

pytestmark = pytest.mark.slow


def skyfan(*words: str) -> Any:
    return CliRunner().invoke(main, list(words), prog_name="skyfan")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, demo_data: Path) -> Path:
    """A run of an image and one of spectra."""
    folder = tmp_path_factory.mktemp("completeness")
    for name in ("j8bt06nyq_flt.fits", "ib6o23rsq_flt.fits"):
        shutil.copy(demo_data / name, folder)
    done = skyfan("run", str(folder), "-o", str(folder / "out"), "--run", "night", "-j", "1")
    assert done.exit_code == 0, done.output
    return folder


def test_limits_are_columns_a_curve_and_a_picture(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    words = ["completeness", "night", "-o", "out", "-j", "1", "--curve", "curve.csv", "--plot", "a.png"]
    done = skyfan(*words)
    assert (done.exit_code, "limits of 1 of 2 images" in done.stdout) == (1, True), done.output
    assert "ib6o23rsq_flt.fits: HDU 1: it shows spectra" in done.stdout
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    table = pq.read_table("out/runs/night/completeness.parquet")
    assert table.schema.field("limit_50").metadata[b"unit"] == b"mag"
    row = next(row for row in table.to_pylist() if row["limit_50"])
    assert row["limit_90"] < row["limit_50"]
    curve = Path("curve.csv").read_text().splitlines()
    planted = sum(int(line.split(",")[2]) for line in curve[1:])
    assert planted == row["trials"]
    # The catalogs of the run are as they were, and a second call plants nothing.
    log = {path: path.stat().st_mtime_ns for path in Path("out/runs/night-completeness").rglob("*.json")}
    again = skyfan("completeness", "night", "-o", "out", "--to", "limits.fits", "--json")
    assert again.exit_code == 1
    assert {path: path.stat().st_mtime_ns for path in log} == log
    document = json.loads(again.stdout)
    assert [each for each in document["images"] if each["limit_50"]] == [row]
    assert document["planted"] == "night-completeness"
    read = skyfan("completeness", "night-completeness", "-o", "out", "--json")
    assert json.loads(read.stdout)["images"] == document["images"], "a run with this output is only read"
    damaged = next(
        path for path in log if "j8bt06nyq" in path.name and path.name.endswith("completeness.json")
    )
    damaged.write_text("{")
    named = skyfan("completeness", "night-completeness", "-o", "out")
    assert "is damaged" in named.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("completeness nightt -o out", "night"),
        ("completeness night -o out --to limits.txt", "must end in one of"),
        ("completeness night -o out --plot a.gif", "must end in one of"),
        ("completeness night -o s3://bucket --jobs 2", "is for a run in a folder"),
    ],
)
def test_what_is_wrong_is_named(
    place: Path, monkeypatch: pytest.MonkeyPatch, words: str, message: str
) -> None:
    monkeypatch.chdir(place)
    done = skyfan(*words.split())
    assert (done.exit_code, message in done.output) == (2, True), done.output
