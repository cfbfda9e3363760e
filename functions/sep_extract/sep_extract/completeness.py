"""How deep an image is complete: artificial stars planted into its pixels, and what detection finds of them.

Each round plants stars on a shaken grid, so wide that they do not crowd each other, and measures the image
anew, background included. Nothing else changes: a star that falls on a galaxy is lost as a real one is.
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .calibrate import Calibration
from .catalog import ChipSummary
from .chip import Chip
from .event import Config
from .extract import Measurement, measure
from .pixels import Pixels
from .starprofile import Profile, profile_of

Floats = NDArray[np.float64]

RANGE = (-4.0, 1.75)
"""Magnitudes of stars, relative to the 5-sigma depth of the chip."""
BIN = 0.125
TRIALS, MOST, MOST_ROUNDS = 1500, 1500, 16
"""Stars wanted per chip, stars per round at most, and rounds at most."""
SPACING, LEAST_SPACING = 10.0, 24.0
"""Distance of stars on the grid in FWHM, and in pixels at least; shaken by up to a quarter of it."""
LEAST_TRIALS = 100
"""With fewer, no limit is given."""
RADIUS = 1.5
"""Pixels, or half the FWHM if that is more, within which a detection is that of a star."""
WRONG = 1.0
"""Magnitudes beyond which it is not, and within which a source that was there before is taken for it."""
_NEAR = 0.25
_LEAST_BIAS = 10
_DRAWS = 200
_MANY = 1e15
"""Electrons in a pixel."""


@dataclass(frozen=True)
class Trials:
    """Planted stars, (n,) each: magnitude, whether it was found, and MAG_AUTO less its magnitude."""

    mag: Floats
    found: NDArray[np.bool_]
    off: Floats

    @classmethod
    def joined(cls, parts: list[Trials]) -> Trials:
        """All of them."""
        return cls(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("mag", "found", "off"))
        )


@dataclass(frozen=True)
class Completeness:
    """What was planted into a chip, or the ``reason`` why nothing was."""

    hdu: int
    reason: str = ""
    profile: Profile | None = None
    trials: Trials | None = None
    poisson: bool = False
    seed: int = 0
    spacing: float = math.nan

    def document(self) -> dict[str, Any]:
        """For JSON."""
        if self.trials is None or self.profile is None:
            return {"ext": self.hdu, "reason": self.reason}
        return {
            "ext": self.hdu,
            "reason": self.reason,
            "psf": self.profile.kind,
            "psf_stars": self.profile.stars,
            "fwhm": round(self.profile.fwhm, 3),
            "poisson": self.poisson,
            "seed": self.seed,
            "spacing": round(self.spacing, 1),
            **limits(self.trials),
        }


def plant_stars(
    chip: Chip, found: Measurement, summary: ChipSummary, config: Config, name: str
) -> Completeness:
    """Plants stars into a chip that was measured; ``name`` of its image seeds the positions."""
    hdu, calibrated = chip.hdu, chip.calibration
    if chip.parts:
        return Completeness(hdu, "the image is so large that it is measured in tiles")
    if summary.depth is None or calibrated.zeropoint is None:
        return Completeness(hdu, "it has no depth: no zero point, pixel scale or noise is known")
    if chip.pixels.dispersed:
        return Completeness(hdu, "it shows spectra, and no stars")
    profile = profile_of(found, chip.pixels)
    if profile is None:
        return Completeness(hdu, "no source tells how wide a star is")
    if min(chip.mask.shape) <= 2 * profile.half:
        return Completeness(hdu, "it is smaller than the profile of a star")
    seed = zlib.crc32(f"{name} {hdu}".encode())
    spacing = max(SPACING * profile.fwhm, LEAST_SPACING)
    before = _rows(found, calibrated)
    rng = np.random.default_rng(seed)
    parts: list[Trials] = []
    for _ in range(MOST_ROUNDS):
        x, y = _places(chip.mask, spacing, rng)
        x, y = x[:MOST], y[:MOST]
        mag = summary.depth + rng.uniform(*RANGE, len(x))
        flux = 10 ** (-0.4 * (mag - calibrated.zeropoint))
        planted = _planted(chip.pixels, profile, x, y, flux, rng)
        parts.append(_recovered(x, y, mag, _rows(measure(planted, config), calibrated), before, profile.fwhm))
        if sum(len(part.mag) for part in parts) >= TRIALS:
            break
    if not sum(len(part.mag) for part in parts):
        return Completeness(hdu, "it has no room for a star")
    return Completeness(hdu, "", profile, Trials.joined(parts), calibrated.gain is not None, seed, spacing)


def _places(mask: NDArray[np.bool_], spacing: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Places (n,) in random order on a shaken grid with a random origin, where pixels are usable."""
    ny, nx = mask.shape
    start = rng.uniform(0, spacing, 2)
    rows, columns = (np.arange(at, side, spacing) for at, side in zip(start, (ny, nx), strict=True))
    y, x = (v.ravel() for v in np.meshgrid(rows, columns, indexing="ij"))
    x, y = (v + rng.uniform(-spacing / 4, spacing / 4, len(v)) for v in (x, y))
    inside = (x >= 0) & (x <= nx - 1) & (y >= 0) & (y <= ny - 1)
    x, y = x[inside], y[inside]
    usable = np.flatnonzero(~mask[np.rint(y).astype(int), np.rint(x).astype(int)])
    order = rng.permutation(usable)
    return x[order], y[order]


