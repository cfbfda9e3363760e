"""A run's state in words, and as one JSON document."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.live import Live
from rich.table import Table

from .. import words
from . import cancels
from .judge import STATES
from .outcome import TROUBLE, File, Group, RunState

_MEANING = {
    "unsent": "not begun",
    "sent": "on their way",
    "late": "on their way for long",
    "missing": "accepted, but nothing came of them",
    "cancelled": "stopped before they ran",
    "failed": "",
    "done": "",
}


def is_in_trouble(state: RunState) -> bool:
    """Whether there are files that nothing will come of by itself."""
    return any(state.counts[name] for name in TROUBLE)


def rate(state: RunState) -> float | None:
    """Files done a second, from the first receipt, or else the beginning of the run, to the last result."""
    begin, end = state.times.first_sent or state.times.started, state.times.last_done
    return state.counts["done"] / (end - begin) if end is not None and end > begin else None


def document(state: RunState) -> dict[str, Any]:
    """The state as plain data; times in UTC."""
    speed = rate(state)
    return {
        "run": state.run,
        "place": state.place.name,
        "function": state.about.get("function"),
        "counts": state.counts,
        "bytes": state.bytes,
        "unplanned": state.unplanned,
        "files_per_second": None if speed is None else round(speed, 3),
        "times": {name: stamp(value) for name, value in vars(state.times).items()},
        "functions": list(state.functions),
        "failures_read": state.lambdas is not None or state.place.folder is not None,
        "failures": [
            {
                "errorType": group.error_type,
                "count": group.count,
                "permanent": group.permanent,
                "exhausted": group.exhausted,
                "example": {"input": group.input, "message": group.message, "record": group.record},
            }
            for group in state.groups()
        ],
    }


def lines(state: RunState, *, as_json: bool) -> Iterator[str]:
    """One line for each file that failed, is missing or was cancelled: JSON, or columns between tabs."""
    for file in state.files(*TROUBLE):
        told = _file(state, file)
        if as_json:
            yield json.dumps(told)
        else:
            yield "\t".join(" ".join(str(value or "").split()) for value in told.values())


def show(console: Console, state: RunState) -> None:
    """Prints the state for people, with what to do next."""

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    say(f"run {state.run} of {state.about.get('function')} in {state.place.name}")
    console.print(_table(state))
    if speed := rate(state):
        ends = state.times.last_done or 0.0
        told = [
            f"{speed:.1f} files/s" if speed >= 1 else f"{1 / speed:.1f} s/file",
            f"last result {stamp(ends)}",
        ]
        if waiting := state.counts["sent"] + state.counts["late"] + state.counts["unsent"]:
            told.insert(1, f"{words.clock(waiting / speed)} for the other {waiting} at this rate")
        say(", ".join(told))
    groups = state.groups()
    if groups:
        say("\nFailures:")
    for group in groups:
        say(f"  {group.count} x {group.error_type}, for example {group.input}")
        say(f"      {group.message}\n      {group.record}\n      -> {_remedy(group)}")
    if advice := list(_advice(state, groups)):
        say("\n" + "\n".join(advice))


def stamp(seconds: float | None) -> str | None:
    """Unix seconds as UTC, to the second."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _table(state: RunState) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("files", justify="right")
    if has_bytes := bool(state.bytes["planned"]):
        table.add_column("size", justify="right")
    table.add_column("")
    for name in ("planned", *reversed(STATES)):
        count = state.counts[name]
        if count or name in {"planned", "done", "failed"}:
            size = [decimal(state.bytes[name])] if has_bytes else []
            table.add_row(name, str(count), *size, _MEANING.get(name, "") if count else "")
    return table


def _remedy(group: Group) -> str:
    if group.exhausted:
        return "it needs more memory or time: `skyfan retry` sends these to the function that has most"
    if group.permanent:
        return "another try cannot mend these: the files, or the right to read them, must change"
    return "`skyfan retry` sends these again"


def _advice(state: RunState, groups: list[Group]) -> Iterator[str]:
    counts = state.counts
    if cancels.unfinished(state.place, state.run):
        yield f"The functions are stopped by a cancel: wait, or `skyfan cancel {state.run} --restore`."
    if not counts["planned"]:
        yield "This run has no plan yet: the `skyfan run` command that began it adds one."
    if counts["unsent"]:
        yield f"{counts['unsent']} not begun: the same `skyfan run` command goes on with them."
    if counts["late"]:
        yield f"{counts['late']} late: wait, or send them again with `skyfan retry {state.run} --late`."
    again = counts["missing"] + counts["cancelled"]
    again += sum(group.count for group in groups if not group.permanent)
    if again:
        yield f"`skyfan retry {state.run}` sends {again} files again."
    if state.unplanned:
        yield f"{state.unplanned} results are of files that no plan of this run names."
    if state.place.folder is None and state.lambdas is None:
        yield "What failed on Lambda is not seen: its records lie elsewhere. Give --stack, not --output."


def _file(state: RunState, file: File) -> dict[str, Any]:
    failure = file.failure
    return {
        "input": file.uri,
        "state": file.state,
        "errorType": failure.error_type if failure else None,
        "errorMessage": failure.message if failure else None,
        "record": state.record_uri(failure) if failure else None,
        "sent": stamp(file.sent),
    }


class Ticker:
    """Shows a run that is followed: a table that changes on a terminal, else a line now and then."""

    def __init__(self, console: Console) -> None:
        """`console` writes to stderr."""
        self._console = console
        self._live = Live(console=console, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, state: RunState) -> None:
        if self._live:
            self._live.update(_table(state))
        else:
            told = ", ".join(f"{count} {name}" for name, count in state.counts.items() if count)
            self._console.print(f"{stamp(time.time())} {told}", markup=False, highlight=False, soft_wrap=True)
