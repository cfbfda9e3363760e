"""The coverage of a run, read back by mocpy."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy import units as u

from skyfan.catalogs import images as coverage
from skyfan.errors import UsageError

mocpy = pytest.importorskip("mocpy")


def images(*regions: str | None) -> pa.Table:
    return pa.table({"s_region": pa.array(regions, pa.string())})


def square(ra: float, dec: float, side: float) -> str:
    half, wide = side / 2, side / 2 / np.cos(np.radians(dec))
    corners = [(-wide, -half), (wide, -half), (wide, half), (-wide, half)]
    return "POLYGON ICRS " + " ".join(f"{ra + x} {dec + y}" for x, y in corners)


def test_a_moc_covers_the_images_and_nothing_else(tmp_path: Path) -> None:
    # The second one overlaps the first by half, one crosses 0 h, and one has no outline.
    table = images(square(53, -27.8, 0.04), square(53, -27.78, 0.04), square(0.0, 20, 0.04), None)
    coverage.write_moc(table, tmp_path / "a.fits")
    moc = mocpy.MOC.load(tmp_path / "a.fits")
    inside = moc.contains_lonlat([53, 53, 0.01, 359.99] * u.deg, [-27.81, -27.77, 20, 20] * u.deg)
    outside = moc.contains_lonlat([53.1, 53, 180] * u.deg, [-27.8, -27.7, 20] * u.deg)
    assert inside.all()
    assert not outside.any()
    area = moc.sky_fraction * 4 * np.pi * (180 / np.pi) ** 2
    # Cells on a border are in it: a frame of 1.6 arcsec around 144.
    assert 1 <= area / ((1.5 + 1) * 0.04**2) < 1.05


def test_images_without_outlines_have_no_coverage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no image has an outline"):
        coverage.write_moc(images(None, ""), tmp_path / "a.fits")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.txt", "nowhere/a.fits"])
def test_a_file_that_cannot_be_written_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=name):
        coverage.check_moc(tmp_path / name)
