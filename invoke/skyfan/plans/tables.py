"""A plan's preview as tables and sentences, for people."""

from typing import Any

from rich.console import Console
from rich.table import Table

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
        words = (row["instrument_name"], row["filters"], row["proposal_id"])
        rows.add_row(row["uri"], size(row["size"]), row["tier"], *(word or "" for word in words), exposure)
    groups = table("instrument", "filter", "files", "size")
    for row in document["groups"][:_TOLD]:
        groups.add_row(
            row["instrument_name"] or "unknown", row["filters"] or "", f"{row['files']:,}", size(row["bytes"])
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
    say(f"{document['files']:,} files, {size(document['bytes'])}{unsized}; {large:,} need the large function")
    for drop in document["dropped"]:
        example = drop["example"]
        name = example.get("dataURI") or example.get("uri") or example.get("obs_id") or ""
        detail = f" ({example['detail']})" if example.get("detail") else ""
        say(f"{drop['files']:,} dropped: {drop['reason']}, {drop['meaning']}")
        say(f"    for example {name}{detail}")
    if estimate:
        say(
            f"On Lambda: {_clock(estimate.seconds_low)} to {_clock(estimate.seconds_high)}, "
            f"{estimate.usd_low:.2f} to {estimate.usd_high:.2f} USD, if"
        )
        for assumption in estimate.assumptions:
            say(f"    {assumption}")
    for item in document["unresolved"][:_TOLD]:
        say(f"unresolved: {item['input']}: {item['detail']}")
    if document["unresolved"]:
        say(f"{len(document['unresolved']):,} unresolved: the same command asks again; --json lists all")
    say(f"plan: {document['plan']}")


def size(count: int | None) -> str:
    """Bytes in words, in powers of 1000."""
    if count is None:
        return "?"
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
