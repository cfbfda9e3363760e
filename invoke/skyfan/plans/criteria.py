"""Criteria of a query for observations, translated for astroquery's query_criteria. No I/O."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import UsageError
from ..sky import angles

MAIN_PRODUCTS: dict[str, tuple[str, ...]] = {
    "HST": ("DRZ", "DRC"),
    "JWST": ("I2D",),
    "TESS": ("FFIC",),
    "HLSP": (),
}
"""Default product types by mission, for MAST a collection: the calibrated, combined image. High-level science
products (HLSP) have none in common.
"""
LIGHT_CURVES = frozenset({"LC", "FAST-LC", "LLC"})
"""Product types that are the main file of their observation: one star, one sector."""
SERIES = LIGHT_CURVES | {"TP", "FAST-TP", "DVT"}
"""Product types of observations that MAST calls time series; those of all others are images."""
FULL_FRAMES = frozenset({"FFIC", "FFIR"})
"""Product types of TESS's full-frame images: calibrated and uncalibrated."""
PROVENANCES = ("pipeline", "hap", "mvm", "any")
_MJD_0 = datetime(1858, 11, 17, tzinfo=UTC)
# Beyond every column of MAST: wavelengths are in nm, from gamma rays to metres.
_OPEN_RANGE = (-1e15, 1e15)
_OPEN_DATES = (0.0, 1e6)
_NO_COLUMNS = frozenset({"coordinates", "objectname", "radius", "resolver", "page", "pagesize"})
"""Arguments of astroquery that are no columns of an observation."""
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})?\.\.({_NUMBER})?")


