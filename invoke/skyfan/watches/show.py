"""Prints watches and their decisions, for people and as JSON."""

import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import Any

from skyfan_watch.definition import LOCAL, Watch
from skyfan_watch.query import NAMES, Query

from .. import formatting
from ..formatting import Column
from ..runs.watch_state import WatchState

_COMMON = 16_534_080
"""Bytes of an exposure of WFC3/IR."""


def document(one: WatchState) -> dict[str, Any]:
    """A watch as JSON, without its table of costs."""
    watch = json.loads(one.watch.body())
    for name in ("costs", "limits", "version"):
        del watch[name]
    ledger = dataclasses.asdict(one.ledger)
    return {
        **watch,
        "state": one.state,
        "place": one.place.name if one.place else None,
        "month": one.ledger.month,
        "spent_usd": one.spent,
        "months_usd": {month: nano / 1e9 for month, nano in one.ledger.months.items()},
        **{name: ledger[name] for name in ("stopped", "waiting", "counts", "skipped", "last")},
        "in_flight": len(one.ledger.open),
    }


def table(found: Iterable[WatchState], width: int) -> list[str]:
    """One line per watch."""
    columns = [
        Column("watch", "name"),
        Column("state"),
        Column("of this month", "number"),
        Column("sent", "number"),
        Column("waiting", "number"),
        Column("not wanted", "number"),
        Column("last message"),
        Column("query", "prose"),
    ]
    return formatting.table(columns, [_row(one) for one in found], width)


def _row(one: WatchState) -> list[str]:
    watch, ledger = one.watch, one.ledger
    spent = "" if watch.budget is None else f"{formatting.usd(one.spent)} of {watch.budget:g} USD"
    return [
        watch.name,
        one.words,
        spent,
        f"{ledger.counts.get('accepted', 0):,}",
        f"{ledger.waiting:,}",
        f"{sum(ledger.skipped.values()):,}",
        ledger.last[:16].replace("T", " "),
        describe(watch),
    ]


def describe(watch: Watch) -> str:
    """What a watch looks for, in words."""
    query = watch.query
    parts = [watch.source if watch.where == LOCAL else query.mission]
    parts += [" or ".join(query.words[name]) for name in NAMES if name in query.words]
    parts += [" or ".join(query.products)] if query.products else []
    parts += [f"{NAMES[name]} {low:g} to {high:g}" for name, (low, high) in query.ranges.items()]
    parts += [_cone(query)] if query.cone else []
    return ", ".join(part for part in parts if part)


def _cone(query: Query) -> str:
    assert query.cone
    ra, dec, radius = query.cone
    return f"within {radius:g}° of {ra:g} {dec:+g}"


def log_lines(decisions: Iterable[dict[str, Any]]) -> Iterator[str]:
    """One line per decision: time, decision, file, reason."""
    for one in decisions:
        cost = f"{one['nano'] / 1e9:.6f} USD" if one.get("nano") else ""
        parts = (one.get("time"), one.get("decision"), one.get("input"), one.get("reason"), cost)
        yield "  ".join(str(part) for part in parts if part)


def skipped_lines(one: WatchState) -> Iterator[str]:
    """What the query does not want, by reason, and how often a message told nothing new."""
    rows = sorted(one.ledger.skipped.items(), key=lambda row: (-row[1], row[0]))
    if rows:
        yield "not wanted: " + ", ".join(f"{number:,} {reason}" for reason, number in rows)
    if duplicates := one.ledger.counts.get("duplicate", 0):
        yield f"announced again: {duplicates:,}, which added nothing"


def cost_lines(one: WatchState) -> Iterator[str]:
    """What a watch may spend, and what a file of a common size costs at most."""
    watch = one.watch
    if watch.budget is None:
        return
    each = watch.cost("x_flt.fits", _COMMON) / 1e9
    yield f"It spends up to {watch.budget:g} USD per month (UTC), and then stops until the next."
    yield (
        f"A file of {formatting.size(_COMMON)} costs up to {formatting.usd(each)}: "
        f"{formatting.count(int(watch.budget // each))} a month. While nothing is announced it costs nothing."
    )
