"""Fluxes of a Gaussian star without noise: everything is known in closed form."""

import math

import numpy as np
import pytest

from sep_extract.event import Config
from sep_extract.flags import Flag
from sep_extract.noise import NoiseModel, SharedNoise
from sep_extract.photometry import _half_light_radii, photometry
from sep_extract.sources import Isophotal, Photometry, empty

SIDE, SIGMA, FLUX = 121, 4.0, 1e5
CENTRE = 60.3, 58.6
ROWS, COLUMNS = np.indices((SIDE, SIDE))
KRON = math.sqrt(math.pi / 2)  # in sigma: the first moment of r I(r) over that of I(r)


def star(x: float = CENTRE[0], y: float = CENTRE[1], flux: float = FLUX) -> np.ndarray:
    light = np.exp(-((COLUMNS - x) ** 2 + (ROWS - y) ** 2) / 2 / SIGMA**2)
    return (flux * light / 2 / np.pi / SIGMA**2).astype("f4")


def measured(
    data: np.ndarray,
    at: tuple[float, float] = CENTRE,
    owner: np.ndarray | None = None,
    radii: tuple[float, ...] = (),
    poisson: float = 0.0,
    shared: SharedNoise | None = None,
    autoparams: tuple[float, float] = (2.5, 3.5),
    variance: float | np.ndarray = 1.0,
) -> Photometry:
    """The photometry of one round source; `radii` in pixels."""
    if owner is None:
        owner = (np.hypot(COLUMNS - at[0], ROWS - at[1]) < 3 * SIGMA).astype("i4")
    values = {
        f.name: np.zeros(1, getattr(empty(Isophotal, 1), f.name).dtype)
        for f in Isophotal.__dataclass_fields__.values()
    }
    values |= {"x": np.array([at[0]]), "y": np.array([at[1]]), "a": np.array([SIGMA]), "b": np.array([SIGMA])}
    values |= {"cxx": np.array([SIGMA**-2]), "cyy": np.array([SIGMA**-2])}
    values |= {"x2": np.array([5.0]), "y2": np.array([6.0]), "xy": np.array([7.0])}
    plane = np.where(owner < 0, 0, variance).astype("f4")
    noise = NoiseModel(plane, poisson, shared or SharedNoise())
    config = Config(phot_autoparams=autoparams, phot_apertures=radii or (1.0,))
    return photometry(Isophotal(**values), data, owner, noise, config, list(radii))


def within(radius: float) -> float:
    """The share of a Gaussian's light within a radius in sigma."""
    return 1 - math.exp(-(radius**2) / 2)


@pytest.mark.parametrize(("factor", "least"), [(2.5, 3.5), (2.5, 1.0), (1.5, 1.0), (2.5, 5.0)])
def test_the_kron_aperture_of_a_gaussian(factor: float, least: float) -> None:
    found = measured(star(), autoparams=(factor, least))
    kron = max(factor * KRON, least)
    assert found.kron_radius[0] == pytest.approx(kron, rel=0.01)
    assert found.flux_auto[0] == pytest.approx(FLUX * within(kron), rel=0.005)
    assert found.flux_error_auto[0] == pytest.approx(math.sqrt(math.pi) * kron * SIGMA, rel=0.02)
    assert found.flags[0] == 0


def test_the_kron_radius_ends_at_6_isophotal_radii() -> None:
    # Light that grows outwards: its first moment lies far out, but is looked for within 6 sigma alone.
    cone = np.hypot(COLUMNS - CENTRE[0], ROWS - CENTRE[1]).astype("f4") ** 2
    found = measured(cone, autoparams=(1.0, 1.0), owner=np.zeros(cone.shape, "i4"))
    assert found.kron_radius[0] == pytest.approx(6 * 4 / 5, rel=0.02)  # of r^2: int r^4 / int r^3 over 0 to 6


def test_where_there_is_no_light_the_least_radius_counts() -> None:
    found = measured(np.zeros((SIDE, SIDE), "f4"))
    assert found.kron_radius[0] == 3.5
    assert np.isnan(found.half_light_radius[0])
    assert found.xwin[0] == CENTRE[0]
    assert (found.x2win[0], found.y2win[0], found.xywin[0]) == (5, 6, 7), "the barycentre's stand in"


