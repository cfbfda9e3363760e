"""A function of one's own that makes tables, through all commands: nothing in skyfan knows of its columns."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from skyfan import api

pytestmark = pytest.mark.slow
HANDLER = '''"""Stars with periods, as many as the header says."""

import numpy as np

from skyfan_function.event import Request
from skyfan_function.fits_input import open_fits
from skyfan_function.handler import Job, lambda_handler
from skyfan_function.table import Column, Fact, Table, observed

COLUMNS = (
    Column("NAME", "12A", "", "meta.id;meta.main", "Name", shown=True),
    Column("RA_STAR", "D", "deg", "pos.eq.ra;meta.main", "Right ascension"),
    Column("DEC_STAR", "D", "deg", "pos.eq.dec;meta.main", "Declination"),
    Column("PERIOD", "D", "d", "time.period", "Period", shown=True),
    Column("DEPTH", "E", "", "phot.flux;arith.ratio", "Depth", shown=True),
    Column("ODD_EVEN", "2E", "", "phot.flux;arith.ratio", "Depths of odd and even ones"),
)


def process(job: Job[Request]) -> Table:
    with open_fits(job.source) as hdus:
        header = hdus[0].header
    index = np.arange(header["NSTARS"])
    rows = {
        "NAME": [f"star {i}" for i in index],
        "RA_STAR": np.where(index == 3, np.nan, 10 + index / 1000),
        "DEC_STAR": np.full(len(index), -5.0),
        "PERIOD": 1 + index / 10,
        "DEPTH": 0.01 / (1 + index),
        "ODD_EVEN": np.stack([index, index], axis=1) / 100,
    }
    facts = [Fact("TEFF", header.get("TEFF"), "K", "phys.temperature.effective", "Effective temperature")]
    doubts = "EMPTY" if not len(index) else ""
    return Table(COLUMNS, rows, facts, observed(header), ["made up"], doubts, "STARS", {".preview.png": PNG})


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8"
    "ffff3f0005fe02fe0def46b80000000049454e44ae426082"
)
handler = lambda_handler(process)
'''


def skyfan(*arguments: object, cwd: Path, code: int = 0) -> str:
    """Standard output of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "skyfan", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "COLUMNS": "160"},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack with the function, and its run `night` of three files."""
    folder = tmp_path_factory.mktemp("mine")
    skyfan("stack", "copy", "stack", cwd=folder)
    stack = folder / "stack"
    skyfan("new-function", "StarPeriods", cwd=stack)
    (stack / "functions/star_periods/star_periods/handler.py").write_text(HANDLER)
    (stack / "in").mkdir()
    for i, stars in enumerate((0, 5, 60)):
        cards: dict[str, Any] = {"NSTARS": stars, "TELESCOP": "TESS", "INSTRUME": "Photometer"}
        cards |= {"EXPSTART": 58000.0 + i, "EXPEND": 58027.0 + i, "RA_TARG": 10.0, "DEC_TARG": -5.0}
        header = fits.Header(cards | ({"TEFF": 5000.5 + i} if i else {}))
        fits.PrimaryHDU(None, header).writeto(stack / f"in/s{i}_lc.fits")
    skyfan("run", "in", "--function", "StarPeriods", "--run", "night", "--output", "out", cwd=stack)
    skyfan("collect", "night", "--output", "out", cwd=stack)
    return stack


def test_status_and_costs_count_its_files(stack: Path) -> None:
    state = json.loads(skyfan("status", "night", "--output", "out", "--json", cwd=stack))
    assert (state["counts"]["done"], state["counts"]["planned"]) == (3, 3)
    assert "EMPTY" in skyfan("status", "night", "--output", "out", "--doubtful", cwd=stack)
    bill = json.loads(skyfan("costs", "night", "--output", "out", "--json", cwd=stack))
    assert bill["bill"]["usage"]["requests"] == 3


def test_its_rows_are_collected_and_found(stack: Path) -> None:
    images = pq.read_table(stack / "out/runs/night/collected/images.parquet").to_pylist()
    assert [row["teff"] for row in images] == [None, 5001.5, 5002.5]
    assert [row["sources"] for row in images] == [0, 5, 60]
    where = ("night", "--output", "out")
    text = skyfan("search", *where, "--around", "10 -5", "--radius", "2s", cwd=stack)
    assert text.split()[:6] == ["DISTANCE", "RA_STAR", "DEC_STAR", "NAME", "PERIOD", "DEPTH"]
    assert "2 rows" in text
    found = json.loads(
        skyfan(
            "search",
            *where,
            "--around",
            "10 -5",
            "--radius",
            "2s",
            "--columns",
            "ODD_EVEN",
            "--json",
            cwd=stack,
        )
    )
    assert [row["ODD_EVEN"] for row in found["rows"]] == [[0.0, 0.0], [0.0, 0.0]]
    skyfan("search", *where, "--to", "all.csv", cwd=stack)
    with (stack / "all.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 65
    assert sum(row["RA_STAR"] == "" for row in rows) == 2


def test_the_report_shows_its_columns_facts_and_pictures(stack: Path) -> None:
    skyfan("report", "night", "--output", "out", cwd=stack)
    page = (stack / "out/runs/night/report.html").read_text()
    for part in (
        "Rows by PERIOD",
        "DEPTH against PERIOD",
        "TEFF against start",
        "All inputs",
        "made up",
        "EMPTY",
    ):
        assert part in page
    assert page.count('class="sky"') >= 3  # pictures
    for other in ("5σ", "MAG_AUTO", "Kron", "measured image", "Per image", "its sources"):
        assert other not in page.partition("<script>")[0].partition("</style>")[2], other


def test_a_damaged_table_is_found_and_made_again(stack: Path) -> None:
    (table,) = (stack / "out/runs/night").glob("star_periods/**/s1_lc.fits.cat.fits")
    whole = table.read_bytes()
    table.write_bytes(whole[:-100] + bytes(100 - 20) + b"x" * 20)
    damaged = skyfan("collect", "night", "--output", "out", "--to", "other", cwd=stack, code=1)
    assert "damaged: " in damaged
    assert "s1_lc.fits" in damaged
    skyfan("retry", "night", "--output", "out", "--damaged", cwd=stack)
    assert table.read_bytes() == whole
    again = json.loads(skyfan("collect", "night", "--output", "out", "--json", cwd=stack))
    assert (again["sources"], again["unplaced"], again["damaged"]) == (63, 2, {})


def test_notebooks_have_it_too(stack: Path) -> None:
    done = api.collect("night", stack / "out")
    table = done.to_table()
    assert (len(table), str(table["PERIOD"].unit)) == (65, "d")
    assert np.isnan(table["RA_STAR"].value).sum() == 2
    near = api.search("night", (10.0, -5.0), "2s", where=stack / "out")
    assert list(near.to_pandas()["NAME"]) == ["star 0", "star 0"]
    assert "NAME" in near._repr_html_()


def test_a_function_of_json_is_refused_with_advice(stack: Path, demo_data: Path) -> None:
    image = demo_data / "ib6o23rsq_flt.fits"
    skyfan("run", image, "--function", "FitsSummary", "--run", "json", "--output", "out", cwd=stack)
    said = skyfan("collect", "json", "--output", "out", cwd=stack, code=2)
    assert "FitsSummary" in said
    assert "Table" in said
