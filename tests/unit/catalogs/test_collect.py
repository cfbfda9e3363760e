"""collect: which rows and partitions a data set has, updates, interruptions and errors."""

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from standins import catalogs

from sep_extract.quality import Quality
from skyfan import files
from skyfan.catalogs import collect as collecting
from skyfan.catalogs import dataset, ids, partitions
from skyfan.catalogs import spill as spilling
from skyfan.catalogs.collected import Collected
from skyfan.catalogs.search import search
from skyfan.cli import main
from skyfan.errors import UsageError
from skyfan.plans import plan
from skyfan.runs import run as runs
from skyfan.storage.place import Place

LIMIT = 40


def uri(number: int) -> str:
    return f"s3://archive/hst/{number:03}_flt.fits"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 12 images, of which some overlap near the pole and at RA 0."""
    output = tmp_path_factory.mktemp("made")
    folder = catalogs.run_folder(output)
    for number in range(12):
        put(folder, number)
    return output


@pytest.fixture
def output(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def put(folder: Path, number: int, seed: int | None = None, **more: Any) -> None:
    rng = np.random.default_rng(number if seed is None else seed)
    count = int(rng.integers(5, 60))
    ra = rng.normal([0.0, 10.0, 200.0][number % 3], 0.2, count) % 360
    dec = np.clip(rng.normal([89.8, -30.0, 5.0][number % 3], 0.1, count), -90, 90)
    catalogs.put(folder, uri(number), catalogs.catalog(uri(number), ra, dec, **more))


def collect(output: Path, limit: int = LIMIT, *, good: bool = False) -> Collected:
    return collecting.collect(Place.at(output), "default", output / "set", good=good, rows=limit)


def table(folder: Path) -> pa.Table:
    """All sources in the order of keys and SOURCE_ID."""
    files = sorted(folder.glob("dataset/*/*/*.parquet"))
    parts = [pq.read_table(file, partitioning=None) for file in files]
    return pa.concat_tables(parts).sort_by([("_healpix_29", "ascending"), ("SOURCE_ID", "ascending")])


def partition_tables(folder: Path) -> dict[str, pa.Table]:
    files = sorted(folder.glob("dataset/*/*/*.parquet"))
    return {str(file.relative_to(folder)): pq.read_table(file, partitioning=None) for file in files}


def assert_same(one: Path, other: Path) -> None:
    """Equal partitions with equal rows, equal images and equal schemas."""
    ours, theirs = partition_tables(one), partition_tables(other)
    assert list(ours) == list(theirs)
    for name in ours:
        # as text, because NaN is not equal to itself
        assert str(ours[name].to_pylist()) == str(theirs[name].to_pylist()), name
    assert dataset.find(one).schema.equals(dataset.find(other).schema, check_metadata=True)
    for name in ("images.parquet", "unplaced.parquet"):
        assert (one / name).exists() == (other / name).exists()
        if (one / name).exists():
            pairs = [pq.read_table(folder / name).to_pylist() for folder in (one, other)]
            for row in pairs[0] + pairs[1]:
                row.pop("catalog_modified", None)
            assert str(pairs[0]) == str(pairs[1])


def test_every_source_is_in_the_data_set_once_as_astropy_reads_it(output: Path) -> None:
    from astropy.table import Table

    done = collect(output)
    assert (done.images, done.read, done.unplaced, done.left_out) == (12, 12, 0, {})
    found = table(done.folder)
    assert len(found) == done.sources == dataset.find(done.folder).about["sources"]
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
    parts = partition_tables(done.folder)
    assert len(parts) == done.partitions > 5
    named = {(part.path, part.rows) for part in dataset.find(done.folder).partitions}
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
        # no finer than needed: it and its three neighbours have more rows than the limit
        family = [
            len(p)
            for n, p in parts.items()
            if p["_healpix_29"][0].as_py() >> (2 * (30 - order)) == number >> 2
        ]
        assert order == 0 or sum(family) > LIMIT
    text = (done.folder / "hats.properties").read_text()
    assert (done.folder / "properties").read_text() == text
    assert f"\nhats_nrows={done.sources}\n" in text
    assert "\nhats_col_ra=ALPHAWIN_J2000\n" in text
    common = pq.read_schema(done.folder / "dataset/_common_metadata")
    assert all(pq.read_schema(done.folder / name).equals(common, check_metadata=True) for name in parts)


@pytest.mark.filterwarnings("ignore:.*did not parse as fits unit")
def test_units_and_ucds_are_in_the_schema(output: Path) -> None:
    from astropy.io.votable import parse_single_table
    from astropy.table import Table

    done = collect(output)
    file = next(done.folder.glob("dataset/*/*/*.parquet"))
    read = Table.read(file)
    assert str(read["ALPHAWIN_J2000"].unit) == "deg"
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
    assert (fields["DELTAWIN_J2000"].ucd, str(fields["DELTAWIN_J2000"].unit)) == (
        "pos.eq.dec;meta.main",
        "deg",
    )
    images = Table.read(done.folder / "images.parquet")
    assert str(images["depth"].unit) == "mag"


def test_the_table_of_images_has_values_of_headers(output: Path) -> None:
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


def test_doubtful_images_are_counted_by_reason_and_left_out_on_request(output: Path) -> None:
    folder = output / "runs/default"
    put(folder, 2, quality=Quality.NO_ZEROPOINT | Quality.MASKED | Quality.SINGLE_EXPOSURE)
    put(folder, 3, quality=Quality.MASKED)
    put(folder, 4, quality=Quality.SINGLE_EXPOSURE)  # which all single exposures are
    done = collect(output)
    assert (done.images, done.doubtful, done.left_out) == (12, 2, {})
    assert done.doubts == {"MASKED": 2, "NO_ZEROPOINT": 1}
    rows = pq.read_table(done.folder / "images.parquet").select(["quality", "doubts"]).to_pylist()
    assert [row["quality"] for row in rows[1:5]] == [0, 16384 + 256 + 8, 256, 16384]
    assert [row["doubts"] for row in rows[1:5]] == ["", "NO_ZEROPOINT MASKED", "MASKED", ""]
    again = collect(output)
    assert (again.read, again.doubtful, again.doubts) == (0, 2, done.doubts)

    good = collect(output, good=True)
    assert (good.images, good.doubtful, good.doubts, good.left_out) == (10, 0, {}, {"doubtful": 2})
    assert not {uri(2), uri(3)} & set(table(good.folder)["IMAGE"].to_pylist())
    with good.missing_file.open() as file:
        listed = [(row["file"], row["state"], row["message"]) for row in csv.DictReader(file)]
    assert listed == [(uri(2), "doubtful", "NO_ZEROPOINT MASKED"), (uri(3), "doubtful", "MASKED")]
    put(folder, 13)
    assert (collect(output, good=True).images, collect(output).images) == (11, 13)


def test_a_run_of_doubtful_images_alone_has_no_good_data_set(tmp_path: Path) -> None:
    folder = catalogs.run_folder(tmp_path)
    put(folder, 1, quality=Quality.NO_SKY)
    with pytest.raises(UsageError, match="doubtful: NO_SKY"):
        collect(tmp_path, good=True)


def test_a_second_call_changes_nothing(output: Path) -> None:
    first = collect(output)
    before = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*.parquet")}
    second = collect(output)
    assert (second.read, second.removed, second.images, second.sources) == (0, 0, 12, first.sources)
    assert {path: path.stat().st_mtime_ns for path in first.folder.rglob("*.parquet")} == before


def test_several_calls_give_what_one_call_gives(
    output: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = output / "runs/default"
    first = collect(output)
    inodes = {path.stat().st_ino for path in first.folder.glob("dataset/*/*/*.parquet")}
    put(folder, 12)
    grown = collect(output)
    assert (grown.read, grown.images) == (1, 13)
    kept = {path.stat().st_ino for path in grown.folder.glob("dataset/*/*/*.parquet")}
    assert inodes & kept, "no partition was reused"
    put(folder, 3, seed=99)
    put(folder, 13)
    catalogs.path(folder, uri(5)).unlink()
    changed = collect(output)
    assert (changed.read, changed.removed, changed.images) == (2, 1, 13)
    fresh = tmp_path_factory.mktemp("fresh")
    whole = collecting.collect(Place.at(output), "default", fresh / "set", rows=LIMIT)
    assert_same(changed.folder, whole.folder)


def test_ids_stay_with_their_sources_and_are_distinct_even_where_digests_meet(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids, "BASES", 2000)  # 12 images of 5 to 60 sources: some ranges overlap
    folder = output / "runs/default"

    def by_source(done: Collected) -> dict[tuple[str, int], int]:
        rows = table(done.folder).select(["IMAGE", "NUMBER", "SOURCE_ID"]).to_pylist()
        assert len({row["SOURCE_ID"] for row in rows}) == len(rows) == done.sources
        return {(row["IMAGE"], row["NUMBER"]): row["SOURCE_ID"] for row in rows}

    first = by_source(collect(output))
    for number in range(12, 16):
        put(folder, number)
    catalogs.path(folder, uri(0)).unlink()
    second = by_source(collect(output))
    same = {key: value for key, value in first.items() if key[0] != uri(0)}
    assert same.items() <= second.items()
    bases = pq.read_table(output / "set/images.parquet").select(["uri", "source_id"]).to_pylist()
    assert {row["uri"]: row["source_id"] + 1 for row in bases} == {
        image: value for (image, number), value in second.items() if number == 1
    }
    digested = {row["source_id"] == ids.digests.digest(row["uri"]) % ids.BASES for row in bases}
    assert digested == {True, False}


def test_a_catalog_whose_numbers_do_not_count_is_damaged(output: Path) -> None:
    body = catalogs.catalog(uri(20), [1.0, 1.0], [2.0, 2.0], columns={"NUMBER": [1, 1]})
    catalogs.put(output / "runs/default", uri(20), body)
    done = collect(output)
    assert (done.images, done.left_out) == (12, {"damaged": 1})
    assert "NUMBER" in done.missing_file.read_text()


def test_the_size_of_chunks_does_not_matter(
    output: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = collect(output)
    monkeypatch.setattr(spilling, "CHUNK", 25)
    fresh = tmp_path_factory.mktemp("fresh")
    assert_same(
        collecting.collect(Place.at(output), "default", fresh / "set", rows=LIMIT).folder, whole.folder
    )


def test_sources_without_a_position_are_in_a_file_of_their_own(
    output: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = output / "runs/default"
    nowhere = [float("nan")] * 100
    catalogs.put(folder, uri(20), catalogs.catalog(uri(20), [*nowhere, 1.0], [*nowhere, 2.0]))
    catalogs.put(folder, uri(21), catalogs.catalog(uri(21), nowhere[:3], nowhere[:3]))
    done = collect(output)
    assert done.unplaced == 103
    unplaced = pq.read_table(done.folder / "unplaced.parquet")
    assert len(unplaced) == 103
    assert "_healpix_29" not in unplaced.column_names
    assert sorted(set(unplaced["IMAGE"].to_pylist())) == [uri(20), uri(21)]
    assert len(table(done.folder)) == done.sources
    put(folder, 21, seed=1)
    catalogs.put(folder, uri(22), catalogs.catalog(uri(22), nowhere[:2], nowhere[:2]))
    updated = collect(output)
    assert updated.unplaced == 102
    fresh = tmp_path_factory.mktemp("fresh")
    assert_same(
        collecting.collect(Place.at(output), "default", fresh / "set", rows=LIMIT).folder, updated.folder
    )


def test_a_unit_that_differs_is_a_column_of_the_sources(output: Path) -> None:
    put(output / "runs/default", 30, unit=None)
    done = collect(output)
    schema = dataset.find(done.folder).schema
    assert b"unit" not in schema.field("FLUX_AUTO").metadata
    assert schema.field("MAG_AUTO").metadata[b"unit"] == b"mag"
    units = {
        row["IMAGE"]: row["FLUX_UNIT"]
        for row in table(done.folder).select(["IMAGE", "FLUX_UNIT"]).to_pylist()
    }
    assert units[uri(30)] == ""
    assert units[uri(0)] == "electron/s"


def test_files_without_sources_are_listed_with_reasons(output: Path) -> None:
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
    shown = CliRunner().invoke(main, ["collect", "default", "--output", str(output)])
    assert (shown.exit_code, "`skyfan retry default --damaged`" in shown.stdout) == (1, True)
    with done.missing_file.open(newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    truncated, duplicate = (rows[f"archive/hst/{name}_flt.fits.cat.fits"] for name in ("004", "040"))
    assert (truncated["state"], truncated["error"]) == ("damaged", "DamagedCatalogError")
    assert "truncated" in truncated["message"]
    assert uri(7) in duplicate["message"]
    assert (rows[uri(50)]["error"], rows[uri(50)]["message"]) == ("NotFitsError", "HTML, not FITS")
    assert rows[uri(51)]["state"] == "unsent"
    assert done.images == 11
    assert collect(output).left_out == done.left_out


@pytest.mark.parametrize("step", ["partition", "unplaced", "metadata"])
def test_an_interruption_keeps_the_old_data_set(
    output: Path, step: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = collect(output)
    before = {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()}
    put(output / "runs/default", 12)

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    target = {
        "partition": (dataset, "write_partition"),
        "unplaced": (partitions, "write_unplaced"),
        "metadata": (dataset, "write_metadata"),
    }[step]
    with monkeypatch.context() as patch:
        patch.setattr(*target, stop)
        with pytest.raises(KeyboardInterrupt):
            collect(output)
    assert {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in output.iterdir()) == ["runs", "set"]
    assert collect(output).images == 13


def test_two_calls_at_once_exclude_each_other(output: Path) -> None:
    with files.replace_folder(output / "set"), pytest.raises(UsageError, match=str(output / "set")):
        collect(output)
    assert collect(output).images == 12


def test_an_error_names_the_run_or_the_folder(output: Path) -> None:
    place = Place.at(output)
    with pytest.raises(UsageError, match="'other'"):
        collecting.collect(place, "other", output / "set")
    (output / "runs/empty").mkdir()
    (output / "runs/empty/run.json").write_text((output / "runs/default/run.json").read_text())
    with pytest.raises(UsageError, match=r"run empty .*no catalogs"):
        collecting.collect(place, "empty", output / "set")
    assert not (output / "set").exists()
    (output / "set").mkdir()
    (output / "set/thesis.tex").write_text("x")
    with pytest.raises(UsageError, match=str(output / "set")):
        collect(output)
    (output / "set/thesis.tex").unlink()
    collect(output)
    (output / "runs/empty/catalogs").mkdir()
    with pytest.raises(UsageError, match="the run default"):
        collecting.collect(place, "empty", output / "set")
    catalogs.put(output / "runs/empty", uri(0), b"no catalog")
    with pytest.raises(UsageError, match=r"run empty .*not a FITS file"):
        collecting.collect(place, "empty", output / "set2")


def test_a_data_set_of_an_older_format_is_replaced(output: Path) -> None:
    folder = collect(output).folder
    about = json.loads((folder / "skyfan.json").read_text())
    (folder / "skyfan.json").write_text(json.dumps(about | {"format": about["format"] - 1}))
    with pytest.raises(UsageError, match="format"):  # its unknown values were NaN, its ids not distinct
        search(folder, 0, 0, 1)
    assert collect(output).read == 12
    assert json.loads((folder / "skyfan.json").read_text()) == about
    assert len(search(folder, 0, 90, 1).table) > 0
    assert collect(output).read == 0


def test_another_limit_reads_all_catalogs(output: Path) -> None:
    many = collect(output, 40)
    few = collect(output, 10_000)
    assert few.partitions < many.partitions
    assert (few.read, few.sources) == (12, many.sources)
    assert collect(output, 10_000).read == 0


def test_catalogs_may_have_no_sources(tmp_path: Path) -> None:
    catalogs.put(catalogs.run_folder(tmp_path), uri(0), catalogs.catalog(uri(0), [], []))
    done = collect(tmp_path)
    assert (done.images, done.sources, done.partitions) == (1, 0, 0)
    assert collect(tmp_path).read == 0


def test_a_catalog_that_changed_within_its_size_and_time_is_read_again(output: Path) -> None:
    """As S3 has it: times are whole seconds, and the ETag alone tells a version."""
    assert collect(output).read == 12
    path = catalogs.path(output / "runs/default", uri(3))
    before = path.stat()
    other = path.with_name("other")  # beside the old one, so that it cannot get its number
    other.write_bytes(path.read_bytes())
    other.replace(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert collect(output).read == 1
    assert collect(output).read == 0
