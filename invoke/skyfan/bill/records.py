"""Reports in columns, so that a million of them take little memory, and their statistics."""

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from operator import contains
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..runs import digests
from ..storage import uris
from .report_lines import GOOD, NONE, Report

Floats = NDArray[np.float64]
Kind = tuple[str, str]
"""Status and error type."""

NUMBERS = (
    "duration_ms",
    "billed_ms",
    "memory_mb",
    "used_mb",
    "init_ms",
    "restore_ms",
    "billed_restore_ms",
    "time",
)
"""Columns of numbers, named as the fields of Report."""
QUANTILES = {"median": 0.5, "p90": 0.9, "p99": 0.99, "most": 1.0}
_POINTS = 60
_ROWS = 1 << 14
_BATCH = 1 << 11
_DECODER = json.JSONDecoder()
_MOST_SOURCES = 1 << 62
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Results:
    """Images that the function logged as done, each once: (n,) arrays."""

    file: NDArray[np.uint64]
    """Digest of the input's key, sorted."""
    sources: NDArray[np.int64]
    seconds: Floats
    """Processing time of the image; NaN if the line does not have it."""
    requests: NDArray[np.uint64]
    """(m, 2) digests of a request ID and of its image, of the lines that name both."""

    @classmethod
    def of(
        cls, file: ArrayLike, sources: ArrayLike, seconds: ArrayLike, requests: ArrayLike = ()
    ) -> "Results":
        """Keeps the longest processing time of an image that was done twice (retry or second delivery)."""
        files, found, took = np.array(file, np.uint64), np.array(sources, np.int64), np.array(seconds, float)
        order = np.lexsort((-found, -took, files))
        unique, first = np.unique(files[order], return_index=True)
        pairs = np.array(requests, np.uint64).reshape(-1, 2)
        return cls(unique, found[order][first], took[order][first], pairs)


NO_RESULTS = Results.of([], [], [])


