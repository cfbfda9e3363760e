"""The event, validated: how to extract, and which files to write."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self, cast, get_args

from skyfan_contract import quoted
from skyfan_function import event
from skyfan_function.errors import EventError
from skyfan_function.event import choice, refuse_unknown

Check = Literal["segmentation", "background", "background_rms", "residual"]
Output = Literal["parquet", "preview", Check, "completeness"]
CHECKS: tuple[Check, ...] = get_args(Check)
"""Outputs that are images of each chip."""

DIRECT, DISPERSED = "direct images", "grisms and prisms"
# The first splits 98 % of bright stars from the galaxies of Abell 2744, and 92 % in 47 Tuc; it would tear the
# traces of a grism into pieces, which SExtractor's does not (benchmarks/science).
CONTRASTS = {DIRECT: 0.0005, DISPERSED: 0.005}

MAX_APERTURES = 16
_RANGE = re.compile(r"([0-9]{1,9}):([0-9]{1,9})")


def _setting(default: Any, check: str | tuple[float, float], meaning: str) -> Any:
    """A setting; ``check`` is the least and the greatest value, outside of which sep fails, or a word."""
    return field(default=default, metadata={"check": check, "meaning": meaning})


@dataclass(frozen=True)
class Config:
    """How to extract: SExtractor's keywords in lower case, with its defaults where it has one."""

    detect_thresh: float = _setting(1.5, (0.01, 1e6), "detection threshold above the background, in sigma")
    detect_minarea: int = _setting(5, (1, 1_000_000), "least number of connected pixels above the threshold")
    filter: bool = _setting(True, "", "smooth with SExtractor's 3 x 3 pyramid kernel before detection")
    back_size: int = _setting(64, (4, 100_000), "background mesh, in pixels")
    back_filtersize: int = _setting(3, (1, 99), "median filter over the background meshes, in meshes")
    deblend_nthresh: int = _setting(32, (1, 1024), "number of deblending levels")
    deblend_mincont: float | None = _setting(
        None,
        (1e-9, 1),
        "least contrast of a deblended component; 1 is none; null takes "
        + ", ".join(f"{contrast:g} for {kind}" for kind, contrast in CONTRASTS.items()),
    )
    deblend_seconds: float = _setting(
        20.0, (1e-6, 900), "limit of one try at detection and deblending, in seconds of CPU time"
    )
    clean: bool = _setting(True, "", "remove detections that a brighter neighbour's wing explains")
    clean_param: float = _setting(1.0, (0.01, 100), "cleaning efficiency (Moffat slope)")
    phot_autoparams: tuple[float, ...] = _setting(
        (2.5, 3.5), (0.01, 100), "Kron factor and least Kron radius of FLUX_AUTO"
    )
    phot_apertures: tuple[float, ...] = _setting(
        (0.3, 0.5, 0.8, 1.5), (0.001, 1000), "diameters of the FLUX_APER apertures, in arcsec"
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
    frames: str | None = _setting(
        None,
        "range",
        "frames of a target pixel file or cut-out to use, as in Python: '100:200' are 100 to 199, counted "
        "from 0; null is all",
    )
    stack: int | None = _setting(
        None,
        (1, 10_000_000),
        "number of these frames in each stacked image, the last may have fewer; null is one stack of all",
    )

    @property
    def contrast(self) -> float:
        """deblend_mincont, of direct images where it is not set."""
        return CONTRASTS[DIRECT] if self.deblend_mincont is None else self.deblend_mincont

    def digest(self) -> str:
        """SHA-256 of the canonical JSON of all settings, first 16 hexadecimal digits."""
        return hashlib.sha256(self.json().encode()).hexdigest()[:16]

    def json(self) -> str:
        """All settings as JSON with sorted keys; newer ones only where they are set, as in older catalogs."""
        settings = asdict(self)
        for name in ("faint_size", "frames", "stack"):
            if settings[name] is None:
                del settings[name]
        return _canonical(settings)

    def changed(self) -> str:
        """The settings that differ from their defaults, as JSON with sorted keys."""
        defaults = {f.name: f.default for f in fields(self)}
        return _canonical({key: value for key, value in asdict(self).items() if value != defaults[key]})


def _canonical(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True, separators=(",", ":"))


def _outputs(value: object) -> tuple[Output, ...]:
    if not isinstance(value, list | tuple):
        raise EventError(
            f"event: 'outputs' must be a list of {', '.join(get_args(Output))}, not {quoted(value)}"
        )
    return tuple(sorted({cast("Output", choice("outputs", v, get_args(Output))) for v in value}))


def _config(value: object) -> Config:
    if not isinstance(value, Mapping):
        raise EventError(f"event: 'config' must be an object, not {quoted(value)}")
    known = {f.name: f for f in fields(Config)}
    refuse_unknown("config", value, list(known))
    kept = {k: v for k, v in value.items() if v is not None or known[k].default is not None}
    return Config(**{k: _checked(k, v, known[k].type, known[k].metadata["check"]) for k, v in kept.items()})


def _checked(key: str, value: Any, kind: Any, check: Any) -> Any:
    def refuse(want: str) -> EventError:
        return EventError(f"config: '{key}' must be {want}, not {quoted(value)}")

    def number(v: Any, least: float, most: float) -> bool:
        return isinstance(v, int | float) and not isinstance(v, bool) and least <= v <= most

    if kind == "bool":
        if not isinstance(value, bool):
            raise refuse("true or false")
        return value
    if check == "bits":
        if not (isinstance(value, int) and number(value, 0, 0xFFFFFFFF)):
            raise refuse("a whole number from 0 to 4294967295, or null")
        return value
    if check == "range":
        match = _RANGE.fullmatch(value) if isinstance(value, str) else None
        if not match or int(match[1]) >= int(match[2]):
            raise refuse("a range such as '100:200' whose end is above its start, or null")
        return value
    if check == "window":
        if not (number(value, 3, 99) and value % 2 == 1):
            raise refuse("an odd whole number from 3 to 99, or null")
        return int(value)
    least, most = check
    bounds = f"from {least:.7g} to {most:.7g}"
    if kind == "tuple[float, ...]":
        fewest, greatest = (2, 2) if key == "phot_autoparams" else (1, MAX_APERTURES)
        if not isinstance(value, list | tuple) or not fewest <= len(value) <= greatest:
            raise refuse(f"a list of {fewest if fewest == greatest else f'1 to {greatest}'} numbers")
        if not all(number(v, least, most) for v in value):
            raise refuse(f"a list of numbers {bounds}")
        return tuple(float(v) for v in value)
    if not number(value, least, most) or (kind.startswith("int") and value != int(value)):
        null = ", or null" if "None" in kind else ""
        raise refuse(f"a {'whole ' if kind.startswith('int') else ''}number {bounds}{null}")
    return int(value) if kind.startswith("int") else float(value)


def _detect(value: object) -> str | None:
    return None if value is None else event.checked_input("detect", value)


@dataclass(frozen=True)
class Request(event.Request):
    """One validated event."""

    config: Config = field(default=Config(), metadata={"check": _config})
    outputs: tuple[Output, ...] = field(default=(), metadata={"check": _outputs})
    detect: str | None = field(default=None, metadata={"check": _detect})
    """The image on which sources are detected and apertures defined, instead of the input."""

    @property
    def others(self) -> tuple[str, ...]:
        """The detection image, if it is another than the input."""
        return () if self.detect in (None, self.input) else (str(self.detect),)

    @classmethod
    def parse(cls, event: object) -> Self:
        """As of every function. Raises EventError also for settings that do not go together."""
        request = super().parse(event)
        if request.others and request.config.faint_size is not None:
            raise EventError("event: 'detect' and the setting 'faint_size' do not go together: leave one out")
        if request.others and "completeness" in request.outputs:
            raise EventError(
                "event: 'detect' and the output 'completeness' do not go together: leave one out"
            )
        return request
