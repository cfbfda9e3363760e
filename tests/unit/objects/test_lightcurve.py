"""The light curve of an object has what its columns were made of, and is found by its id alone."""

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from standins.survey import Exposure, Sky, Survey

from skyfan.api import MatchOptions, light_curve, match, search
from skyfan.catalogs import dataset, healpix
from skyfan.catalogs.search import overlap
from skyfan.errors import UsageError
from skyfan.objects import lightcurve

BANDS = ("ACS_WFC_F606W", "ACS_WFC_F814W")


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stars in eight images that overlap in part, in two filters, with offsets; each image misses some."""
    folder = tmp_path_factory.mktemp("objects")
    rng = np.random.default_rng(2)
    sky, stars, mags = Sky(359.999, -60.0), rng.uniform(-45, 45, (300, 2)), rng.uniform(20, 24, 300)
    made = Survey()
    for number in range(8):
        uri, band = f"s3://archive/j{number}_flc.fits", f"F{606 + 208 * (number % 2)}W"
        depth = 25.0 + 0.1 * number
        one = Exposure(uri, sky, rng.uniform(-15, 15, 2), band, 55000.0 + number, depth, size=60.0)
        one.offset, one.turn = rng.normal(0, 0.3, 2), rng.normal(0, 5e-5)
        rows = np.flatnonzero(one.covers(stars) & (rng.random(len(stars)) < 0.8))
        snr = 5 * 10 ** (0.4 * (depth - mags[rows]))
        xy = stars[rows] + rng.normal(0, 0.04 / snr[:, None], (len(rows), 2))
        made.add(one, xy, mags[rows] + rng.normal(0, 1.09 / snr), snr)
    match(made.write(folder / "data"), folder / "objects", options=MatchOptions(jobs=1))
    return folder / "objects"


def test_its_rows_are_those_that_the_columns_of_the_object_count(objects: Path) -> None:
    table = search(objects).table.to_pylist()
    some = table[::7]
    assert len(some) > 30
    missed = 0
    for row in some:
        curve = light_curve(objects, row["OBJECT_ID"])
        assert curve.values == row
        rows = curve.table.to_pylist()
        assert [each["MJD"] for each in rows] == sorted(each["MJD"] for each in rows)
        seen = [each for each in rows if each["SOURCE_ID"] is not None]
        assert len(seen) == row["N_DET"]
        for band in BANDS:
            own = [each for each in rows if each["BAND"] == band]
            assert len(own) == row[f"N_COVER_{band}"]
            limits = [each["LIMIT"] for each in own if each["SOURCE_ID"] is None]
            missed += len(limits)
            assert max(limits, default=None) == row[f"LIMIT_{band}"]
    assert missed > 20


def test_an_id_leads_to_the_partitions_near_the_image_of_its_first_detection(objects: Path) -> None:
    found = lightcurve.Objects(dataset.objects(objects))
    for row in search(objects).table.to_pylist():
        ranges = found._near(row["OBJECT_ID"])
        (key,) = healpix.keys(np.array([row["ALPHA_J2000"]]), np.array([row["DELTA_J2000"]]))
        assert overlap(ranges, int(key), int(key))
        assert int(np.diff(ranges).sum()) < healpix.first_key(0, 12) / 1e6, "an image is no part of the sky"


def test_a_circle_finds_the_nearest_objects_first(objects: Path) -> None:
    everything = search(objects).table
    distance = healpix.separation(
        359.999, -60.0, everything["ALPHA_J2000"].to_numpy(), everything["DELTA_J2000"].to_numpy()
    )
    found = search(objects, (359.999, -60.0), "20s", columns=["OBJECT_ID"])
    inside = np.flatnonzero(distance * 3600 <= 20)
    expected = everything["OBJECT_ID"].to_numpy()[inside[np.argsort(distance[inside])]]
    assert found.table["OBJECT_ID"].to_pylist() == expected.tolist()
    assert len(expected) > 5


@pytest.mark.parametrize("suffix", [".fits", ".vot", ".ecsv", ".csv", ".parquet"])
def test_a_light_curve_with_limits_is_written_in_every_format(
    objects: Path, tmp_path: Path, suffix: str
) -> None:
    for row in search(objects).table.to_pylist():
        curve = light_curve(objects, row["OBJECT_ID"])
        if curve.table["SOURCE_ID"].null_count:
            break
    path = tmp_path / f"curve{suffix}"
    curve.write(path)
    if suffix == ".fits":
        read = Table.read(path)
        assert len(read) == len(curve.table)
        seen = np.array([each is not None for each in curve.table["SOURCE_ID"].to_pylist()])
        assert np.isfinite(np.ma.filled(read["LIMIT"], np.nan)).tolist() == (~seen).tolist()
    with pytest.raises(UsageError, match="has no regions"):
        curve.write(tmp_path / "curve.reg")


def test_what_is_wrong_is_named(objects: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no object 17"):
        light_curve(objects, 17)
    with pytest.raises(UsageError, match="there are no objects in"):
        light_curve(objects.parent / "data", 17)
    with pytest.raises(UsageError, match="has the objects of skyfan match"):
        match(objects, tmp_path / "more")
    with pytest.raises(UsageError, match="has the objects of skyfan match"):
        dataset.find(objects)
