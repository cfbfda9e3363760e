"""What stars of an image say of a point source, and what is said where they say nothing."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sep_extract.classes import Class, kinds
from sep_extract.encircled import Encircled
from sep_extract.event import Config
from sep_extract.extract import Measurement, measure
from sep_extract.noise import NoiseModel, SharedNoise
from sep_extract.pixels import Pixels
from sep_extract.pointsource import _locus, concentration, point_source, totals

SIDE, STEP = 360, 45
CORE, HALO = 1.1, 3.0
TABLE = Encircled(np.array([0.5, 1.0, 3.0, 10.0, 100.0]), np.array([0.2, 0.4, 0.7, 0.9, 1.0]), 0.02)


def light_of(dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """80 % in a Gaussian, 20 % in a halo that falls as the fourth power of the radius."""
    r2 = dx**2 + dy**2
    core = np.exp(-r2 / 2 / CORE**2) / (2 * np.pi * CORE**2)
    return 0.8 * core + 0.2 / (np.pi * HALO**2) * (1 + r2 / HALO**2) ** -2


def field(number: int = 49, noise: float = 1.0, flux: float = 20000.0) -> tuple[np.ndarray, np.ndarray]:
    """An image of stars, and their positions (n, 2) as x, y."""
    rng = np.random.default_rng(3)
    image = rng.normal(0, noise, (SIDE, SIDE))
    rows, columns = np.indices(image.shape)
    at = np.array([(x, y) for x in range(STEP, SIDE, STEP) for y in range(STEP, SIDE, STEP)][:number], float)
    at += rng.uniform(-0.5, 0.5, at.shape)
    for x, y in at:
        image += flux * light_of(columns - x, rows - y)
    return image.astype(np.float32), at


def found_in(image: np.ndarray, **more: Any) -> Measurement:
    return measure(Pixels(image, np.zeros(image.shape, bool), **more), Config())


@pytest.fixture(scope="module")
def stars() -> tuple[Measurement, np.ndarray]:
    image, at = field()
    return found_in(image), at


def test_stars_of_the_image_tell_their_light_in_circles(stars: tuple[Measurement, np.ndarray]) -> None:
    point = stars[0].point
    assert point.stars >= 40
    assert point.light is not None
    # 80 % of 1 - exp(-9 / 2.42), and 20 % of 1 - 1 / 2.
    assert point.light.share(3.0) == pytest.approx(0.8 * (1 - np.exp(-9 / 2 / CORE**2)) + 0.1, abs=0.01)
    assert point.light.error < 0.02
    assert stars[0].point.notes == []


def test_totals_of_stars_are_right_within_their_errors(stars: tuple[Measurement, np.ndarray]) -> None:
    found, at = stars
    shape = found.sources.isophotal
    row = np.hypot(shape.x - at[:, :1], shape.y - at[:, 1:]).argmin(axis=1)
    flux, error = totals(found.sources, found.point, np.zeros(len(found), bool))
    flux, error = flux[row] * found.unit, error[row] * found.unit
    assert np.median(flux) == pytest.approx(20000, rel=0.01)
    assert np.mean(np.abs(flux - 20000) < 3 * error) > 0.95
    whole, whole_error = totals(found.sources, found.point, np.ones(len(found), bool))
    auto = found.sources.photometry.flux_auto
    assert (whole[row] > auto[row]).all()
    assert (whole_error > 0).all()


def test_a_star_is_a_star_a_galaxy_is_none_and_a_hot_pixel_is_too_sharp() -> None:
    image, at = field(number=40)
    rows, columns = np.indices(image.shape)
    galaxies, pixels = [(315.0, 270.0), (315.0, 315.0)], [(337, 337), (25, 337)]
    for x, y in galaxies:
        image += 60 * np.exp(-np.hypot(columns - x, rows - y) / 3).astype(np.float32)
    for x, y in pixels:
        image[y, x] += 2000
        image[y, x + 1] += 300
        image[y + 1, x] += 300
        image[y, x - 1] += 300
        image[y - 1, x] += 30
    found = found_in(image)
    bits, shape = kinds(found.sources, found.point), found.sources.isophotal

    def of(places: Any) -> set[int]:
        places = np.asarray(places, float)
        row = np.hypot(shape.x - places[:, :1], shape.y - places[:, 1:]).argmin(axis=1)
        return set((bits[row] & (Class.STAR | Class.EXTENDED | Class.SHARP)).tolist())

    assert of(at) == {Class.STAR}
    assert of(galaxies) == {Class.EXTENDED}
    assert of(pixels) == {Class.SHARP}


@pytest.mark.parametrize("number", [0, 1, 3])
def test_too_few_stars_say_nothing(number: int) -> None:
    found = found_in(field(number=number)[0])
    assert np.isnan(found.point.index)
    assert found.point.light is None
    flux, error = totals(found.sources, found.point, np.zeros(len(found), bool))
    assert np.isnan(flux).all()
    assert np.isnan(error).all()
    assert not (kinds(found.sources, found.point) & (Class.STAR | Class.EXTENDED | Class.SHARP)).any()
    assert any("total fluxes are unknown" in note for note in found.notes) == (number > 0)


def test_a_table_serves_where_stars_are_too_few_unless_they_are_of_another_kind(
    stars: tuple[Measurement, np.ndarray],
) -> None:
    point = found_in(field(number=3)[0], table=TABLE, expected=(0.9, 1.2)).point
    assert (point.stars, point.light) == (0, TABLE)
    assert point.index == pytest.approx(1.05)
    found = stars[0]
    image, noise = found.image, NoiseModel(np.ones_like(found.image), 0.0, SharedNoise())
    for expected, light in (((1.2, 1.3), TABLE), ((0.1, 0.3), None)):
        pixels = Pixels(image, np.zeros(image.shape, bool), table=TABLE, expected=expected)
        crowded = point_source(found.sources, image, np.zeros(image.shape, np.int32), noise, pixels)
        assert (crowded.light, crowded.stars) == (light, 0), "too little blank sky to measure halos against"
        assert crowded.locus_stars > 40


def test_spectra_have_no_point_source() -> None:
    found = found_in(field()[0][:200, :200], dispersed=True)
    assert found.point.light is None
    assert found.point.locus_stars == 0


def test_light_beyond_the_stars_is_the_tables_only_where_the_table_has_their_halo() -> None:
    image = field()[0]
    radii = np.array([0.5, 3.0, 4.5, 6.75, 10.125, 15.1875, 22.78125, 200.0])
    own = 0.8 * (1 - np.exp(-(radii**2) / 2 / CORE**2)) + 0.2 * (1 - 1 / (1 + radii**2 / HALO**2))
    right = found_in(image, table=Encircled(radii, own, 0.02)).point
    assert (right.stars > 0, right.extrapolated) == (True, 0.0)
    flat = 0.5 + 0.5 * np.log(radii / radii[0]) / np.log(radii[-1] / radii[0])
    wrong = found_in(image, table=Encircled(radii, flat, 0.02)).point
    assert wrong.stars > 0
    assert wrong.extrapolated > 0
    assert wrong.light is not None
    assert wrong.light.share(3.0) == pytest.approx(float(own[1]), abs=0.01)


def test_the_index_and_its_error() -> None:
    flux, error = np.array([[40.0, 100.0], [0.0, 1.0]]), np.array([[3.0, 5.0], [1.0, 1.0]])
    index, index_error = concentration(flux, error)
    assert index[0] == pytest.approx(2.5 * np.log10(2.5))
    # The ring has an error of 4: the inner light counts by 1 / 40 - 1 / 100, the ring's by 1 / 100.
    assert index_error[0] == pytest.approx(1.0857362 * np.hypot(3 * 0.015, 4 / 100), rel=1e-6)
    assert np.isnan(index[1])
    assert np.isnan(index_error[1])


def test_a_locus_is_where_indices_meet() -> None:
    rng = np.random.default_rng(2)
    broad = rng.uniform(0.5, 2.5, 200)
    assert _locus(broad)[2] == 0
    centre, width, number = _locus(np.concatenate([broad, rng.normal(0.8, 0.02, 60)]))
    assert centre == pytest.approx(0.8, abs=0.01)
    assert 0.015 <= width < 0.04
    assert 45 <= number <= 75
    assert _locus(np.array([0.8] * 4))[2] == 0


def test_faint_sources_near_a_saturated_star_may_be_parts_of_it(
    stars: tuple[Measurement, np.ndarray],
) -> None:
    found = stars[0]
    shape = found.sources.isophotal
    flags = np.zeros(len(found), np.int16)
    flags[0] = 4 | 8
    close = replace(
        shape,
        x=np.where(np.arange(len(found)) == 1, shape.x[0] + 8, shape.x),
        y=np.where(np.arange(len(found)) == 1, shape.y[0], shape.y),
        flux=np.where(np.arange(len(found)) == 0, 100 * shape.flux[0], shape.flux),
    )
    bits = kinds(replace(found.sources, isophotal=close, flags=flags), found.point)
    assert bits[0] == Class.SATURATED | Class.EDGE
    assert bits[1] & Class.SWARM
    assert not (bits[2:] & (Class.SWARM | Class.SATURATED | Class.EDGE)).any()
