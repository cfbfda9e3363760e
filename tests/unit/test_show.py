"""Pictures: that sources stand where they are, north is north, and what cannot be shown is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from skyfan.errors import InputError, UsageError
from skyfan.pictures import chips, picture, show, sources

STARS = [(30, 70, 4.0, 2.0, 30.0, 0), (75, 20, 3.0, 3.0, 0.0, 4)]
"""x, y from 0, semi-axes, angle, flags."""


def sky(turn: float = 0.0, mirrored: bool = False) -> WCS:
    """A tangential projection of 0.1 arcsec a pixel, north up and east left before it is turned."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [53.1, -27.8], [50, 50]
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    wcs.wcs.cd = 0.1 / 3600 * np.array([[-c, s], [s, c]]) @ np.diag([-1 if mirrored else 1, 1])
    return wcs


def image(path: Path, chips_: int = 1, shape: tuple[int, int] = (100, 120), **wcs: Any) -> Path:
    """An image in extensions SCI, ERR and DQ a chip, as flt files have them."""
    noise = np.random.default_rng(1)
    hdus: list[Any] = [fits.PrimaryHDU()]
    hdus[0].header.update({"TARGNAME": "M-31", "INSTRUME": "ACS", "DETECTOR": "WFC", "FILTER1": "F606W"})
    hdus[0].header.update({"FILTER2": "CLEAR2L", "EXPTIME": 1200.0})
    for version in range(1, chips_ + 1):
        data = noise.normal(0, 1, shape).astype("f4")
        hdus += [
            fits.ImageHDU(data, sky(**wcs).to_header(), name="SCI", ver=version),
            fits.ImageHDU(np.ones(shape, "f4"), name="ERR", ver=version),
            fits.ImageHDU(np.zeros(shape, "i2"), name="DQ", ver=version),
        ]
    fits.HDUList(hdus).writeto(path)
    return path


def catalog(path: Path, ext: int = 1, stars: list[tuple[float, ...]] = STARS) -> Path:
    x, y, a, b, theta, flags = np.array(stars, float).reshape(-1, 6).T
    columns = {
        "X_IMAGE": x + 1,
        "Y_IMAGE": y + 1,
        "A_IMAGE": a / 2.5,
        "B_IMAGE": b / 2.5,
        "THETA_IMAGE": theta,
    }
    columns |= {"KRON_RADIUS": np.full(len(x), 2.5), "FLAGS": flags, "EXT_NUMBER": np.full(len(x), ext)}
    table = [
        fits.Column(name, "I" if name in {"FLAGS", "EXT_NUMBER"} else "D", array=v)
        for name, v in columns.items()
    ]
    fits.BinTableHDU.from_columns(table).writeto(path)
    return path


def test_sources_are_drawn_where_they_are_as_kron_ellipses(tmp_path: Path) -> None:
    figure = show.draw(str(image(tmp_path / "i.fits")), str(catalog(tmp_path / "c.fits")))
    axes = figure.axes[0]
    found = [item for item in axes.collections if isinstance(item, EllipseCollection)]
    for collection, (x, y, a, b, theta, _) in zip(found, STARS, strict=True):
        assert np.allclose(collection.get_offsets(), [[x, y]])
        assert np.allclose([collection.get_widths(), collection.get_heights()], [[2 * a], [2 * b]])
        assert np.allclose(collection.get_angles() % 180, theta)
    assert axes.images[0].origin == "lower"
    assert tuple(axes.images[0].get_extent()) == (-0.5, 119.5, -0.5, 99.5)


def test_the_pixels_of_the_picture_agree(tmp_path: Path) -> None:
    """End to end: a lone bright pixel and the ellipse around it have one middle in the PNG."""
    path = image(tmp_path / "i.fits")
    with fits.open(path, mode="update") as hdus:
        hdus["SCI"].data[70, 30] = 1e6
    figure = show.draw(str(path), str(catalog(tmp_path / "c.fits", stars=[(30, 70, 9, 9, 0, 0)])))
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(float) / 255
    axes = figure.axes[0]
    middle = axes.transData.transform((30, 70))
    size = axes.transData.transform((31, 71)) - middle
    row, column = pixels.shape[0] - middle[1], middle[0]
    ring = np.abs(pixels - to_rgb(picture.GOOD)).sum(axis=2) < 0.15
    ring[int(row + 15 * size[1]) :] = False  # the legend has this colour too
    rows, columns = np.nonzero(ring)
    assert np.hypot(rows - row, columns - column) == pytest.approx(9 * size[0], rel=0.05)
    assert pixels[int(row), int(column)] == pytest.approx((1, 1, 1), abs=0.01)


