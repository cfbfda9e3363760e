"""From images to circles on the sky, as a person goes: run, collect, search, and then other programs.

The snippets are those of the README.
"""

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from standins import catalogs

REPO = Path(__file__).parents[2]
START = [sys.executable, "-c", "from skyfan.cli import main; main(prog_name='skyfan')"]
Skyfan = Callable[..., subprocess.CompletedProcess[str]]

SNIPPETS = {
    "duckdb": """
        import duckdb

        duckdb.sql('''
            SELECT ALPHA_J2000, DELTA_J2000, MAG_AUTO, sources.FILTER, images.depth
            FROM 'out/runs/default/collected/dataset/*/*/*.parquet' AS sources
            JOIN 'out/runs/default/collected/images.parquet' AS images ON sources.IMAGE = images.uri
            WHERE MAG_AUTO < 22 AND FLAGS = 0
        ''').show()
    """,
    "pandas": """
        import pandas as pd

        bright = pd.read_parquet(
            "out/runs/default/collected/dataset",
            columns=["ALPHA_J2000", "DELTA_J2000", "MAG_AUTO", "FILTER"],
            filters=[("MAG_AUTO", "<", 22)],
        )
    """,
    "astropy": """
        from skyfan.api import search
        from skyfan.catalogs.export import to_astropy

        found = search("out/runs/default/collected", ra=3.594, dec=-30.392, radius=20 / 3600)
        table = to_astropy(found.table)
    """,
    "lsdb": """
        import lsdb

        sources = lsdb.open_catalog("out/runs/default/collected")
        near = sources.cone_search(ra=3.594, dec=-30.392, radius_arcsec=20).compute()
    """,
}
CHECKS = {
    "duckdb": "",
    "pandas": "assert 0 < len(bright) < 1273 and bright.MAG_AUTO.max() < 22",
    "astropy": "assert len(table) > 3 and str(table['DISTANCE'].unit) == 'arcsec'",
    "lsdb": "assert len(near) > 3",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, demo_data: Path) -> Path:
    """A folder in which the demo was run."""
    folder = tmp_path_factory.mktemp("collect")
    assert skyfan(folder, "run", demo_data, "-o", "out").returncode == 0
    return folder


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPO / "invoke")}


def skyfan(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*START, *map(str, words)]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )


def document(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_run_collect_search(place: Path) -> None:
    done = skyfan(place, "collect", "default", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert f"1,273 sources of 5 images in 2 partitions: {place}/out/runs/default/collected" in done.stdout
    assert "5 catalogs read" in done.stdout
    again = document(skyfan(place, "collect", "default", "-o", "out", "--json"))
    assert (again["read"], again["images"], again["sources"], again["left_out"]) == (0, 5, 1273, {})
    circle = ("--around", "0h14m22.6s -30d23m31s", "--radius", "20s")
    shown = skyfan(place, "search", "default", "-o", "out", *circle)
    assert shown.returncode == 0, shown.stderr
    found = document(skyfan(place, "search", "out/runs/default/collected", *circle, "--json"))
    assert f"{len(found['sources'])} sources within 20s" in shown.stdout
    assert "abell2744_f105w_drz.fits" in shown.stdout
    assert len(found["sources"]) > 3
    distances = [row["DISTANCE"] for row in found["sources"]]
    assert distances == sorted(distances)
    assert max(distances) <= 20
    assert found["read"]["partitions"] == 1
    written = skyfan(place, "search", "default", "-o", "out", *circle, "--out", "near.fits")
    assert (place / "near.fits").is_file(), written.stderr


@pytest.mark.slow
def test_wrong_use_is_2_and_says_why(place: Path) -> None:
    circle = ("--around", "1 2", "--radius", "5s")
    for words, told in (
        (("collect", "nope", "-o", "out"), "there is no run 'nope'"),
        (("collect", "default", "-o", "nowhere"), "there is no folder nowhere"),
        (("search", "nope", *circle), "there is no data set nope"),
        (("search", "nope", "-o", "out", *circle), "skyfan collect makes one"),
        (("search", "nope", "--around", "M31", "--radius", "5s"), "no position"),
        (("search", "nope", "--around", "1 2", "--radius", "5"), "give 5s, 2m or 1d"),
        (("search", "nope", *circle, "--out", "x.txt"), "x.txt is none of .csv, .fits, .parquet"),
    ):
        done = skyfan(place, *words)
        assert done.returncode == 2, words
        assert told in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("program", SNIPPETS)
def test_the_readmes_snippets(place: Path, program: str) -> None:
    if importlib.util.find_spec(program) is None:
        pytest.skip(f"{program} is not installed")
    assert skyfan(place, "collect", "default", "-o", "out").returncode == 0
    code = textwrap.dedent(SNIPPETS[program]) + CHECKS[program]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if program == "duckdb":
        assert "F606W" in done.stdout


def test_readme_has_these_snippets() -> None:
    text = (REPO / "README.md").read_text(encoding="utf-8")
    for program, snippet in SNIPPETS.items():
        assert textwrap.dedent(snippet).strip().replace("'''", '"""') in text, program


_PEAK = """
import resource, sys
from pathlib import Path
from skyfan.catalogs.collect import collect
from skyfan.runs.place import Place
done = collect(Place.at(sys.argv[1]), "default", Path(sys.argv[1], "set"), rows=10_000)
print(done.sources, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak(output: Path) -> tuple[int, int]:
    """Sources that were collected in a fresh process, and its peak memory in MB.

    The limit of a partition is one that both runs reach: memory is that of one partition.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(output)],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    sources, memory = map(int, done.stdout.split())
    return sources, memory


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kB on Linux only")
def test_memory_does_not_grow_with_the_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    template = catalogs.Copies(
        catalogs.catalog("s3://a/b", rng.normal(10, 0.01, 3000), rng.normal(0, 0.01, 3000))
    )
    small = catalogs.run_folder(tmp_path / "small")
    large = catalogs.run_folder(tmp_path / "large")
    for number in range(300):
        uri, body = template.make(number, *rng.uniform([0, -80], [360, 80]))
        catalogs.put(large, uri, body)
        if number < 100:
            catalogs.put(small, uri, body)
    few, less = peak(tmp_path / "small")
    many, more = peak(tmp_path / "large")
    assert (few, many) == (300_000, 900_000)
    assert more - less < 100, f"{less} MB for {few:,} sources, {more} MB for {many:,}"
