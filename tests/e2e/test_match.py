"""skyfan match on runs whose catalogs sep_extract's own writer wrote, and the page that documents it."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from standins import catalogs

from skyfan.cli import main

PAGE = (Path(__file__).parents[2] / "docs/howto/objects.md").read_text(encoding="utf-8")
STARS, RA, DEC = 200, 150.0, 2.0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs in two filters, of four and five images: one image is in both, one star varies, one is red."""
    output = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(1)
    xy = rng.uniform(-50, 50, (STARS, 2))
    mags = rng.uniform(19, 23, STARS)
    for run, numbers in (("visit1", range(4)), ("visit2", range(3, 8))):
        folder = catalogs.run_folder(output / "skyfan-output", run)
        for number in numbers:
            band = ("F606W", "F814W")[number % 2]
            seen = np.ones(STARS, bool)
            seen[1] = band == "F814W"
            own = mags.copy()
            own[0] += 0.5 * (number // 2 % 2)
            noise = np.random.default_rng(number)
            place = xy + noise.normal(0, 0.3, 2) + noise.normal(0, 0.003, xy.shape)
            error = np.full(seen.sum(), 0.02)
            uri = f"s3://archive/j{number}_flc.fits"
            columns: dict[str, Any] = {
                "MAG_TOTAL": (own + noise.normal(0, 0.02, STARS))[seen],
                "MAGERR_TOTAL": error,
                "ERRX2WIN_WORLD": error * 0 + (0.003 / 3600) ** 2,
                "ERRY2WIN_WORLD": error * 0 + (0.003 / 3600) ** 2,
                **dict.fromkeys(("FLAGS", "EXPOSURE"), error * 0),
                "CLASS": error * 0 + 1,
                "MJD_START": error * 0 + 55000 + 3 * number,
                "MJD_END": error * 0 + 55000.01 + 3 * number,
            }
            header = {
                "TELESCOP": "HST", "INSTRUME": "ACS", "DETECTOR": "WFC", "FILTER": band,
                "ROOTNAME": f"j{number}", "EXPSTART": 55000.0 + 3 * number, "EXPEND": 55000.01 + 3 * number,
            }  # fmt: skip
            ra = RA + place[seen, 0] / 3600 / np.cos(np.radians(DEC))
            body = catalogs.catalog(uri, ra, DEC + place[seen, 1] / 3600, columns=columns, **header)
            catalogs.put(folder, uri, body)
    return output


def skyfan(*words: str) -> Any:
    return CliRunner().invoke(main, list(words), prog_name="skyfan")


def test_the_page_from_detections_to_objects(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("duckdb")
    monkeypatch.chdir(place)
    command, tied = re.findall(r"^```\n(skyfan match .*)\n```$", PAGE, re.MULTILINE)
    done = skyfan(*command.split()[1:], "--json", "--jobs", "1")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["images"] == {"repeated": 1, "used": 8}
    assert document["objects"] == STARS
    assert document["links"] == 8 * STARS - 4
    assert document["bands"] == ["ACS_WFC_F606W", "ACS_WFC_F814W"]
    assert document["offsets"] == {"solved": 8}
    names: dict[str, Any] = {}
    shown = []
    for example in re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        exec(compile(example, "objects.md", "exec"), names)
        shown.append(capsys.readouterr().out)
    objects = pq.read_table(place / "matched/objects/dataset", partitioning=None)
    variable = objects["PCHI2_ACS_WFC_F606W"].to_numpy(zero_copy_only=False) < 1e-4
    assert variable.sum() == 1
    name = str(objects["OBJECT_ID"].to_numpy()[variable][0])
    assert name in shown[0]
    assert shown[1].count(name) == 4, "its light curve has an epoch per image in the filter"
    assert "25.0" in shown[2], "the red star has the depth of the images as its limit"
    report, circle, light = re.findall(
        r"^```\n(skyfan (?:search|report) matched.*)\n```$", PAGE, re.MULTILINE
    )
    written = skyfan(*report.split()[1:])
    assert written.exit_code == 0, written.output
    assert "chosen with --colour" in (place / "matched/report.html").read_text()
    found = skyfan(*shlex.split(circle)[1:], "--json")
    assert 0 < len(json.loads(found.stdout)["objects"]) < STARS
    red = re.findall(r"\b\d{10,}\b", shown[2])[0]
    words = re.sub(r"\d{10,}", red, light).split()[1:]
    curve = skyfan(*words)
    assert (curve.exit_code, "4 detections, not seen in 4 images" in curve.stdout) == (0, True), curve.output
    assert (place / "curve.png").read_bytes().startswith(b"\x89PNG")
    document = json.loads(skyfan(*words, "--json").stdout)
    assert document["object"]["OBJECT_ID"] == int(red)
    assert [row["LIMIT"] for row in document["detections"] if row["SOURCE_ID"] is None] == [25.0] * 4
    assert tied == f"{command} --reference gaia"
    xy = np.random.default_rng(1).uniform(-50, 50, (STARS, 2)) / 3600
    rows = [f"{RA + x / np.cos(np.radians(DEC))},{DEC + y}" for x, y in xy.tolist()]
    (place / "stars.csv").write_text("\n".join(["ra,dec", *rows]))
    done = skyfan(*command.split()[1:], "--reference", "stars.csv", "--jobs", "1")
    assert done.exit_code == 0, done.output
    assert "tied to stars.csv: tied 8" in done.stdout
    assert "it has no epochs" in done.stdout
    images = pq.read_table(place / "matched/images.parquet")
    assert np.nanmax(np.abs(images["reference_scatter"].to_numpy())) < 10
    of_run, of_objects = re.findall(r"^(skyfan check .*)$", PAGE, re.MULTILINE)
    done = skyfan(*of_run.replace("gaia", "stars.csv").split()[1:], "--to", "images.csv", "--strict")
    assert (done.exit_code, "no image stands out" in done.stdout) == (0, True), done.output
    assert (place / "check.png").read_bytes().startswith(b"\x89PNG")
    assert (place / "images.csv").read_text().count("compared") == 4
    document = json.loads(skyfan(*of_objects.replace("gaia", "stars.csv").split()[1:], "--json").stdout)
    assert (document["kind"], document["states"]) == ("objects", {"compared": 8})
    assert max(abs(row["east"]) for row in document["images"]) < 5
    (place / "stars.csv").write_text("ra,dec\n1,2")
    assert skyfan("check", "visit1", "--against", "stars.csv", "--strict").exit_code == 1
    assert skyfan("check", "visit1", "--against", "stars.csv").exit_code == 0
    assert skyfan("check", "visit1", "--against", "gaja").exit_code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("search matched --object 17", "has no object 17"),
        ("search skyfan-output/runs/visit1/collected --object 17", "there are no objects in"),
        ("search matched --object 17 --radius 2s", "does not go with --object"),
        ("search matched --object 17 --plot a.gif", "must end in one of .png"),
        ("report matched --colour F606W F105W", "no band is named F105W"),
        ("report visit1 --colour F606W F105W", "is for the objects"),
        ("collect visit1 --to matched", "has the objects of skyfan match"),
    ],
)
def test_what_objects_cannot_do_is_named(
    place: Path, monkeypatch: pytest.MonkeyPatch, words: str, message: str
) -> None:
    monkeypatch.chdir(place)
    if not Path("matched").exists():
        assert skyfan("match", "visit1", "visit2", "--to", "matched", "--jobs", "1").exit_code == 0
    done = skyfan(*words.split())
    assert (done.exit_code, message in done.output) == (2, True), done.output


def test_exit_codes_and_what_is_printed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    words = ["match", "skyfan-output/runs/visit1/collected", "--to", "one", "-j", "1"]
    assert skyfan("collect", "visit1", "-o", "skyfan-output").exit_code == 0
    done = skyfan(*words)
    assert (done.exit_code, done.stdout.count("in 4 images")) == (0, 1), done.output
    again = skyfan(*words)
    assert "nothing is new" in again.stdout
    wrong = skyfan("match", "visit1", "--to", "one", "--magnitude", "MAG_TOTL")
    assert (wrong.exit_code, "is MAG_TOTAL meant" in wrong.output) == (2, True), wrong.output
    assert skyfan("match", "visit9", "--to", "one").exit_code == 2
    clash = skyfan("match", "visit1", "--to", "skyfan-output/runs/visit1/collected")
    assert (clash.exit_code, "choose another folder" in clash.output) == (2, True)
