"""Prints the outcome of a call of an engine: results, counts, places, failures, and what to do next."""

import re
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from .. import formatting
from ..formatting import Column
from ..storage import uris
from .outcome import Outcome
from .show import doubtful_lines, failure_lines
from .state import UNSUCCESSFUL

_NAMED = 5
"""Files that are named for one note."""
_PROSE = 100
_OF_HDU = re.compile(r"(HDU \d+): (.+)", re.DOTALL)


def show(console: Console, outcome: Outcome) -> None:
    """Prints the outcome and what to do next."""

    say = partial(formatting.say, console)
    if outcome.results:
        say("\n".join(_table(outcome.results, console.width)))
        if outcome.done > len(outcome.results):
            say(f"and {outcome.done - len(outcome.results):,} more")
        say("\n".join([*_notes(outcome.results, console.width), ""]))
    for line in (*_counts(outcome), *_places(outcome), *failure_lines(outcome.failures.values())):
        say(line)
    if advice := _advice(outcome):
        say(f"\n{advice}")


def _counts(outcome: Outcome) -> Iterator[str]:
    is_local = outcome.place.folder is not None
    numbers = {
        "sent": 0 if is_local else outcome.sent,
        "sent before": outcome.sent_before,
        "done before": outcome.done_before,
        "failed": outcome.failed,
        "retry" if outcome.retries == 1 else "retries": outcome.retries,
    }
    parts = [f"{number:,} {name}" for name, number in numbers.items() if number]
    if outcome.state:
        parts.insert(0, f"{outcome.done:,} done")
    if outcome.sources is not None:
        parts.append(formatting.count(outcome.sources, "source"))
    sends = {"error": outcome.errors, "broken connection": outcome.broken}
    texts = [f"{outcome.throttled:,} throttled"] * bool(outcome.throttled)
    repeated = ", ".join(texts + [formatting.count(number, name) for name, number in sends.items() if number])
    yield f"{formatting.count(outcome.files)}: {', '.join([*parts, f'in {outcome.seconds:.1f} s'])}" + (
        f" (requests sent again: {repeated})" if repeated else ""
    )
    counts = outcome.state.counts if outcome.state else {}
    if counts and (counts["planned"], outcome.unsuccessful) != (outcome.files, outcome.failed):
        states = [
            f"{count} {name}" for name, count in reversed(counts.items()) if count and name != "planned"
        ]
        yield f"run {outcome.run} has {formatting.count(counts['planned'])}: {', '.join(states)}"
    if outcome.files and outcome.done_before == outcome.files:
        yield "Nothing remained to be done. Another --run processes the files again."
    if outcome.damaged:
        damaged = formatting.count(outcome.damaged, "damaged result")
        yield f"{damaged} removed, not the ones that were recorded; their files were processed again."
    if outcome.kept:
        kept = formatting.count(outcome.kept, "old result")
        yield f"{kept} kept, since the new attempt failed: `skyfan status {outcome.run} --stale` lists them."
    if outcome.unchecked:
        unchecked = formatting.count(outcome.unchecked)
        yield (
            f"{unchecked} on S3 done before: whether they have changed since was not checked; "
            f"`skyfan status {outcome.run} --stale` does it."
        )
    if outcome.unwritten:
        yield f"{formatting.count(outcome.unwritten)} left no result; the next call processes them again."
    if outcome.doubts is not None or (outcome.state and outcome.state.counts["done"]):
        yield from doubtful_lines(outcome.run, outcome.doubts)


def _places(outcome: Outcome) -> Iterator[str]:
    if outcome.place.folder is None:
        yield f"results: {outcome.folder}/"
    for folder, names in _folders(outcome).items():
        yield f"{', '.join(names)}: {folder}"
    if outcome.log:
        yield f"log: {outcome.log}"


