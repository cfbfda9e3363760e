"""The event: what is asked of one invocation, validated."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from .errors import EventError
from .storage import key_of

Access = Literal["anonymous", "signed", "requester-pays"]
Output = Literal["parquet", "preview"]
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


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
    deblend_mincont: float = _setting(0.005, "fraction", "least contrast of a deblended component; 1 is none")
    deblend_seconds: float = _setting(20.0, "positive", "time limit of one try at detection and deblending")
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

    def digest(self) -> str:
        """SHA-256 of the canonical JSON of all settings, first 16 hexadecimal digits."""
        return hashlib.sha256(self.json().encode()).hexdigest()[:16]

    def json(self) -> str:
        """All settings as JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class Request:
    """One validated event."""

    input: str
    run: str = "default"
    access: Access = "anonymous"
    config: Config = field(default_factory=Config)
    outputs: tuple[Output, ...] = ()


def parse(event: object) -> Request:
    """Turn a Lambda event into a Request.

    Raises EventError for a wrong type, a missing or unknown key, or a value out of range; the message names
    the key.
    """
    if not isinstance(event, Mapping):
        raise EventError(
            f"the event must be a JSON object such as {{'input': 's3://…'}}, not {type(event).__name__}"
        )
    _refuse_unknown("event", event, [f.name for f in fields(Request)])
    if "input" not in event:
        raise EventError("event: 'input' is missing; give the image as s3://bucket/key or file:///path")
    return Request(
        input=_input(event["input"]),
        run=_run(event.get("run", "default")),
        access=_choice("access", event.get("access", "anonymous"), get_args(Access)),
        config=_config(event.get("config", {})),
        outputs=_outputs(event.get("outputs", [])),
    )


def _refuse_unknown(where: str, given: Mapping[Any, Any], known: list[str]) -> None:
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys are {', '.join(known)}"
            raise EventError(f"{where}: unknown key '{key}'; {hint}")


def _input(value: object) -> str:
    if not isinstance(value, str) or not re.match(r"s3://[^/]+/.|file:///.", value):
        raise EventError(f"event: 'input' must be s3://bucket/key or file:///absolute/path, not {value!r}")
    if {"", ".", ".."} & set(key_of(value).split("/")):
        raise EventError(
            f"event: 'input' has an empty, '.' or '..' part, which no output can mirror: {value!r}"
        )
    return value


def _run(value: object) -> str:
    if not isinstance(value, str) or not _RUN.fullmatch(value):
        raise EventError(
            "event: 'run' must be 1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit, "
            f"not {value!r}"
        )
    return value


def _choice(key: str, value: object, known: tuple[str, ...]) -> Any:
    if value not in known:
        raise EventError(f"event: '{key}' must be one of {', '.join(known)}, not {value!r}")
    return value


def _outputs(value: object) -> tuple[Output, ...]:
    if not isinstance(value, list | tuple):
        raise EventError(f"event: 'outputs' must be a list of {', '.join(get_args(Output))}, not {value!r}")
    return tuple(sorted({_choice("outputs", v, get_args(Output)) for v in value}))


def _config(value: object) -> Config:
    if not isinstance(value, Mapping):
        raise EventError(f"event: 'config' must be an object, not {value!r}")
    known = {f.name: f for f in fields(Config)}
    _refuse_unknown("config", value, list(known))
    return Config(**{k: _checked(k, v, known[k].type, known[k].metadata["check"]) for k, v in value.items()})


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
        if value is not None and not (
            isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0xFFFF
        ):
            raise refuse("a whole number from 0 to 65535, or null")
        return value
    if not number(value) or (kind == "int" and value != int(value)):
        raise refuse("a whole number" if kind == "int" else "a number")
    if value <= 0 or (check == "fraction" and value > 1):
        raise refuse("above 0 and at most 1" if check == "fraction" else "above 0")
    return int(value) if kind == "int" else float(value)
