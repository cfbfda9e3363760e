"""The event, validated: how to extract, and which files to write."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, cast, get_args

from skyfan_function import event
from skyfan_function.errors import EventError
from skyfan_function.event import choice, refuse_unknown

Output = Literal["parquet", "preview"]

DIRECT, DISPERSED = "direct images", "grisms and prisms"
# The first splits 98 % of bright stars from the galaxies of Abell 2744, and 92 % in 47 Tuc; it would tear the
# traces of a grism into pieces, which SExtractor's does not (benchmarks/science).
CONTRASTS = {DIRECT: 0.0005, DISPERSED: 0.005}


def _setting(default: Any, check: str, meaning: str) -> Any:
    return field(default=default, metadata={"check": check, "meaning": meaning})


@dataclass(frozen=True)
class Config:
    """How to extract: SExtractor's keywords in lower case, with its defaults where it has one."""

    detect_thresh: float = _setting(1.5, "positive", "detection threshold above the background, in sigma")
    detect_minarea: int = _setting(5, "positive", "least number of connected pixels above the threshold")
    filter: bool = _setting(True, "", "smooth with SExtractor's 3 x 3 pyramid kernel before detection")
    back_size: int = _setting(64, "positive", "background mesh, in pixels")
    back_filtersize: int = _setting(3, "positive", "median filter over the background meshes, in meshes")
    deblend_nthresh: int = _setting(32, "positive", "number of deblending levels")
    deblend_mincont: float | None = _setting(
        None,
        "fraction",
        "least contrast of a deblended component; 1 is none; null takes "
        + ", ".join(f"{contrast:g} for {kind}" for kind, contrast in CONTRASTS.items()),
    )
    deblend_seconds: float = _setting(
        20.0, "positive", "limit of one try at detection and deblending, in seconds of CPU time"
    )
    clean: bool = _setting(True, "", "remove detections that a brighter neighbour's wing explains")
    clean_param: float = _setting(1.0, "positive", "cleaning efficiency (Moffat slope)")
    phot_autoparams: tuple[float, ...] = _setting(
        (2.5, 3.5), "positive pair", "Kron factor and least Kron radius of FLUX_AUTO"
    )
    phot_apertures: tuple[float, ...] = _setting(
        (0.3, 0.5, 0.8, 1.5), "positive", "diameters of the FLUX_APER apertures, in arcsec"
    )
    good_bits: int | None = _setting(
        None, "bits", "DQ bits to accept; null takes the table of good bits for the instrument"
    )
    faint_size: int | None = _setting(
        None,
        "window",
        "side in pixels, odd and about three times a star's FWHM, of the median that a second detection "
        "subtracts to find small sources in the light of large ones; null is no second detection",
    )

    @property
    def contrast(self) -> float:
        """deblend_mincont, of direct images where it is not set."""
        return CONTRASTS[DIRECT] if self.deblend_mincont is None else self.deblend_mincont

    def digest(self) -> str:
        """SHA-256 of the canonical JSON of all settings, first 16 hexadecimal digits."""
        return hashlib.sha256(self.json().encode()).hexdigest()[:16]

    def json(self) -> str:
        """All settings as JSON with sorted keys; faint_size only where it is set, as in older catalogs."""
        settings = asdict(self)
        if self.faint_size is None:
            del settings["faint_size"]
        return json.dumps(settings, sort_keys=True, separators=(",", ":"))


def _outputs(value: object) -> tuple[Output, ...]:
    if not isinstance(value, list | tuple):
        raise EventError(f"event: 'outputs' must be a list of {', '.join(get_args(Output))}, not {value!r}")
    return tuple(sorted({cast("Output", choice("outputs", v, get_args(Output))) for v in value}))


def _config(value: object) -> Config:
    if not isinstance(value, Mapping):
        raise EventError(f"event: 'config' must be an object, not {value!r}")
    known = {f.name: f for f in fields(Config)}
    refuse_unknown("config", value, list(known))
    kept = {k: v for k, v in value.items() if v is not None or known[k].default is not None}
    return Config(**{k: _checked(k, v, known[k].type, known[k].metadata["check"]) for k, v in kept.items()})


def _checked(key: str, value: Any, kind: Any, check: str) -> Any:
    def refuse(want: str) -> EventError:
        return EventError(f"config: '{key}' must be {want}, not {value!r}")

    def number(v: Any) -> bool:
        return isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e9

    if kind == "bool":
        if not isinstance(value, bool):
            raise refuse("true or false")
        return value
    if kind == "tuple[float, ...]":
        if not isinstance(value, list | tuple) or not value or not all(number(v) and v > 0 for v in value):
            raise refuse("a list of positive numbers")
        if check == "positive pair" and len(value) != 2:
            raise refuse("a list of two positive numbers")
        if len(value) > 16:
            raise refuse("a list of at most 16 numbers")
        return tuple(float(v) for v in value)
    if check == "bits":
        if not (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0xFFFFFFFF):
            raise refuse("a whole number from 0 to 4294967295, or null")
        return value
    if check == "window":
        if not (number(value) and 3 <= value <= 99 and value % 2 == 1):
            raise refuse("an odd whole number from 3 to 99, or null")
        return int(value)
    if not number(value) or (kind == "int" and value != int(value)):
        raise refuse("a whole number" if kind == "int" else "a number")
    if value <= 0 or (check == "fraction" and value > 1):
        raise refuse("above 0 and at most 1, or null" if check == "fraction" else "above 0")
    return int(value) if kind == "int" else float(value)


@dataclass(frozen=True)
class Request(event.Request):
    """One validated event."""

    config: Config = field(default=Config(), metadata={"check": _config})
    outputs: tuple[Output, ...] = field(default=(), metadata={"check": _outputs})
