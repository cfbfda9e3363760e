"""Prints the state of a run and the overview of runs, for people and as JSON."""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

from rich.console import Console

from .. import formatting
from ..errors import UsageError
from ..formatting import Column
from ..progress import Stages
from ..storage import uris
from ..storage.uris import Results
from . import cancels, watch_state
from .doubts import Doubts
from .failures import FailureGroup
from .judge import STATES
from .overview import Count, Overview
from .run_file import RunFile
from .state import UNSUCCESSFUL, RunState
from .watch_state import WatchState

_UNKNOWN = (
    "not known: the functions of this run do not mark doubtful results, but `skyfan collect {}` counts them"
)
_MEANINGS = {
    "unsent": "not begun",
    "sent": "in progress",
    "late": "no result although all retries should be over",
    "missing": "accepted by Lambda, but neither a result nor a failure record",
    "cancelled": "stopped before they ran",
    "damaged": "their results are not the ones that were recorded: the sizes differ",
}


def has_unsuccessful(state: RunState) -> bool:
    """Whether files have failed, are missing or damaged or were cancelled, or nothing will begin them."""
    return state.is_abandoned or any(state.counts[name] for name in UNSUCCESSFUL)


def rate(state: RunState) -> float | None:
    """Files done per second, from the first receipt (or else the start) to the last result without pauses."""
    return state.counts["done"] / state.times.worked_s if state.times.worked_s else None


def document(state: RunState, doubts: Doubts | None) -> dict[str, Any]:
    """The state and its doubtful files as plain data, for JSON; times are in UTC."""
    speed = rate(state)
    return {
        "run": state.run,
        "place": state.place.name,
        "function": state.about.get("function"),
        "counts": state.counts,
        "bytes": state.bytes,
        "unplanned": state.unplanned,
        "files_per_second": None if speed is None else round(speed, 3),
        "seconds_remaining": None if state.remaining_s is None else round(state.remaining_s, 1),
        "times": {name: timestamp(value) for name, value in vars(state.times).items() if name != "worked_s"},
        "functions": list(state.functions),
        "doubtful": None if doubts is None else len(doubts),
        "doubts": None if doubts is None else doubts.reasons,
        "running": state.running,
        "watch": watch_document(state.watch) if state.watch else None,
        "unrecorded": state.unrecorded,
        "failures_read": state.lambdas is not None or state.place.folder is not None,
        "failures": [group.document() for group in state.groups()],
    }


def failed_files(state: RunState) -> Iterator[dict[str, Any]]:
    """Each file that failed, is missing or damaged, or was cancelled."""
    return (_file(state, file) for file in state.files(*UNSUCCESSFUL))


def doubtful_files(state: RunState, doubts: Doubts | None) -> Iterator[dict[str, Any]]:
    """Each doubtful file. Raises UsageError if it is not known which files are doubtful."""
    if doubts is None:
        raise UsageError(_UNKNOWN.format(state.run))
    results = Results.of(state.about["results"], state.run)
    for file, reasons in state.doubtful(doubts):
        result = state.place.uri(results.object_key(uris.key(file.uri)))
        yield {"input": file.uri, "doubts": " ".join(reasons), "result": result}


def listing(files: Iterable[dict[str, Any]], *, as_json: bool) -> Iterator[str]:
    """The lines of a list of files: one JSON array with a line per file, or columns separated by tabs."""
    if not as_json:
        yield from (
            "\t".join(" ".join(str(value or "").split()) for value in file.values()) for file in files
        )
        return
    last = None
    for file in files:
        yield "[" if last is None else f"{last},"
        last = f" {json.dumps(file)}"
    yield from ("[]",) if last is None else (last, "]")