def test_circles_hold_the_light_and_the_noise_of_their_area() -> None:
    radii = (0.5, 2.0, 4.0, 12.0)
    found = measured(star(), radii=radii, poisson=0.5)
    for k, radius in enumerate(radii):
        flux = FLUX * within(radius / SIGMA)
        assert found.flux_aper[0, k] == pytest.approx(flux, rel=0.02 if radius > 1 else 0.06)
        noise = math.sqrt(math.pi * radius**2 + 0.5 * flux)
        assert found.flux_error_aper[0, k] == pytest.approx(noise, rel=0.02 if radius > 1 else 0.06)
    auto = FLUX * within(3.5)
    assert found.flux_error_auto[0] == pytest.approx(
        math.sqrt(math.pi * (3.5 * SIGMA) ** 2 + 0.5 * auto), rel=0.01
    )
    assert found.flags[0] == 0


def test_shared_noise_is_that_of_the_area() -> None:
    # Four times the noise of independent pixels from 100 pixels on, and the slope towards it.
    shared = SharedNoise((1.0, 100.0, 1000.0), (1.0, 4.0, 4.0), True)
    found = measured(star(), radii=(7.0,), shared=shared)
    assert found.flux_error_aper[0, 0] == pytest.approx(4 * math.sqrt(math.pi) * 7, rel=0.01)
    assert found.flux_error_auto[0] == pytest.approx(4 * math.sqrt(math.pi) * 14, rel=0.01)


def test_a_circle_below_half_a_pixel_is_unknown() -> None:
    found = measured(star(), radii=(0.49, 0.5, 3.0))
    assert np.isnan(found.flux_aper[0]).tolist() == [True, False, False]
    assert np.isnan(found.flux_error_aper[0]).tolist() == [True, False, False]
    assert found.flags[0] == Flag.APERTURE


def test_without_a_scale_circles_are_unknown() -> None:
    found = measured(star())
    assert np.isnan(found.flux_aper).all()
    assert np.isnan(found.flux_error_aper).all()
    assert found.flags[0] == 0


def test_a_circle_without_a_pixel_that_may_be_used_is_unknown() -> None:
    owner = np.zeros((SIDE, SIDE), "i4")
    owner[np.hypot(COLUMNS - 60, ROWS - 60) < 9] = -1
    data = star(60, 60)
    data[owner < 0] = 0
    found = measured(data, (60.0, 60.0), owner, radii=(3.0, 20.0))
    assert np.isnan(found.flux_aper[0]).tolist() == [True, False]
    assert np.isnan(found.flux_error_aper[0]).tolist() == [True, False]
    assert found.flags[0] & Flag.APERTURE


@pytest.mark.parametrize("share", [0.08, 0.12])
def test_a_tenth_of_the_kron_aperture_makes_a_source_crowded(share: float) -> None:
    aperture = np.hypot(COLUMNS - CENTRE[0], ROWS - CENTRE[1]) <= 3.5 * SIGMA
    far = np.flatnonzero(aperture)[: int(share * np.pi * (3.5 * SIGMA) ** 2)]
    owner = np.zeros((SIDE, SIDE), "i4")
    owner.ravel()[far] = -1
    found = measured(star(), owner=owner, autoparams=(2.5, 3.5))
    assert found.flags[0] == (Flag.CROWDED if share > 0.1 else 0)
    # What is masked has its mirror image, which holds the same light.
    assert found.flux_auto[0] == pytest.approx(FLUX * within(3.5), rel=0.01)


@pytest.mark.parametrize(
    ("x", "radius", "truncated"), [(11.0, 5.0, True), (60.0, 5.0, False), (17.0, 20.0, True)]
)
def test_an_aperture_beyond_the_edge_is_flagged(x: float, radius: float, truncated: bool) -> None:
    found = measured(star(x, 60), (x, 60.0), radii=(radius,))
    assert bool(found.flags[0] & Flag.APERTURE) == truncated


def test_half_of_the_light_lies_within_1_18_sigma() -> None:
    found = measured(star())
    half = SIGMA * math.sqrt(-2 * math.log(1 - within(3.5) / 2))
    assert found.half_light_radius[0] == pytest.approx(half, rel=0.01)


@pytest.mark.parametrize("light", [1.0, 1e-4])
def test_half_of_the_light_far_out_is_found_too(light: float) -> None:
    # All light in a ring at 12 pixels; the Kron aperture reaches to 14.
    ring = (np.abs(np.hypot(COLUMNS - CENTRE[0], ROWS - CENTRE[1]) - 12) < 0.8).astype("f4")
    found = measured(ring * np.float32(light), autoparams=(1.0, 3.5))
    assert found.half_light_radius[0] == pytest.approx(12, abs=0.1)


def test_a_source_without_light_has_no_half_light_radius() -> None:
    assert np.isnan(measured(-star()).half_light_radius[0])


