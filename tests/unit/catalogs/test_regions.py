"""Region files, read back by astropy's regions and compared with the ellipses on the image itself."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy.wcs import WCS

from skyfan.catalogs import regions as writer
from skyfan.errors import UsageError

regions = pytest.importorskip("regions")
SCALE = 0.05
IMAGE = "s3://archive/a.fits"


def wcs(rotation: float) -> WCS:
    """An image whose north is `rotation` degrees from up, counter-clockwise."""
    made = WCS(naxis=2)
    made.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    made.wcs.crval, made.wcs.crpix = [53.1, -27.8], [50.5, 50.5]
    turn = np.radians(rotation)
    made.wcs.cd = SCALE / 3600 * np.array([[-np.cos(turn), -np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return made


def sources(rotation: float, **changes: list[float]) -> pa.Table:
    x, y = np.array([20.0, 60.0, 80.0]), np.array([30.0, 50.0, 70.0])
    ra, dec = wcs(rotation).all_pix2world(x, y, 0)
    # A direction on the image as a position angle: half a pixel along it on the sky.
    angle = np.array([10.0, 60.0, -45.0])
    ahead = wcs(rotation).all_pix2world(x + np.cos(np.radians(angle)), y + np.sin(np.radians(angle)), 0)
    east, north = (ahead[0] - ra) * np.cos(np.radians(dec)), ahead[1] - dec
    columns = {
        "ALPHAWIN_J2000": ra,
        "DELTAWIN_J2000": dec,
        "A_IMAGE": np.array([3.0, 2.0, 4.0]),
        "B_IMAGE": np.array([1.0, 1.5, 2.0]),
        "THETA_J2000": np.degrees(np.arctan2(east, north)),
        "KRON_RADIUS": np.array([2.5, 3.0, 3.5]),
        **{name: np.array(values) for name, values in changes.items()},
    }
    table = pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})
    return table.append_column("IMAGE", pa.array([IMAGE] * 3))


@pytest.mark.parametrize("rotation", [0.0, 33.0, 200.0])
@pytest.mark.parametrize(("suffix", "kind"), [(".reg", "ds9"), (".crtf", "crtf")])
def test_ellipses_lie_on_the_image_where_the_catalog_says(
    suffix: str, kind: str, rotation: float, tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    writer.write(sources(rotation), {IMAGE: SCALE}, path)
    read = regions.Regions.read(path, format=kind)
    assert len(read) == 3
    for region, x, y, a, b, angle in zip(
        read, (20, 60, 80), (30, 50, 70), (7.5, 6.0, 14.0), (2.5, 4.5, 7.0), (10, 60, -45), strict=True
    ):
        on_image = region.to_pixel(wcs(rotation))
        assert (on_image.center.x, on_image.center.y) == pytest.approx((x, y), abs=0.02)
        # The longer axis is the width in one format, and the height in the other.
        is_width = on_image.width > on_image.height
        axes = sorted([on_image.width / 2, on_image.height / 2])
        assert axes == pytest.approx([b, a], rel=0.01)
        found = on_image.angle.to_value("deg") + (0 if is_width else 90)
        assert (found - angle + 90) % 180 - 90 == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize(("suffix", "kind"), [(".reg", "ds9"), (".crtf", "crtf")])
def test_sources_without_shape_or_position_are_counted(suffix: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    table = sources(
        0, A_IMAGE=[np.nan, 2, 3], ALPHAWIN_J2000=[53.1, np.nan, 53.1], KRON_RADIUS=[2, 2, np.nan]
    )
    writer.write(table, {IMAGE: SCALE}, path)
    text = path.read_text()
    assert "# 1 sources without a position: left out" in text
    assert "# 1 sources without a shape: points" in text
    assert len(regions.Regions.read(path, format=kind)) == 2


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"need the column THETA_J2000"):
        writer.write(sources(0).drop_columns(["THETA_J2000"]), {}, tmp_path / "a.reg")
    assert not list(tmp_path.iterdir())
