"""Pages of events -> records, however they are split and ordered."""

import json
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..runs.digests import digest
from ..uris import key
from .lines import Event
from .records import NUMBERS, Floats, Kind, Records, Results
from .reports import NONE, UNSTATED, USUAL, USUAL_JSON, Report, UnparsedError, parse, seconds

TIMED_OUT: Kind = ("timeout", "")
OUT_OF_MEMORY: Kind = ("error", "Runtime.OutOfMemory")
_BATCH = 1 << 11  # more would not fit the cache
_EXAMPLES = 5
_TIMED_OUT = re.compile(r"([!-~]+) Task timed out after (\d+(?:\.\d+)?) seconds")
_KILLED = re.compile(r"([!-~]+) (?:Error: )?Runtime exited with error: signal: killed")


class Collector:
    """Takes events page by page, and gives the same records however they were split and ordered."""

    def __init__(self, run: str | None = None) -> None:
        """`run` takes the handlers' results of that run alone, where a log group holds several."""
        self._mark = "" if run is None else f'"run": {json.dumps(run)}'
        self.events = self.log_bytes = self.unparsed = 0
        self._examples: list[str] = []
        self._usual: list[tuple[Any, ...]] = []
        self._times: list[float] = []
        self._stamps: list[str] = []
        self._others: list[Report] = []
        self._chunks: list[list[NDArray[Any]]] = []
        self._kinds: dict[Kind, int] = {}
        self._timed_out: dict[str, list[float]] = defaultdict(list)
        self._killed: Counter[str] = Counter()
        self._files, self._sources, self._seconds = array("Q"), array("q"), array("d")

    def add(self, events: Iterable[Event]) -> None:
        """Reads the events of one page or file."""
        count = size = 0
        match, match_json, usual = USUAL.match, USUAL_JSON.match, self._usual
        times, stamps = self._times, self._stamps
        for text, time in events:
            count += 1
            size += len(text) if text.isascii() else len(text.encode(errors="replace"))
            if text[:1] == "{":
                if not (found := match_json(text)):
                    self._read(text, time)
                    continue
                stamp, request, before, took, billed, size_mb, used, init, after, kind = found.groups()
                usual.append((request, took, billed, size_mb, used, init, before or after, kind, None))
                times.append(time)
                stamps.append(stamp)
            elif found := match(text):
                usual.append(found.groups())
                times.append(time)
                stamps.append("")
            else:
                self._read(text, time)
            if len(usual) >= _BATCH:
                self._pack_usual()
        self.events += count
        self.log_bytes += size

    def finish(self) -> Records:
        """All that was added."""
        self._pack_usual()
        self._pack_others()
        columns = [np.concatenate(column) for column in zip(*self._chunks, strict=True)]
        self._chunks.clear()
        ids, numbers = columns[0], dict(zip(NUMBERS, columns[1:], strict=False))
        kinds = self._settle(ids, numbers, columns[-1])
        return Records(
            request_id=ids,
            **numbers,
            kind=kinds,
            kinds=tuple(self._kinds),
            events=self.events,
            log_bytes=self.log_bytes,
            unparsed=self.unparsed,
            examples=tuple(self._examples),
            results=Results.of(self._files, self._sources, self._seconds),
        )

    def _read(self, text: str, time: float) -> None:
        try:
            report = parse(text, time)
        except UnparsedError as error:
            self.unparsed += 1
            if len(self._examples) < _EXAMPLES:
                self._examples.append(f"{error}: {text[:300]}")
            return
        if report is None:
            self._hear(text)
            return
        self._others.append(report)
        if len(self._others) >= _BATCH:
            self._pack_others()

    def _hear(self, text: str) -> None:
        """What a log tells beside reports: results of the handler, and ends that old reports do not state."""
        if '"sources"' in text:
            if text.startswith("{") and self._mark in text:
                self._take(text)
        elif "Task timed out" in text:
            if ended := _TIMED_OUT.search(text):
                self._timed_out[ended[1]].append(float(ended[2]))
        elif "signal: killed" in text and (ended := _KILLED.search(text)):
            self._killed[ended[1]] += 1

    def _take(self, text: str) -> None:
        """One image's result, as SepExtract prints it; anything else is none."""
        try:
            told = json.loads(text)
            file, sources, took = digest(key(told["input"])), int(told["sources"]), told.get("seconds")
            seconds = NONE if took is None else float(took)
        except (ValueError, TypeError, KeyError, AttributeError, InputError):
            return
        self._files.append(file)
        self._sources.append(sources)
        self._seconds.append(seconds)

    def _pack_usual(self) -> None:
        """A batch of lines of the usual form, column by column: what parse() does, in a third of its time."""
        if not self._usual:
            return
        ids, *numbers, init, status, kind, start = zip(*self._usual, strict=True)
        columns = {name: _floats(column) for name, column in zip(NUMBERS, (*numbers, init), strict=False)}
        time = np.array(self._times, np.float64)
        if stamped := [row for row, stamp in enumerate(self._stamps) if stamp]:
            own = _moments([self._stamps[row] for row in stamped])
            time[stamped] = np.where(np.isnan(own), time[stamped], own)
        if start.count(None) < len(start):
            began = np.array([NONE if stamp is None else seconds(stamp) for stamp in start])
            time = np.where(np.isnan(began), time, began + columns["duration_ms"] / 1000)
        kinds = list(zip(status, kind, strict=True))
        self._keep(ids, {**columns, "time": time}, kinds)
        self._usual.clear()
        self._times.clear()
        self._stamps.clear()

    def _pack_others(self) -> None:
        rows = self._others
        columns = {name: np.array([getattr(row, name) for row in rows], np.float64) for name in NUMBERS}
        self._keep([row.request_id for row in rows], columns, [(row.status, row.error_type) for row in rows])
        rows.clear()

    def _keep(
        self,
        ids: Sequence[str],
        numbers: dict[str, Floats],
        kinds: Sequence[tuple[str | None, str | None]],
    ) -> None:
        codes = {kind: self._code((kind[0] or UNSTATED, kind[1] or "")) for kind in set(kinds)}
        width = len(ids[0]) if ids else 0
        # Request IDs are of one length as a rule: then one copy makes the column.
        alike = width and all(len(each) == width for each in ids)
        text = np.frombuffer("".join(ids).encode(), f"S{width}") if alike else np.array(ids, np.bytes_)
        empty = np.full(len(ids), NONE)
        self._chunks.append(
            [
                text,
                *(numbers.get(name, empty) for name in NUMBERS),
                np.array([codes[kind] for kind in kinds], np.int32),
            ]
        )

    def _code(self, kind: Kind) -> int:
        return self._kinds.setdefault(kind, len(self._kinds))

    def _settle(
        self, ids: NDArray[np.bytes_], numbers: dict[str, Floats], kinds: NDArray[np.int32]
    ) -> NDArray[np.int32]:
        """The kinds, where old reports left open what another line tells: time-outs and kills over memory."""
        told = [*self._timed_out, *self._killed]
        if not told:
            return kinds
        names, rows = tuple(self._kinds), defaultdict(list)
        for row in np.flatnonzero(np.isin(ids, np.array(told, np.bytes_))).tolist():
            if names[kinds[row]][0] == UNSTATED:
                rows[ids[row].decode()].append(row)
        late, killed = self._code(TIMED_OUT), self._code(OUT_OF_MEMORY)
        for request, found in rows.items():
            # The log does not say which try was killed: those that used most memory.
            found.sort(key=lambda row: (-numbers["used_mb"][row], -numbers["duration_ms"][row]))
            kinds[found[: self._killed.get(request, 0)]] = killed
            for limit in self._timed_out.get(request, ()):
                kinds[[row for row in found if numbers["duration_ms"][row] >= limit * 1000]] = late
        return kinds


def collect(pages: Iterable[Iterable[Event]]) -> Records:
    """The records of all pages."""
    collector = Collector()
    for page in pages:
        collector.add(page)
    return collector.finish()


def _floats(column: tuple[str | None, ...]) -> Floats:
    if None not in column:
        return np.array(list(map(float, column)), np.float64)  # type: ignore[arg-type]
    return np.array([NONE if text is None else float(text) for text in column], np.float64)


def _moments(stamps: list[str]) -> Floats:
    """Unix times of ISO 8601 stamps, all at once where all have the form that Lambda writes."""
    if set(map(len, stamps)) == {24} and all(stamp[-1] == "Z" for stamp in stamps):
        with suppress(ValueError):
            return np.array([stamp[:-1] for stamp in stamps], "datetime64[ms]").astype(np.int64) / 1000
    return np.array([seconds(stamp) for stamp in stamps])
