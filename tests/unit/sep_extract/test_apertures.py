"""Replacing spoiled pixels: against a loop over all pixels."""

import math

import numpy as np
import pytest
import sep

from sep_extract import apertures
from sep_extract.apertures import Ellipses, in_circles, in_ellipses


def ellipses(
    rng: np.random.Generator, n: int, shape: tuple[int, int]
) -> tuple[Ellipses, np.ndarray, np.ndarray, np.ndarray]:
    """Sources anywhere in the image, its edges too, and their a, b and theta."""
    x, y = rng.uniform(-0.4, shape[1] - 0.6, n), rng.uniform(-0.4, shape[0] - 0.6, n)
    a = rng.uniform(1, 4, n)
    b, theta = a * rng.uniform(0.2, 1, n), rng.uniform(-np.pi / 2, np.pi / 2, n)
    return Ellipses(x, y, *sep.ellipse_coeffs(a, b, theta), rng.uniform(1, 4, n)), a, b, theta


def corrections(
    data: np.ndarray, variance: np.ndarray, owner: np.ndarray, e: Ellipses, centres: tuple, radii: list[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of flux and variance, of the ellipse first and of the circles; the spoiled area and light."""
    flux, extra, area, light = in_ellipses(data, variance, owner, e)
    circles = in_circles(data, variance, owner, *centres, radii)
    flux, extra = (np.column_stack(both) for both in zip((flux, extra), circles, strict=True))
    return flux, extra, area, light


def by_loops(
    data: np.ndarray, variance: np.ndarray, owner: np.ndarray, e: Ellipses, centres: tuple, radii: list[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The same in the plainest way."""
    n, (ny, nx) = len(e.x), data.shape
    flux, extra = np.zeros((2, n, 1 + len(radii)))
    area, light = np.zeros((2, n))
    for i in range(n):
        for row in range(ny):
            for column in range(nx):
                if owner[row, column] in (0, i + 1):
                    continue
                dx, dy = column - e.x[i], row - e.y[i]
                inside = e.cxx[i] * dx**2 + e.cyy[i] * dy**2 + e.cxy[i] * dx * dy <= e.radius[i] ** 2
                distance = math.hypot(column - centres[0][i], row - centres[1][i])
                weights = [float(inside)]
                weights += [min(1.0, max(0.0, radius + 0.5 - distance)) for radius in radii]
                for k, weight in enumerate(weights):
                    x, y = (centres[0][i], centres[1][i]) if k else (e.x[i], e.y[i])
                    row2, column2 = math.trunc(2 * y + 0.49999) - row, math.trunc(2 * x + 0.49999) - column
                    new, new_variance = 0.0, 0.0
                    if 0 <= row2 < ny and 0 <= column2 < nx and owner[row2, column2] in (0, i + 1):
                        new, new_variance = data[row2, column2], variance[row2, column2]
                    flux[i, k] += weight * (float(new) - data[row, column])
                    extra[i, k] += weight * (float(new_variance) - variance[row, column])
                area[i] += weights[0]
                light[i] += weights[0] * data[row, column]
    return flux, extra, area, light


@pytest.fixture
def field() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Data, variance and a map of 12 sources, in patches, with masked pixels among them."""
    rng = np.random.default_rng(3)
    data, variance = rng.normal(10, 5, (40, 50)).astype("f4"), rng.uniform(1, 2, (40, 50)).astype("f4")
    owner = np.kron(rng.choice([0, 0, 0, *range(1, 13)], (8, 10)), np.ones((5, 5), int)).astype("i4")
    owner[rng.random(owner.shape) < 0.1] = -1
    data[owner == -1], variance[owner == -1] = 0, 0
    return data, variance, owner


@pytest.mark.parametrize("largest", [0.0, 4.0, 64.0])
@pytest.mark.parametrize("radii", [[], [1.2], [7.5, 0.3, 3.0]])
def test_corrections_are_those_of_a_loop(
    field: tuple[np.ndarray, np.ndarray, np.ndarray],
    radii: list[float],
    largest: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where circles are summed over lists of pixels, or over stamps that reach over the edge."""
    monkeypatch.setattr(apertures, "_LARGEST", largest)
    found, _, _, _ = ellipses(np.random.default_rng(4), 12, field[0].shape)
    # Circles about the same centres, about some that share the opposite pixel, and about others.
    off = np.linspace(-0.1, 1.5, len(found.x)) * (np.arange(len(found.x)) > 3)
    centres = found.x + off, found.y - off
    expected = by_loops(*field, found, centres, radii)
    for mine, theirs in zip(corrections(*field, found, centres, radii), expected, strict=True):
        assert np.abs(theirs).max() > 1
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-3)


def test_seps_sum_and_the_correction_make_the_sum_of_the_mended_image(
    field: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    data, variance, owner = field
    found, a, b, theta = ellipses(np.random.default_rng(5), 12, data.shape)
    more, *_ = corrections(data, variance, owner, found, (found.x, found.y), [])
    total, _, _ = sep.sum_ellipse(data, found.x, found.y, a, b, theta, found.radius, subpix=1)
    row, column = np.indices(data.shape)
    for i in range(12):
        mended = data.astype("f8")
        for r, c in np.argwhere((owner != 0) & (owner != i + 1)):
            r2, c2 = int(2 * found.y[i] + 0.49999) - r, int(2 * found.x[i] + 0.49999) - c
            usable = 0 <= r2 < 40 and 0 <= c2 < 50 and owner[r2, c2] in (0, i + 1)
            mended[r, c] = data[r2, c2] if usable else 0
        dx, dy = column - found.x[i], row - found.y[i]
        inside = found.cxx[i] * dx**2 + found.cyy[i] * dy**2 + found.cxy[i] * dx * dy <= found.radius[i] ** 2
        assert total[i] + more[i, 0] == pytest.approx(mended[inside].sum(), rel=1e-5, abs=0.02)


def test_a_source_alone_is_left_as_it_is() -> None:
    owner = np.zeros((20, 20), "i4")
    owner[8:12, 8:12] = 1
    alone = Ellipses(*(np.array([v]) for v in (9.5, 9.5, 1.0, 1.0, 0.0, 5.0)))
    ones = np.ones((20, 20), "f4")
    flux, extra, area, light = corrections(ones, ones, owner, alone, (alone.x, alone.y), [3.0])
    assert not light.any()
    assert not flux.any()
    assert not extra.any()
    assert not area.any()


def test_a_symmetric_source_loses_nothing_to_a_neighbour(stars: object) -> None:
    """A star with a bright neighbour in its aperture has the flux it has without."""
    star = stars(at=[(30.0, 30.0)], sky=0.0, noise=0.0, flux=1000.0)  # type: ignore[operator]
    both = star + stars(at=[(36.0, 30.0)], sky=0.0, noise=0.0, flux=9000.0)  # type: ignore[operator]
    owner = np.zeros(both.shape, "i4")
    owner[:, :33], owner[:, 33:45] = 1, 2
    one = Ellipses(*(np.array([v]) for v in (30.0, 30.0, 1.0, 1.0, 0.0, 8.1)))
    more, _, area, _ = corrections(both, np.ones_like(both), owner, one, (one.x, one.y), [8.1])
    in_ellipse, _, _ = sep.sum_circle(both, [30.0], [30.0], 8.1, subpix=1)
    in_circle, _, _ = sep.sum_circle(both, [30.0], [30.0], 8.1, subpix=5)
    assert in_ellipse[0] > 5000
    spill = both[:, :33].sum() - star[:, :33].sum()
    assert spill < 100
    assert in_ellipse[0] + more[0, 0] == pytest.approx(1000 + spill, abs=15)
    # a circle's edge is but a ramp here, and the neighbour stands on it
    assert in_circle[0] + more[0, 1] == pytest.approx(1000 + spill, abs=60)
    assert area[0] == 66


def test_no_sources(field: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    none = Ellipses(*[np.zeros(0)] * 6)
    flux, extra, area, light = corrections(*field, none, (none.x, none.y), [1.0, 2.0])
    assert (flux.shape, extra.shape, area.shape, light.shape) == ((0, 3), (0, 3), (0,), (0,))


@pytest.mark.parametrize("largest", [0.0, 64.0])
def test_parts_of_a_large_aperture_are_one_sum(
    field: tuple[np.ndarray, np.ndarray, np.ndarray], largest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apertures, "_LARGEST", largest)
    found, _, _, _ = ellipses(np.random.default_rng(4), 12, field[0].shape)
    whole = corrections(*field, found, (found.x, found.y), [3.0])
    for size in ("_ROWS", "_PIXELS", "_STAMPS"):
        monkeypatch.setattr(apertures, size, 40)
    for mine, theirs in zip(corrections(*field, found, (found.x, found.y), [3.0]), whole, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-6)


def test_the_box_around_an_ellipse() -> None:
    # Twice an ellipse of half axes 4 and 1, along x, along y, and turned by 45 degrees.
    cxx, cyy, cxy = sep.ellipse_coeffs(
        np.array([4.0, 4.0, 4.0]), np.array([1.0, 1.0, 1.0]), np.array([0.0, np.pi / 2, np.pi / 4])
    )
    zero = np.zeros(3)
    x, y = Ellipses(zero, zero, cxx, cyy, cxy, np.full(3, 2.0)).reach()
    diagonal = 2 * math.sqrt((16 + 1) / 2)
    np.testing.assert_allclose(x, [8, 2, diagonal], rtol=1e-6)
    np.testing.assert_allclose(y, [2, 8, diagonal], rtol=1e-6)


def test_the_pixel_opposite_may_be_the_first_or_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a pixel whose centre is on the ellipse is in it. Row by row, most of which have nothing in it."""
    monkeypatch.setattr(apertures, "_ROWS", 1)
    monkeypatch.setattr(apertures, "_PIXELS", 1)
    data, variance = np.zeros((5, 5), "f4"), np.ones((5, 5), "f4")
    data[0, 2], data[4, 2], data[2, 0], data[2, 4] = 3, 5, 7, 11
    one, x = np.ones(1), np.array([2.0])
    ellipse = Ellipses(x, x, one, one, 0 * one, 2 * one)
    for masked, change in (((4, 2), 3 - 5), ((0, 2), 5 - 3), ((2, 4), 7 - 11), ((2, 0), 11 - 7)):
        owner = np.zeros((5, 5), "i4")
        owner[masked] = owner[0, 0] = -1
        flux, _, area, light = corrections(data, variance, owner, ellipse, (x, x), [])
        assert (flux[0, 0], area[0], light[0]) == (change, 1, data[masked])
