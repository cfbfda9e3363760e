"""The columns of the table of candidates, and the facts about a light curve: name, unit, UCD and meaning."""

from __future__ import annotations

from typing import Any

import numpy as np

from skyfan_function.table import Column, Fact

from .lightcurve import LightCurve
from .search import Candidate, Search

COLUMNS = (
    Column(
        "TICID",
        "K",
        "",
        "meta.id;src",
        "Number of the star in the TESS Input Catalog; -1 if the file has none",
        shown=True,
    ),
    Column(
        "SECTOR", "I", "", "meta.id;obs", "Sector of the observation; -1 if the file has none", shown=True
    ),
    Column("CANDIDATE", "I", "", "meta.id;meta.main", "Number of the candidate, from 1, the strongest first"),
    Column("ALPHA_J2000", "D", "deg", "pos.eq.ra;meta.main", "Right ascension of the star (ICRS)"),
    Column("DELTA_J2000", "D", "deg", "pos.eq.dec;meta.main", "Declination of the star (ICRS)"),
    Column("TESSMAG", "E", "mag", "phot.mag;em.opt.I", "TESS magnitude of the star"),
    Column("PERIOD", "D", "d", "time.period", "Period", shown=True),
    Column("PERIODERR", "E", "d", "stat.error;time.period", "One-sigma error of PERIOD"),
    Column(
        "EPOCH",
        "D",
        "d",
        "time.epoch",
        "Middle of the transit nearest to that of the light curve, BJD - 2457000 (TDB)",
        shown=True,
    ),
    Column("EPOCHERR", "E", "d", "stat.error;time.epoch", "One-sigma error of EPOCH"),
    Column(
        "DEPTH",
        "E",
        "",
        "phot.flux;arith.ratio",
        "Depth of the floor, relative to the star's flux",
        shown=True,
    ),
    Column("DEPTHERR", "E", "", "stat.error;phot.flux;arith.ratio", "One-sigma error of DEPTH"),
    Column(
        "DURATION",
        "E",
        "h",
        "time.duration",
        "Width at half depth: from the middle of ingress to the middle of egress",
        shown=True,
    ),
    Column("DURATIONERR", "E", "h", "stat.error;time.duration", "One-sigma error of DURATION"),
    Column(
        "INGRESS",
        "E",
        "",
        "time.duration;arith.ratio",
        "Duration of ingress relative to DURATION: near 0 a box, near 1 a V",
    ),
    Column(
        "SNR",
        "E",
        "",
        "stat.snr",
        "Signal to noise of all transits together for the fitted shape, with red noise",
        shown=True,
    ),
    Column(
        "RED_NOISE",
        "E",
        "",
        "stat.stdev;arith.ratio",
        "Noise of a mean over DURATION relative to that of independent fluxes",
    ),
    Column("N_TRANSITS", "J", "", "meta.number", "Transits of which at least half was observed", shown=True),
    Column("N_EXPECTED", "J", "", "meta.number", "Transits between the first and the last flux"),
    Column("DEPTH_ODD", "E", "", "phot.flux;arith.ratio", "Depth of odd transits, EPOCH being number 0"),
    Column("DEPTHERR_ODD", "E", "", "stat.error;phot.flux;arith.ratio", "One-sigma error of DEPTH_ODD"),
    Column("DEPTH_EVEN", "E", "", "phot.flux;arith.ratio", "Depth of even transits"),
    Column("DEPTHERR_EVEN", "E", "", "stat.error;phot.flux;arith.ratio", "One-sigma error of DEPTH_EVEN"),
    Column("ODD_EVEN", "E", "", "stat.snr", "Difference of odd and even depths, in sigma"),
    Column(
        "DEPTH_SECOND",
        "E",
        "",
        "phot.flux;arith.ratio",
        "Depth of the most significant eclipse at another phase",
    ),
    Column(
        "DEPTHERR_SECOND",
        "E",
        "",
        "stat.error;phot.flux;arith.ratio",
        "One-sigma error of DEPTH_SECOND, which is the best of many phases",
    ),
    Column("PHASE_SECOND", "E", "", "time.phase", "Phase of that eclipse, 0 to 1 from transit to transit"),
    Column("FLAGS", "J", "", "meta.code.qual", "What speaks against a planet, or for care: bits", shown=True),
)


