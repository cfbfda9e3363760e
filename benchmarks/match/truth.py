"""A survey of which everything is known, and what the match made of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from standins.survey import FWHM, Exposure, Sky, Survey

from skyfan.api import MatchOptions, match
from skyfan.objects.groups import ARCSEC
from skyfan.sky import footprints

DENSITY = 0.25
"""Stars per square arcsecond with S/N 5 or more: 900 per square arcminute, outskirts of 47 Tucanae."""
FILTERS = ("F435W", "F606W", "F814W", "F850LP")
DEPTHS = (25.0, 25.5, 25.2, 24.5)
CHANCE = 1e-4
"""Probability below which a star counts as variable."""
VARIABLE, AMPLITUDE = 0.02, 0.3


@dataclass
class Truth:
    """The survey."""

    sky: Sky
    xy: NDArray[np.float64]
    """(n, 2) stars, arcseconds."""
    mags: NDArray[np.float64]
    """(n, 4) mean magnitudes."""
    varies: NDArray[np.bool_]
    exposures: list[Exposure]
    repeats: int


def make(folder: Path, images: int = 200, size: float = 80.0, field: float = 200.0, seed: int = 1) -> Truth:
    """Writes two data sets to `folder`: `survey` and `again`, in which every tenth image lies once more.

    One image in five is fitted to Gaia, to 1 mas. All others are off by up to an arcsecond and turned by
    0.003 degrees. Every fifth image has an uncorrected file of the same exposure beside it.
    """
    rng = np.random.default_rng(seed)
    sky = Sky(0.02, -72.0)
    xy = rng.uniform(-field / 2, field / 2, (int(DENSITY * field**2), 2))
    base = 25.5 - rng.exponential(2.0, len(xy))
    mags = base[:, None] + rng.uniform(0.0, 1.0, (len(xy), 1)) * np.array([0.8, 0.0, -0.5, -0.7])
    varies = rng.random(len(xy)) < VARIABLE
    period, phase = rng.uniform(0.3, 3.0, len(xy)), rng.uniform(0, 2 * np.pi, len(xy))
    survey, again = Survey(), Survey()
    exposures: list[Exposure] = []
    repeats = 0
    for number in range(images):
        band = number % 4
        mjd = 55000 + 1.37 * (number // 8) + 0.02 * (number % 8)
        centre = rng.uniform(-(field - size) / 2, (field - size) / 2, 2)
        uri = f"s3://archive/j{number:04d}_flc.fits"
        one = Exposure(uri, sky, centre, FILTERS[band], mjd, DEPTHS[band], size=size)
        if number % 5 == 0:
            one.offset, one.more = rng.normal(0, 0.001, 2), {"gaia": "yes"}
        else:
            one.offset, one.turn = rng.normal(0, 0.4, 2).clip(-1, 1), rng.normal(0, 5e-5)
        mag = mags[:, band] + varies * AMPLITUDE * np.sin(2 * np.pi * mjd / period + phase)
        rows, measured, true_snr = _seen(one, xy, mag, rng)
        snr = true_snr
        place = xy[rows] + rng.normal(0, FWHM / 2.3548 / snr[:, None], (len(rows), 2))
        false = rng.uniform(-size / 2, size / 2, (len(rows) // 100, 2)) + centre
        place = np.concatenate([place, false])
        measured = np.concatenate([measured, np.full(len(false), one.depth)])
        snr = np.concatenate([snr, np.full(len(false), 5.0)])
        survey.add(one, place, measured, snr)
        exposures.append(one)
        for target, name, due in ((survey, uri.replace("flc", "flt"), 5), (again, uri, 10)):
            if number % due == 1:
                target.add(replace(one, uri=name), place, measured, snr)
                repeats += 1
    survey.write(folder / "survey", limit=1 << 16)
    again.write(folder / "again")
    return Truth(sky, xy, mags, varies, exposures, repeats)


def _seen(
    one: Exposure, xy: NDArray[np.float64], mag: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Stars that the image has as sources of their own, their measured magnitudes and S/N.

    Of two within FWHM only the brighter is a source, with the light of both.
    """
    inside = np.flatnonzero(one.covers(xy) & (mag < one.depth + 1))
    flux = 10 ** (-0.4 * (mag[inside] - one.depth)) * 5  # in units of the noise
    order = np.argsort(-flux)
    pairs = cKDTree(xy[inside][order]).query_pairs(FWHM, output_type="ndarray")
    lost = np.zeros(len(inside), bool)
    total = flux[order].copy()
    for a, b in sorted(map(tuple, pairs.tolist())):
        if not lost[a]:
            total[a] += total[b]
            lost[b] = True
    keep = ~lost
    rows, light = inside[order][keep], total[keep]
    measured = light + rng.normal(0, 1, len(light))
    detected = measured > 5
    snr = measured[detected]
    return rows[detected], one.depth - 2.5 * np.log10(snr / 5), snr


def judge(truth: Truth, folder: Path, jobs: int = 2) -> dict[str, Any]:
    """Matches the survey and compares with what is true."""
    done = match([folder / "survey", folder / "again"], folder / "objects", options=MatchOptions(jobs=jobs))
    return offsets(truth, done.image_table()) | objects(truth, done._table()) | {
        "images": done.images, "repeats": truth.repeats, "objects": done.objects, "links": done.links,
        "per_arcsec2": DENSITY,
    }  # fmt: skip


