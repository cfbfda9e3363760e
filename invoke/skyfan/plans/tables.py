"""A plan's preview as tables and sentences, for people."""

from typing import Any

from rich.console import Console
from rich.table import Table

from .. import words
from ..bill.estimate import Estimate

_TOLD = 10


def show(console: Console, document: dict[str, Any], estimate: Estimate | None) -> None:
    """Prints a preview and its estimate."""

    def table(*columns: str, numbers: tuple[str, ...] = ("size", "files", "exposure (s)")) -> Table:
        made = Table(box=None, pad_edge=False, header_style="bold")
        for name in columns:
            made.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
        return made

    rows = table("file", "size", "tier", "instrument", "filter", "proposal", "exposure (s)")
    for row in document["head"]:
        exposure = "" if row["t_exptime"] is None else f"{row['t_exptime']:.0f}"
        names = (row["instrument_name"], row["filters"], row["proposal_id"])
        rows.add_row(
            words.name(row["uri"]), _size(row["size"]), row["tier"], *(name or "" for name in names), exposure
        )
    groups = table("instrument", "filter", "files", "size")
    for row in document["groups"][:_TOLD]:
        groups.add_row(
            row["instrument_name"] or "unknown",
            row["filters"] or "",
            f"{row['files']:,}",
            words.size(row["bytes"]),
        )
    if document["files"]:
        console.print(rows)
        if (more := document["files"] - len(document["head"])) > 0:
            console.print(f"… and {more:,} more")
        console.print()
        console.print(groups)
        if (more := len(document["groups"]) - _TOLD) > 0:
            console.print(f"… and {more:,} more groups: --json lists them")
        console.print()

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    large = sum(row["files"] for row in document["tiers"] if row["tier"] == "large")
    unsized = f", {document['unsized']:,} of unknown size" if document["unsized"] else ""
    say(
        f"{document['files']:,} files, {words.size(document['bytes'])}{unsized}; "
        f"{large:,} need the large function"
    )
    for drop in document["dropped"]:
        example = drop["example"]
        name = example.get("dataURI") or example.get("uri") or example.get("obs_id") or ""
        detail = f" ({example['detail']})" if example.get("detail") else ""
        say(f"{drop['files']:,} dropped: {drop['reason']}, {drop['meaning']}")
        say(f"    for example {name}{detail}")
    if estimate:
        say(
            f"On Lambda: {words.clock(estimate.seconds_low)} to {words.clock(estimate.seconds_high)}, "
            f"{words.usd(estimate.usd_low)} to {words.usd(estimate.usd_high)}, if"
        )
        for assumption in estimate.assumptions:
            say(f"    {assumption}")
    for item in document["unresolved"][:_TOLD]:
        say(f"unresolved: {item['input']}: {item['detail']}")
    if document["unresolved"]:
        say(f"{len(document['unresolved']):,} unresolved: the same command asks again; --json lists all")
    say(f"plan: {document['plan']}")


def _size(count: int | None) -> str:
    return "?" if count is None else words.size(count)
