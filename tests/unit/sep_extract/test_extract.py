"""One plane to sources: what pixels, weight, gain, saturation and masks say of each."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sep_extract import extract, segments
from sep_extract.event import Config
from sep_extract.extract import (
    Measurement,
    _drop_shapeless,
    _fainter,
    _sigma_from_weight,
    measure,
)
from sep_extract.flags import Flag
from sep_extract.noise import NoiseModel, SharedNoise
from sep_extract.pixels import Pixels
from sep_extract.quality import Quality
from sep_extract.segments import _masked_pixels_of, _within

SHAPE = 240, 320
ROWS, COLUMNS = np.indices(SHAPE)
NOTHING = np.zeros(SHAPE, bool)
STARS = [(60.0, 50.0), (250.0, 60.0), (70.0, 190.0), (260.0, 180.0)]


def noise(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, SHAPE)


def stars(flux: float = 3000.0, sigma: float = 2.0) -> np.ndarray:
    image = np.zeros(SHAPE)
    for x, y in STARS:
        light = np.exp(-((COLUMNS - x) ** 2 + (ROWS - y) ** 2) / 2 / sigma**2)
        image += flux * light / 2 / np.pi / sigma**2
    return image


def found(
    image: np.ndarray, mask: np.ndarray = NOTHING, config: Config | None = None, **planes: object
) -> Measurement:
    """What is found at 5 sigma, in order of STARS."""
    data = np.where(mask, 0, image).astype("f4")
    pixels = Pixels(data, mask, scale=1.0, **planes)  # type: ignore[arg-type]
    return measure(pixels, config or Config(detect_thresh=5.0, phot_apertures=(8.0,)))


def at(result: Measurement, k: int) -> int:
    """The row of the k-th star."""
    distance = np.hypot(result.sources.isophotal.x - STARS[k][0], result.sources.isophotal.y - STARS[k][1])
    assert distance.min() < 2
    return int(distance.argmin())


def test_the_background_is_that_at_the_source() -> None:
    # A slope along x and another along y, and noise that grows to the right.
    slope = 100 + 0.03 * COLUMNS + 0.02 * ROWS
    result = found(noise() * (1 + COLUMNS / 160) + stars(20000) + slope)
    for k, (x, y) in enumerate(STARS):
        background = result.sources.background[at(result, k)] * result.unit
        assert background == pytest.approx(100 + 0.03 * x + 0.02 * y, abs=0.8)
        rms = result.sources.rms[at(result, k)] * result.unit
        assert rms == pytest.approx(1 + x / 160, rel=0.25)
    assert result.background == pytest.approx(107.2, abs=1)
    assert result.quality == Quality.NONE


def test_a_weight_says_where_the_noise_is_whatever_its_unit() -> None:
    # A quarter of the weight is twice the noise.
    weight = np.where(COLUMNS < 160, 4.0, 1.0).astype("f4")
    image = noise() * np.where(COLUMNS < 160, 1, 2) + stars()
    results = [found(image, weight=weight * np.float32(unit)) for unit in (1, 1000)]
    for result in results:
        rms = [result.sources.rms[at(result, k)] * result.unit for k in range(4)]
        assert rms[0] == rms[2] == pytest.approx(1, rel=0.1)
        assert rms[1] == rms[3] == pytest.approx(2 * rms[0], rel=1e-3)
        errors = result.sources.photometry.flux_error_aper[:, 0] * result.unit
        left, right = errors[at(result, 0)], errors[at(result, 1)]
        assert left == pytest.approx(math.sqrt(math.pi) * 4, rel=0.15)
        assert right == pytest.approx(2 * left, rel=0.02)
    np.testing.assert_allclose(results[0].sources.rms, results[1].sources.rms, rtol=1e-4)
    assert results[0].rms == pytest.approx(1.5, rel=0.4)


def test_a_weight_decides_what_is_detected() -> None:
    weight = np.where(COLUMNS < 160, 1.0, 0.01).astype("f4")
    image = noise(3) * np.where(COLUMNS < 160, 1, 10)
    config = Config(detect_thresh=2.5, detect_minarea=3, phot_apertures=(8.0,), filter=False)
    assert (found(image, config=config).sources.isophotal.x > 170).sum() > 20
    assert (found(image, config=config, weight=weight).sources.isophotal.x > 170).sum() < 5


@pytest.mark.parametrize("gain", [0.5, 4.0])
def test_the_gain_adds_the_poisson_noise_of_the_light(gain: float) -> None:
    image = noise() + stars(50000.0)
    without, with_gain = found(image), found(image, gain=gain)
    for name in ("flux_error_auto", "flux_error_aper"):
        k = at(without, 0)
        flux = np.ravel(getattr(without.sources.photometry, name.replace("_error", ""))[k])[0] * without.unit
        before, after = (
            np.ravel(getattr(result.sources.photometry, name)[k])[0] * result.unit
            for result in (without, with_gain)
        )
        assert after**2 - before**2 == pytest.approx(flux / gain, rel=1e-3)
    before, after = (
        result.sources.isophotal.flux_error[at(result, 0)] * result.unit for result in (without, with_gain)
    )
    flux = without.sources.isophotal.flux[at(without, 0)] * without.unit
    assert after**2 - before**2 == pytest.approx(flux / gain, rel=1e-3)


def test_the_error_of_a_barycentre(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "moved_isophote", lambda objects, *_: np.zeros((3, len(objects))))
    # Blocks of equal light: the variance of x is sigma^2 sum(dx^2) / flux^2. Of a block of 9 x 5 pixels
    # sum(dx^2) is 5 x 60, sum(dy^2) 9 x 10; of two squares of 3 x 3 that touch, sum(dx dy) is 18 x 1.5^2.
    image = noise(5) * 0.05
    image[40:45, 50:59] += 1000
    image[100:103, 200:203] += 1000
    image[103:106, 203:206] += 1000
    result = found(image, config=Config(detect_thresh=100.0, filter=False, deblend_mincont=1.0, clean=False))
    shape, sigma = result.sources.isophotal, result.sources.rms * result.unit
    block, pair = np.argsort(shape.y)
    assert (shape.x[block], shape.y[block]) == pytest.approx((54, 42), abs=1e-3)
    assert (shape.area[block], shape.area_filtered[block], shape.area[pair]) == (45, 45, 18)
    factor = sigma[block] ** 2 / 45000**2
    assert shape.x2[block] == pytest.approx(300 * factor, rel=0.2)
    assert shape.y2[block] == pytest.approx(90 * factor, rel=0.2)
    assert shape.x2[block] / shape.y2[block] == pytest.approx(300 / 90, rel=1e-3)
    assert abs(shape.xy[block]) < 1e-3 * shape.x2[block]
    assert shape.xy[pair] / shape.x2[pair] == pytest.approx(18 * 2.25 / (18 * (2.25 + 2 / 3)), rel=1e-3)
    assert shape.flux[block] * result.unit == pytest.approx(45000, rel=1e-3)
    assert shape.peak[block] * result.unit == pytest.approx(1000, rel=1e-3)
    assert shape.flux_error[block] * result.unit == pytest.approx(sigma[block] * math.sqrt(45), rel=0.15)
    # A block of n pixels has the variance (n^2 - 1) / 12 along its side.
    assert (shape.a[block], shape.b[block]) == pytest.approx(
        (math.sqrt(80 / 12), math.sqrt(24 / 12)), rel=0.02
    )
    assert shape.theta[block] == pytest.approx(0, abs=1e-3)
    assert shape.theta[pair] == pytest.approx(math.pi / 4, abs=1e-2)


def test_saturated_and_flagged_pixels_are_reported_with_their_source() -> None:
    saturated, dq = NOTHING.copy(), np.zeros(SHAPE, np.uint32)
    saturated[50, 60] = True  # the first star
    dq[60, 250], dq[61, 250] = 4, 1 << 31  # the second
    dq[120, 160] = 8  # nobody's
    result = found(noise() + stars(20000.0), saturated=saturated, dq=dq)
    flags = [int(result.sources.flags[at(result, k)]) for k in range(4)]
    bits = [int(result.sources.isophotal.dq[at(result, k)]) & 0xFFFFFFFF for k in range(4)]
    assert flags == [Flag.SATURATED, 0, 0, 0]
    assert bits == [0, 4 | 1 << 31, 0, 0]


def test_a_saturated_pixel_says_nothing_of_the_sky() -> None:
    # One mesh of the background, all of it saturated: the sky below is that of the meshes around.
    saturated = NOTHING.copy()
    saturated[64:128, 128:192] = True
    result = found(noise() + stars(20000.0) + 30.0 * saturated, saturated=saturated)
    assert result.image[64:128, 128:192].mean() * result.unit == pytest.approx(30, abs=3)


@pytest.mark.parametrize("keep", [True, False])
def test_what_lies_masked_inside_a_source_is_the_sources(keep: bool) -> None:
    dq, mask = np.zeros(SHAPE, np.uint32), NOTHING.copy()
    mask[49:52, 59:62] = True  # the core of the first star
    mask[60, 261:264] = True  # beside the second, farther out than its isophote
    mask[190 - 40 : 190 - 30, 70:80] = True  # nowhere near the third
    dq[mask] = 16
    saturated = mask.copy() if keep else None
    result = found(noise() + stars(20000.0), mask, dq=dq, saturated=saturated)
    flags = [int(result.sources.flags[at(result, k)]) for k in range(4)]
    bits = [int(result.sources.isophotal.dq[at(result, k)]) for k in range(4)]
    assert flags[0] & Flag.CROWDED
    assert bool(flags[0] & Flag.SATURATED) == keep
    assert [flag & Flag.CROWDED for flag in flags[1:]] == [0, 0, 0]
    assert (bits[0], bits[2], bits[3]) == (16, 0, 0)


@pytest.mark.parametrize(("side", "reached"), [(9, 16), (25, 16)])
def test_a_large_masked_core_is_followed_for_8_pixels(side: int, reached: int) -> None:
    mask, dq = NOTHING.copy(), np.zeros(SHAPE, np.uint32)
    x, y = 60, 50
    mask[y - side // 2 : y + side // 2 + 1, x - side // 2 : x + side // 2 + 1] = True
    dq[mask] = reached
    dq[y, x] = 32  # 5 pixels from the edge of the smaller core, 13 from that of the larger
    light = 4000 * np.exp(-((COLUMNS - x) ** 2 + (ROWS - y) ** 2) / 2 / 10**2)
    result = found(noise() + light, mask, dq=dq, config=Config(detect_thresh=5.0, clean=False, back_size=240))
    bits = np.bitwise_or.reduce(result.sources.isophotal.dq)
    assert bits == (48 if side == 9 else 16)


def test_a_source_at_the_edge_is_truncated_and_one_with_a_neighbour_blended() -> None:
    image = noise()
    for x, y in ((0, 120), (160, 120), (166, 120)):
        image += 1000 * np.exp(-((COLUMNS - x) ** 2 + (ROWS - y) ** 2) / 2 / 2**2)
    result = found(image)
    order = np.argsort(result.sources.isophotal.x)
    flags = [int(result.sources.isophotal.flags[k]) for k in order]
    assert flags == [Flag.TRUNCATED, Flag.BLENDED, Flag.BLENDED]


def test_a_blended_source_at_the_edge_has_both_flags() -> None:
    image = noise()
    for x in (1, 8):
        image += 1000 * np.exp(-((COLUMNS - x) ** 2 + (ROWS - 120) ** 2) / 2 / 2**2)
    isophotal = found(image).sources.isophotal
    assert int(isophotal.flags[np.argmin(isophotal.x)]) == Flag.TRUNCATED | Flag.BLENDED


def test_a_constant_image_has_no_sources() -> None:
    result = found(np.full(SHAPE, 7.0))
    assert (len(result), result.rms, result.background, result.quality) == (
        0,
        0.0,
        7.0,
        Quality.NOISE_FALLBACK,
    )
    assert result.notes == ["the image is constant: no sources"]
    assert result.sources.photometry.flux_aper.shape == (0, 1)


def test_apertures_below_a_pixel_are_noted() -> None:
    config = Config(detect_thresh=5.0, phot_apertures=(0.9, 1.0, 3.0))
    note = found(noise() + stars(), config=config).notes[0]
    assert "0.9 arcsec" in note
    assert "1 " not in note.partition("arcsec")[0].replace("0.9", "")


def test_without_a_scale_there_are_no_circles() -> None:
    data = (noise() + stars()).astype("f4")
    result = measure(Pixels(data, NOTHING), Config(detect_thresh=5.0, phot_apertures=(0.1, 2.0)))
    assert len(result) == 4
    assert np.isnan(result.sources.photometry.flux_aper).all()
    assert np.isfinite(result.sources.photometry.flux_pair).all(), "these are in pixels"
    assert result.notes == result.point.notes


def test_an_image_of_few_counts_has_a_noise_after_all() -> None:
    image = np.zeros(SHAPE)
    spots = np.random.default_rng(2).random(SHAPE) < 0.02
    image[spots] = 3.0
    result = found(image, gain=1.0, config=Config(detect_thresh=2.0, phot_apertures=(8.0,)))
    assert result.rms > 0
    assert result.quality & Quality.NOISE_FALLBACK
    assert any("noise" in note for note in result.notes)


def test_an_image_that_is_mostly_masked_has_one_background_and_a_note() -> None:
    mask = np.random.default_rng(3).random(SHAPE) < 0.6
    result = measure(Pixels((noise() + stars()).astype("f4"), mask), Config(detect_thresh=5.0))
    assert result.quality & Quality.NOISE_FALLBACK
    assert any("no background mesh is half usable" in note for note in result.notes)


@pytest.mark.parametrize("sigma", [1e-20, 0.3, 5.0, 1e18])
def test_the_unit_is_about_one_sigma_and_a_power_of_two(sigma: float) -> None:
    result = found((noise() + stars()) * sigma)
    assert 0.6 < result.rms / result.unit < 1.6
    assert math.frexp(result.unit)[0] == 0.5
    assert len(result) == 4


def test_a_truncated_source_with_bad_pixels_inside_is_both() -> None:
    image, mask = noise(), NOTHING.copy()
    image += 5000 * np.exp(-((COLUMNS - 1) ** 2 + (ROWS - 120) ** 2) / 2 / 3**2)
    mask[118:121, 3] = True
    (flags,) = found(image, mask).sources.flags
    assert flags & Flag.TRUNCATED
    assert flags & Flag.CROWDED


def test_objects_without_a_shape_are_dropped_and_the_others_numbered_anew() -> None:
    names = ("x", "y", "a", "b", "flux")
    objects = np.ones(6, [(name, float) for name in names])
    for row, name, value in ((1, "b", 0.0), (2, "a", np.nan), (4, "x", np.inf)):
        objects[name][row] = value
    segmentation = np.arange(7, dtype="i4").reshape(1, 7)
    kept, owner = _drop_shapeless(objects, segmentation, segmentation < 0)
    assert len(kept) == 3
    assert owner.tolist() == [[0, 1, 0, 0, 2, 0, 3]]
    same, whole = _drop_shapeless(objects[[0, 3]], segmentation, segmentation < 0)
    assert len(same) == 2
    assert whole is segmentation


def test_an_object_of_masked_pixels_alone_is_no_source() -> None:
    objects = np.ones(3, [(name, float) for name in ("x", "y", "a", "b", "flux")])
    objects["flux"][:2] = 0
    segmentation = np.array([[1, 1, 2, 2, 3, 0]], "i4")
    mask = np.array([[True, True, True, False, True, True]])
    kept, owner = _drop_shapeless(objects, segmentation, mask)
    assert kept["flux"].tolist() == [0, 1]
    assert owner.tolist() == [[0, 0, 1, 1, 2, 0]]


def test_an_error_plane_that_gives_light_impossible_noise_says_nothing_of_light() -> None:
    error = np.ones(SHAPE, "f4")
    error[stars() > 1] = 1e20
    measured = found(noise() + stars(), error=error)
    assert measured.poisson == 0
    assert measured.quality & Quality.NO_POISSON
    assert any("than light can have" in note for note in measured.notes)
    assert np.isfinite(measured.sources.isophotal.x2).all()
    assert (measured.sources.photometry.flux_error_auto > 0).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([-1, -1, -1, 0, 1, 2]), min_size=48, max_size=48))
def test_masked_pixels_of_a_source_are_those_within_8_steps_through_others(cells: list[int]) -> None:
    owner = np.array(cells, "i4").reshape(4, 12)
    steps = np.where(owner > 0, 0, 99)
    for _ in range(8):
        wide = np.pad(steps, 1, constant_values=99)
        nearest = np.min([wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:]], axis=0)
        steps = np.where(owner == -1, np.minimum(steps, nearest + 1), steps)
    pixel, source = _masked_pixels_of(owner)
    assert sorted(pixel) == np.flatnonzero((owner == -1) & (steps <= 8)).tolist()
    assert set(source) <= {0, 1}
    beside = {(k, owner.ravel()[k] - 1) for k in np.flatnonzero(owner > 0)} | set(
        zip(pixel, source, strict=True)
    )
    for k, whose in zip(pixel, source, strict=True):
        around = {k - 12, k + 12, *([k - 1] if k % 12 else []), *([k + 1] if k % 12 < 11 else [])}
        assert any((n, whose) in beside for n in around)


def test_the_scale_of_a_weight_is_taken_at_the_centres_of_the_meshes() -> None:
    # As SExtractor does; where all of these are masked, at all pixels.
    shape, middle = (100, 120), np.s_[10::20, 10::20]
    weight, mask = np.ones(shape, "f4"), np.zeros(shape, bool)
    weight[middle] = 4
    sigma = _sigma_from_weight(np.full(shape, 3.0, "f4"), weight, mask, 20)
    assert (sigma[0, 0], sigma[10, 10]) == (6.0, 3.0)
    mask[middle] = True
    assert _sigma_from_weight(np.full(shape, 3.0, "f4"), weight, mask, 20)[0, 0] == 3.0
    # A mesh is no larger than the image: its centre is then the image's.
    weight = np.ones(shape, "f4")
    weight[50, 60] = 16
    assert _sigma_from_weight(np.full(shape, 3.0, "f4"), weight, np.zeros(shape, bool), 1000)[0, 0] == 12.0


def test_pixels_within_the_ellipse_of_an_isophote() -> None:
    """Of the second object, at x = 5 and y = 4: dx^2 + 2 dy^2 + dx dy, up to 9 pixels / (pi a b) = 4.5."""
    names = ("x", "y", "cxx", "cyy", "cxy", "npix", "a", "b")
    objects = np.array([(0,) * 8, (5, 4, 1, 2, 1, 9, 2, 1 / np.pi)], [(name, float) for name in names])
    inside = {(0, 0), (2, 0), (-2, 0), (1, 1), (-1, -1), (2, -1), (1, -1), (-2, 1), (0, 1), (0, -1)}
    outside = {(3, 0), (2, 1), (-2, -1), (1, -2), (1, 2), (0, 2), (3, -2), (-3, 1), (2, 2), (0, -2)}
    for places, expected in ((inside, True), (outside, False)):
        pixel = np.array([(4 + dy) * 12 + 5 + dx for dx, dy in sorted(places)])
        found = _within(pixel, np.ones(len(pixel), dtype=np.int64), objects, 12)
        assert found.tolist() == [expected] * len(places)


def test_errors_of_a_line_have_the_place_within_a_pixel_across_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As SExtractor adds a twelfth of the variance where the determinant is below its square."""
    monkeypatch.setattr(segments, "moved_isophote", lambda objects, *_: np.zeros((3, len(objects))))
    image = noise(5) * 0.05
    for step in range(-2, 3):
        image[42 + step, 52 + step] += 1000
    image[120, 200:205] += 1000
    result = found(image, config=Config(detect_thresh=100.0, filter=False, clean=False))
    shape, sigma = result.sources.isophotal, result.sources.rms * result.unit
    diagonal, level = np.argsort(shape.y)
    for k, (x2, y2, xy) in ((diagonal, (10, 10, 10)), (level, (10, 0, 0))):
        factor, whole = sigma[k] ** 2 / 5000**2, 5 / 12
        assert shape.x2[k] == pytest.approx((x2 + whole) * factor, rel=0.1)
        assert shape.y2[k] == pytest.approx((y2 + whole) * factor, rel=0.1)
        assert shape.xy[k] == pytest.approx(xy * factor, rel=0.1, abs=0.01 * factor)


