"""Memory and open files of processes through a soak, and whether they stay flat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import psutil

MB = 1 << 20
_FEWEST = 20
"""Samples of a process below which its halves say nothing."""
_WARM_UP = 0.2
"""The share of a process's samples, the first, in which it still loads what it needs."""
_MORE = {"MB of memory": 6.0, "open files": 2.0}
"""What the median of the second half may have more than that of the first; a leak has it with each image."""


@dataclass(frozen=True)
class Trend:
    """One quantity of the process of its kind that saw the most images, once it had warmed up."""

    images: int
    halves: tuple[float, float]
    """Medians of the first and the second half of its samples."""
    highest: float
    slope: float
    """Of a straight line, per 1,000 images."""

    def text(self, name: str) -> str:
        first, second = self.halves
        return f"{name:34}{self.images:8,}{first:12.1f}{second:13.1f}{self.highest:10.1f}{self.slope:+13.3f}"


HEAD = f"{'':34}{'images':>8}{'first half':>12}{'second half':>13}{'highest':>10}{'per 1,000':>13}"


@dataclass
class Series:
    """Samples of one kind of process while it processes images."""

    kind: str
    samples: dict[int, list[tuple[int, float, int]]] = field(default_factory=lambda: defaultdict(list))
    """By pid: images done in the whole run, MB, open files."""

    def add(self, done: int, process: psutil.Process) -> None:
        """Takes a sample, unless the process is gone."""
        try:
            sample = done, process.memory_info().rss / MB, process.num_fds()
        except psutil.Error:
            return
        self.samples[process.pid].append(sample)

    def trends(self) -> Iterator[tuple[str, Trend, bool]]:
        """Name, trend and whether it is flat; nothing if no process lived long enough."""
        longest = max(self.samples.values(), key=lambda rows: rows[-1][0] - rows[0][0], default=[])
        rows = np.array(longest[int(len(longest) * _WARM_UP) :], float)
        if len(rows) < _FEWEST:
            return
        done = rows[:, 0]
        for column, (name, more) in enumerate(_MORE.items(), 1):
            value = rows[:, column]
            first, second = (float(np.median(half)) for half in np.array_split(value, 2))
            slope = float(np.polyfit(done, value, 1)[0]) * 1000 if np.ptp(done) else 0.0
            trend = Trend(int(np.ptp(done)), (first, second), float(value.max()), slope)
            yield f"{self.kind}, {name}", trend, second - first <= more
