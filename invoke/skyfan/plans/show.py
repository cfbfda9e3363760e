"""A preview of a plan: as plain data, and as tables and sentences."""

from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from .. import formatting
from ..formatting import Column
from .plan import DROPS, LARGE, UNRESOLVED, Plan

_LISTED = 10
"""Maximum rows of a list in the text."""


def preview(plan: Plan, rows: int = 10) -> dict[str, Any]:
    """A plan's counts as plain data, ready for JSON.

    files, bytes, unsized; tiers and groups (instrument and filter) with files and bytes; dropped, by reason,
    with its meaning, count and one example; unresolved, all of them; head, the first `rows`; query and made.
    """
    table = plan.table()
    is_kept = pc.is_null(table["dropped"])
    kept, dropped = table.filter(is_kept), table.filter(pc.invert(is_kept))
    examples: dict[str, dict[str, Any]] = {}
    for row in dropped.select(["dropped", "dataURI", "uri", "obs_id", "detail"]).to_pylist():
        reason = row.pop("dropped")
        examples.setdefault(reason, {key: value for key, value in row.items() if value})
    unresolved = dropped.filter(pc.equal(dropped["dropped"], UNRESOLVED))
    columns = ["uri", "size", "tier", "product", "instrument_name", "filters", "proposal_id", "t_exptime"]
    return {
        "plan": str(plan.path),
        "query": plan.about.get("query"),
        "made": plan.about.get("made"),
        "files": plan.files,
        "bytes": plan.about["bytes"],
        "unsized": kept["size"].null_count,
        "tiers": _sums(kept, ["tier"]),
        "groups": _sums(kept, ["instrument_name", "filters"]),
        "detect": plan.about.get("detect"),
        "alone": _alone(kept) if plan.about.get("detect") else [],
        "dropped": [
            {"reason": reason, "meaning": DROPS.get(reason, ""), "files": count, "example": examples[reason]}
            for reason, count in Counter(plan.about["dropped"]).most_common()
        ],
        "unresolved": [
            {"input": row["dataURI"] or row["uri"] or row["obs_id"], "detail": row["detail"]}
            for row in unresolved.select(["dataURI", "uri", "obs_id", "detail"]).to_pylist()
        ],
        "head": kept.slice(0, rows).select(columns).to_pylist(),
    }


def _alone(kept: pa.Table) -> list[dict[str, Any]]:
    """Files without a detection image, and why."""
    own = kept.filter(pc.and_(pc.is_null(kept["detect"]), pc.is_valid(kept["detail"])))
    return own.select(["uri", "detail"]).to_pylist()  # type: ignore[no-any-return]


def _sums(kept: pa.Table, by: list[str]) -> list[dict[str, Any]]:
    """Files and bytes per group, the most frequent group first."""
    sums = kept.group_by(by).aggregate([("size", "sum"), ("uri", "count")])
    rows = [
        {**{name: row[name] for name in by}, "files": row["uri_count"], "bytes": row["size_sum"] or 0}
        for row in sums.to_pylist()
    ]
    return sorted(rows, key=lambda row: (-row["files"], str(row)))


def show(console: Console, document: dict[str, Any], estimate: Iterable[str] = ()) -> None:
    """Prints a preview, with the lines of `estimate` about the expected time and cost."""

    say = partial(formatting.say, console)
    if document["files"]:
        say("\n".join(_files(document["head"], console.width)))
        if (more := document["files"] - len(document["head"])) > 0:
            say(f"… and {more:,} more")
        say("")
        say("\n".join(_groups(document["groups"][:_LISTED], console.width)))
        if (more := len(document["groups"]) - _LISTED) > 0:
            say(f"… and {formatting.count(more, 'more group')}: --json lists them")
        say("")
    large = sum(row["files"] for row in document["tiers"] if row["tier"] == LARGE)
    unsized = f", {document['unsized']:,} of unknown size" if document["unsized"] else ""
    say(
        f"{formatting.count(document['files'])}, {formatting.size(document['bytes'])}{unsized}; "
        f"{large:,} for the function with more memory"
    )
    if detect := document["detect"]:
        say(
            f"{formatting.count(detect['files'])} measured on the sources of "
            f"{formatting.count(detect['images'], 'detection image')} ({detect['how']})"
        )
        for reason, number in detect["alone"].items():
            say(f"{formatting.count(number)} measured on their own sources: {reason}")
        for row in document["alone"][:_LISTED]:
            say(f"    {_printable(row['uri'])}")
    for drop in document["dropped"]:
        example = drop["example"]
        name = example.get("dataURI") or example.get("uri") or example.get("obs_id") or ""
        detail = f" ({example['detail']})" if example.get("detail") else ""
        say(f"{drop['files']:,} dropped: {drop['reason']}, {drop['meaning']}")
        say(f"    for example {_printable(name)}{detail}")
    for line in estimate:
        say(line)
    for item in document["unresolved"][:_LISTED]:
        say(f"unresolved: {_printable(item['input'])}: {item['detail']}")
    if document["unresolved"]:
        say(
            f"{len(document['unresolved']):,} unresolved: skyfan plan --resume {document['plan']} asks again "
            "for these only; --json lists all"
        )
    say(f"plan: {document['plan']}")


def _printable(name: str) -> str:
    """A name on one line: keys of objects may hold control characters."""
    return name if name.isprintable() else repr(name)


def _files(rows: list[dict[str, Any]], width: int) -> list[str]:
    columns = [
        Column("file", "name"),
        Column("size", "number"),
        Column("tier"),
        Column("instrument"),
        Column("filter"),
        Column("proposal", optional=True),
        Column("exposure (s)", "number", optional=True),
    ]
    cells = [
        [
            formatting.file_name(row["uri"]),
            "?" if row["size"] is None else formatting.size(row["size"]),
            row["tier"],
            *(row[name] or "" for name in ("instrument_name", "filters", "proposal_id")),
            "" if row["t_exptime"] is None else f"{row['t_exptime']:.0f}",
        ]
        for row in rows
    ]
    return formatting.table(columns, cells, width)


def _groups(rows: list[dict[str, Any]], width: int) -> list[str]:
    columns = [Column("instrument"), Column("filter"), Column("files", "number"), Column("size", "number")]
    cells = [
        [
            row["instrument_name"] or "unknown",
            row["filters"] or "",
            f"{row['files']:,}",
            formatting.size(row["bytes"]),
        ]
        for row in rows
    ]
    return formatting.table(columns, cells, width)