def test_the_error_of_a_windowed_position() -> None:
    # Independent noise of variance s^2: 2 pi s^2 (w^2 + sigma^2)^2 / flux^2, the window w 2 / 2.35 half.
    found = measured(star(), variance=9.0)
    window = 2 / 2.35 * found.half_light_radius[0]
    expected = 2 * math.pi * 9 * (window**2 + SIGMA**2) ** 2 / FLUX**2
    assert found.x2win[0] == pytest.approx(expected, rel=0.01)
    assert found.y2win[0] == pytest.approx(expected, rel=0.01)
    assert abs(found.xywin[0]) < 0.01 * expected
    assert (found.xwin[0], found.ywin[0]) == pytest.approx(CENTRE, abs=1e-3)


def test_a_neighbour_counts_for_nothing() -> None:
    owner = np.zeros((SIDE, SIDE), "i4")
    other = np.hypot(COLUMNS - 75, ROWS - 58) < 5
    owner[other] = 2
    both = star() + np.where(other, np.float32(500), np.float32(0))
    ours, alone = measured(both, owner=owner, radii=(12.0,)), measured(star(), radii=(12.0,))
    for name in ("flux_auto", "half_light_radius", "xwin", "ywin", "kron_radius"):
        assert getattr(ours, name)[0] == pytest.approx(getattr(alone, name)[0], rel=0.01), name
    assert ours.flux_aper[0, 0] == pytest.approx(alone.flux_aper[0, 0], rel=0.01)


def test_the_share_of_neighbours_in_the_kron_ellipse() -> None:
    """A neighbour that the map knows is that share; without one it is 0, and without light unknown."""
    alone = measured(star())
    assert alone.blended_share[0] == 0
    other = np.hypot(COLUMNS - 71, ROWS - 58) < 5
    image = star() + np.where(other, np.float32(100), np.float32(0))
    owner = np.where(other, 2, 1).astype("i4")
    found = measured(image, owner=owner, autoparams=(0.1, 5.0))
    ellipse = np.hypot(COLUMNS - CENTRE[0], ROWS - CENTRE[1]) <= 5 * SIGMA
    expected = image[ellipse & other].sum() / image[ellipse].sum()
    assert 0.05 < expected < 0.5
    assert found.blended_share[0] == pytest.approx(expected, rel=1e-3)
    assert np.isnan(measured(np.zeros((SIDE, SIDE), "f4")).blended_share[0])


def test_circles_are_about_the_windowed_position() -> None:
    """A barycentre that is off by a pixel costs the circle no light, but it does the ellipse."""
    off = CENTRE[0] + 1.0, CENTRE[1] - 0.6
    right, wrong = measured(star(), radii=(SIGMA,)), measured(star(), at=off, radii=(SIGMA,))
    assert wrong.xwin[0] == pytest.approx(CENTRE[0], abs=0.01)
    assert wrong.flux_aper[0, 0] == pytest.approx(right.flux_aper[0, 0], rel=1e-3)


def test_the_noise_of_masked_pixels_is_that_of_those_opposite() -> None:
    """Each circle has the noise of its whole area, however much of it is masked on one side."""
    data, owner = star(60, 60), np.zeros((SIDE, SIDE), "i4")
    distance = np.hypot(COLUMNS - 60, ROWS - 60)
    owner[(COLUMNS > 60) & (((distance > 2.5) & (distance < 4)) | ((distance > 8) & (distance < 12)))] = -1
    data[owner < 0] = 0
    found = measured(data, (60.0, 60.0), owner, radii=(2.0, 5.0, 13.0))
    for k, radius in enumerate((2.0, 5.0, 13.0)):
        assert found.flux_error_aper[0, k] == pytest.approx(math.sqrt(math.pi) * radius, rel=0.02)
        # The windowed position moves away from what is masked.
        assert found.flux_aper[0, k] == pytest.approx(FLUX * within(radius / SIGMA), rel=0.05)
    assert found.flux_error_auto[0] == pytest.approx(math.sqrt(math.pi) * 3.5 * SIGMA, rel=0.02)


