"""What a plan holds, in numbers: what a person looks at before running it."""

from collections import Counter
from typing import Any

import pyarrow.compute as pc

from ..bill.estimate import Estimate, estimate
from ..bill.speeds import Speeds
from .plan import DROPS, Plan
from .tiers import MEMORY_MB

UNRESOLVED = "unresolved"


def preview(made: Plan, first: int = 10) -> dict[str, Any]:
    """A plan's counts as plain data, ready for JSON.

    files, bytes, unsized; tiers and groups (instrument and filter) with files and bytes; dropped, by reason,
    with its meaning, count and one example; unresolved, all of them; head, the first rows; query and made.
    """
    table = made.table()
    is_kept = pc.is_null(table["dropped"])
    kept, dropped = table.filter(is_kept), table.filter(pc.invert(is_kept))
    examples: dict[str, dict[str, Any]] = {}
    for row in dropped.select(["dropped", "dataURI", "uri", "obs_id", "detail"]).to_pylist():
        reason = row.pop("dropped")
        examples.setdefault(reason, {key: value for key, value in row.items() if value})
    unresolved = dropped.filter(pc.equal(dropped["dropped"], UNRESOLVED))
    columns = ["uri", "size", "tier", "product", "instrument_name", "filters", "proposal_id", "t_exptime"]
    return {
        "plan": str(made.path),
        "query": made.about.get("query"),
        "made": made.about.get("made"),
        "files": made.files,
        "bytes": made.about["bytes"],
        "unsized": kept["size"].null_count,
        "tiers": _sums(kept, ["tier"]),
        "groups": _sums(kept, ["instrument_name", "filters"]),
        "dropped": [
            {"reason": reason, "meaning": DROPS.get(reason, ""), "files": count, "example": examples[reason]}
            for reason, count in Counter(made.about["dropped"]).most_common()
        ],
        "unresolved": [
            {"input": row["dataURI"] or row["uri"] or row["obs_id"], "detail": row["detail"]}
            for row in unresolved.select(["dataURI", "uri", "obs_id", "detail"]).to_pylist()
        ],
        "head": kept.slice(0, first).select(columns).to_pylist(),
    }


def cost(made: Plan, history: Speeds | None = None) -> Estimate:
    """Time and money that the plan will take on Lambda, by what a past run took or by the measured table."""
    return estimate(made, memory_mb=MEMORY_MB, history=history)


def _sums(kept: Any, by: list[str]) -> list[dict[str, Any]]:
    sums = kept.group_by(by).aggregate([("size", "sum"), ("uri", "count")])
    rows = [
        {**{name: row[name] for name in by}, "files": row["uri_count"], "bytes": row["size_sum"] or 0}
        for row in sums.to_pylist()
    ]
    return sorted(rows, key=lambda row: (-row["files"], str(row)))
