"""Memory and open files of processes through a soak."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import psutil

_SETTLED_S = 5.0
"""A process has loaded everything by then."""
MB = 1 << 20


@dataclass
class Series:
    """Samples of one kind of process: each is (images done, pid, MB, open files)."""

    samples: list[tuple[int, int, float, int]] = field(default_factory=list)

    def add(self, done: int, process: psutil.Process, age_s: float) -> None:
        """Takes a sample, unless the process is young or gone."""
        if age_s < _SETTLED_S:
            return
        try:
            sample = done, process.pid, process.memory_info().rss / MB, process.num_fds()
        except psutil.Error:
            return
        self.samples.append(sample)

    def row(self, column: int) -> tuple[float, float, float, float]:
        """First, median and last of MB (2) or files (3), and growth within a process per 1,000 images."""
        values = np.array([sample[column] for sample in self.samples], float)
        if not len(values):
            return (float("nan"),) * 4
        return values[0], float(np.median(values)), values[-1], self._growth(column)

    def _growth(self, column: int) -> float:
        # Each process about its own mean: that another one is smaller says nothing about a leak.
        processes: dict[int, list[tuple[int, float]]] = defaultdict(list)
        for sample in self.samples:
            processes[sample[1]].append((sample[0], sample[column]))
        centred = [np.array(rows) - np.mean(rows, axis=0) for rows in processes.values()]
        done, value = np.concatenate(centred).T
        return float(1000 * (done @ value) / (done @ done)) if done.any() else 0.0


def table(rows: dict[str, tuple[float, float, float, float]]) -> str:
    """The rows as text."""
    head = f"{'':34}{'first':>9}{'median':>9}{'last':>9}  growth per 1,000 images"
    return "\n".join(
        [head, *(f"{name:34}{a:9.1f}{b:9.1f}{c:9.1f}  {d:+.3f}" for name, (a, b, c, d) in rows.items())]
    )