def _advice(outcome: Outcome) -> str:
    if outcome.interrupted:
        return "Interrupted. Finished files are kept: the same command continues from here."
    if outcome.stopped:
        remaining = f"; {formatting.count(outcome.remaining)} remaining" if outcome.remaining else ""
        return f"Stopped: {outcome.stopped}{remaining}. The same command continues from here."
    if outcome.state is None:
        return f"`skyfan status {outcome.run}` shows the results."
    lines, counts = [], outcome.state.counts
    permanent = sum(group.count for group in outcome.failures.values() if group.permanent)
    if sum(counts[name] for name in UNSUCCESSFUL) > permanent:
        lines.append(f"`skyfan retry {outcome.run}` sends failed, missing and cancelled files again.")
    if counts["late"]:
        lines.append(f"`skyfan status {outcome.run}` shows whether late files have finished.")
    return "\n".join(lines)


def _folders(outcome: Outcome) -> dict[Path, list[str]]:
    """The folders that hold results, and what each holds, according to the handler's results."""
    run_folder = Path(outcome.folder)
    folders: dict[Path, list[str]] = {}
    for row in outcome.results:
        for name, uri in {"": row.get("output"), **(row.get("outputs") or {})}.items():
            path = uris.local_path(uri) if isinstance(uri, str) else None
            if path and path.is_relative_to(run_folder) and len(path.relative_to(run_folder).parts) > 1:
                top = run_folder / path.relative_to(run_folder).parts[0]
                names = folders.setdefault(top, [])
                if (name or top.name) not in names:
                    names.append(name or top.name)
    return folders


def _table(rows: list[dict[str, Any]], width: int) -> list[str]:
    cells = [_cells(row) for row in rows]
    names = list(dict.fromkeys(name for row in cells for name in row))
    # Doubts come last: they are the widest and least regular column.
    names.sort(key=lambda name: (name == "doubts", name == "seconds"))
    columns = []
    for name in names:
        is_number = name != "file" and all(_is_number(row.get(name, "0")) for row in cells)
        columns.append(
            Column(name, "name" if name == "file" else "prose" if name == "doubts" else "number")
            if is_number or name in {"file", "doubts"}
            else Column(name)
        )
    return formatting.table(columns, [[row.get(name, "") for name in names] for row in cells], width)


def _notes(rows: list[dict[str, Any]], width: int) -> Iterator[str]:
    """Each note of the functions once, with the files that have it."""
    files: dict[str, list[str]] = {}
    for row in rows:
        notes = row.get("notes")
        for note in notes if isinstance(notes, list) else []:
            hdu, text = match.groups() if (match := _OF_HDU.fullmatch(str(note))) else ("", str(note))
            name = formatting.one_line(formatting.file_name(row["input"]))
            files.setdefault(text, []).append(f"{name} ({hdu})" if hdu else name)
    if files:
        yield "\nNotes:"
    for text, names in files.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        lines = (f"- {text}", f"  {', '.join(names[:_NAMED])}{more}")
        for line in lines:
            yield from textwrap.wrap(
                line,
                min(width, _PROSE),
                subsequent_indent="  ",
                break_long_words=False,
                break_on_hyphens=False,
            )


def _cells(row: dict[str, Any]) -> dict[str, str]:
    """One row of the table: plain values as they are, lists as their length; notes are not in it."""
    cells = {"file": formatting.file_name(row["input"])}
    for name, value in row.items():
        # The number of quality is that of the words in doubts.
        if name in {"input", "output", "quality", "notes"}:
            continue
        if isinstance(value, bool | int | float | str):
            cells[name] = f"{value:.2f}" if isinstance(value, float) else str(value)
        elif isinstance(value, list):
            cells[name] = str(len(value))
            depths = [
                chip["depth"] for chip in value if isinstance(chip, dict) and chip.get("depth") is not None
            ]
            if depths:
                cells["depth"] = ", ".join(f"{depth:.2f}" for depth in depths)
    return cells


def _is_number(text: str) -> bool:
    return (
        text.replace(".", "", 1).replace("-", "", 1).replace(", ", "").replace(".", "").isdigit() or not text
    )