def offsets(truth: Truth, table: Any) -> dict[str, Any]:
    """What remains of the offsets of images after the match, in mas."""
    rows = {row["uri"]: row for row in table.to_pylist() if row["match_state"] == "used"}
    wrong = []
    for one in truth.exposures:
        row = rows[one.uri]
        wrong.append(np.array([row["offset_east"], row["offset_north"]]) + one.offset * 1000)
    whole = np.array(wrong, np.float64)
    return {
        "offset_rms_mas": float(np.sqrt((whole**2).mean())),
        "offset_max_mas": float(np.hypot(*whole.T).max()),
        "offset_within_2_mas": float((np.hypot(*whole.T) < 2).mean()),
        "offset_before_mas": float(np.std([one.offset for one in truth.exposures]) * 1000),
        "unsolved": int(sum(row["offset_state"] in ("alone", "unsolved") for row in rows.values())),
    }


def objects(truth: Truth, table: Any) -> dict[str, Any]:
    """Completeness, purity, colours and variables."""
    columns = {
        name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names if name != "CROWDED"
    }
    xyz = footprints.vectors(columns["ALPHA_J2000"], columns["DELTA_J2000"])
    place = (xyz @ truth.sky.plane.T) / (xyz @ truth.sky.centre)[:, None] / ARCSEC
    bands = [f"ACS_WFC_{name}" for name in FILTERS]
    cover = np.column_stack([columns[f"N_COVER_{band}"] for band in bands])
    # Stars that a single image shows at S/N 10, in two filters: where an object has its images.
    own, near = cKDTree(place).query(truth.xy, distance_upper_bound=0.05)
    best = 5 * 10 ** (-0.4 * (truth.mags - np.array(DEPTHS)))
    covered = _covers(truth)
    expected = ((best >= 10) & (covered >= 1)).any(axis=1)
    partner = np.where(np.isfinite(own), near, -1)
    # One object for one star: the nearest star of the partner is the star itself.
    _, star = cKDTree(truth.xy).query(place, distance_upper_bound=0.05)
    real = star < len(truth.xy)
    mutual = (partner >= 0) & (star[partner] == np.arange(len(truth.xy)))
    snr = np.nanmax(np.column_stack([1.0857 / columns[f"MAGERR_{band}"] for band in bands]), axis=1)
    bright = (snr >= 10) & (cover.sum(axis=1) > 0)
    first = np.zeros(len(place), bool)
    first[partner[mutual]] = True
    figures: dict[str, Any] = {
        "stars_at_10": int(expected.sum()),
        "completeness": float((mutual & expected).sum() / expected.sum()),
        "purity": float((bright & real & first).sum() / bright.sum()),
        "objects_at_10": int(bright.sum()),
    }
    single = first & (_lonely(truth)[np.minimum(star, len(truth.xy) - 1)])
    for a, b in ((0, 1), (1, 2), (2, 3)):
        colour = columns[f"MAG_{bands[a]}"] - columns[f"MAG_{bands[b]}"]
        true = truth.mags[:, a] - truth.mags[:, b]
        # Below S/N 10 an image shows a star only where noise makes it brighter.
        least = best[np.minimum(star, len(truth.xy) - 1)][:, [a, b]].min(axis=1)
        use = single & (least >= 10) & ~truth.varies[np.minimum(star, len(truth.xy) - 1)]
        low = use & (least < 15)
        difference = colour - true[np.minimum(star, len(truth.xy) - 1)]
        figures[f"colour_{a}{b}"] = float(np.nanmedian(difference[use]))
        figures[f"colour_{a}{b}_faint"] = float(np.nanmedian(difference[low]))
    chance = np.column_stack([columns[f"PCHI2_{band}"] for band in bands])
    tested = single & (np.isfinite(chance).sum(axis=1) >= 1) & bright
    alarm = np.nanmin(np.where(np.isfinite(chance), chance, 1.0), axis=1) * 4 < CHANCE
    is_variable = truth.varies[np.minimum(star, len(truth.xy) - 1)]
    bright_enough = tested & is_variable & (snr >= 30)
    figures |= {
        "false_alarms": float((alarm & tested & ~is_variable).sum() / (tested & ~is_variable).sum()),
        "constant_tested": int((tested & ~is_variable).sum()),
        "variables_found": float((alarm & bright_enough).sum() / bright_enough.sum()),
        "variables": int(bright_enough.sum()),
        "chance": CHANCE,
    }
    return figures


def _covers(truth: Truth) -> NDArray[np.intp]:
    """(n, 4): images of each filter that have each star on a chip, 0.5 arcsec from its edge or more."""
    counts = np.zeros((len(truth.xy), 4), np.intp)
    for one in truth.exposures:
        inner = Exposure("", one.sky, one.centre, one.filter, 0, 0, size=one.size - 1)
        counts[:, FILTERS.index(one.filter)] += inner.covers(truth.xy)
    return counts


def _lonely(truth: Truth) -> NDArray[np.bool_]:
    """Whether no other star is within FWHM, whose light would be counted in."""
    distance, _ = cKDTree(truth.xy).query(truth.xy, k=2)
    lonely: NDArray[np.bool_] = distance[:, 1] > FWHM * 1.2
    return lonely
