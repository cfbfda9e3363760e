"""Figures: sources stand where they are, north is north, and lengths are right."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from skyfan.errors import UsageError
from skyfan.pictures import draw, images, plain
from skyfan.pictures.plain import DEFAULT_LOOK, Look

from .conftest import STARS, catalog, image, sky


def _figure(path: str, sources: str | None = None, look: Look = DEFAULT_LOOK) -> Figure:
    return draw.figure(images.load(path, sources), look)


def test_sources_are_drawn_where_they_are_as_kron_ellipses(tmp_path: Path) -> None:
    figure = _figure(image(tmp_path / "i.fits"), catalog(tmp_path / "c.fits"))
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
    figure = _figure(path, catalog(tmp_path / "c.fits", stars=[(30, 70, 9, 9, 0, 0)]))
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(float) / 255
    axes = figure.axes[0]
    middle = axes.transData.transform((30, 70))
    size = axes.transData.transform((31, 71)) - middle
    row, column = pixels.shape[0] - middle[1], middle[0]
    ring = np.abs(pixels - to_rgb(plain.GOOD)).sum(axis=2) < 0.15
    ring[int(row + 15 * size[1]) :] = False  # the legend has this colour too
    rows, columns = np.nonzero(ring)
    assert np.hypot(rows - row, columns - column) == pytest.approx(9 * size[0], rel=0.05)
    assert pixels[int(row), int(column)] == pytest.approx((1, 1, 1), abs=0.01)


@pytest.mark.parametrize("turn", [0, 40, 200])
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_compass_points_north_and_east(tmp_path: Path, turn: float, mirrored: bool) -> None:
    figure = _figure(image(tmp_path / "i.fits", turn=turn, mirrored=mirrored))
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
    figure = _figure(image(tmp_path / "i.fits"))
    (line,) = figure.axes[0].lines
    left, right = line.get_xdata()
    label = next(text.get_text() for text in figure.axes[0].texts if text.get_text().endswith("″"))
    assert (right - left) * 0.1 == pytest.approx(float(label[:-1]), rel=1e-3)


def test_chips_stand_as_on_the_detector_and_have_their_own_sources(tmp_path: Path) -> None:
    path = image(tmp_path / "i.fits", chips=2, shape=(50, 100))
    figure = _figure(path, catalog(tmp_path / "c.fits", ext=4))
    first, second = sorted(figure.axes, key=lambda axes: axes.get_title(loc="left"))
    figure.canvas.draw()
    assert first.get_position().y0 < second.get_position().y0
    assert [axes.get_title(loc="left") for axes in (first, second)] == ["chip 1", "chip 2"]
    assert not first.collections
    assert len(second.collections) == 2


def test_layouts_come_near_to_a_slide() -> None:
    assert draw.layout(2, 0.5) == (2, 1)
    assert draw.layout(2, 1.0) == (1, 2)
    assert draw.layout(1, 1.0) == (1, 1)
    assert draw.layout(3, 2.0) == (1, 3)


def test_without_coordinates_the_axes_are_pixels(tmp_path: Path) -> None:
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CD1_1": 0.0, "CD2_2": 0.0})
    fits.PrimaryHDU(np.ones((20, 30), "f4"), header).writeto(tmp_path / "i.fits")
    (axes,) = _figure(str(tmp_path / "i.fits")).axes
    assert "pixel" in axes.get_xlabel()


def test_large_images_are_averaged_down_in_place(tmp_path: Path) -> None:
    data = np.zeros((40, 7001), "f4")
    data[20, 6000] = 9.0
    fits.PrimaryHDU(data).writeto(tmp_path / "i.fits")
    shown = _figure(str(tmp_path / "i.fits")).axes[0].images[0]
    left, right, _, _ = shown.get_extent()
    assert shown.get_array().shape[1] <= draw.SIDE
    column = int(np.argmax(shown.get_array().max(axis=0)))
    assert abs(left + (column + 0.5) * (right - left) / shown.get_array().shape[1] - 6000) <= 1.5


def test_missing_data_shows_the_hatched_ground_and_is_in_the_legend(tmp_path: Path) -> None:
    data = np.zeros((20, 30), "f4")
    data[:10] = np.nan
    fits.PrimaryHDU(data).writeto(tmp_path / "i.fits")
    figure = _figure(str(tmp_path / "i.fits"))
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(float) / 255
    axes = figure.axes[0]
    (left, low), (right, high) = axes.transData.transform([(0, 0), (29, 8)]).astype(int)
    ground = pixels[pixels.shape[0] - high : pixels.shape[0] - low, left:right].reshape(-1, 3)
    for colour in (plain.NO_DATA, plain.HATCH):
        assert (np.abs(ground - to_rgb(colour)).max(axis=1) < 0.01).any()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["masked or no data"]


def test_an_unknown_colour_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'sky'"):
        _figure(image(tmp_path / "i.fits"), look=Look(cmap="sky"))