def _planted(
    pixels: Pixels, profile: Profile, x: Floats, y: Floats, flux: Floats, rng: np.random.Generator
) -> Pixels:
    """The pixels with stars: electrons are drawn where the gain is known, and are in the error plane."""
    data = pixels.data.copy()
    error = None if pixels.error is None or pixels.gain is None else pixels.error.copy()
    ny, nx = data.shape
    for at_x, at_y, light in zip(x.tolist(), y.tolist(), flux.tolist(), strict=True):
        stamp, left, bottom = profile.stamp(at_x, at_y)
        rows, columns = (
            (max(0, bottom), min(ny, bottom + len(stamp))),
            (max(0, left), min(nx, left + len(stamp))),
        )
        here = slice(*rows), slice(*columns)
        model = light * stamp[rows[0] - bottom : rows[1] - bottom, columns[0] - left : columns[1] - left]
        usable = ~pixels.mask[here]
        drawn = model if pixels.gain is None else _electrons(model * pixels.gain, rng) / pixels.gain
        data[here] += np.where(usable, drawn, 0).astype(np.float32)
        if error is not None and pixels.gain is not None:
            own = np.sqrt(np.where(usable, model / pixels.gain, 0))
            error[here] = np.hypot(error[here], own.astype(np.float32))  # squares of some are no float32
    return replace(pixels, data=data, error=pixels.error if error is None else error)


def _electrons(expected: Floats, rng: np.random.Generator) -> Floats:
    """A draw from Poisson's distribution; of so many that no integer holds them, from the normal one."""
    many = expected > _MANY
    drawn = rng.poisson(np.where(many, 0, expected)).astype(np.float64)
    return np.where(many, expected + np.sqrt(expected) * rng.standard_normal(expected.shape), drawn)


def _rows(found: Measurement, calibrated: Calibration) -> tuple[Floats, Floats, Floats]:
    """Positions and MAG_AUTO of sources (n,), by y."""
    assert calibrated.zeropoint is not None
    flux = found.sources.photometry.flux_auto * found.unit
    with np.errstate(divide="ignore", invalid="ignore"):
        mag = np.where(flux > 0, calibrated.zeropoint - 2.5 * np.log10(flux), np.nan)
    x, y = found.sources.isophotal.x, found.sources.isophotal.y
    order = np.argsort(y, kind="stable")
    return x[order], y[order], mag[order]


def _recovered(
    x: Floats,
    y: Floats,
    mag: Floats,
    after: tuple[Floats, Floats, Floats],
    before: tuple[Floats, Floats, Floats],
    fwhm: float,
) -> Trials:
    """Which stars have a detection within the radius and WRONG magnitudes, where none of their own brightness
    was before.
    """
    radius = max(RADIUS, fwhm / 2)
    off = np.full(len(x), np.nan)
    for n, (at_x, at_y, true) in enumerate(zip(x.tolist(), y.tolist(), mag.tolist(), strict=True)):
        was = _near(before, at_x, at_y, radius)
        if (np.abs(was - true) < WRONG).any():
            continue  # lost: nobody can tell it from that source
        seen = _near(after, at_x, at_y, radius) - true
        seen = seen[np.abs(seen) < WRONG]
        if len(seen):
            off[n] = seen[np.argmin(np.abs(seen))]
    return Trials(mag, np.isfinite(off), off)


def _near(rows: tuple[Floats, Floats, Floats], at_x: float, at_y: float, radius: float) -> Floats:
    """Magnitudes of sources within a radius."""
    x, y, mag = rows
    low, high = np.searchsorted(y, [at_y - radius, at_y + radius])
    near = np.hypot(x[low:high] - at_x, y[low:high] - at_y) < radius
    return mag[low:high][near]


