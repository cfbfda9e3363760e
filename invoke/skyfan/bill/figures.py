"""What records tell beside money: failures by kind, percentiles, and how many ran at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .records import Records
from .reports import GOOD

QUANTILES = {"median": 0.5, "p90": 0.9, "p99": 0.99, "most": 1.0}
_POINTS = 60


@dataclass(frozen=True)
class Concurrency:
    """How many invocations ran at once."""

    peak: int
    began: float
    """Unix seconds; `ended` too."""
    ended: float
    points: list[tuple[float, float]]
    """Seconds since `began`, and how many ran on average from there to the next point."""


def failed(records: Records) -> NDArray[np.bool_]:
    """True for invocations that ended in an error or were killed; failed starts are none of them."""
    bad = np.array([status not in GOOD for status, _ in records.kinds], np.bool_)
    found: NDArray[np.bool_] = bad[records.kind] & records.invoked
    return found


def timed_out(records: Records) -> NDArray[np.bool_]:
    """True for those of the failed that were killed at their time limit."""
    late = np.array([status == "timeout" for status, _ in records.kinds], np.bool_)
    found: NDArray[np.bool_] = late[records.kind] & records.invoked
    return found


def name(kind: tuple[str, str]) -> str:
    """A failure's kind in a word: its error type, else its status."""
    status, error_type = kind
    return error_type or status


def percentiles(values: NDArray[np.float64]) -> dict[str, float]:
    """Median, 90th, 99th percentile and maximum of what is not NaN; empty where nothing is."""
    known = values[~np.isnan(values)]
    if not len(known):
        return {}
    found = np.quantile(known, list(QUANTILES.values()))
    return dict(zip(QUANTILES, map(float, found), strict=True))


def concurrency(records: Records) -> Concurrency | None:
    """How many invocations ran at once, INIT included, None where no report has a time."""
    known = ~np.isnan(records.time) & records.invoked
    if not known.any():
        return None
    ends = records.time[known]
    starts = ends - (records.duration_ms + np.nan_to_num(records.init_ms))[known] / 1000
    starts.sort()
    ends.sort()
    # At each start: those that have begun less those that have ended.
    peak = int((np.arange(1, len(starts) + 1) - np.searchsorted(ends, starts, "right")).max())
    began, ended = float(starts[0]), float(ends[-1])
    edges = np.linspace(began, ended, _POINTS + 1)
    busy = np.diff(_busy_until(edges, starts) - _busy_until(edges, ends))
    width = (ended - began) / _POINTS
    running = busy / width if width > 0 else np.full(_POINTS, float(len(starts)))
    points = [(float(edge - began), float(value)) for edge, value in zip(edges, running, strict=False)]
    return Concurrency(max(peak, 1), began, ended, points)


def _busy_until(edges: NDArray[np.float64], moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) sum over sorted moments before each edge of edge - moment: the integral of their count."""
    offset = moments[0]
    total = np.concatenate([[0.0], np.cumsum(moments - offset)])
    count = np.searchsorted(moments, edges)
    found: NDArray[np.float64] = count * (edges - offset) - total[count]
    return found
