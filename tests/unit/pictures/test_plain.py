"""Pictures without matplotlib: sources stand where they are, and missing data is hatched."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from PIL import ImageColor

from skyfan.errors import UsageError
from skyfan.pictures import plain
from skyfan.pictures.images import Chip, Ellipses, Exposure
from skyfan.pictures.plain import SATURATED, Look, _on_grid, combined, picture

from .conftest import sky


def _chip(data: np.ndarray, stars: Iterable[tuple[float, ...]] = ()) -> Chip:
    columns = np.array(list(stars), float).reshape(-1, 6).T
    return Chip(1, 1, data.astype("f4"), None, Ellipses(*columns[:5], columns[5] != 0))


def _near(picture: np.ndarray, colour: str, tolerance: int = 60) -> np.ndarray:
    return np.abs(picture.astype(int) - ImageColor.getrgb(colour)).sum(axis=2) < tolerance


@pytest.mark.parametrize(
    ("shape", "side"), [((100, 120), 1200), ((100, 120), 180), ((500, 600), 256), ((900, 400), 400)]
)
def test_an_ellipse_lies_around_its_source(shape: tuple[int, int], side: int) -> None:
    ny, nx = shape
    data = np.random.default_rng(2).normal(0, 1, shape)
    x, y, a, b = nx * 0.3, ny * 0.7, nx * 0.12, nx * 0.05
    drawn = np.asarray(plain.picture([_chip(data, [(x, y, a, b, 30, 0)])], side))
    scale = drawn.shape[1] / nx
    rows, columns = np.nonzero(_near(drawn, plain.GOOD, 150))
    right, up = (columns + 0.5) / scale - 0.5 - x, (drawn.shape[0] - rows - 0.5) / scale - 0.5 - y
    cos, sin = np.cos(np.radians(30)), np.sin(np.radians(30))
    radius = np.hypot((right * cos + up * sin) / a, (up * cos - right * sin) / b)
    assert len(radius) > 40
    assert np.median(radius) == pytest.approx(1, abs=0.06)
    assert np.abs(radius - 1).max() < 2.5 / scale / b


def test_north_is_up_and_a_bright_pixel_is_bright() -> None:
    data = np.random.default_rng(2).normal(0, 1, (50, 40))
    data[45:47, 5:7] = 1e4
    drawn = np.asarray(plain.picture([_chip(data)], 400))
    assert drawn.shape == (400, 320, 3)
    rows, columns = np.nonzero((drawn > 250).all(axis=2))
    assert (rows.mean(), columns.mean()) == pytest.approx((400 - 46 * 8 - 0.5, 6 * 8 - 0.5))
    inverse = np.asarray(plain.picture([_chip(data)], 400, Look(cmap="gray_r")))
    assert np.abs(inverse.astype(int) + drawn - 255).max() <= 1


def test_missing_data_is_hatched_and_only_that() -> None:
    data = np.random.default_rng(2).normal(0, 1, (60, 60))
    data[:20] = np.nan
    drawn = np.asarray(plain.picture([_chip(data)], 300))
    coloured = _near(drawn, plain.NO_DATA, 3) | _near(drawn, plain.HATCH, 3)
    assert coloured[-100:].all()
    assert not coloured[:-100].any()
    assert _near(drawn[-100:], plain.HATCH, 3).mean() == pytest.approx(0.25, abs=0.02)


def test_flagged_sources_have_their_own_colour() -> None:
    chip = _chip(np.zeros((100, 100)), [(30, 30, 9, 9, 0, 0), (70, 70, 9, 9, 0, 4)])
    drawn = np.asarray(plain.picture([chip], 300))
    good, flagged = (np.argwhere(_near(drawn, colour)).mean(axis=0) for colour in (plain.GOOD, plain.FLAGGED))
    assert good == pytest.approx([208, 91], abs=3)
    assert flagged == pytest.approx([88, 211], abs=3)


def test_the_first_chip_is_at_the_bottom() -> None:
    dark, bright = np.zeros((10, 30)), np.zeros((10, 20))
    bright[:] = np.linspace(0, 1, 20)
    drawn = np.asarray(plain.picture([_chip(dark), _chip(bright)], 90))
    assert drawn.shape == (30 + 6 + 40, 90, 3)
    assert drawn[10].max() > drawn[-10].max()


def _flat(turn: float = 0.0, level: float = 0.0, side: int = 100) -> Exposure:
    data = np.random.default_rng(int(level)).normal(level, 1, (side, side)).astype(np.float32)
    data[40:44, 60:64] += 300
    return Exposure(f"level {level}", [Chip(1, 1, data, sky(turn))])


def test_equal_images_are_grey_and_a_source_of_one_has_its_colour() -> None:
    red = _flat()
    (grey,) = combined(red, red, red).chips
    assert grey.colours is not None
    assert np.ptp(grey.colours, axis=2).max() < 0.01
    blue = replace(red, chips=[replace(red.chips[0], data=red.chips[0].data.copy())])
    blue.chips[0].data[40:44, 60:64] = 0
    (chip,) = combined(red, red, blue).chips
    assert chip.colours is not None
    seen = chip.colours[42, 62]
    assert seen[0] == pytest.approx(seen[1])
    assert seen[0] > 2 * seen[2]


def test_another_grid_is_put_on_that_of_the_red() -> None:
    red, turned = _flat(), _flat(30.0, 5.0)
    (chip,) = combined(red, turned, turned).chips
    place = turned.chips[0].wcs.all_world2pix(red.chips[0].wcs.all_pix2world([[55, 45]], 0), 0)[0]
    found = _on_grid(red.chips[0], turned)
    assert found[45, 55] == turned.chips[0].data[round(place[1]), round(place[0])]
    corners = np.isnan(found)[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.any(), "a turned image leaves some corner empty"
    assert np.isnan(chip.data[np.isnan(found)]).all()


def test_images_that_do_not_overlap_and_without_coordinates_are_refused() -> None:
    red, far = _flat(), _flat()
    wcs = sky()
    wcs.wcs.crval = [233.1, 27.8]
    with pytest.raises(UsageError, match="in common"):
        combined(red, red, replace(far, chips=[replace(far.chips[0], wcs=wcs)]))
    with pytest.raises(UsageError, match="sky coordinates"):
        combined(red, red, replace(far, chips=[replace(far.chips[0], wcs=None)]))


def test_saturated_pixels_are_coloured() -> None:
    data = np.zeros((60, 60), np.float32)
    full = np.zeros((60, 60), bool)
    full[10:20, 30:40] = True
    seen = np.asarray(picture([Chip(1, 1, data, None, saturated=full)], 60))
    assert _near(seen, SATURATED).sum() == 100
    assert _near(seen, SATURATED)[60 - 15, 35]
