"""Catalogs on disk to a data set: which rows, which partitions, and what happens the second time."""

import csv
import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from standins import catalogs

from skyfan.catalogs import collect as collecting
from skyfan.catalogs import rows as spilling
from skyfan.catalogs import store, swap, writing
from skyfan.catalogs.collect import Collected
from skyfan.errors import UsageError
from skyfan.plans import plan
from skyfan.runs import run as runs
from skyfan.runs.place import Place

LIMIT = 40


def uri(number: int) -> str:
    return f"s3://archive/hst/{number:03}_flt.fits"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 12 images that overlap near the pole and the meridian of 0."""
    output = tmp_path_factory.mktemp("made")
    folder = catalogs.run_folder(output)
    for number in range(12):
        put(folder, number)
    return output


@pytest.fixture
def output(made: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def put(folder: Path, number: int, seed: int | None = None, **more: Any) -> None:
    rng = np.random.default_rng(number if seed is None else seed)
    count = int(rng.integers(5, 60))
    ra = rng.normal([0.0, 10.0, 200.0][number % 3], 0.2, count) % 360
    dec = np.clip(rng.normal([89.8, -30.0, 5.0][number % 3], 0.1, count), -90, 90)
    catalogs.put(folder, uri(number), catalogs.catalog(uri(number), ra, dec, **more))


def collect(output: Path, limit: int = LIMIT) -> Collected:
    return collecting.collect(Place.at(output), "default", output / "set", rows=limit)


def table(folder: Path) -> pa.Table:
    """All sources in the order of keys and SOURCE_ID."""
    files = sorted(folder.glob("dataset/*/*/*.parquet"))
    parts = [pq.read_table(file, partitioning=None) for file in files]
    return pa.concat_tables(parts).sort_by([("_healpix_29", "ascending"), ("SOURCE_ID", "ascending")])


def partitions(folder: Path) -> dict[str, pa.Table]:
    files = sorted(folder.glob("dataset/*/*/*.parquet"))
    return {str(file.relative_to(folder)): pq.read_table(file, partitioning=None) for file in files}


def assert_same(one: Path, other: Path) -> None:
    """Equal partitions with equal rows, equal images and equal schemas."""
    ours, theirs = partitions(one), partitions(other)
    assert list(ours) == list(theirs)
    for name in ours:
        # NaN is not equal to itself, but written out it is
        assert str(ours[name].to_pylist()) == str(theirs[name].to_pylist()), name
    assert store.find(one).schema.equals(store.find(other).schema, check_metadata=True)
    for name in ("images.parquet", "unplaced.parquet"):
        assert (one / name).exists() == (other / name).exists()
        if (one / name).exists():
            pairs = [pq.read_table(folder / name).to_pylist() for folder in (one, other)]
            for row in pairs[0] + pairs[1]:
                row.pop("catalog_modified", None)
            assert str(pairs[0]) == str(pairs[1])


def test_every_source_is_there_once_as_astropy_reads_it(output: Path) -> None:
    from astropy.table import Table

    done = collect(output)
    assert (done.images, done.read, done.unplaced, done.left_out) == (12, 12, 0, {})
    found = table(done.folder)
    assert len(found) == done.sources == store.find(done.folder).about["sources"]
    by_image = {row["IMAGE"]: row for row in found.to_pylist()}
    assert len(set(found["SOURCE_ID"].to_pylist())) == len(found)
    for number in range(12):
        catalog = Table.read(catalogs.path(output / "runs/default", uri(number)))
        ours = found.filter(pa.compute.equal(found["IMAGE"], uri(number))).sort_by("NUMBER")
        for name in catalog.colnames:
            np.testing.assert_array_equal(
                np.array(ours[name].to_pylist()), np.array(catalog[name]), err_msg=name
            )
    row = by_image[uri(3)]
    assert (row["INSTRUMENT"], row["FILTER"], row["MJD"]) == ("WFC3/IR", "F160W", 55000.25)
    assert row["FLUX_UNIT"] == "electron/s"


def test_partitions_are_hats(output: Path) -> None:
    done = collect(output)
    parts = partitions(done.folder)
    assert len(parts) == done.partitions > 5
    named = {(pixel.path, pixel.rows) for pixel in store.find(done.folder).pixels}
    assert named == {(name, len(part)) for name, part in parts.items()}
    for name, part in parts.items():
        assert 0 < len(part) <= LIMIT
        order, number = (
            int(word.split("=")[1].removesuffix(".parquet")) for word in np.array(name.split("/"))[[1, 3]]
        )
        assert name.split("/")[2] == f"Dir={number // 10_000 * 10_000}"
        keys = part["_healpix_29"].to_numpy()
        assert np.all(np.diff(keys) >= 0)
        assert np.all(keys >> (2 * (29 - order)) == number)
        # not one order finer than needed: with its three neighbours it would be too many
        family = [
            len(p)
            for n, p in parts.items()
            if p["_healpix_29"][0].as_py() >> (2 * (30 - order)) == number >> 2
        ]
        assert order == 0 or sum(family) > LIMIT
    text = (done.folder / "hats.properties").read_text()
    assert (done.folder / "properties").read_text() == text
    assert f"\nhats_nrows={done.sources}\n" in text
    assert "\nhats_col_ra=ALPHA_J2000\n" in text
    common = pq.read_schema(done.folder / "dataset/_common_metadata")
    assert all(pq.read_schema(done.folder / name).equals(common, check_metadata=True) for name in parts)


@pytest.mark.filterwarnings("ignore:.*did not parse as fits unit")
def test_units_and_ucds_are_in_the_schema(output: Path) -> None:
    from astropy.io.votable import parse_single_table
    from astropy.table import Table

    done = collect(output)
    file = next(done.folder.glob("dataset/*/*/*.parquet"))
    read = Table.read(file)
    assert str(read["ALPHA_J2000"].unit) == "deg"
    assert str(read["FLUX_APER"].unit) == "electron / s"
    assert read["FLUX_APER"].shape == (len(read), 4)
    assert read["MAG_AUTO"].meta["ucd"] == "phot.mag;meta.main"
    assert read["IMAGE"][0].startswith("s3://archive/hst/")
    schema = pq.read_schema(file)
    assert schema.field("MAG_AUTO").metadata[b"unit"] == b"mag"
    votable = done.folder / "schema.xml"
    votable.write_bytes(schema.metadata[b"IVOA.VOTable-Parquet.content"])
    fields = {field.name: field for field in parse_single_table(votable).fields}
    assert list(fields) == schema.names
    assert (fields["DELTA_J2000"].ucd, str(fields["DELTA_J2000"].unit)) == ("pos.eq.dec;meta.main", "deg")
    images = Table.read(done.folder / "images.parquet")
    assert str(images["depth"].unit) == "mag"


def test_images_carry_what_their_headers_say(output: Path) -> None:
    done = collect(output)
    images = pq.read_table(done.folder / "images.parquet").to_pylist()
    assert [row["uri"] for row in images] == [uri(number) for number in range(12)]
    row = images[1]
    assert row["catalog"] == "archive/hst/001_flt.fits.cat.fits"
    assert (row["etag"], row["depth"], row["depth_aperture"], row["zeropoint"]) == ("abc", 25.0, 0.8, 26.0)
    assert (row["rms"], row["background"], row["t_exptime"], row["chips"]) == (0.1, 0.5, 100.0, 1)
    assert row["notes"] == "a note"
    assert row["s_dec"] == pytest.approx(-30, abs=0.1)
    assert row["s_region"].startswith("POLYGON ICRS ")
    assert len(row["config"]) == 16


def test_the_same_again_does_nothing(output: Path) -> None:
    first = collect(output)
    before = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*.parquet")}
    again = collect(output)
    assert (again.read, again.removed, again.images, again.sources) == (0, 0, 12, first.sources)
    assert {path: path.stat().st_mtime_ns for path in first.folder.rglob("*.parquet")} == before


def test_in_many_calls_it_is_what_it_is_in_one(
    output: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = output / "runs/default"
    first = collect(output)
    inodes = {path.stat().st_ino for path in first.folder.glob("dataset/*/*/*.parquet")}
    put(folder, 12)
    grown = collect(output)
    assert (grown.read, grown.images) == (1, 13)
    kept = {path.stat().st_ino for path in grown.folder.glob("dataset/*/*/*.parquet")}
    assert inodes & kept, "no partition was taken over"
    put(folder, 3, seed=99)
    put(folder, 13)
    catalogs.path(folder, uri(5)).unlink()
    changed = collect(output)
    assert (changed.read, changed.removed, changed.images) == (2, 1, 13)
    fresh = tmp_path_factory.mktemp("fresh")
    whole = collecting.collect(Place.at(output), "default", fresh / "set", rows=LIMIT)
    assert_same(changed.folder, whole.folder)


def test_how_rows_are_held_does_not_matter(
    output: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = collect(output)
    monkeypatch.setattr(spilling, "CHUNK", 25)
    fresh = tmp_path_factory.mktemp("fresh")
    assert_same(
        collecting.collect(Place.at(output), "default", fresh / "set", rows=LIMIT).folder, whole.folder
    )


def test_sources_without_position_are_apart_and_counted(
    output: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = output / "runs/default"
    nowhere = [float("nan")] * 100
    catalogs.put(folder, uri(20), catalogs.catalog(uri(20), [*nowhere, 1.0], [*nowhere, 2.0]))
    catalogs.put(folder, uri(21), catalogs.catalog(uri(21), nowhere[:3], nowhere[:3]))
    done = collect(output)
    assert done.unplaced == 103
    apart = pq.read_table(done.folder / "unplaced.parquet")
    assert len(apart) == 103
    assert "_healpix_29" not in apart.column_names
    assert sorted(set(apart["IMAGE"].to_pylist())) == [uri(20), uri(21)]
    assert len(table(done.folder)) == done.sources
    put(folder, 21, seed=1)
    catalogs.put(folder, uri(22), catalogs.catalog(uri(22), nowhere[:2], nowhere[:2]))
    again = collect(output)
    assert again.unplaced == 102
    fresh = tmp_path_factory.mktemp("fresh")
    assert_same(
        collecting.collect(Place.at(output), "default", fresh / "set", rows=LIMIT).folder, again.folder
    )


def test_a_unit_that_differs_is_told_by_each_source(output: Path) -> None:
    put(output / "runs/default", 30, unit=None)
    done = collect(output)
    schema = store.find(done.folder).schema
    assert b"unit" not in schema.field("FLUX_AUTO").metadata
    assert schema.field("MAG_AUTO").metadata[b"unit"] == b"mag"
    units = {
        row["IMAGE"]: row["FLUX_UNIT"]
        for row in table(done.folder).select(["IMAGE", "FLUX_UNIT"]).to_pylist()
    }
    assert units[uri(30)] == ""
    assert units[uri(0)] == "electron/s"


def test_damaged_failed_and_missing_files_are_named(output: Path) -> None:
    folder = output / "runs/default"
    path = catalogs.path(folder, uri(4))
    path.write_bytes(path.read_bytes()[:-2880])
    catalogs.put(folder, uri(40), catalogs.catalog(uri(7), [1.0], [2.0]))
    record = {
        "timestamp": "2026-01-01T00:00:00.000Z",
        "requestContext": {"requestId": "r", "condition": "RetriesExhausted"},
        "requestPayload": {"input": uri(50), "run": "default"},
        "responsePayload": {"errorType": "NotFitsError", "errorMessage": "HTML, not FITS"},
    }
    runs_folder = folder / "failures/archive/hst"
    runs_folder.mkdir(parents=True)
    (runs_folder / "050_flt.fits.json").write_text(json.dumps(record))
    files = pa.table({"uri": [*(uri(n) for n in range(12)), uri(50), uri(51)]})
    runs.add_plan(Place.at(output), "default", plan.write(output / "plan.parquet", files, {}))
    done = collect(output)
    assert done.left_out == {"damaged": 2, "failed": 1, "unsent": 1}
    with done.missing_file.open(newline="") as file:
        told = {row["file"]: row for row in csv.DictReader(file)}
    assert told["archive/hst/004_flt.fits.cat.fits"]["message"].startswith("it ends after")
    assert told["archive/hst/040_flt.fits.cat.fits"]["message"].endswith(f"of the same image, {uri(7)}")
    assert told[uri(50)]["error"] == "NotFitsError"
    assert told[uri(51)]["state"] == "unsent"
    assert done.images == 11
    assert collect(output).left_out == done.left_out


@pytest.mark.parametrize("where", ["table", "unplaced", "describe"])
def test_an_interruption_leaves_the_old_data_set(
    output: Path, where: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = collect(output)
    before = {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()}
    put(output / "runs/default", 12)

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    target = {"table": (store, "write"), "unplaced": (writing, "unplaced"), "describe": (store, "describe")}[
        where
    ]
    with monkeypatch.context() as patch:
        patch.setattr(*target, stop)
        with pytest.raises(KeyboardInterrupt):
            collect(output)
    assert {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in output.iterdir()) == ["runs", "set"]
    assert collect(output).images == 13


_KILLED = """
import os, signal, sys
from pathlib import Path
from skyfan.catalogs import collect as collecting
from skyfan.runs.place import Place
calls = 0
def progress(*_):
    global calls
    calls += 1
    if calls == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