def doubtful_lines(run: str, doubts: Doubts | None) -> Iterator[str]:
    """The number of doubtful files and the reasons, for people; nothing if there are none."""
    if doubts is None:
        yield f"doubtful: {_UNKNOWN.format(run)}"
    elif len(doubts):
        yield (
            f"doubtful: {formatting.count(len(doubts))} of the run ({formatting.reasons(doubts.reasons)}); "
            f"`skyfan status {run} --doubtful` lists them"
        )


def show(console: Console, state: RunState, doubts: Doubts | None) -> None:
    """Prints the state, its doubtful files and what to do next."""

    say = partial(formatting.say, console)
    say(f"run {state.run} of {state.about.get('function')} in {state.place.name}")
    if state.watch:
        say(watch_line(state.watch))
    say("\n".join(["", *_table(state, doubts, console.width), ""]))
    if speed := rate(state):
        parts = [
            f"{speed:.1f} files/s" if speed >= 1 else f"{1 / speed:.1f} s/file",
            f"last result {timestamp(state.times.last_done)}",
        ]
        waiting = state.counts["sent"] + state.counts["late"] + state.counts["unsent"]
        if waiting and (left := state.remaining_s) is not None:
            parts.insert(1, f"{formatting.clock(left)} for the remaining {waiting:,} at this rate")
        say(", ".join(parts))
    if state.counts["done"]:
        for line in doubtful_lines(state.run, doubts):
            say(line)
    groups = state.groups()
    for line in failure_lines(groups):
        say(line)
    if advice := list(_advice(state, groups)):
        say("\n" + "\n".join(advice))


def failure_lines(groups: Iterable[FailureGroup]) -> Iterator[str]:
    """The failures for people: count, errorType, an example with message and record, and the remedy."""
    for number, group in enumerate(groups):
        if number == 0:
            yield "\nFailures:"
        yield f"  {group.count} x {group.error_type}, for example {group.input}"
        yield f"      {formatting.one_line(group.message)}\n      {group.record}\n      -> {_remedy(group)}"


