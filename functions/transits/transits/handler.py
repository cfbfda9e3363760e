"""The Lambda handler: event -> light curve -> search -> table of candidates."""

from __future__ import annotations

from skyfan_function.handler import Job, lambda_handler
from skyfan_function.table import Table

from . import boxes, formats
from .columns import COLUMNS, facts, rows
from .event import Config, Request
from .lightcurve import LightCurve, read
from .quality import Quality, names
from .search import Limits, Search, search

# MJD of BTJD 0.
_MJD = 2457000 - 2400000.5
_VARIABLE, _RED = 10.0, 2.0


def process(job: Job[Request]) -> Table:
    """Search one light curve; the result is the table of its candidates. Raises FunctionError."""
    config = job.request.config
    curve = read(job.source)
    found = search(curve.series, curve.dumps, limits(curve, config))
    quality = _quality(curve, found, config)
    beside = {}
    if "preview" in job.request.outputs:
        from .plot import preview

        beside[".preview.png"] = preview(found)
    star = curve.cards
    observation = {
        "TELESCOP": "TESS",
        "INSTRUME": "TESS Photometer",
        "TARGNAME": f"TIC {star['TICID']}" if "TICID" in star else None,
        "RA_TARG": star.get("RA_OBJ"),
        "DEC_TARG": star.get("DEC_OBJ"),
        "EXPSTART": float(found.curve.time[0]) + _MJD,
        "EXPEND": float(found.curve.time[-1]) + _MJD,
    }
    return Table(
        COLUMNS,
        rows(curve, found),
        facts(curve, found, int(quality)),
        observation,
        _notes(curve, found, config),
        names(quality),
        "CANDIDATES",
        beside,
    )


def limits(curve: LightCurve, config: Config) -> Limits:
    """What is searched for in a light curve."""
    longest = curve.series.baseline / 2 if config.max_period is None else config.max_period
    return Limits(
        shortest=config.min_period,
        longest=longest,
        durations=tuple(hours / 24 for hours in config.durations),
        window=config.trend_window,
        threshold=config.min_snr,
        most=config.max_candidates,
    )


def _quality(curve: LightCurve, found: Search, config: Config) -> Quality:
    quality = curve.quality
    for bit, holds in (
        (Quality.COARSE, min(config.durations) / 24 < 2 * curve.series.cadence),
        (Quality.VARIABLE, found.swing > _VARIABLE),
        (Quality.NOISY, found.red > _RED),
        (Quality.CUT_OFF, len(found.candidates) >= config.max_candidates),
        (Quality.SINGLE_DIP, bool(found.dips)),
    ):
        quality |= bit if holds else Quality.NONE
    return quality


def _notes(curve: LightCurve, found: Search, config: Config) -> list[str]:
    notes = list(curve.notes)
    if found.dropped:
        notes.append(f"outliers that were left out: {found.dropped}")
    notes += [
        f"a dip that came once, at BJD 2457000 + {dip.time:.3f}: depth {dip.depth * 1e6:.0f} ppm, "
        f"S/N {dip.snr:.1f}; left out of the search"
        for dip in found.dips
    ]
    if not found.candidates:
        strongest = f"; the strongest box has {found.best:.1f}" if found.best == found.best else ""
        notes.append(f"no periodic transit of S/N {config.min_snr:g}{strongest}")
    for number, each in enumerate(found.candidates, start=1):
        if each.checks.flags:
            notes.append(f"candidate {number}: {names(each.checks.flags)}")
    return notes


boxes.core()
formats.table()
handler = lambda_handler(process, Request)