@pytest.mark.parametrize("turn", [0, 40, 200])
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_compass_points_north_and_east(tmp_path: Path, turn: float, mirrored: bool) -> None:
    figure = show.draw(str(image(tmp_path / "i.fits", turn=turn, mirrored=mirrored)))
    texts = {text.get_text(): text for text in figure.axes[0].texts if text.get_text() in {"N", "E"}}
    arrows = [text for text in figure.axes[0].texts if hasattr(text, "arrow_patch")]
    wcs = sky(turn, mirrored)
    foot = np.array(arrows[0].xyann)
    here = wcs.all_pix2world([[59.5, 49.5]], 0)[0]
    for name, arrow in zip("NE", arrows, strict=True):
        along = np.array(arrow.xy) - foot
        there = wcs.all_pix2world([np.array([59.5, 49.5]) + along], 0)[0]
        grows, stays = (there - here)[[1, 0] if name == "N" else [0, 1]]
        assert grows > 0
        assert abs(stays) < 0.02 * grows
        assert np.allclose(np.array(texts[name].get_position()) - foot, 1.3 * along)


def test_the_scale_bar_is_as_long_as_it_says(tmp_path: Path) -> None:
    figure = show.draw(str(image(tmp_path / "i.fits")))
    (line,) = figure.axes[0].lines
    left, right = line.get_xdata()
    label = next(text.get_text() for text in figure.axes[0].texts if text.get_text().endswith("″"))
    assert (right - left) * 0.1 == pytest.approx(float(label[:-1]), rel=1e-3)


@pytest.mark.parametrize(
    ("arcsec", "told"),
    [(0.07, "0.05″"), (1.0, "1″"), (9.9, "5″"), (59, "50″"), (130, "2′"), (3500, "50′"), (4000, "1°")],
)
def test_lengths_are_round(arcsec: float, told: str) -> None:
    length, label = picture.round_length(arcsec)
    assert label == told
    assert length <= arcsec


def test_chips_stand_as_on_the_detector_and_have_their_own_sources(tmp_path: Path) -> None:
    path = str(image(tmp_path / "i.fits", chips_=2, shape=(50, 100)))
    figure = show.draw(path, str(catalog(tmp_path / "c.fits", ext=4)))
    first, second = sorted(figure.axes, key=lambda axes: axes.get_title(loc="left"))
    figure.canvas.draw()
    assert first.get_position().y0 < second.get_position().y0
    assert [axes.get_title(loc="left") for axes in (first, second)] == ["chip 1", "chip 2"]
    assert not first.collections
    assert len(second.collections) == 2
    assert len(show.draw(path, chip=2).axes) == 1


def test_layouts_come_near_to_a_slide() -> None:
    assert show.layout(2, 0.5) == (2, 1)
    assert show.layout(2, 1.0) == (1, 2)
    assert show.layout(1, 1.0) == (1, 1)
    assert show.layout(3, 2.0) == (1, 3)


def test_titles() -> None:
    header = fits.Header({"TARGNAME": "M-31", "INSTRUME": "WFC3", "DETECTOR": "IR", "FILTER": "F160W"})
    assert show.title(header) == "M-31  ·  WFC3/IR F160W"
    assert show.title(fits.Header({"EXPTIME": 0.0})) == ""
    assert (
        show.title(fits.Header({"FILTER1": "CLEAR1L", "FILTER2": "F814W", "EXPTIME": 1100.0}))
        == "F814W  ·  1,100 s"
    )


