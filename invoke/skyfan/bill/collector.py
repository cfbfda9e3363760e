"""From log events to records, however the events are split into pages and ordered."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .objects import Damaged, Event, pieces
from .records import NUMBERS, Floats, Kind, Records, ResultLines, id_hashes
from .report_lines import (
    COLOUR,
    GOOD,
    NONE,
    UNSTATED,
    USUAL,
    USUAL_JSON,
    Report,
    UnparsedError,
    reports,
    seconds,
)

TIMED_OUT: Kind = ("timeout", "")
OUT_OF_MEMORY: Kind = ("error", "Runtime.OutOfMemory")
_BATCH = 1 << 11  # more would not fit the cache
_EXAMPLES = 5
# Packed by gzip, and the end of a log that an invocation returns.
_PACKED, _TAIL = "H4sI", '"LogResult"'
_SAME_S = 1.0  # some exports have times to the second
_TIMED_OUT_LINE = re.compile(r"([!-~]+) Task timed out after (\d+(?:\.\d+)?) seconds")
_KILLED_LINE = re.compile(r"([!-~]+) (?:Error: )?Runtime exited with error: signal: killed")


class Collector:
    """Collects events page by page; the records do not depend on pages or order."""

    def __init__(self, run: str | None = None) -> None:
        """Results of the function count only if they are of `run` (default: any run)."""
        self._run_mark = "" if run is None else f'"run": {json.dumps(run)}'
        self.events = self.log_bytes = self.unparsed = 0
        self._examples: list[str] = []
        self._usual: list[tuple[Any, ...]] = []
        self._times: list[float] = []
        self._stamps: list[str] = []
        self._others: list[Report] = []
        self._chunks: list[list[NDArray[Any]]] = []
        self._kinds: dict[Kind, int] = {}
        self._timed_out: dict[str, list[float]] = defaultdict(list)
        self._killed: dict[str, list[float]] = defaultdict(list)
        self._recorded: dict[str, dict[str, Kind]] = defaultdict(dict)
        self._results = ResultLines()

    def add(self, events: Iterable[Event]) -> None:
        """Adds the events of one page or file."""
        count = size = 0
        match, match_json, usual = USUAL.match, USUAL_JSON.match, self._usual
        times, stamps = self._times, self._stamps
        run_mark, add_result = self._run_mark, self._results.add
        for text, time in events:
            count += 1
            size += len(text) if text.isascii() else len(text.encode(errors="replace"))
            if text[:1] == "{":
                if '"sources"' in text and not _is_marked(text):
                    if run_mark in text:
                        add_result(text)
                    continue
                if not (found := match_json(text)):
                    self._parse(text, time)
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
                self._parse(text, time)
            if len(usual) >= _BATCH:
                self._pack_usual()
        self.events += count
        self.log_bytes += size

    def finish(self) -> Records:
        """The records of all events that were added. The collector cannot be used afterwards.

        A report that was added several times, as exports that overlap have it, is one record.
        """
        self._pack_usual()
        self._pack_others()
        columns = [np.concatenate(column) for column in zip(*self._chunks, strict=True)]
        self._chunks.clear()
        total = len(columns[0])
        if len(repeated := _repeated(columns)):
            columns = [np.delete(column, repeated) for column in columns]
        ids, numbers = columns[0], dict(zip(NUMBERS, columns[1:], strict=False))
        kinds = self._resolve_kinds(ids, numbers, columns[-1])
        return Records(
            request_id=ids,
            **numbers,
            kind=kinds,
            kinds=tuple(self._kinds),
            events=self.events,
            # What lies between repeated reports is repeated with them.
            log_bytes=round(self.log_bytes * len(ids) / total) if total else self.log_bytes,
            unparsed=self.unparsed,
            examples=tuple(self._examples),
            repeated=len(repeated),
            results=self._results.finish(),
        )

    def _parse(self, text: str, time: float) -> None:
        if isinstance(text, Damaged):
            self._lose(text, "")
        elif _is_marked(text):
            if "\x1b" in text:
                text = COLOUR.sub("", text)
            # A text without objects is read as it is.
            for inner, when in pieces(text, time) if "{" in text or _PACKED in text else ((text, time),):
                found = isinstance(inner, Damaged)
                for report in (UnparsedError(inner),) if found else reports(inner, when):
                    self._add(report, inner)
                    found = True
                if not found:
                    self._read_other(inner, when)
        else:
            self._read_other(text, time)

    def _add(self, report: Report | UnparsedError, text: str) -> None:
        if isinstance(report, UnparsedError):
            self._lose(str(report), "" if isinstance(text, Damaged) else text)
            return
        self._others.append(report)
        if len(self._others) >= _BATCH:
            self._pack_others()

    def _lose(self, reason: str, text: str) -> None:
        self.unparsed += 1
        if len(self._examples) < _EXAMPLES:
            shown = "".join(one if one.isprintable() or one == "\t" else " " for one in text[:300])
            self._examples.append(f"{reason}: {shown}" if shown else reason)

    def _read_other(self, text: str, time: float) -> None:
        """Other lines: results and failures of the function, and ends that old reports do not state."""
        if '"sources"' in text:
            if text.startswith("{") and self._run_mark in text:
                self._results.add(text)
        elif '"errorType"' in text:
            if text.startswith("{") and '"record"' in text:
                self._add_failure(text)
        elif "Task timed out" in text:
            for ended in _TIMED_OUT_LINE.finditer(text):
                self._timed_out[ended[1]].append(float(ended[2]))
        elif "signal: killed" in text:
            for ended in _KILLED_LINE.finditer(text):
                known = self._killed[ended[1]]
                if not any(abs(one - time) <= _SAME_S for one in known):
                    known.append(time)

    def _add_failure(self, text: str) -> None:
        """A failure that the function recorded: the invocation succeeded, but counts as failed."""
        with suppress(ValueError, TypeError, KeyError, RecursionError):
            failure = json.loads(text)
            record, request = failure["record"], failure["requestId"]
            if isinstance(record, str) and isinstance(request, str) and request.isascii():
                self._recorded[request][record] = ("failure", str(failure["errorType"]))

    def _pack_usual(self) -> None:
        """A batch of lines of the usual form, column by column, in a third of the time of reports()."""
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
        self._append(ids, {**columns, "time": time}, kinds)
        self._usual.clear()
        self._times.clear()
        self._stamps.clear()

    def _pack_others(self) -> None:
        rows = self._others
        columns = {name: np.array([getattr(row, name) for row in rows], np.float64) for name in NUMBERS}
        self._append(
            [row.request_id for row in rows], columns, [(row.status, row.error_type) for row in rows]
        )
        rows.clear()

    def _append(
        self,
        ids: Sequence[str],
        numbers: dict[str, Floats],
        kinds: Sequence[tuple[str | None, str | None]],
    ) -> None:
        codes = {kind: self._code((kind[0] or UNSTATED, kind[1] or "")) for kind in set(kinds)}
        width = len(ids[0]) if ids else 0
        # Request IDs usually have one length; then one copy makes the column.
        alike = width and all(len(name) == width for name in ids)
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

    def _resolve_kinds(
        self, ids: NDArray[np.bytes_], numbers: dict[str, Floats], kinds: NDArray[np.int32]
    ) -> NDArray[np.int32]:
        """`kinds` (n,), corrected by other lines that say how an invocation ended.

        Those are failures that the function recorded, and timeouts and out-of-memory kills of reports without
        a status.
        """
        corrected = [*self._timed_out, *self._killed, *self._recorded]
        if not corrected:
            return kinds
        names, rows = tuple(self._kinds), defaultdict(list)
        for row in np.flatnonzero(np.isin(ids, np.array(corrected, np.bytes_))).tolist():
            if names[kinds[row]][0] in GOOD:
                rows[ids[row].decode()].append(row)
        late, killed = self._code(TIMED_OUT), self._code(OUT_OF_MEMORY)
        for request, good in rows.items():
            unstated = [row for row in good if names[kinds[row]][0] == UNSTATED]
            # The log does not say which attempt was killed: take the one that used the most memory.
            unstated.sort(key=lambda row: (-numbers["used_mb"][row], -numbers["duration_ms"][row]))
            kinds[unstated[: len(self._killed.get(request, ()))]] = killed
            for limit in self._timed_out.get(request, ()):
                kinds[[row for row in unstated if numbers["duration_ms"][row] >= limit * 1000]] = late
            # A recorded failure ends the attempts of its event, so it belongs to the last one.
            good.sort(key=lambda row: float(np.nan_to_num(numbers["time"][row])), reverse=True)
            for row, kind in zip(good, self._recorded.get(request, {}).values(), strict=False):
                kinds[row] = self._code(kind)
        return kinds


def _is_marked(text: str) -> bool:
    """Whether a text may hold a report."""
    return "REPORT" in text or "platform." in text or _PACKED in text or _TAIL in text


def _repeated(columns: list[NDArray[Any]]) -> NDArray[np.intp]:
    """Rows that repeat another: all is equal, and so is the time, or it is unknown.

    Attempts of one event may be equal in all but their times. Lambda waits a minute before it retries, and
    the next attempt begins when the one before has ended, so times of attempts are not near one another.
    """
    ids, kinds = columns[0], columns[-1]
    numbers = dict(zip(NUMBERS, columns[1:], strict=False))
    hashes = id_hashes(ids)
    order = np.argsort(hashes)
    same = hashes[order][1:] == hashes[order][:-1]
    if not same.any():
        return order[:0]
    shared = np.concatenate([[False], same]) | np.concatenate([same, [False]])
    rows = order[shared]
    time = numbers["time"][rows]
    values = [np.nan_to_num(numbers[name][rows], nan=-1.0) for name in NUMBERS if name != "time"]
    keys = [*values, kinds[rows], hashes[rows]]
    by_time = np.lexsort([time, *keys])  # unknown times are last
    later, earlier = by_time[1:], by_time[:-1]
    equal = ids[rows[later]] == ids[rows[earlier]]
    for column in keys:
        equal &= column[later] == column[earlier]
    # A failed start has no request ID: it is known by its time alone.
    unknown = np.isnan(time[later]) & (ids[rows[later]] != b"")
    near = unknown | (time[later] - time[earlier] <= _SAME_S)
    repeated: NDArray[np.intp] = rows[later[equal & near]]
    return repeated


def _floats(column: tuple[str | None, ...]) -> Floats:
    if len(different := set(column)) < len(column) // 4:  # memory sizes, and columns of mostly missing fields
        values = {text: NONE if text is None else float(text) for text in different}
        return np.fromiter(map(values.__getitem__, column), np.float64, len(column))
    if None in different:
        return np.array([NONE if text is None else float(text) for text in column], np.float64)
    return np.fromiter(map(float, column), np.float64, len(column))  # type: ignore[arg-type]


def _moments(stamps: list[str]) -> Floats:
    """Unix times of ISO 8601 stamps, all at once if all have the form that Lambda writes."""
    if set(map(len, stamps)) == {24} and all(stamp[-1] == "Z" for stamp in stamps):
        with suppress(ValueError):
            return np.array([stamp[:-1] for stamp in stamps], "datetime64[ms]").astype(np.int64) / 1000
    return np.array([seconds(stamp) for stamp in stamps])