def test_objects_without_an_extent_are_dropped() -> None:
    names = ("x", "y", "a", "b", "flux")
    objects = np.ones(5, [(name, float) for name in names])
    objects["a"][1], objects["b"][2], objects["y"][3], objects["flux"][4] = 0, 0, np.nan, np.inf
    segmentation = np.arange(6, dtype="i4").reshape(1, 6)
    kept, owner = _drop_shapeless(objects, segmentation, segmentation < 0)
    assert len(kept) == 1
    assert owner.tolist() == [[0, 1, 0, 0, 0, 0]]


def test_angles_run_to_a_right_angle_on_either_side() -> None:
    image = noise(5) * 0.05
    for step in range(-6, 7):
        image[60 + step, 100 + round(step / 4)] += 1000
        image[160 + step, 200 - round(step / 4)] += 1000
    result = found(image, config=Config(detect_thresh=100.0, filter=False, clean=False))
    first, second = np.argsort(result.sources.isophotal.y)
    theta = result.sources.isophotal.theta
    assert (theta[first], theta[second]) == pytest.approx((math.atan(4), -math.atan(4)), abs=0.05)


def test_what_moves_an_isophote_adds_to_the_variance_of_a_barycentre(monkeypatch: pytest.MonkeyPatch) -> None:
    more = np.array([[0.5], [0.25], [0.125]])
    shapes = []
    for moved in (0 * more, more):
        monkeypatch.setattr(segments, "moved_isophote", lambda *_, moved=moved: moved)
        image = noise(5) * 0.05
        image[40:45, 50:59] += 1000
        shapes.append(found(image, config=Config(detect_thresh=100.0, filter=False)).sources.isophotal)
    without, given = shapes
    for name, extra in zip(("x2", "y2", "xy"), more[:, 0], strict=True):
        assert getattr(given, name)[0] - getattr(without, name)[0] == pytest.approx(extra)