@dataclass(frozen=True)
class Criteria:
    """A query for observations in MAST. The items of a tuple are alternatives; empty and None mean any.

    Strings may contain * as a wildcard, in one alternative per criterion. Raises UsageError for an unknown
    mission, and for a query of a whole mission.
    """

    mission: str = "HST"
    instrument: tuple[str, ...] = ()
    """WFC3/IR, ACS/WFC, NIRCAM/IMAGE…"""
    filters: tuple[str, ...] = ()
    proposal: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    """target_name, as in the proposal."""
    around: str | None = None
    """A position, 'RA DEC', or a name that MAST's resolver knows."""
    radius: str = "0.2d"
    dates: str | None = None
    """FROM..TO, start of the observation as UTC days or times (ISO 8601); one end may be missing."""
    exptime: str | None = None
    """MIN..MAX, seconds; one end may be missing."""
    calib_level: tuple[int, ...] = ()
    where: tuple[str, ...] = ()
    """KEY=VALUE for any other column of an observation; VALUE is a word, a list with commas, or MIN..MAX."""
    products: tuple[str, ...] = ()
    """Product types (productSubGroupDescription): DRZ, DRC, FLT, FLC… (default: MAIN_PRODUCTS)."""
    provenance: str = "pipeline"
    """Whose products of HST: the instrument's pipeline, hap or mvm (Hubble Advanced Products), or any."""

    sector: int | None = None
    """TESS: full-frame images of this sector, from listings of the bucket; excludes the criteria above."""
    camera: int | None = None
    """1 to 4, of the sector; None for all."""
    ccd: int | None = None
    every: int = 1
    """One in this many images of each CCD, in the order of time."""

    @classmethod
    def of(cls, **values: Any) -> "Criteria":
        """Criteria from plain values.

        A single value or a list for a tuple, a number for a proposal, a pair of degrees or a SkyCoord for a
        position, a Quantity for a radius.
        """
        types = {field.name: field.type for field in fields(cls)}
        if unknown := set(values) - set(types):
            raise UsageError(
                f"unknown criterion {', '.join(sorted(unknown))}; choose from {', '.join(types)}"
            )
        single = {name for name, kind in types.items() if kind in {str, str | None, int, int | None}}
        for name, as_text in (("around", angles.position_text), ("radius", angles.radius_text)):
            if values.get(name) is not None:
                values[name] = as_text(values[name])
        converted: dict[str, Any] = {
            name: value if name in single else _tuple(value) for name, value in values.items()
        }
        return cls(**converted)

    def __post_init__(self) -> None:
        if self.mission not in MAIN_PRODUCTS:
            raise UsageError(f"the mission must be one of {', '.join(MAIN_PRODUCTS)}, not {self.mission!r}")
        if self.provenance not in PROVENANCES:
            raise UsageError(
                f"the provenance must be one of {', '.join(PROVENANCES)}, not {self.provenance!r}"
            )
        if self.sector is not None or self.camera or self.ccd or self.every != 1:
            self._check_sector()
            return
        if not self.product_types:
            raise UsageError(
                f"{self.mission} has files of many kinds: --product says which, such as LC or LLC"
            )
        narrowing = (self.instrument, self.filters, self.proposal, self.target, self.around, self.dates)
        if not any((*narrowing, self.exptime, self.where)):
            raise UsageError(
                f"this query matches all of {self.mission}: give at least one of --instrument, --filter, "
                "--proposal, --target, --around, --dates, --exptime and --where"
                + (", or --sector for full-frame images" if self.mission == "TESS" else "")
            )

    def _check_sector(self) -> None:
        if self.mission != "TESS" or self.sector is None:
            raise UsageError("--camera, --ccd and --every need --mission TESS and --sector N")
        if self.sector < 1 or self.every < 1 or not {self.camera, self.ccd} <= {None, 1, 2, 3, 4}:
            raise UsageError("--sector and --every begin at 1; --camera and --ccd are 1 to 4")
        mine = {"mission", "products", "provenance", "radius", "sector", "camera", "ccd", "every"}
        if others := [name for name, value in asdict(self).items() if value and name not in mine]:
            raise UsageError(f"--sector lists full-frame images and takes no {', '.join(others)}")
        if not self.product_types <= FULL_FRAMES:
            raise UsageError(
                f"--sector lists full-frame images, {' and '.join(sorted(FULL_FRAMES))}: for other products "
                f"give --where sequence_number={self.sector}"
            )

    @property
    def product_types(self) -> frozenset[str]:
        """The wanted product types, in capitals."""
        return product_types(self.products or MAIN_PRODUCTS[self.mission])

    @property
    def needs_lists(self) -> bool:
        """Whether files have to be chosen from product lists.

        Otherwise the main file of an observation is enough if it is of a wanted type: its one combined image.
        """
        combined = {name for names in MAIN_PRODUCTS.values() for name in names}
        is_main = len(self.product_types) == 1 and self.product_types <= combined
        return bool(self.products) and not (is_main or self.product_types <= LIGHT_CURVES)

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of query_criteria, without the position, which may be a name to resolve first.

        Selects images or time series, by SERIES, unless `where` has dataproduct_type. Raises UsageError for
        invalid values.
        """
        kinds = sorted({"timeseries" if name in SERIES else "image" for name in self.product_types})
        arguments: dict[str, Any] = {"obs_collection": [self.mission], "dataproduct_type": kinds}
        columns = {
            "instrument_name": self.instrument,
            "filters": self.filters,
            "proposal_id": self.proposal,
            "target_name": self.target,
            "calib_level": self.calib_level,
        }
        arguments |= {name: list(values) for name, values in columns.items() if values}
        if self.dates:
            arguments["t_min"] = mjd_range(self.dates)
        if self.exptime:
            arguments["t_exptime"] = number_range(self.exptime, "--exptime")
        return arguments | _where(self.where)

    def about(self) -> dict[str, Any]:
        """The query as it is recorded in the plan."""
        defaults = {"every": 1} | ({"provenance": "pipeline", "radius": "0.2d"} if self.sector else {})
        used = {name: value for name, value in asdict(self).items() if value and defaults.get(name) != value}
        return used | {"products": sorted(self.product_types)}


def product_types(names: str | Iterable[str]) -> frozenset[str]:
    """Product types as they are compared: whole, in capitals."""
    return frozenset(name.strip().upper() for name in _tuple(names))


def number_range(text: str, option: str) -> list[float]:
    """MIN..MAX as two numbers; a missing end is beyond all values. Raises UsageError with the `option`."""
    match = _RANGE.fullmatch(text.strip())
    if not match or text.strip() == "..":
        raise UsageError(f"{option} takes MIN..MAX, such as 100..2000 or 100.., not {text!r}")
    low, high = (float(end) if end else far for end, far in zip(match.groups(), _OPEN_RANGE, strict=True))
    if low > high:
        raise UsageError(f"{option} {text}: {low:g} is greater than {high:g}")
    return [low, high]


def mjd_range(text: str) -> list[float]:
    """FROM..TO as two MJD (UTC); a last day without a time is included as a whole. Raises UsageError."""
    first, dots, last = (word.strip() for word in text.partition(".."))
    if not dots or not (first or last):
        raise UsageError(f"--dates takes FROM..TO, such as 2010-01-01..2010-06-30, not {text!r}")
    low = _mjd(first, is_end=False) if first else _OPEN_DATES[0]
    high = _mjd(last, is_end=True) if last else _OPEN_DATES[1]
    if low > high:
        raise UsageError(f"--dates {text}: the first date is after the last")
    return [low, high]


def _tuple(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, str | int) else tuple(value)


def _mjd(text: str, *, is_end: bool) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--dates: {text!r} is not a date such as 2010-01-31") from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    days = (moment - _MJD_0) / timedelta(days=1)
    return days + 1 if is_end and len(text) <= len("2010-01-31") else days


def _where(pairs: Iterable[str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = (word.strip() for word in pair.partition("="))
        if not equals or not key or not text:
            raise UsageError(f"--where takes KEY=VALUE, such as proposal_pi=Riess*, not {pair!r}")
        if key.lower() in _NO_COLUMNS:
            raise UsageError(f"--where {key}: not a column of an observation; --around takes positions")
        is_range = _RANGE.fullmatch(text) is not None and text != ".."
        if key in arguments and (is_range or isinstance(arguments[key][0], float)):
            raise UsageError(f"--where {key}: one range is possible, and no other value beside it")
        if is_range:
            arguments[key] = number_range(text, f"--where {key}")
        else:
            arguments.setdefault(key, []).extend(word.strip() for word in text.split(","))
    return arguments
