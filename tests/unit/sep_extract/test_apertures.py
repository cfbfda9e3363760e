"""Replacing spoiled pixels: against a loop over all pixels."""

import math

import numpy as np
import pytest
import sep

from sep_extract.apertures import Ellipses, corrections


def ellipses(
    rng: np.random.Generator, n: int, shape: tuple[int, int]
) -> tuple[Ellipses, np.ndarray, np.ndarray, np.ndarray]:
    """Sources anywhere in the image, its edges too, and their a, b and theta."""
    x, y = rng.uniform(-0.4, shape[1] - 0.6, n), rng.uniform(-0.4, shape[0] - 0.6, n)
    a = rng.uniform(1, 4, n)
    b, theta = a * rng.uniform(0.2, 1, n), rng.uniform(-np.pi / 2, np.pi / 2, n)
    return Ellipses(x, y, *sep.ellipse_coeffs(a, b, theta), rng.uniform(1, 4, n)), a, b, theta


def by_loops(
    data: np.ndarray, variance: np.ndarray, owner: np.ndarray, e: Ellipses, radii: list[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same in the plainest way."""
    n, (ny, nx) = len(e.x), data.shape
    flux, extra, area = np.zeros((n, 1 + len(radii))), np.zeros((n, 1 + len(radii))), np.zeros(n)
    for i in range(n):
        for row in range(ny):
            for column in range(nx):
                if owner[row, column] in (0, i + 1):
                    continue
                dx, dy = column - e.x[i], row - e.y[i]
                inside = e.cxx[i] * dx**2 + e.cyy[i] * dy**2 + e.cxy[i] * dx * dy <= e.radius[i] ** 2
                weights = [float(inside)]
                weights += [min(1.0, max(0.0, radius + 0.5 - math.hypot(dx, dy))) for radius in radii]
                row2 = math.trunc(2 * e.y[i] + 0.49999) - row
                column2 = math.trunc(2 * e.x[i] + 0.49999) - column
                new, new_variance = 0.0, 0.0
                if 0 <= row2 < ny and 0 <= column2 < nx and owner[row2, column2] in (0, i + 1):
                    new, new_variance = data[row2, column2], variance[row2, column2]
                for k, weight in enumerate(weights):
                    flux[i, k] += weight * (float(new) - data[row, column])
                    extra[i, k] += weight * (float(new_variance) - variance[row, column])
                area[i] += weights[0]
    return flux, extra, area


@pytest.fixture
def field() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Data, variance and a map of 12 sources, in patches, with masked pixels among them."""
    rng = np.random.default_rng(3)
    data, variance = rng.normal(10, 5, (40, 50)).astype("f4"), rng.uniform(1, 2, (40, 50)).astype("f4")
    owner = np.kron(rng.choice([0, 0, 0, *range(1, 13)], (8, 10)), np.ones((5, 5), int)).astype("i4")
    owner[rng.random(owner.shape) < 0.1] = -1
    data[owner == -1], variance[owner == -1] = 0, 0
    return data, variance, owner


@pytest.mark.parametrize("radii", [[], [1.2], [0.3, 3.0, 7.5]])
def test_corrections_are_those_of_a_loop(
    field: tuple[np.ndarray, np.ndarray, np.ndarray], radii: list[float]
) -> None:
    found, _, _, _ = ellipses(np.random.default_rng(4), 12, field[0].shape)
    expected = by_loops(*field, found, radii)
    for mine, theirs in zip(corrections(*field, found, radii), expected, strict=True):
        assert np.abs(theirs).max() > 1
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-3)


def test_seps_sum_and_the_correction_make_the_sum_of_the_mended_image(
    field: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    data, variance, owner = field
    found, a, b, theta = ellipses(np.random.default_rng(5), 12, data.shape)
    more, _, _ = corrections(data, variance, owner, found, [])
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
    flux, extra, area = corrections(np.ones((20, 20), "f4"), np.ones((20, 20), "f4"), owner, alone, [3.0])
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
    more, _, area = corrections(both, np.ones_like(both), owner, one, [8.1])
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
    flux, extra, area = corrections(*field, none, [1.0, 2.0])
    assert (flux.shape, extra.shape, area.shape) == ((0, 3), (0, 3), (0,))
