"""Circles in a data set, compared with all distances by astropy."""

from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from standins import catalogs

from skyfan.api import search
from skyfan.catalogs import collect as collecting
from skyfan.catalogs import dataset
from skyfan.errors import UsageError
from skyfan.storage.place import Place


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SkyCoord]:
    """Positions all over the sky, at the poles, at RA 0 and in one field; and a data set of sources there."""
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
        patch.setattr(dataset, "ROW_GROUP", 16)
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
def test_the_sources_are_those_that_astropy_finds(
    data: tuple[Path, SkyCoord], ra: float, dec: float, radius: float, source: int | None
) -> None:
    folder, sky = data
    if source is not None:
        ra, dec = float(sky.ra.deg[source]), float(sky.dec.deg[source])
    distance = sky.separation(SkyCoord(ra, dec, unit="deg")).arcsec
    # at the edge either answer is right within rounding
    sure, edge = radius * 3600 * (1 - 1e-12) - 1e-9, radius * 3600 * (1 + 1e-12) + 1e-9
    found = search(folder, (ra, dec), radius * u.deg, columns=["ALPHAWIN_J2000", "DELTAWIN_J2000"]).table
    assert np.count_nonzero(distance <= sure) <= len(found) <= np.count_nonzero(distance <= edge)
    ours = found["DISTANCE"].to_numpy()
    np.testing.assert_allclose(ours, np.sort(distance)[: len(ours)], rtol=1e-9, atol=1e-8)
    positions = SkyCoord(found["ALPHAWIN_J2000"].to_numpy(), found["DELTAWIN_J2000"].to_numpy(), unit="deg")
    np.testing.assert_allclose(
        positions.separation(SkyCoord(ra, dec, unit="deg")).arcsec, ours, rtol=1e-9, atol=1e-8
    )


def test_only_row_groups_near_the_circle_are_read(data: tuple[Path, SkyCoord]) -> None:
    folder, sky = data
    found = search(folder, (float(sky.ra.deg[1000]), float(sky.dec.deg[1000])), "1s")
    assert len(found.table) >= 1
    assert (found.partitions, found.row_groups) == (1, 1)
    assert found.rows <= 16
    assert search(folder, (0, 0), "180d").rows == len(sky)


def test_rows_have_the_selected_columns_with_units(data: tuple[Path, SkyCoord]) -> None:
    folder, sky = data
    found = search(folder, (float(sky.ra.deg[7]), float(sky.dec.deg[7])), "0.0036s").table
    assert len(found) == 1
    row = found.to_pylist()[0]
    assert (row["NUMBER"], row["MAG_AUTO"], row["IMAGE"]) == (8, 7.0, "s3://archive/0.fits")
    assert "_healpix_29" not in row
    assert found.schema.field("DISTANCE").metadata[b"unit"] == b"arcsec"
    assert found.column_names[0] == "DISTANCE"
    chosen = search(folder, (0, 0), "1d", columns=["MAG_AUTO", "SOURCE_ID", "MAG_AUTO"]).table
    assert chosen.column_names == ["DISTANCE", "MAG_AUTO", "SOURCE_ID"]


def test_no_source_is_an_empty_table_with_the_same_columns(data: tuple[Path, SkyCoord]) -> None:
    folder, sky = data
    whole = search(folder, (float(sky.ra.deg[7]), float(sky.dec.deg[7])), "0.0036s").table
    none = search(folder, (100.0, 45.0), "0.036s").table
    assert len(none) == 0
    assert none.schema.equals(whole.schema, check_metadata=True)


def test_an_error_names_the_column_or_the_folder(data: tuple[Path, SkyCoord], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ZZ.*SOURCE_ID, NUMBER"):
        search(data[0], (0, 0), "1d", columns=["ZZ"])
    with pytest.raises(UsageError, match="nowhere"):
        search("nowhere", (0, 0), "1d")
    with pytest.raises(UsageError, match=f"'default' in {tmp_path}"):
        search("default", (0, 0), "1d", where=tmp_path)
    (tmp_path / "x").write_text("x")
    with pytest.raises(UsageError, match=str(tmp_path)):
        search(tmp_path, (0, 0), "1d")
