"""The runs of a place as a table, and as plain data."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from .overview import Count, Overview
from .tell import stamp


def document(one: Overview) -> dict[str, Any]:
    """One run as plain data; times in UTC."""
    return {
        "run": one.run,
        "function": one.function,
        "files": one.files,
        "done": one.done.number,
        "done_is_all": one.done.is_all,
        "failed": one.failed.number,
        "failed_is_all": one.failed.is_all,
        "started": stamp(one.started),
        "active": stamp(one.active),
    }


def show(console: Console, found: list[Overview]) -> None:
    """Prints one row a run."""
    if not found:
        console.print("no runs")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("run", "function"):
        table.add_column(name, no_wrap=True)
    for name in ("files", "done", "failed"):
        table.add_column(name, justify="right")
    for name in ("started", "last activity"):
        table.add_column(name, no_wrap=True)
    for one in found:
        numbers = (str(one.files), _told(one.done), _told(one.failed))
        table.add_row(one.run, one.function, *numbers, stamp(one.started), stamp(one.active))
    console.print(table)


def _told(count: Count) -> str:
    return str(count.number) if count.is_all else f"{count.number}+"
