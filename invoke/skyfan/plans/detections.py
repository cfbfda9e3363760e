"""Which image of a visit is the detection image of the others: the column `detect` of a plan. No I/O."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import pyarrow as pa

from ..errors import UsageError
from ..storage import uris
from .plan import LARGE, SCHEMA
from .tiers import tier

TOTAL = "total"
DRIZZLED = frozenset({"DRZ", "DRC"})
# hst_<proposal>_<visit>_<instrument>_<detector>_<filter>_<ipppss>_<product>, as HAP names products of visits
# (drizzlepac documentation, "HAP Naming conventions").
_HAP = re.compile(
    r"hst_(?P<proposal>\d+)_(?P<visit>\w\w)_(?P<camera>[a-z0-9]+_[a-z0-9]+)_(?P<filter>[a-z0-9-]+)_"
    r"(?P<root>[a-z0-9]{6})(?P<exposure>[a-z0-9]{2})?_(?P<product>[a-z]{3})\.fits",
    re.IGNORECASE,
)
# ipppssoot: instrument, program, visit, observation.
_ROOT = re.compile(r"(?P<visit>[a-z][a-z0-9]{5})[a-z0-9]{3}_(?P<product>[a-z0-9]+)\.fits", re.IGNORECASE)


class _Visit(NamedTuple):
    """Files that show the same sky through one camera."""

    name: str
    camera: str


def with_detections(table: pa.Table, how: str) -> tuple[pa.Table, dict[str, Any]]:
    """Fills in `detect` and `detect_size` of the rows that are not dropped; and what was grouped.

    `how` is "total", or the URI of the detection image of all. With "total", that of a visit's files is HAP's
    total image (hst_*_total_*_drz or drc); without one, the drizzled image of the visit and camera with the
    longest exposure, of several the first by URI. Rows without one are measured on their own sources; their
    column `detail` says why. Raises UsageError for anything else.
    """
    rows = table.to_pylist()
    kept = [row for row in rows if row["dropped"] is None]
    if how != TOTAL:
        found: dict[_Visit | None, dict[str, Any]] = {None: _named(how, kept)}
        visits: dict[str, _Visit | None] = dict.fromkeys((row["uri"] for row in kept), None)
    else:
        visits = {row["uri"]: _visit(row) for row in kept}
        found = _deepest(kept, visits)
    used, alone = set(), Counter[str]()
    for row in kept:
        row["detect"] = row["detect_size"] = None
        visit = visits[row["uri"]]
        best = found.get(visit) if how != TOTAL or visit is not None else None
        if best is not None and best["uri"] == row["uri"]:
            continue
        reason = _why_alone(row, best, visit, how)
        if best is None or reason:
            alone[reason] += 1
            row["detail"] = f"no detection image: {reason}"
            continue
        row["detect"], row["detect_size"] = best["uri"], best["size"]
        with_both = tier(row["uri"], row["size"], pixels=row["pixels"], detect=(best["uri"], best["size"]))
        row["tier"] = with_both or LARGE
        used.add(best["uri"])
    summary = {
        "how": how,
        "images": len(used),
        "files": sum(row["detect"] is not None for row in kept),
        "alone": dict(alone.most_common()),
    }
    return pa.Table.from_pylist(rows, SCHEMA), summary


def _named(uri: str, kept: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The row of a URI, or one that knows no more than the URI."""
    try:
        uris.key(uri)
    except Exception as error:
        raise UsageError(
            f"--detect takes 'total' or the URI of an image, s3://bucket/key or file:///path: {error}"
        ) from error
    return next((row for row in kept if row["uri"] == uri), {"uri": uri, "size": None})


def _visit(row: dict[str, Any]) -> _Visit | None:
    """The visit and camera of a file, from its name; None if the name does not say it."""
    name = row["uri"].rsplit("/", 1)[-1]
    if match := _HAP.match(name):
        return _Visit(f"{match['proposal']}_{match['visit']}".lower(), match["camera"].lower())
    if match := _ROOT.match(name):
        return _Visit(match["visit"].lower(), str(row["instrument_name"] or ""))
    return None


def _is_total(row: dict[str, Any]) -> bool:
    match = _HAP.match(row["uri"].rsplit("/", 1)[-1])
    return bool(match and match["filter"].lower() == TOTAL)


def _is_drizzled(row: dict[str, Any]) -> bool:
    return row["product"] in DRIZZLED


def _deepest(
    kept: Iterable[dict[str, Any]], visits: dict[str, _Visit | None]
) -> dict[_Visit | None, dict[str, Any]]:
    """The detection image of each visit that has one."""
    found: dict[_Visit | None, dict[str, Any]] = {}
    for row in sorted(kept, key=_rank):
        if _is_drizzled(row) and (_is_total(row) or row["t_exptime"] is not None):
            found.setdefault(visits[row["uri"]], row)
    return found


def _rank(row: dict[str, Any]) -> tuple[bool, float, str]:
    """Totals first, then by exposure time, then by URI."""
    return not _is_total(row), -(row["t_exptime"] or 0.0), row["uri"]


def _why_alone(row: dict[str, Any], best: dict[str, Any] | None, visit: _Visit | None, how: str) -> str:
    if how != TOTAL:
        return ""
    if visit is None:
        return "its name tells no visit"
    if best is None:
        if _is_drizzled(row):
            return "the plan has no exposure times of the visit's drizzled images"
        return "the plan has no drizzled image of its visit"
    return ""
