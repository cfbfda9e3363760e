"""How long a file takes: from the measured table of speeds.toml, or from what a past run took."""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Range = tuple[float, float]
OWN = Path(__file__).with_name("speeds.toml")
ONE_CPU_MB = 1769
"""The memory size at which Lambda gives one CPU."""


def cpus(memory_mb: float) -> float:
    """The share of a CPU that one thread gets, 1 at most."""
    return min(1.0, memory_mb / ONE_CPU_MB)


@dataclass(frozen=True)
class Speeds:
    """CPU seconds at one CPU by size of file and what else an image takes, each least and most."""

    origin: str
    """Where it comes from, for people."""
    sizes: Array
    """(n,) bytes, rising."""
    few: Array
    """(n,) seconds, never falling."""
    many: Array
    start: Range
    """CPU seconds of the start of an environment."""
    network: float
    """Bytes a second."""
    read_share: Range
    gets: Range
    """Requests to open and read one file, and those for its bytes: one a `bytes_a_get`."""
    bytes_a_get: Range
    log_bytes: Range
    failing: Range
    """Share of the files that fail and are tried three times."""

    def seconds(self, sizes: ArrayLike, memory_mb: float) -> tuple[Array, Array]:
        """Seconds of a warm invocation for files of `sizes` bytes: (n,) least, (n,) most."""
        size = np.asarray(sizes, np.float64)
        share, read = cpus(memory_mb), size / self.network
        return (
            _along(size, self.sizes, self.few) / share + read * self.read_share[0],
            _along(size, self.sizes, self.many) / share + read * self.read_share[1],
        )

    def requests(self, sizes: ArrayLike) -> tuple[Array, Array]:
        """S3 requests to read files of `sizes` bytes."""
        size = np.asarray(sizes, np.float64)
        return self.gets[0] + size / self.bytes_a_get[0], self.gets[1] + size / self.bytes_a_get[1]


def measured(file: Path = OWN) -> Speeds:
    """The table that came with skyfan."""
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    return Speeds(
        origin=f"images measured on {table['measured']}, not in Lambda",
        sizes=np.array(table["bytes"]),
        few=np.maximum.accumulate(table["few"]),
        many=np.maximum.accumulate(table["many"]),
        start=tuple(table["start"]),
        network=table["network_mb_s"] * 1e6,
        read_share=tuple(table["read_share"]),
        gets=tuple(table["gets"]),
        bytes_a_get=tuple(table["bytes_a_get"]),
        log_bytes=tuple(table["log_bytes"]),
        failing=tuple(table["failing"]),
    )


def past(sizes: ArrayLike, seconds: ArrayLike, memory_mb: float, run: str) -> Speeds:
    """What a past run tells: (n,) bytes of files and (n,) seconds of the invocations that did them.

    Files are put into six groups of like size; the range goes from the 10th percentile of each to the 90th.
    Raises ValueError where there are none.
    """
    size, cpu = np.asarray(sizes, np.float64), np.asarray(seconds, np.float64) * cpus(memory_mb)
    if not len(size):
        raise ValueError("no file of the past run is known by size and duration")
    order = np.argsort(size, kind="stable")
    groups = [group for group in np.array_split(order, 6) if len(group)]
    middle = np.array([np.median(size[group]) for group in groups])
    low, high = (np.array([np.quantile(cpu[group], q) for group in groups]) for q in (0.1, 0.9))
    middle, first = np.unique(middle, return_index=True)
    table = measured()
    return replace(
        table,
        origin=f"{len(size)} files of the run {run}, at {memory_mb:.0f} MB",
        sizes=np.maximum(middle, 1.0),
        few=np.maximum.accumulate(low[first]),
        many=np.maximum.accumulate(high[first]),
        read_share=(0.0, 0.0),  # the durations hold the reading
    )


def _along(size: Array, sizes: Array, seconds: Array) -> Array:
    """Straight lines between the logarithms; the end values below, in proportion to the size beyond."""
    inside = np.exp(np.interp(np.log(np.maximum(size, 1.0)), np.log(sizes), np.log(seconds)))
    found: Array = inside * np.maximum(1.0, size / sizes[-1])
    return found