def test_without_coordinates_the_axes_are_pixels(tmp_path: Path) -> None:
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CD1_1": 0.0, "CD2_2": 0.0})
    fits.PrimaryHDU(np.ones((20, 30), "f4"), header).writeto(tmp_path / "i.fits")
    (axes,) = show.draw(str(tmp_path / "i.fits")).axes
    assert "pixel" in axes.get_xlabel()


@pytest.mark.parametrize("stretch", picture.STRETCHES)
@pytest.mark.parametrize(
    "data",
    [
        np.zeros((5, 5)),
        np.full((5, 5), np.nan),
        np.arange(25.0).reshape(5, 5),
        np.array([[1e30, -1e30]]),
        np.ones((1, 1)),
    ],
)
def test_any_pixels_can_be_drawn(tmp_path: Path, data: Any, stretch: str) -> None:
    fits.PrimaryHDU(data.astype("f4")).writeto(tmp_path / "i.fits")
    path = show.show(str(tmp_path / "i.fits"), output=tmp_path / "deep/i.png", look=picture.Look(stretch))
    assert imread(path).shape[2] == 4


def test_large_images_are_averaged_down_in_place(tmp_path: Path) -> None:
    data = np.zeros((40, 7001), "f4")
    data[20, 6000] = 9.0
    fits.PrimaryHDU(data).writeto(tmp_path / "i.fits")
    shown = show.draw(str(tmp_path / "i.fits")).axes[0].images[0]
    left, right, _, _ = shown.get_extent()
    assert shown.get_array().shape[1] <= picture.SIDE
    column = int(np.argmax(shown.get_array().max(axis=0)))
    assert abs(left + (column + 0.5) * (right - left) / shown.get_array().shape[1] - 6000) <= 1.5


def test_uncovered_pixels_are_not_sky(tmp_path: Path) -> None:
    weight = np.ones((20, 20), "f4")
    weight[:5] = 0
    science = fits.ImageHDU(np.zeros((20, 20), "f4"), name="SCI")
    fits.HDUList([fits.PrimaryHDU(), science, fits.ImageHDU(weight, name="WHT")]).writeto(tmp_path / "i.fits")
    (chip,), _ = chips.read(str(tmp_path / "i.fits"))
    assert np.isnan(chip.data).sum() == 100


def test_what_cannot_be_shown_is_told(tmp_path: Path) -> None:
    path = str(image(tmp_path / "i.fits"))
    stars = str(catalog(tmp_path / "c.fits"))
    (tmp_path / "words.txt").write_text("no stars")
    fits.BinTableHDU.from_columns([fits.Column("A", "D", array=[1.0])]).writeto(tmp_path / "t.fits")
    other = str(catalog(tmp_path / "other.fits", ext=9))
    with pytest.raises(InputError, match="does not exist"):
        show.draw(str(tmp_path / "nope.fits"))
    with pytest.raises(InputError, match="is not a FITS file"):
        show.draw(str(tmp_path / "words.txt"))
    with pytest.raises(InputError, match="holds no two-dimensional image"):
        show.draw(str(tmp_path / "t.fits"))
    with pytest.raises(InputError, match="has no chip 3; it has: 1"):
        show.draw(path, chip=3)
    with pytest.raises(InputError, match="is no catalog"):
        show.draw(path, str(tmp_path / "t.fits"))
    with pytest.raises(InputError, match=r"sources on HDU 9, where .* has no image"):
        show.draw(path, other)
    with pytest.raises(UsageError, match="no colour map 'sky'"):
        show.draw(path, look=picture.Look(cmap="sky"))
    with pytest.raises(UsageError, match="a stretch is one of"):
        show.draw(path, look=picture.Look("much"))
    with pytest.raises(UsageError, match="cannot write"):
        show.show(path, stars, tmp_path / "words.txt" / "i.png")


def test_an_empty_catalog_is_none_missing(tmp_path: Path) -> None:
    found = sources.read(str(catalog(tmp_path / "c.fits", stars=[])))
    assert sum(map(len, found.values())) == 0


@pytest.mark.slow
def test_real_images_of_all_kinds(demo_data: Path, tmp_path: Path) -> None:
    for path in sorted(demo_data.glob("*.fits")):
        assert show.show(str(path), output=tmp_path / "x.png").stat().st_size > 20_000
