"""When a run was started, when its files were sent, and when their results came."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

PAUSE_S = 900.0
"""Nothing runs when no result came for longer than this, the time that Lambda lets an invocation run."""


@dataclass(frozen=True)
class Times:
    """Unix seconds; None if there was no such event."""

    started: float
    first_sent: float | None
    last_sent: float | None
    first_done: float | None
    last_done: float | None
    worked_s: float = 0.0
    """Seconds from the first receipt, or else the start, to the last result, without pauses."""

    @classmethod
    def of(cls, started: float, sent: NDArray[np.float64], done: NDArray[np.float64]) -> Self:
        """The times of a run whose files were sent and done at these Unix times, in any order."""
        first, last = _extremes(sent)
        gaps = np.diff(np.sort(done), prepend=started if first is None else first)
        worked = float(gaps[(gaps > 0) & (gaps <= PAUSE_S)].sum())
        return cls(started, first, last, *_extremes(done), worked)


def _extremes(times: NDArray[np.float64]) -> tuple[float | None, float | None]:
    return (float(times.min()), float(times.max())) if len(times) else (None, None)
