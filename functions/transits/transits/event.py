"""The event, validated: what to search for, and which files to write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast, get_args

from skyfan_contract import quoted
from skyfan_function import event
from skyfan_function.errors import EventError
from skyfan_function.event import choice, refuse_unknown

Output = Literal["preview"]

MOST_DURATIONS = 16


def _setting(default: Any, least: float, most: float, meaning: str) -> Any:
    return field(default=default, metadata={"check": (least, most), "meaning": meaning})


@dataclass(frozen=True)
class Config:
    """What to search for."""

    min_period: float = _setting(0.5, 0.2, 1000, "shortest period, in days")
    max_period: float | None = _setting(
        None,
        0.2,
        1000,
        "longest period, in days; null is half of the light curve, so that two transits are seen",
    )
    durations: tuple[float, ...] = _setting(
        (0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0), 0.1, 48, "durations of boxes, in hours"
    )
    window: float | None = _setting(
        None, 0.1, 30, "windows of the trend, in days; null is three times the longest duration, at least 1"
    )
    min_snr: float = _setting(8.0, 3, 1000, "least signal to noise of a candidate, with red noise")
    max_candidates: int = _setting(3, 1, 20, "most candidates per light curve; each costs another search")

    @property
    def trend_window(self) -> float:
        """Days."""
        return max(1.0, 3 * max(self.durations) / 24) if self.window is None else self.window


def _outputs(value: object) -> tuple[Output, ...]:
    known = get_args(Output)
    if not isinstance(value, list | tuple):
        raise EventError(f"event: 'outputs' must be a list of {', '.join(known)}, not {quoted(value)}")
    return tuple(sorted({cast("Output", choice("outputs", each, known)) for each in value}))


def _config(value: object) -> Config:
    if not isinstance(value, Mapping):
        raise EventError(f"event: 'config' must be an object, not {quoted(value)}")
    known = {f.name: f for f in fields(Config)}
    refuse_unknown("config", value, list(known))
    kept = {k: v for k, v in value.items() if v is not None or known[k].default is not None}
    made = Config(**{k: _checked(k, v, known[k].type, known[k].metadata["check"]) for k, v in kept.items()})
    if made.max_period is not None and made.max_period <= made.min_period:
        raise EventError(
            f"config: 'max_period' must be above 'min_period', {made.min_period:g}, not {made.max_period:g}"
        )
    if made.trend_window < 2 * max(made.durations) / 24:
        raise EventError(
            f"config: 'window' must be at least {2 * max(made.durations) / 24:g} days, "
            f"twice the longest duration, not {made.trend_window:g}: the trend would take the transits"
        )
    return made


def _checked(key: str, value: Any, kind: Any, bounds: tuple[float, float]) -> Any:
    least, most = bounds
    between = f"from {least:g} to {most:g}"

    def number(each: Any) -> bool:
        return isinstance(each, int | float) and not isinstance(each, bool) and least <= each <= most

    def refuse(want: str) -> EventError:
        return EventError(f"config: '{key}' must be {want}, not {quoted(value)}")

    if str(kind).startswith("tuple"):
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= MOST_DURATIONS:
            raise refuse(f"a list of 1 to {MOST_DURATIONS} numbers")
        if not all(number(each) for each in value):
            raise refuse(f"a list of numbers {between}")
        return tuple(sorted({float(each) for each in value}))
    if not number(value) or (kind == "int" and value != int(value)):
        null = ", or null" if "None" in kind else ""
        raise refuse(f"a {'whole ' if kind == 'int' else ''}number {between}{null}")
    return int(value) if kind == "int" else float(value)


@dataclass(frozen=True)
class Request(event.Request):
    """One validated event."""

    config: Config = field(default=Config(), metadata={"check": _config})
    outputs: tuple[Output, ...] = field(default=(), metadata={"check": _outputs})