collecting.collect(Place.at(sys.argv[1]), "default", Path(sys.argv[1], "set"), rows=40, progress=progress)
"""


@pytest.mark.parametrize("moment", [14, 20])
def test_after_kill_9_the_old_one_is_whole_and_the_next_call_goes_through(output: Path, moment: int) -> None:
    first = collect(output)
    before = {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()}
    put(output / "runs/default", 12)
    environment = {**os.environ, "PYTHONPATH": str(Path(collecting.__file__).parents[2])}
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(output), str(moment)], env=environment, check=False
    )
    assert killed.returncode == -9
    assert {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()} == before
    assert collect(output).images == 13
    assert sorted(path.name for path in output.iterdir()) == ["runs", "set"]


def test_without_an_exchange_of_names_two_renames_do_and_are_mended(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "_exchange", lambda a, b: False)
    collect(output)
    put(output / "runs/default", 12)
    done = collect(output)
    assert done.images == 13
    assert sorted(path.name for path in output.iterdir()) == ["runs", "set"]
    # killed between the two
    (output / ".set.part").mkdir()
    done.folder.rename(output / ".set.part/old")
    assert collect(output).read == 0


def test_two_at_once_are_refused(output: Path) -> None:
    work = output / ".set.part"
    work.mkdir()
    handle = os.open(work, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(UsageError, match="another process is writing"):
        collect(output)
    os.close(handle)
    assert collect(output).images == 12


def test_what_cannot_be_collected_is_told(output: Path) -> None:
    place = Place.at(output)
    with pytest.raises(UsageError, match="there is no run 'other'"):
        collecting.collect(place, "other", output / "set")
    (output / "runs/empty").mkdir()
    (output / "runs/empty/run.json").write_text((output / "runs/default/run.json").read_text())
    with pytest.raises(UsageError, match="has no catalogs yet"):
        collecting.collect(place, "empty", output / "set")
    assert not (output / "set").exists()
    (output / "set").mkdir()
    (output / "set/thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="was not made by skyfan collect"):
        collect(output)
    (output / "set/thesis.tex").unlink()
    collect(output)
    (output / "runs/empty/catalogs").mkdir()
    with pytest.raises(UsageError, match="holds the run default"):
        collecting.collect(place, "empty", output / "set")
    catalogs.put(output / "runs/empty", uri(0), b"no catalog")
    with pytest.raises(UsageError, match=r"no catalog of the run empty can be read: it is no FITS file"):
        collecting.collect(place, "empty", output / "set2")


def test_another_limit_makes_all_anew(output: Path) -> None:
    many = collect(output, 40)
    few = collect(output, 10_000)
    assert few.partitions < many.partitions
    assert (few.read, few.sources) == (12, many.sources)
    assert collect(output, 10_000).read == 0


def test_catalogs_without_any_source(tmp_path: Path) -> None:
    catalogs.put(catalogs.run_folder(tmp_path), uri(0), catalogs.catalog(uri(0), [], []))
    done = collect(tmp_path)
    assert (done.images, done.sources, done.partitions) == (1, 0, 0)
    assert collect(tmp_path).read == 0