def timestamp(seconds: float | None) -> str | None:
    """Unix seconds as UTC, to the second."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def watch_line(one: WatchState) -> str:
    """The state of the watch of a run: since when, and what it has spent of its budget."""
    if one.watch.budget is None:
        return one.words
    return f"{one.words}; {formatting.usd(one.spent)} of {one.watch.budget:g} USD in {one.ledger.month}"


def watch_document(one: WatchState) -> dict[str, Any]:
    """The same for JSON."""
    about = {"state": one.state, "budget_usd": one.watch.budget, "spent_usd": one.spent}
    return {**about, "month": one.ledger.month, "waiting": one.ledger.waiting, "since": one.watch.created}


def _table(state: RunState, doubts: Doubts | None, width: int) -> list[str]:
    counts, sizes = state.counts, state.bytes
    rows = []
    for name in ("planned", *reversed(STATES)):
        if counts[name] or name in {"planned", "done", "failed"}:
            meaning = _MEANINGS.get(name, "") if counts[name] else ""
            rows.append([name, f"{counts[name]:,}", formatting.size(sizes[name]), meaning])
        if name == "done" and doubts is not None:
            rows.append(["  doubtful", f"{len(doubts):,}", "", ""])
    columns = [Column(""), Column("files", "number"), Column("size", "number"), Column("", "prose")]
    if not sizes["planned"]:
        del columns[2]
        rows = [[*row[:2], row[3]] for row in rows]
    return formatting.table(columns, rows, width)


def _remedy(group: FailureGroup) -> str:
    if group.exhausted:
        return "needs more memory or time: `skyfan retry` uses the function with the most memory"
    if group.permanent:
        return "permanent: retries cannot succeed until the files, or the right to read them, change"
    return "`skyfan retry` sends these files again"


def _advice(state: RunState, groups: list[FailureGroup]) -> Iterator[str]:
    counts = state.counts
    if cancels.unfinished(state.place, state.run):
        yield (
            f"A cancel is open, so that no file begins: `skyfan cancel {state.run}` completes it, "
            f"`skyfan cancel {state.run} --restore` withdraws it."
        )
    if not counts["planned"]:
        yield "This run has no plan yet: the `skyfan run` command that started it adds one."
    if state.watch:
        yield from watch_state.notices(state.watch)
    if state.watch and state.is_abandoned:
        yield f"{counts['unsent']:,} not begun: `skyfan watch run {state.run}` processes them."
    if counts["unsent"] and not state.running and not state.watch:
        idle = ", and nothing is at work on them" if state.is_abandoned else ""
        yield f"{counts['unsent']:,} not begun{idle}: the same `skyfan run` command continues with them."
    if counts["late"]:
        yield f"{counts['late']} late: wait, or send them again with `skyfan retry {state.run} --late`."
    retries = counts["missing"] + counts["cancelled"] + counts["damaged"]
    retries += sum(group.count for group in groups if not group.permanent)
    if retries:
        yield f"`skyfan retry {state.run}` sends {formatting.count(retries)} again."
    if state.unrecorded and not state.running:
        yield (
            f"{formatting.count(state.unrecorded, 'result')} without a receipt, as after a kill or of an "
            "earlier version: only `skyfan collect` can tell whether they are whole."
        )
    if state.unplanned:
        yield f"{formatting.count(state.unplanned, 'result')} of files that are in no plan of this run."
    if state.place.folder is None and state.lambdas is None:
        yield "Lambda's failure records were not read, so failed files appear as sent: use --stack."


def _file(state: RunState, file: RunFile) -> dict[str, Any]:
    failure = file.failure
    return {
        "input": file.uri,
        "state": file.state,
        "errorType": failure.error_type if failure else None,
        "errorMessage": failure.message if failure else None,
        "record": state.record_uri(failure) if failure else None,
        "sent": timestamp(file.sent),
    }


def on_state(stages: Stages) -> Callable[[RunState], None]:
    """A callback that shows a followed run as one stage of `stages`."""

    def show_counts(state: RunState) -> None:
        counts = state.counts
        finished = counts["done"] + sum(counts[name] for name in UNSUCCESSFUL)
        others = {name: count for name, count in counts.items() if name not in {"planned", "done"}}
        note = ", ".join(f"{count:,} {name}" for name, count in others.items() if count)
        stages("finished", finished, counts["planned"], note)

    return show_counts


def overview_document(overview: Overview) -> dict[str, Any]:
    """One run of the overview as plain data, for JSON; times are in UTC."""
    return {
        "run": overview.run,
        "function": overview.function,
        "files": overview.files,
        "done": overview.done.number,
        "done_is_all": overview.done.is_all,
        "doubtful": overview.doubtful.number if overview.doubtful else None,
        "doubtful_is_all": overview.doubtful.is_all if overview.doubtful else None,
        "failed": overview.failed.number,
        "failed_is_all": overview.failed.is_all,
        "started": timestamp(overview.started),
        "active": timestamp(overview.active),
    }


def show_overview(console: Console, overviews: list[Overview]) -> None:
    """Prints one row per run."""
    if not overviews:
        formatting.say(console, "no runs")
        return
    columns = [
        Column("run", "name"),
        Column("function", "name"),
        *(Column(name, "number") for name in ("files", "done", "doubtful", "failed")),
        Column("last activity"),
        Column("started", optional=True),
    ]
    rows = []
    for one in overviews:
        files = "?" if one.files is None else f"{one.files:,}"
        doubtful = "?" if one.doubtful is None else _count(one.doubtful)
        numbers = (files, _count(one.done), doubtful, _count(one.failed))
        rows.append(
            [one.run, one.function, *numbers, timestamp(one.active) or "", timestamp(one.started) or ""]
        )
    formatting.say(console, "\n".join(formatting.table(columns, rows, console.width)))


def _count(count: Count) -> str:
    return f"{count.number:,}" if count.is_all else f"{count.number:,}+"