def test_to_fainter_sources_their_halo_is_background(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = {}
    before = found(stars() + noise()).sources

    def sources(_: Any, owner: np.ndarray, __: Any, under: NoiseModel, *___: Any) -> Any:
        passed.update(owner=owner, variance=under.background)
        return before

    monkeypatch.setattr(extract, "_sources", sources)
    mask, halo = NOTHING.copy(), np.where(COLUMNS < 160, 6.0, -6.0).astype("f4")
    mask[50, 60] = True
    faint: Any = SimpleNamespace(objects=None, owner=np.ones(SHAPE, "i4"), halo=halo, image=None)
    model = NoiseModel(np.full(SHAPE, 3.0, "f4"), 0.5, SharedNoise())
    level = np.full(SHAPE, 10.0, "f4")
    after = _fainter(faint, level, model, Pixels(np.zeros(SHAPE, "f4"), mask), Config())
    assert passed["owner"][50, 60] == -1
    assert (passed["owner"] == 1).sum() == mask.size - 1
    # Of 3, and half of the light of the halo where there is any.
    np.testing.assert_array_equal(passed["variance"], np.where(COLUMNS < 160, 6, 3))
    left = before.isophotal.x < 160
    assert left.any()
    assert not left.all()
    np.testing.assert_array_equal(after.flags, before.flags | Flag.SECOND)
    np.testing.assert_array_equal(after.background, np.where(left, 16, 4))
    np.testing.assert_allclose(after.rms, np.sqrt(np.where(left, 6, 3)))


def test_the_image_without_its_background_is_0_where_masked() -> None:
    mask = NOTHING.copy()
    mask[::20, ::30] = True
    result = found(stars() + noise() + 100, mask)
    assert not result.image[mask].any()
    assert np.median(result.image[~mask]) == pytest.approx(0, abs=0.05)