class ResultLines:
    """Collects results of images from the lines that SepExtract prints, each an object of JSON."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, Any, Any, Any]] = []
        self._files, self._sources, self._seconds = array("Q"), array("q"), array("d")
        self._requests = array("Q")
        """Digests of request and image, in turn."""

    def add(self, text: str) -> None:
        """Adds the result in a line; other lines are ignored."""
        try:
            result, end = _DECODER.raw_decode(text)
            row = result["input"], result["sources"], result.get("seconds"), result.get("requestId")
        except (ValueError, KeyError, RecursionError):
            return
        if end == len(text) or not text[end:].strip(" \t\r\n"):
            self._rows.append(row)
            if len(self._rows) >= _BATCH:
                self._pack()

    def finish(self) -> Results:
        """All results that were added."""
        self._pack()
        return Results.of(self._files, self._sources, self._seconds, self._requests)

    def _pack(self) -> None:
        """Adds a batch of rows column by column, or row by row if a value is unusual."""
        rows, self._rows = self._rows, []
        if not rows:
            return
        inputs, sources, seconds, requests = zip(*rows, strict=True)
        named = _types(requests)
        if (
            (names := _plain_keys(inputs)) is not None
            and (named == {NoneType} or (named == {str} and "".join(requests).isascii()))
            and _types(seconds) <= {float, NoneType}
            and _types(sources) == {int}
            and min(sources) >= 0
            and max(sources) < _MOST_SOURCES
        ):
            files = digests.each(names).astype(np.uint64)
            self._files.frombytes(files.tobytes())
            self._sources.extend(sources)
            self._seconds.extend([NONE if one is None else one for one in seconds])
            if named == {str}:
                self._requests.frombytes(
                    np.stack([digests.each(requests).astype(np.uint64), files], 1).tobytes()
                )
        else:
            for row in rows:
                self._add_row(*row)

    def _add_row(self, uri: Any, sources: Any, seconds: Any, request: Any) -> None:
        try:
            file, sources = digests.digest(uris.key(uri)), int(sources)
            took = NONE if seconds is None else float(seconds)
        except (ValueError, TypeError, AttributeError, OverflowError, InputError):
            return
        if not 0 <= sources < _MOST_SOURCES:
            return
        if isinstance(request, str) and request.isascii():
            self._requests.extend((digests.digest(request), file))
        self._files.append(file)
        self._sources.append(sources)
        self._seconds.append(took)


def _types(values: Iterable[Any]) -> set[type]:
    return set(map(type, values))


def _plain_keys(inputs: Sequence[Any]) -> list[str] | None:
    """The keys of inputs in a fifth of the time of uris.key(); None unless each is plainly one of S3."""
    if _types(inputs) != {str}:
        return None
    names = [uri[5:] for uri in inputs]
    text, lines = "\n" + "\n".join(inputs), "\n" + "\n".join(names) + "\n"
    is_plain = (
        text.count("\ns3://") == text.count("\n") == len(inputs)
        and "".join(names).isprintable()
        and not any(mark in lines for mark in ("//", "\n/", "/\n", "/.", "\n."))
        and all(map(contains, names, repeat("/")))
    )
    return names if is_plain else None


def id_hashes(ids: NDArray[np.bytes_]) -> NDArray[np.uint64]:
    """64-bit hashes (n,) of request IDs: text takes ten times as long to sort."""
    hashes = np.zeros(len(ids), np.uint64)
    width = -(-max(ids.itemsize, 1) // 8) * 8
    for start in range(0, len(ids), _ROWS):
        words = ids[start : start + _ROWS].astype(f"S{width}").view(np.uint64).reshape(-1, width // 8)
        part = hashes[start : start + _ROWS]
        for column in words.T:
            part ^= column
            part *= _ODD
            part ^= part >> np.uint64(29)
    return hashes


@dataclass(frozen=True)
class Records:
    """Reports in columns of equal length, in no particular order; NaN if a report lacks the field."""

    request_id: NDArray[np.bytes_]
    """Empty for a failed start (INIT_REPORT)."""
    duration_ms: Floats
    billed_ms: Floats
    """Billed Duration of the log."""
    memory_mb: Floats
    used_mb: Floats
    init_ms: Floats
    restore_ms: Floats
    billed_restore_ms: Floats
    time: Floats
    """End of the invocation, Unix seconds."""
    kind: NDArray[np.int32]
    """Index into `kinds`."""
    kinds: tuple[Kind, ...]
    events: int = 0
    """Events read, reports or not."""
    log_bytes: int = 0
    unparsed: int = 0
    """Events that look like reports but cannot be read."""
    examples: tuple[str, ...] = ()
    """The first of those."""
    repeated: int = 0
    """Reports that were read more than once: each is one row."""
    results: Results = NO_RESULTS

    def __len__(self) -> int:
        return len(self.request_id)

    @property
    def invoked(self) -> NDArray[np.bool_]:
        """True for invocations; False for failed starts, which have no Billed Duration."""
        return ~np.isnan(self.billed_ms)

    @property
    def failed(self) -> NDArray[np.bool_]:
        """True for invocations that ended with an error or were killed."""
        return self._of_kinds([status not in GOOD for status, _ in self.kinds])

    @property
    def timed_out(self) -> NDArray[np.bool_]:
        """True for failed invocations that were killed at their time limit."""
        return self._of_kinds([status == "timeout" for status, _ in self.kinds])

    def _of_kinds(self, chosen: list[bool]) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = np.array(chosen, np.bool_)[self.kind] & self.invoked
        return mask

    def requests(self, which: NDArray[np.bool_]) -> int:
        """Number of different request IDs among some reports."""
        hashes = np.sort(id_hashes(self.request_id[which]))
        return int((hashes[1:] != hashes[:-1]).sum()) + bool(len(hashes))

    def images(self) -> NDArray[np.uint64]:
        """Digest of the image of each report (n,); 0 if the log does not tell, or for a batch."""
        known = self.results.requests[np.argsort(self.results.requests[:, 0], kind="stable")]
        if not len(known):
            return np.zeros(len(self), np.uint64)
        wanted = digests.each(request.decode() for request in self.request_id.tolist())
        at = np.minimum(np.searchsorted(known[:, 0], wanted), len(known) - 1)
        return np.where(known[at, 0] == wanted, known[at, 1], np.uint64(0))

    def __add__(self, other: "Records") -> "Records":
        kinds = tuple(dict.fromkeys([*self.kinds, *other.kinds]))
        codes = np.array([kinds.index(kind) for kind in other.kinds], np.int32)
        names = ("request_id", *NUMBERS)
        return Records(
            **{name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in names},
            kind=np.concatenate([self.kind, codes[other.kind] if len(codes) else other.kind]),
            kinds=kinds,
            events=self.events + other.events,
            log_bytes=self.log_bytes + other.log_bytes,
            unparsed=self.unparsed + other.unparsed,
            examples=(*self.examples, *other.examples),
            repeated=self.repeated + other.repeated,
            results=Results.of(
                np.concatenate([self.results.file, other.results.file]),
                np.concatenate([self.results.sources, other.results.sources]),
                np.concatenate([self.results.seconds, other.results.seconds]),
                np.concatenate([self.results.requests, other.results.requests]),
            ),
        )

    def select(self, which: NDArray[Any], log_bytes: int | None = None) -> "Records":
        """Some reports, by mask or index, with the same results and counts, and `log_bytes` if not None."""
        names = ("request_id", *NUMBERS, "kind")
        columns = {name: getattr(self, name)[which] for name in names}
        return replace(self, **columns, log_bytes=self.log_bytes if log_bytes is None else log_bytes)

    def reports(self) -> Iterator[Report]:
        """The reports one by one, for tables and tests."""
        for row in range(len(self)):
            number = {name: float(getattr(self, name)[row]) for name in NUMBERS}
            memory, used = int(number.pop("memory_mb")), int(number.pop("used_mb"))
            status, error_type = self.kinds[self.kind[row]]
            yield Report(
                request_id=self.request_id[row].decode(),
                memory_mb=memory,
                used_mb=used,
                status=status,
                error_type=error_type,
                **number,
            )


@dataclass(frozen=True)
class Concurrency:
    """How many invocations ran at once."""

    peak: int
    began: float
    """Unix seconds; `ended` too."""
    ended: float
    points: list[tuple[float, float]]
    """Seconds since `began`, and the mean number of running invocations from there to the next point."""


def concurrency(records: Records) -> Concurrency | None:
    """How many invocations ran at once, cold starts included; None if no report has a time."""
    known = ~np.isnan(records.time) & records.invoked
    if not known.any():
        return None
    ends = records.time[known]
    starts = ends - (records.duration_ms + np.nan_to_num(records.init_ms))[known] / 1000
    starts.sort()
    ends.sort()
    # At each start: the number of starts so far less the number of ends.
    peak = int((np.arange(1, len(starts) + 1) - np.searchsorted(ends, starts, "right")).max())
    began, ended = float(starts[0]), float(ends[-1])
    edges = np.linspace(began, ended, _POINTS + 1)
    busy = np.diff(busy_until(edges, starts) - busy_until(edges, ends))
    width = (ended - began) / _POINTS
    running = busy / width if width > 0 else np.full(_POINTS, float(len(starts)))
    points = [(float(edge - began), float(value)) for edge, value in zip(edges, running, strict=False)]
    return Concurrency(max(peak, 1), began, ended, points)


def percentiles(values: Floats) -> dict[str, float]:
    """The QUANTILES of the values that are not NaN; empty if there are none."""
    known = values[~np.isnan(values)]
    if not len(known):
        return {}
    found = np.quantile(known, list(QUANTILES.values()))
    return dict(zip(QUANTILES, map(float, found), strict=True))


def busy_until(edges: Floats, moments: Floats) -> Floats:
    """(n,) sum over sorted moments before each edge of edge - moment: the integral of their count."""
    offset = moments[0]
    total = np.concatenate([[0.0], np.cumsum(moments - offset)])
    count = np.searchsorted(moments, edges)
    integral: Floats = count * (edges - offset) - total[count]
    return integral