FACTS = (
    Fact("TICID", None, "", "meta.id;src", "Number of the star in the TESS Input Catalog; -1 if unknown"),
    Fact("SECTOR", None, "", "meta.id;obs", "Sector; -1 if unknown"),
    Fact("CAMERA", None, "", "meta.id;instr", "Camera; -1 if unknown"),
    Fact("CCD", None, "", "meta.id;instr.det", "CCD; -1 if unknown"),
    Fact("LCFORMAT", None, "", "meta.code.class", "Pipeline of the light curve"),
    Fact("TESSMAG", None, "mag", "phot.mag;em.opt.I", "TESS magnitude"),
    Fact("TEFF", None, "K", "phys.temperature.effective", "Effective temperature of the star"),
    Fact("RADIUS", None, "solRad", "phys.size.radius", "Radius of the star"),
    Fact("EXPOSURE", None, "s", "time.duration;obs.exposure", "Time from one cadence to the next"),
    Fact("BASELINE", None, "d", "time.duration", "From the first flux to the last"),
    Fact("NCADENCE", None, "", "meta.number", "Cadences of the file"),
    Fact("NVALID", None, "", "meta.number", "Fluxes that were searched"),
    Fact("NOISE1H", None, "", "stat.stdev", "Noise of a mean over an hour, relative flux"),
    Fact("RED1H", None, "", "stat.stdev;arith.ratio", "The same relative to that of independent fluxes"),
    Fact("SNRREST", None, "", "stat.snr", "Signal to noise of the strongest box that is no candidate"),
    Fact("PERREST", None, "d", "time.period", "Its period"),
    Fact("NDIPS", None, "", "meta.number", "Dips above the threshold that came once"),
    Fact("DIPTIME", None, "d", "time.epoch", "Middle of the strongest of these, BJD - 2457000 (TDB)"),
    Fact("DIPDEPTH", None, "", "phot.flux;arith.ratio", "Its depth, relative flux"),
    Fact("DIPSNR", None, "", "stat.snr", "Its signal to noise"),
    Fact("LCQUAL", None, "", "meta.code.qual", "What is doubtful: bits"),
)
"""What the table says of the light curve, with or without candidates; None is filled in."""


def rows(curve: LightCurve, found: Search) -> dict[str, Any]:
    """The rows of all candidates."""
    star = curve.cards

    def of(candidate: Candidate) -> dict[str, Any]:
        transit, checks = candidate.transit, candidate.checks
        period, epoch, depth, duration = transit.errors
        return {
            "TICID": star.get("TICID", -1),
            "SECTOR": star.get("SECTOR", -1),
            "ALPHA_J2000": star.get("RA_OBJ"),
            "DELTA_J2000": star.get("DEC_OBJ"),
            "TESSMAG": star.get("TESSMAG"),
            "PERIOD": transit.period,
            "PERIODERR": period,
            "EPOCH": transit.epoch,
            "EPOCHERR": epoch,
            "DEPTH": transit.depth,
            "DEPTHERR": depth,
            "DURATION": transit.duration * 24,
            "DURATIONERR": duration * 24,
            "INGRESS": transit.ingress,
            "SNR": transit.snr,
            "RED_NOISE": candidate.red,
            "N_TRANSITS": checks.transits,
            "N_EXPECTED": checks.expected,
            "DEPTH_ODD": checks.odd[0],
            "DEPTHERR_ODD": checks.odd[1],
            "DEPTH_EVEN": checks.even[0],
            "DEPTHERR_EVEN": checks.even[1],
            "ODD_EVEN": checks.odd_even,
            "DEPTH_SECOND": checks.second[0],
            "DEPTHERR_SECOND": checks.second[1],
            "PHASE_SECOND": checks.second_phase,
            "FLAGS": int(checks.flags),
        }

    made = [{"CANDIDATE": i, **of(each)} for i, each in enumerate(found.candidates, start=1)]
    return {
        column.name: np.array([row[column.name] for row in made], int if column.kind in "IJK" else float)
        for column in COLUMNS
    }


def facts(curve: LightCurve, found: Search, quality: int) -> list[Fact]:
    """FACTS with the values of a light curve."""
    star, flat = curve.cards, found.curve
    values: dict[str, Any] = {key: star.get(key, -1) for key in ("TICID", "SECTOR", "CAMERA", "CCD")}
    values |= {key: _number(star.get(key)) for key in ("TESSMAG", "TEFF", "RADIUS")}
    values |= {
        "LCFORMAT": curve.format,
        "EXPOSURE": curve.exposure,
        "BASELINE": flat.baseline,
        "NCADENCE": curve.cadences,
        "NVALID": len(flat),
        "NOISE1H": found.noise,
        "RED1H": _number(found.red),
        "SNRREST": _number(found.best),
        "PERREST": _number(found.best_period),
        "NDIPS": len(found.dips),
        "LCQUAL": quality,
    }
    if found.dips:
        dip = found.dips[0]
        values |= {"DIPTIME": dip.time, "DIPDEPTH": dip.depth, "DIPSNR": dip.snr}
    return [fact._replace(value=values.get(fact.name)) for fact in FACTS]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None
