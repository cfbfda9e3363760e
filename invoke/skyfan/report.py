"""What a run came to: a table of the first results, where everything is, and the failures by kind."""

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from . import events, uris

ROWS = 20


class Results:
    """Keeps the first results of a run for its table; takes the engine's events."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.sources: int | None = None
        """Sources in all results together, where the function counts sources."""

    def __call__(self, event: events.Event) -> None:
        if not isinstance(event, events.Done):
            return
        result = event.result if isinstance(event.result, dict) else {"result": event.result}
        if isinstance(result.get("sources"), int):
            self.sources = (self.sources or 0) + result["sources"]
        if len(self.rows) < ROWS:
            self.rows.append({"input": event.input, **result, "seconds": round(event.seconds, 3)})


def document(summary: events.Summary, results: Results, folder: Path, stopped: bool) -> dict[str, Any]:
    """The run as one JSON document. `results` holds the first ones only: the rest is in the folder."""
    return {
        "folder": str(folder),
        "log": str(summary.log) if summary.log else None,
        "interrupted": stopped,
        "total": summary.total,
        "done": summary.done,
        "already_done": summary.already_done,
        "failed": summary.failed,
        "retries": summary.retries,
        "sources": results.sources,
        "seconds": round(summary.seconds, 3),
        "failures": [
            {
                "errorType": kind,
                "count": group.count,
                "permanent": group.permanent,
                "example": {"input": group.input, "message": group.message, "record": str(group.record)},
            }
            for kind, group in summary.failures.items()
        ],
        "results": results.rows,
    }


def show(console: Console, summary: events.Summary, results: Results, folder: Path, stopped: bool) -> None:
    """Prints the same for people."""
    if results.rows:
        console.print(_table(results.rows))
        if summary.done > len(results.rows):
            console.print(f"  and {summary.done - len(results.rows)} more\n", highlight=False)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    say(_counts(summary, results))
    if summary.already_done and not summary.done and not summary.failed and not stopped:
        say("Nothing was left to do. Another --run processes the files again.")
    for place, names in _places(results.rows, folder).items():
        say(f"{', '.join(names)}: {place}")
    if summary.log:
        say(f"log: {summary.log}")
    if summary.unwritten:
        say(f"{summary.unwritten} files left no result in their place: another run will do them again.")
    if summary.failures:
        say("\nFailures:")
    for kind, group in sorted(summary.failures.items(), key=lambda item: -item[1].count):
        say(f"  {group.count} x {kind}, for example {group.input}")
        say(f"      {group.message}\n      {group.record}")
    if stopped:
        say("\nStopped. What was done is done: the same command goes on from here.")
    elif summary.failures and all(group.permanent for group in summary.failures.values()):
        say("\nAnother try cannot mend these: the files, or the right to read them, must change.")
    elif summary.failures:
        say("\nThe same command tries the failed files again.")


def _counts(summary: events.Summary, results: Results) -> str:
    parts = [f"{summary.done} done"]
    if summary.already_done:
        parts.append(f"{summary.already_done} done before")
    if summary.failed:
        parts.append(f"{summary.failed} failed")
    if summary.retries:
        parts.append(f"{summary.retries} retries")
    if results.sources is not None:
        parts.append(f"{results.sources} sources")
    files = "1 file" if summary.total == 1 else f"{summary.total} files"
    return f"{files}: {', '.join(parts)}, in {summary.seconds:.1f} s"


def _places(rows: list[dict[str, Any]], folder: Path) -> dict[Path, list[str]]:
    """The folders that hold results, and what they hold, as the handler's results tell."""
    places: dict[Path, list[str]] = {}
    for row in rows:
        for name, uri in {"": row.get("output"), **(row.get("outputs") or {})}.items():
            path = uris.local_path(uri) if isinstance(uri, str) else None
            if path and path.is_relative_to(folder) and len(path.relative_to(folder).parts) > 1:
                top = folder / path.relative_to(folder).parts[0]
                names = places.setdefault(top, [])
                if (name or top.name) not in names:
                    names.append(name or top.name)
    return places


def _table(rows: list[dict[str, Any]]) -> Table:
    cells = [_cells(row) for row in rows]
    names = list(dict.fromkeys(name for row in cells for name in row))
    # Notes are the widest and the least regular: last.
    names.sort(key=lambda name: (name == "notes", name == "seconds"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        text = name in {"file", "notes"} or any(not _is_number(row.get(name, "0")) for row in cells)
        table.add_column(name, justify="left" if text else "right", no_wrap=name != "notes")
    for row in cells:
        table.add_row(*(row.get(name, "") for name in names))
    return table


def _cells(row: dict[str, Any]) -> dict[str, str]:
    """One row of the table: plain values as they are, lists of things as their number."""
    path = uris.local_path(row["input"])
    cells = {"file": path.name if path else row["input"].rpartition("/")[2]}
    for name, value in row.items():
        if name in {"input", "output"}:
            continue
        if isinstance(value, bool | int | float | str):
            cells[name] = f"{value:.2f}" if isinstance(value, float) else str(value)
        elif name == "notes" and isinstance(value, list):
            cells[name] = "; ".join(map(str, value))
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
