"""The second detection: small sources in the halo of a large one, and what is not one."""

from dataclasses import asdict, fields

import numpy as np
import pytest

from sep_extract import extract, faint
from sep_extract.event import Config
from sep_extract.extract import Measurement, measure
from sep_extract.flags import Flag
from sep_extract.pixels import Pixels
from sep_extract.sources import Isophotal, Photometry

# Of a contrast that leaves the stars in the halo to the second detection.
TWICE = Config(faint_size=7, deblend_mincont=0.005)
STARS = np.array([[60.3, 100.6], [140.2, 90.4], [95.7, 62.1], [104.6, 139.8], [70.4, 70.2]])
FLUX = 150.0


def halo(side: int = 200) -> np.ndarray:
    """A galaxy whose light falls slowly: 300 sigma in the middle, 3 sigma at 46 pixels."""
    y, x = np.mgrid[:side, :side] - side / 2
    return 300 * np.exp(-np.hypot(x, y) / 10)


def with_stars(image: np.ndarray, places: np.ndarray = STARS, flux: float = FLUX) -> np.ndarray:
    """Gaussian stars of FWHM 2.4 pixels."""
    image = image.copy()
    y, x = np.indices(image.shape)
    for at_x, at_y in places:
        image += flux / (2 * np.pi) * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / 2)
    return image


def plane(image: np.ndarray, seed: int = 3, mask: np.ndarray | None = None) -> Pixels:
    """The image with noise of one sigma."""
    noisy = (image + np.random.default_rng(seed).normal(size=image.shape)).astype(np.float32)
    mask = np.zeros(image.shape, dtype=bool) if mask is None else mask
    noisy[mask] = 0
    return Pixels(noisy, mask, scale=0.1)


def nearest(found: Measurement, x: float, y: float) -> tuple[int, float]:
    distance = np.hypot(found.sources.isophotal.x - x, found.sources.isophotal.y - y)
    return int(distance.argmin()), float(distance.min())


Both = tuple[Measurement, Measurement]


@pytest.fixture(scope="module")
def both() -> Both:
    """Stars in a halo, by one detection and by two."""
    pixels = plane(with_stars(halo()))
    return measure(pixels, Config()), measure(pixels, TWICE)


def test_stars_in_a_halo_are_found_by_the_second_detection_alone(both: Both) -> None:
    once, twice = both
    for x, y in STARS:
        assert nearest(once, x, y)[1] > 3
        row, distance = nearest(twice, x, y)
        assert distance < 0.3
        assert twice.sources.flags[row] & Flag.SECOND
        flux = twice.sources.photometry.flux_auto[row] * twice.unit
        error = twice.sources.photometry.flux_error_auto[row] * twice.unit
        assert abs(flux - FLUX) < 4 * error < FLUX
        assert twice.sources.isophotal.flux[row] * twice.unit == pytest.approx(FLUX, rel=0.35)
        # Their background is the halo.
        assert twice.sources.background[row] * twice.unit == pytest.approx(halo()[round(y), round(x)], abs=2)
        assert twice.sources.rms[row] > 0


def test_the_first_detection_stays_as_it_is(both: Both) -> None:
    once, twice = both
    first = len(once)
    assert (twice.sources.flags[first:] & Flag.SECOND != 0).all()
    for part in ("isophotal", "photometry"):
        before, after = asdict(getattr(once.sources, part)), asdict(getattr(twice.sources, part))
        assert all(np.array_equal(after[name][:first], before[name], equal_nan=True) for name in before)
    assert np.array_equal(twice.sources.flags[:first], once.sources.flags)
    assert f"{len(twice) - first} sources more, FLAGS 256" in twice.notes[-1]
    assert not any("second detection" in note for note in once.notes)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_halo_alone_has_no_faint_sources(sign: int) -> None:
    """Nor has the halo with its noise turned round."""
    noise = plane(np.zeros((200, 200))).data
    image = (halo() + sign * noise).astype(np.float32)
    found = measure(Pixels(image, np.zeros(image.shape, dtype=bool)), TWICE)
    assert (found.sources.flags & Flag.SECOND != 0).sum() <= 1


def test_stars_on_blank_sky_are_not_found_twice() -> None:
    y, x = np.mgrid[15:100:17, 15:100:17].reshape(2, -1) + 0.3
    places = np.stack([x, y], axis=1)
    pixels = plane(with_stars(np.zeros((110, 110)), places, 1000.0))
    found = measure(pixels, TWICE)
    assert len(found) == len(measure(pixels, Config())) >= len(places)


def test_masked_pixels_are_no_sources() -> None:
    """A star under the mask is not found, and the edge of the mask is not taken for one."""
    mask = np.zeros((200, 200), dtype=bool)
    mask[90:110, 50:72] = True
    found = measure(plane(with_stars(halo()), mask=mask), TWICE)
    x, y = (np.rint(v).astype(int) for v in (found.sources.isophotal.x, found.sources.isophotal.y))
    again = found.sources.flags & Flag.SECOND != 0
    assert again.sum() >= len(STARS) - 1
    assert not faint.grown(mask)[y[again], x[again]].any()


def test_an_image_without_sources_has_no_second_detection() -> None:
    found = measure(plane(np.zeros((100, 100))), Config(detect_thresh=20, faint_size=7))
    assert len(found) == 0


def test_the_second_detection_can_be_coarser_than_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """EXTRACT_STEP is that of the worse."""
    whole = faint.detect

    def coarse(*arguments: object) -> object:
        return (*whole(*arguments)[:2], faint.Step.NO_DEBLENDING)  # type: ignore[arg-type]

    monkeypatch.setattr(faint, "detect", coarse)
    assert measure(plane(halo()), TWICE).step == faint.Step.NO_DEBLENDING


def test_a_hole_is_filled_with_what_is_around() -> None:
    y, x = np.mgrid[:40, :50].astype(np.float32)
    tilted = 3 + 0.5 * x - 0.2 * y
    hole = np.hypot(x - 20, y - 20) < 6
    hole[:5, :5] = True
    image = np.where(hole, np.float32(500), tilted)
    image[hole] = tilted[hole] + 2
    faint._fill(image, hole)
    inside = hole & (np.hypot(x - 20, y - 20) < 6)
    assert np.abs(image - tilted)[inside].max() < 0.02
    assert np.array_equal(image[~hole], tilted[~hole])


def test_every_quantity_is_joined(both: Both) -> None:
    first = extract.no_sources(Config())
    found = both[1].sources
    for part, kind in (("isophotal", Isophotal), ("photometry", Photometry)):
        assert {len(getattr(getattr(found, part), f.name)) for f in fields(kind)} == {len(found)}
    assert len(extract.joined(first, found)) == len(found)