def test_the_local_sky_is_the_mean_of_an_annulus() -> None:
    """From 2.25 to 4.5 radii of the larger circle of the pair, 3 pixels; its error is that of the area."""
    flat = np.full((SIDE, SIDE), 0.25, "f4")
    flat[np.hypot(COLUMNS - CENTRE[0], ROWS - CENTRE[1]) < 6] = 1000
    variance = (1 + ROWS + 200 * COLUMNS).astype("f4")
    found = measured(flat, variance=variance, shared=SharedNoise((1.0, 100.0), (2.0, 2.0), True))
    assert found.sky[0] == pytest.approx(0.25, rel=0.02)
    area = math.pi * ((4.5 * 3) ** 2 - (2.25 * 3) ** 2)
    assert found.sky_error[0] == pytest.approx(2 * math.sqrt((1 + 59 + 200 * 60) / area), rel=1e-5)


def test_neighbours_in_the_annulus_do_not_lower_the_local_sky() -> None:
    owner = np.zeros((SIDE, SIDE), "i4")
    owner[:, COLUMNS[0] > CENTRE[0] + 8] = 2
    owner[ROWS[:, 0] < CENTRE[1] - 9] = -1
    image = np.where(owner == 0, 0.25, np.where(owner == 2, 50, 0)).astype("f4")
    assert measured(image, owner=owner).sky[0] == pytest.approx(0.25, rel=0.02)


@pytest.mark.parametrize(("x", "column"), [(-0.7, 0), (SIDE - 0.4, SIDE - 1)])
def test_the_sky_of_a_source_beyond_the_edge_has_the_noise_of_the_edge(x: float, column: int) -> None:
    variance = (1.0 + COLUMNS).astype("f4")
    found = measured(np.zeros((SIDE, SIDE), "f4"), (x, 60.0), variance=variance)
    area = math.pi * ((4.5 * 3) ** 2 - (2.25 * 3) ** 2)
    assert found.sky_error[0] == pytest.approx(math.sqrt((1 + column) / area), rel=1e-5)


@pytest.mark.parametrize(
    ("limit", "flux", "radius"),
    [(11.0, 1.0, 11.0), (14.0, 1.0, 12.0), (24.0, 1.0, 12.0), (11.0, -1.0, np.nan), (11.0, 0.0, np.nan)],
)
def test_the_half_light_radius_is_at_most_the_limit(limit: float, flux: float, radius: float) -> None:
    """Of a ring at 12 pixels."""
    ring = (np.abs(np.hypot(COLUMNS - 60, ROWS - 60) - 12) < 0.8).astype("f4")
    own = {"segmap": np.zeros((SIDE, SIDE), "i4"), "seg_id": np.array([1], "i4")}
    x = np.array([60.0])
    whole = float(ring.sum())
    found = _half_light_radii(ring, x, x, np.array([limit]), whole * np.array([[flux]]), own)
    assert found[0, 0] == pytest.approx(radius, abs=0.05, nan_ok=True)
    # Searched for together with that of other light, which is found nearer or not at all, it is the same.
    for other in (0.1, -1.0):
        several = _half_light_radii(ring, x, x, np.array([limit]), whole * np.array([[other], [flux]]), own)
        np.testing.assert_array_equal(several[1], found[0])
        one = _half_light_radii(ring, x, x, np.array([limit]), whole * np.array([[other]]), own)
        np.testing.assert_array_equal(several[0], one[0])


def test_a_crowded_source_at_the_edge_is_both() -> None:
    owner = np.zeros((SIDE, SIDE), "i4")
    owner[54:66, 14:21] = -1
    found = measured(star(8, 60), (8.0, 60.0), owner, radii=(10.0,))
    assert found.flags[0] == Flag.CROWDED | Flag.APERTURE


def test_light_in_one_pixel_has_radii_below_one() -> None:
    point = np.zeros((SIDE, SIDE), "f4")
    point[60, 60] = 1000
    found = measured(point, (60.0, 60.0), autoparams=(2.5, 0.5))
    assert found.kron_radius[0] == 0.5
    assert 0.2 < found.half_light_radius[0] < 0.8


def test_a_pixel_is_in_the_kron_ellipse_when_its_centre_is() -> None:
    found = measured(np.ones((SIDE, SIDE), "f4"), owner=np.ones((SIDE, SIDE), "i4"))
    inside = np.hypot(COLUMNS - CENTRE[0], ROWS - CENTRE[1]) < found.kron_radius[0] * SIGMA
    assert found.flux_auto[0] == inside.sum()


def test_neighbours_are_all_of_the_light_at_most() -> None:
    other = np.hypot(COLUMNS - 71, ROWS - 58) < 5
    image, owner = np.where(other, 100, -1).astype("f4"), np.where(other, 2, 1).astype("i4")
    assert measured(image, owner=owner).blended_share[0] == 1
    assert measured(star(flux=0.5)).blended_share[0] == 0, "however faint"
