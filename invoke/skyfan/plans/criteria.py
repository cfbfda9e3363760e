"""What is asked of the archive, as a person says it and as astroquery's query_criteria takes it. No I/O."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import UsageError

MAIN_PRODUCTS = {"HST": ("DRZ", "DRC"), "JWST": ("I2D",), "TESS": ("FFIC",)}
"""By mission, what is taken where no product is named: the calibrated, combined image."""
_MJD_0 = datetime(1858, 11, 17, tzinfo=UTC)
_OPEN = (0.0, 1e6)
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})?\.\.({_NUMBER})?")


@dataclass(frozen=True)
class Criteria:
    """A query of MAST's observations. Tuples are alternatives; what is empty or None is not asked for.

    Words may hold * as a wildcard, one such word a criterion.
    """

    mission: str = "HST"
    instrument: tuple[str, ...] = ()
    """WFC3/IR, ACS/WFC, NIRCAM/IMAGE…"""
    filters: tuple[str, ...] = ()
    proposal: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    """target_name, as the proposal calls it."""
    around: str | None = None
    """A position, 'RA DEC', or a name that MAST's resolver knows."""
    radius: str = "0.2d"
    dates: str | None = None
    """FROM..TO, UTC days or times (ISO 8601), of the observation's start; either may be left out."""
    exptime: str | None = None
    """MIN..MAX, seconds."""
    calib_level: tuple[int, ...] = ()
    where: tuple[str, ...] = ()
    """KEY=VALUE for any other column of an observation; VALUE is a word, several with commas, or MIN..MAX."""
    products: tuple[str, ...] = ()
    """productSubGroupDescription of the files: DRZ, DRC, FLT, FLC…; the mission's MAIN_PRODUCTS if empty."""

    @classmethod
    def of(cls, **fields: Any) -> "Criteria":
        """Criteria from plain values: a word where alternatives are meant, a list, an integer proposal."""
        known = {item.name: item.type for item in dataclass_fields(cls)}
        if unknown := set(fields) - set(known):
            raise UsageError(f"there is no criterion {', '.join(sorted(unknown))}")
        single = {name for name, kind in known.items() if kind in {str, str | None}}
        given: dict[str, Any] = {
            name: value if name in single else _tuple(value) for name, value in fields.items()
        }
        return cls(**given)

    def __post_init__(self) -> None:
        if self.mission not in MAIN_PRODUCTS:
            raise UsageError(f"the mission is one of {', '.join(MAIN_PRODUCTS)}, not {self.mission!r}")
        narrowing = (self.instrument, self.filters, self.proposal, self.target, self.around, self.dates)
        if not any((*narrowing, self.exptime, self.where)):
            raise UsageError(
                f"all of {self.mission} is too much: say at least one of --instrument, --filter, --proposal, "
                "--target, --around, --dates, --exptime and --where"
            )

    @property
    def wanted(self) -> frozenset[str]:
        """The product types that were asked for, in capitals."""
        return frozenset(name.upper() for name in self.products or MAIN_PRODUCTS[self.mission])

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of query_criteria, but for the position, whose name must be resolved first.

        Images only, unless `where` names dataproduct_type. Raises UsageError for what cannot be understood.
        """
        asked: dict[str, Any] = {"obs_collection": [self.mission], "dataproduct_type": ["image"]}
        named = {
            "instrument_name": self.instrument,
            "filters": self.filters,
            "proposal_id": self.proposal,
            "target_name": self.target,
            "calib_level": self.calib_level,
        }
        asked |= {key: list(values) for key, values in named.items() if values}
        if self.dates:
            asked["t_min"] = days(self.dates)
        if self.exptime:
            asked["t_exptime"] = span(self.exptime, "--exptime")
        return asked | _where(self.where)

    def about(self) -> dict[str, Any]:
        """What the plan remembers of the query."""
        return {key: value for key, value in asdict(self).items() if value} | {
            "products": sorted(self.wanted)
        }


def _tuple(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, str | int) else tuple(value)


def span(text: str, what: str) -> list[float]:
    """MIN..MAX as two numbers; an end that is left out is far away."""
    found = _RANGE.fullmatch(text.strip())
    if not found or text.strip() == "..":
        raise UsageError(f"{what} takes MIN..MAX, such as 100..2000 or 100..; {text!r} is not that")
    least, most = (float(part) if part else far for part, far in zip(found.groups(), _OPEN, strict=True))
    if least > most:
        raise UsageError(f"{what} {text}: {least:g} is more than {most:g}")
    return [least, most]


def days(text: str) -> list[float]:
    """FROM..TO as two MJD (UTC); a day without a time counts to its end where it is the last."""
    first, dots, last = (part.strip() for part in text.partition(".."))
    if not dots or not (first or last):
        raise UsageError(f"--dates takes FROM..TO, such as 2010-01-01..2010-06-30; {text!r} is not that")
    low = _mjd(first, end=False) if first else _OPEN[0]
    high = _mjd(last, end=True) if last else _OPEN[1]
    if low > high:
        raise UsageError(f"--dates {text}: the first is after the last")
    return [low, high]


def _mjd(text: str, *, end: bool) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--dates: {text!r} is no date like 2010-01-31") from error
    if end and len(text) <= len("2010-01-31"):
        moment += timedelta(days=1)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return (moment - _MJD_0) / timedelta(days=1)


def _where(pairs: Iterable[str]) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = (part.strip() for part in pair.partition("="))
        if not equals or not key or not text:
            raise UsageError(f"--where takes KEY=VALUE, such as proposal_pi=Riess*; {pair!r} is not that")
        if _RANGE.fullmatch(text) and text != "..":
            asked[key] = span(text, f"--where {key}")
        else:
            asked.setdefault(key, []).extend(word.strip() for word in text.split(","))
    return asked
