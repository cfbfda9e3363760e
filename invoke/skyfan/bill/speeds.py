"""How long images take, and what else they need: as measured for skyfan, or in a past run."""

import tomllib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import formatting

Array = NDArray[np.float64]
Range = tuple[float, float]
OWN = Path(__file__).with_name("speeds.toml")
ONE_CPU_MB = 1769
"""The memory size at which Lambda gives one CPU."""
# Sizes of files of one kind differ by less than this share.
_ALIKE = 0.1


def cpus(memory_mb: float) -> float:
    """The share of a CPU that one thread gets, at most 1."""
    return min(1.0, memory_mb / ONE_CPU_MB)


@dataclass(frozen=True)
class Speeds:
    """Times of images by kind and by size, and what else they take; ranges are minimum and maximum."""

    origin: str
    """Where the figures come from, in words."""
    kinds: Mapping[str, list[tuple[float, int]]]
    """Kinds that were measured: size in bytes and row of `known`, by what kind_of() takes of a name."""
    names: tuple[str, ...]
    """Their names (k,), for people."""
    known: Array
    """(k, 5): the seconds for which an image waits for S3, in the shortest and in the longest case, those
    that it computes at one CPU in these, and the requests to read it.
    """
    sizes: Array
    """(n,) bytes, increasing."""
    few: Array
    """(n,) CPU seconds of an image with few sources, never decreasing."""
    many: Array
    """The same with many sources."""
    start: Range
    """CPU seconds of a cold start."""
    waits: Range
    """Seconds for which an image waits for S3, besides the transfer of its bytes."""
    network: float
    """Bytes per second."""
    read_share: Range
    """Bytes read by bytes of the file."""
    gets: Range
    """Requests per file, besides one per `bytes_per_get`."""
    bytes_per_get: Range
    log_bytes: Range
    """Lambda's own lines, per invocation."""
    image_log_bytes: Range
    """The handler's line, per image."""
    failing: Range
    """Share of files that fail in all three attempts."""
    doubtful: Range
    """Share of images whose results are marked as doubtful."""
    spread: float
    """By how much images of a kind that was measured may differ from those in computing, as a share."""

    def kind_of(self, uri: str, size: float | None) -> int:
        """The row in `known` of a file, by its name and size; -1 if its kind was not measured.

        The name of a product has nine characters for the exposure, the first for the instrument: i is WFC3.
        """
        name = uri[uri.rfind("/") + 1 :].lower()
        for usual, kind in self.kinds.get(name[:1] + name[9:], ()):
            if size is not None and abs(size / usual - 1) < _ALIKE:
                return kind
        return -1

    def seconds(
        self, sizes: ArrayLike, memory_mb: float, kinds: ArrayLike | None = None
    ) -> tuple[Array, Array]:
        """Minimum and maximum duration (n,) in s of a warm invocation for files of `sizes` (n,) bytes.

        `kinds` (n,) are those of kind_of(). Without them, the range is that of images of any kind.
        """
        size = np.asarray(sizes, np.float64)
        share, read = cpus(memory_mb), size / self.network
        low = self.waits[0] + _along(size, self.sizes, self.few) / share + read * self.read_share[0]
        high = self.waits[1] + _along(size, self.sizes, self.many) / share + read * self.read_share[1]
        if kinds is not None:
            where, known = self._known(kinds)
            low[where] = known[:, 0] + known[:, 2] / share
            high[where] = known[:, 1] + known[:, 3] / share
        return low, high

    def requests(self, sizes: ArrayLike, kinds: ArrayLike | None = None) -> tuple[Array, Array]:
        """Minimum and maximum number (n,) of S3 requests to read files of `sizes` (n,) bytes."""
        size = np.asarray(sizes, np.float64)
        low = self.gets[0] + size / self.bytes_per_get[0]
        high = self.gets[1] + size / self.bytes_per_get[1]
        if kinds is not None:
            where, known = self._known(kinds)
            low[where] = high[where] = known[:, 4]
        return low, high

    def _known(self, kinds: ArrayLike) -> tuple[NDArray[np.intp], Array]:
        """Which files are of a known kind, and their rows of `known`."""
        rows = np.asarray(kinds, np.intp)
        where = np.flatnonzero(rows >= 0)
        return where, self.known[rows[where]]


def measured(file: Path = OWN) -> Speeds:
    """The figures that ship with skyfan."""
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    kinds: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
    known, less, more = [], 1 - table["spread"], 1 + table["spread"]
    for number, row in enumerate(table["images"]):
        for name in row["names"]:
            kinds[name].append((row["bytes"], number))
        low, high = row["computes"]
        known.append((*row["waits"], low * less, high * more, row["gets"]))
    others, each = table["others"], table["each"]
    return Speeds(
        origin=f"images measured on {table['measured']}, not in Lambda",
        kinds=kinds,
        names=tuple(row["kind"] for row in table["images"]),
        known=np.array(known),
        spread=table["spread"],
        sizes=np.array(others["bytes"]),
        few=np.maximum.accumulate(others["few"]),
        many=np.maximum.accumulate(others["many"]),
        network=others["network_mb_s"] * 1e6,
        **{name: tuple(others[name]) for name in ("waits", "read_share", "gets", "bytes_per_get")},
        **{
            name: tuple(each[name])
            for name in ("start", "log_bytes", "image_log_bytes", "failing", "doubtful")
        },
    )


def past(sizes: ArrayLike, seconds: ArrayLike, memory_mb: float, run: str) -> Speeds:
    """Speeds of a past run, from (n,) sizes of files in bytes and (n,) durations of their invocations.

    Files form six groups by size; the range in each is from the 10th to the 90th percentile. Raises
    ValueError if there are no files.
    """
    size, cpu = np.asarray(sizes, np.float64), np.asarray(seconds, np.float64) * cpus(memory_mb)
    if not len(size):
        raise ValueError("no file of the past run has a known size and duration")
    order = np.argsort(size, kind="stable")
    groups = [group for group in np.array_split(order, 6) if len(group)]
    middle = np.array([np.median(size[group]) for group in groups])
    low, high = (np.array([np.quantile(cpu[group], q) for group in groups]) for q in (0.1, 0.9))
    middle, first = np.unique(middle, return_index=True)
    table = measured()
    return replace(
        table,
        origin=f"{formatting.count(len(size))} of the run {run}, at {memory_mb:.0f} MB",
        sizes=np.maximum(middle, 1.0),
        few=np.maximum.accumulate(low[first]),
        many=np.maximum.accumulate(high[first]),
        kinds={},
        names=(),
        known=np.empty((0, 5)),
        waits=(0.0, 0.0),  # durations of a run include reading
        read_share=(0.0, 0.0),
    )


def _along(size: Array, sizes: Array, seconds: Array) -> Array:
    """Linear between logarithms; constant below the smallest size, proportional above the largest."""
    inside = np.exp(np.interp(np.log(np.maximum(size, 1.0)), np.log(sizes), np.log(seconds)))
    found: Array = inside * np.maximum(1.0, size / sizes[-1])
    return found