def limits(trials: Trials) -> dict[str, Any]:
    """The magnitudes at which 90 and 50 % are found, with errors, biases of MAG_AUTO, and the curve.

    Limits are null where the curve does not cross them within the planted magnitudes: in a crowded image, it
    may not reach 90 %. `found_bright` is the share of the brightest magnitude, as is its bias.
    """
    number = np.floor(trials.mag / BIN).astype(int)
    curve = []
    for each in np.unique(number).tolist():
        own = number == each
        good = own & trials.found
        bias = float(np.median(trials.off[good])) if good.sum() >= _LEAST_BIAS else None
        curve.append(
            {"mag": (each + 0.5) * BIN, "planted": int(own.sum()), "found": int(good.sum()), "bias": bias}
        )
    planted, found = (np.array([row[name] for row in curve], float) for name in ("planted", "found"))
    mags = np.array([row["mag"] for row in curve], float)
    result: dict[str, Any] = {"trials": len(trials.mag), "recovered": int(trials.found.sum())}
    result |= _crossings(mags, planted, found) if len(trials.mag) >= LEAST_TRIALS else dict.fromkeys(_NAMES)
    bright = trials.mag < mags.min() + 1
    result["found_bright"] = round(float(trials.found[bright].mean()), 4)
    result["bias_bright"] = _median(trials.off[bright & trials.found])
    for name in ("limit_90", "limit_50"):
        limit = result[name]
        own = trials.found & (np.abs(trials.mag - limit) < _NEAR) if limit is not None else np.zeros(0, bool)
        result[f"bias{name[5:]}"] = _median(trials.off[own] if limit is not None else np.empty(0))
    return result | {"curve": curve}


_NAMES = ("limit_90", "limit_90_error", "limit_50", "limit_50_error")


def _median(values: Floats) -> float | None:
    return round(float(np.median(values)), 4) if len(values) >= _LEAST_BIAS else None


def _crossings(mag: Floats, planted: Floats, found: Floats) -> dict[str, float | None]:
    """Where the curve crosses 90 and 50 %; errors are the scatter of curves drawn from it, star by star."""
    at, share = falling(mag, planted, found)
    rng = np.random.default_rng(len(mag))
    drawn = [rng.binomial(planted.astype(int), np.interp(mag, at, share)) for _ in range(_DRAWS)]
    curves = [falling(mag, planted, each.astype(float)) for each in drawn]
    result: dict[str, float | None] = {}
    for name, level in (("limit_90", 0.9), ("limit_50", 0.5)):
        limit = _crossing(at, share, level)
        others = np.array([each for curve in curves if (each := _crossing(*curve, level)) is not None])
        result[name] = None if limit is None else round(limit, 4)
        known = limit is not None and len(others) > _DRAWS / 2
        result[f"{name}_error"] = round(float(others.std()), 4) if known else None
    return result


def falling(mag: Floats, planted: Floats, found: Floats) -> tuple[Floats, Floats]:
    """The likeliest shares that never rise with magnitude: places and values (k,), to be joined by lines.

    Bins that contradict it are pooled, and stand at their mean magnitude (centred isotonic regression: Oron
    and Flournoy 2017, Statistics in Biopharmaceutical Research 9, 258). No shape is assumed: in a crowded
    image the curve falls slowly, over many magnitudes.
    """
    blocks: list[tuple[float, float, float]] = []
    for centre, stars, seen in zip(mag.tolist(), planted.tolist(), found.tolist(), strict=True):
        block = (centre * stars, stars, seen)
        while blocks and blocks[-1][2] * block[1] <= block[2] * blocks[-1][1]:
            last = blocks.pop()
            block = (last[0] + block[0], last[1] + block[1], last[2] + block[2])
        blocks.append(block)
    places, stars_in, seen_in = np.array(blocks).T
    return places / stars_in, seen_in / stars_in


def _crossing(at: Floats, share: Floats, level: float) -> float | None:
    """Where falling shares cross a level; None if they do not."""
    if not share[0] > level >= share[-1]:
        return None
    return float(np.interp(-level, -share, at))


def to_json(chips: list[Completeness], uri: str, config: Config) -> bytes:
    """What was found for each chip, and for all of an image together."""
    joined = [one.trials for one in chips if one.trials is not None]
    reasons = sorted({one.reason for one in chips if one.reason})
    image: dict[str, Any] = {
        "reason": "" if joined else "; ".join(reasons) or "it has no chip that can be measured"
    }
    if joined:
        image |= limits(Trials.joined(joined))
    document = {
        "input": uri,
        "config": config.digest(),
        "image": image,
        "chips": [one.document() for one in chips],
    }
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
