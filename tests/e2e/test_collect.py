"""The way of a user from images to sources around a position: run, collect, search, and other programs.

The examples of docs/data.md run unchanged.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from standins import catalogs
from standins.processes import SKYFAN

REPO = Path(__file__).parents[2]
START = [sys.executable, "-c", "from skyfan.cli import main; main(prog_name='skyfan')"]
Skyfan = Callable[..., subprocess.CompletedProcess[str]]

PAGE = (REPO / "docs/data.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
# What must be true after each example, by a word that only this example has.
CHECKS = {
    "Table.read": "assert len(sources) == 73",
    "duckdb": "",
    "polars": "assert 0 < len(bright) < 1585 and bright['MAG_AUTO'].max() < 22",
    "pandas": "assert 0 < len(bright) < 1585 and bright.MAG_AUTO.max() < 22",
    "to_table": "assert len(table) > 3 and str(table['DISTANCE'].unit) == 'arcsec'",
    "lsdb": "assert len(near) > 3",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, demo_data: Path) -> Path:
    """A folder in which the demo was run and collected."""
    folder = tmp_path_factory.mktemp("collect")
    for command in (("run", demo_data), ("collect", "default")):
        done = skyfan(folder, *command, "-o", "out")
        assert done.returncode == 0, done.stderr
    return folder


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": SKYFAN}


def skyfan(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*START, *map(str, words)]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )


def document(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


CIRCLE = ("--around", "0h14m22.6s -30d23m31s", "--radius", "20s")


@pytest.mark.slow
def test_collect_reads_each_catalog_once(place: Path) -> None:
    done = skyfan(place, "collect", "default", "-o", "out", "--to", "first")
    assert done.returncode == 0, done.stderr
    for fact in ("1,585 sources", "5 images", "2 partitions", "5 catalogs", f"{place}/first"):
        assert fact in done.stdout
    second = document(skyfan(place, "collect", "default", "-o", "out", "--to", "first", "--json"))
    assert (second["read"], second["images"], second["sources"], second["left_out"]) == (0, 5, 1585, {})


@pytest.mark.slow
def test_doubtful_images_are_named_and_left_out_on_request(place: Path) -> None:
    done = skyfan(place, "collect", "default", "-o", "out", "--to", "all", "--strict")
    assert done.returncode == 1, done.stderr
    assert "doubtful: " in done.stdout
    for reason in ("NO_ZEROPOINT 1", "DISPERSED 1", "NO_SOURCES 1"):
        assert reason in done.stdout
    good = skyfan(place, "collect", "default", "-o", "out", "--to", "good", "--good", "--json")
    assert good.returncode == 0, good.stderr
    document = json.loads(good.stdout)
    assert document["doubtful"] == 0 < document["left_out"]["doubtful"] < 5


@pytest.mark.slow
def test_search_sorts_by_distance_and_writes_files(place: Path) -> None:
    shown = skyfan(place, "search", "default", "-o", "out", *CIRCLE)
    assert shown.returncode == 0, shown.stderr
    result = document(skyfan(place, "search", "out/runs/default/collected", *CIRCLE, "--json"))
    assert f"{len(result['sources'])} sources within 20s" in shown.stdout
    assert re.search(r"abell2744_f105w_drz\.fits|abell274\S*…\S*_drz\.fits", shown.stdout), (
        "shortened at 80 columns"
    )
    assert len(result["sources"]) > 3
    distances = [row["DISTANCE"] for row in result["sources"]]
    assert distances == sorted(distances)
    assert max(distances) <= 20
    assert result["read"]["partitions"] == 1
    written = skyfan(place, "search", "default", "-o", "out", *CIRCLE, "--to", "near.fits")
    assert (place / "near.fits").is_file(), written.stderr


@pytest.mark.slow
def test_wrong_use_exits_with_2_and_names_the_problem(place: Path) -> None:
    circle = ("--around", "1 2", "--radius", "5s")
    for words, name in (
        (("collect", "nope", "-o", "out"), "'nope'"),
        (("collect", "default", "-o", "nowhere"), "nowhere"),
        (("search", "nope", *circle), "nope"),
        (("search", "nope", "-o", "out", *circle), "'nope'"),
        (("search", "nope", "--around", "M31, no", "--radius", "5s"), "M31, no"),
        (("search", "nope", "--around", "1 2", "--radius", "5"), "'5'"),
        (("search", "nope", *circle, "--to", "x.txt"), "x.txt"),
    ):
        done = skyfan(place, *words)
        assert done.returncode == 2, words
        assert name in done.stderr
        assert "Traceback" not in done.stderr


def python(folder: Path, code: str) -> str:
    """Standard output of a program that runs in `folder`."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: next(word for word in CHECKS if word in text))
def test_the_examples_of_the_documentation(place: Path, example: str) -> None:
    missing = re.findall(r"^import (\w+)", example, re.MULTILINE)
    if absent := [name for name in missing if importlib.util.find_spec(name) is None]:
        pytest.skip(f"{absent[0]} is not installed")
    catalog = next(place.glob("out/runs/default/catalogs/**/abell*.cat.fits"))
    code = example.replace("out/runs/default/catalogs/…/image_flt.fits.cat.fits", str(catalog))
    check = next(check for word, check in CHECKS.items() if word in example)
    printed = python(place, f"{code}\n{check}")
    assert "duckdb" not in example or "F606W" in printed


_PEAK = """
import sys
from pathlib import Path
from skyfan.catalogs.collect import collect
from skyfan.local.worker import max_rss_mb
from skyfan.storage.place import Place
done = collect(Place.at(sys.argv[1]), "default", Path(sys.argv[1], "set"), rows=10_000)
print(done.sources, int(max_rss_mb()))
"""


def peak(output: Path) -> tuple[int, int]:
    """Collects in a fresh process; returns the number of sources and the peak memory in MB.

    Both runs fill partitions up to the limit, because memory is that of one partition.
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
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process inherits the peak of the test's")
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
