"""Circles in a data set, against all distances by astropy; and what is found, as files."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from standins import catalogs

from skyfan.api import search
from skyfan.catalogs import collect as collecting
from skyfan.catalogs import export, store
from skyfan.errors import UsageError
from skyfan.runs.place import Place


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SkyCoord]:
    """A data set of many partitions: all sky, poles, meridian, one field; and its positions."""
    output = tmp_path_factory.mktemp("search")
    rng = np.random.default_rng(5)
    pole = rng.choice([-1, 1], 200) * (90 - rng.exponential(0.01, 200))
    ra = [rng.uniform(0, 360, 300), rng.uniform(0, 360, 200), rng.normal(0, 0.001, 300) % 360]
    dec = [np.degrees(np.arcsin(rng.uniform(-1, 1, 300))), pole, rng.normal(0, 0.001, 300)]
    ra.append(rng.normal(200, 0.01, 400))
    dec.append(rng.normal(41.8, 0.01, 400))
    folder = catalogs.run_folder(output)
    for number in range(4):
        uri = f"s3://archive/{number}.fits"
        catalogs.put(
            folder, uri, catalogs.catalog(uri, ra[number], dec[number], mag=np.arange(len(ra[number])))
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "ROW_GROUP", 16)
        done = collecting.collect(Place.at(output), "default", output / "set", rows=100)
    assert done.partitions > 12
    return done.folder, SkyCoord(np.concatenate(ra), np.concatenate(dec), unit="deg")


RADIUS = st.floats(-4, 1.5).map(lambda power: 10**power)


@given(st.floats(0, 360), st.floats(-90, 90), RADIUS, st.none() | st.integers(0, 1199))
@example(123.0, 90.0, 0.02, None)
@example(0.0, -90.0, 0.02, None)
@example(0.0, 0.0, 0.002, None)
@example(360.0, 0.0, 0.002, None)
@example(0.0, 0.0, 180.0, None)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_finds_what_astropy_finds(
    data: tuple[Path, SkyCoord], ra: float, dec: float, radius: float, source: int | None
) -> None:
    folder, sky = data
    if source is not None:
        ra, dec = float(sky.ra.deg[source]), float(sky.dec.deg[source])
    distance = sky.separation(SkyCoord(ra, dec, unit="deg")).arcsec
    # within rounding of the circle's edge either answer is right
    sure, edge = radius * 3600 * (1 - 1e-12) - 1e-9, radius * 3600 * (1 + 1e-12) + 1e-9
    found = search(folder, ra, dec, radius, columns=["ALPHA_J2000", "DELTA_J2000"]).table
    assert np.count_nonzero(distance <= sure) <= len(found) <= np.count_nonzero(distance <= edge)
    ours = found["DISTANCE"].to_numpy()
    np.testing.assert_allclose(ours, np.sort(distance)[: len(ours)], rtol=1e-9, atol=1e-8)
    there = SkyCoord(found["ALPHA_J2000"].to_numpy(), found["DELTA_J2000"].to_numpy(), unit="deg")
    np.testing.assert_allclose(
        there.separation(SkyCoord(ra, dec, unit="deg")).arcsec, ours, rtol=1e-9, atol=1e-8
    )


def test_it_reads_only_what_lies_around_the_circle(data: tuple[Path, SkyCoord]) -> None:
    folder, sky = data
    found = search(folder, float(sky.ra.deg[1000]), float(sky.dec.deg[1000]), 1 / 3600)
    assert len(found.table) >= 1
    assert (found.partitions, found.row_groups) == (1, 1)
    assert found.rows <= 16
    assert search(folder, 0, 0, 180).rows == len(sky)


def test_rows_come_whole_with_units(data: tuple[Path, SkyCoord]) -> None:
    folder, sky = data
    found = search(folder, float(sky.ra.deg[7]), float(sky.dec.deg[7]), 1e-6).table
    assert len(found) == 1
    row = found.to_pylist()[0]
    assert (row["NUMBER"], row["MAG_AUTO"], row["IMAGE"]) == (8, 7.0, "s3://archive/0.fits")
    assert "_healpix_29" not in row
    assert found.schema.field("DISTANCE").metadata[b"unit"] == b"arcsec"
    assert found.column_names[0] == "DISTANCE"
    chosen = search(folder, 0, 0, 1, columns=["MAG_AUTO", "SOURCE_ID", "MAG_AUTO"]).table
    assert chosen.column_names == ["DISTANCE", "MAG_AUTO", "SOURCE_ID"]


def test_nothing_found_is_an_empty_table_of_the_same_columns(data: tuple[Path, SkyCoord]) -> None:
    folder, sky = data
    whole = search(folder, float(sky.ra.deg[7]), float(sky.dec.deg[7]), 1e-6).table
    none = search(folder, 100.0, 45.0, 1e-5).table
    assert len(none) == 0
    assert none.schema.equals(whole.schema, check_metadata=True)


def test_what_is_not_there_is_told(data: tuple[Path, SkyCoord], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no column MAG_BEST; there are: SOURCE_ID, NUMBER"):
        search(data[0], 0, 0, 1, columns=["MAG_BEST"])
    with pytest.raises(UsageError, match="there is no data set nowhere"):
        search("nowhere", 0, 0, 1)
    with pytest.raises(UsageError, match="skyfan collect makes one"):
        search("default", 0, 0, 1, output=tmp_path)
    (tmp_path / "x").write_text("x")
    with pytest.raises(UsageError, match="was not made by skyfan collect"):
        search(tmp_path, 0, 0, 1)


def test_a_table_as_fits_csv_and_parquet(data: tuple[Path, SkyCoord], tmp_path: Path) -> None:
    found = search(data[0], 200, 41.8, 0.01).table
    assert len(found) > 10
    for name in ("a.fits", "a.csv", "a.parquet"):
        export.write(found, tmp_path / name)
    read = Table.read(tmp_path / "a.fits")
    assert str(read["FLUX_AUTO"].unit) == "ct / s"
    assert read["FLUX_APER"].shape == (len(found), 4)
    assert read["SOURCE_ID"].tolist() == found["SOURCE_ID"].to_pylist()
    assert read["IMAGE"][0] == "s3://archive/3.fits"
    text = pyarrow.csv.read_csv(tmp_path / "a.csv")
    np.testing.assert_array_equal(text["FLUX_APER_3"].to_numpy(), read["FLUX_APER"][:, 2])
    assert text["DISTANCE"].to_pylist() == found["DISTANCE"].to_pylist()
    assert pq.read_table(tmp_path / "a.parquet").equals(found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.fits", "a.parquet"]
    export.write(found.slice(0, 0), tmp_path / "none.fits")
    assert len(Table.read(tmp_path / "none.fits")) == 0


def test_an_astropy_table_has_units_and_ucds(data: tuple[Path, SkyCoord]) -> None:
    made = export.to_astropy(search(data[0], 200, 41.8, 0.01).table)
    assert made["DISTANCE"].unit == u.arcsec
    assert made["DELTA_J2000"].meta["ucd"] == "pos.eq.dec;meta.main"
    text = io.StringIO()
    made.info(out=text)
    assert "Isophotal flux" in text.getvalue()


def test_files_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none of \.csv, \.fits, \.parquet"):
        export.check(tmp_path / "a.xls")
    with pytest.raises(UsageError, match="there is no folder"):
        export.check(tmp_path / "nowhere/a.csv")


def test_what_is_no_number_is_null_in_json() -> None:
    table = pa.table({"a": [1.5, float("nan")], "b": [[float("inf"), 2.0], [1.0, 2.0]]})
    assert export.to_rows(table) == [{"a": 1.5, "b": [None, 2.0]}, {"a": None, "b": [1.0, 2.0]}]
