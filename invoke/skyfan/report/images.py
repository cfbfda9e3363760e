"""The table of all images of a run: its columns, the pieces in which a page loads it, and its section."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from skyfan_contract import LARGER, NEVER, RETRY

from .. import formatting
from ..catalogs import images as inputs
from ..catalogs import kinds
from ..catalogs.kinds import SOURCES, Kind
from ..formatting import file_name
from ..runs.doubts import Doubts
from ..runs.judge import STATES
from ..runs.run_file import RunFile
from ..runs.state import RunState
from ..storage import uris
from .html import Markup, data, section, tag, text

ROWS = 4096
DOUBTFUL = "doubtful"
ORDER = ("failed", "damaged", "missing", "cancelled", DOUBTFUL, "late", "done", "sent", "unsent")
"""States as the table shows them, in its order: what needs a look comes first."""
MEASURED = (
    "instrument",
    "filter",
    "target",
    "proposal_id",
    "t_min",
    "t_exptime",
    "sources",
    "depth",
    "doubts",
    "notes",
    "catalog",
)
"""Columns of images.parquet that the table shows."""
_OF_IMAGES = ("t_exptime", "depth")
"""Those of them that only images have."""
_MAX_FACTS = 4
"""Facts in the table; a row that is opened has as many more."""
INLINE = 300
"""Images that the page itself carries; more are in files beside it."""
_MAX_KINDS = 60
_LABELS = {"done": "done, no doubts"}
_MJD_ZERO = datetime(1858, 11, 17, tzinfo=UTC)
_CURES: dict[str, str] = {NEVER: "no", LARGER: "with more memory or time", RETRY: "yes"}
Row = dict[str, Any]


@dataclass(frozen=True)
class Heading:
    """A column of the table."""

    key: str
    label: str
    number: bool = False
    minor: bool = False
    """Whether a narrow screen shows it with the details of a row only."""


HEADINGS = (
    Heading("name", "Image"),
    Heading("instrument", "Instrument", minor=True),
    Heading("filter", "Filter", minor=True),
    Heading("target", "Target", minor=True),
    Heading("date", "Date", minor=True),
    Heading("exposure", "Exposure, s", number=True, minor=True),
    Heading("sources", "Sources", number=True),
    Heading("depth", "5σ depth", number=True, minor=True),
    Heading("state", "State"),
)
DETAILS = (
    Heading("reasons", "Doubts or error", minor=True),
    Heading("uri", "File"),
    Heading("proposal", "Proposal"),
    Heading("catalog", "Catalog"),
    Heading("size", "Size, MB", number=True),
    Heading("retry", "Can a retry help?"),
)
"""What a row shows when it is opened, besides its notes or message."""
_LABELS_OF_ROWS = {"name": "Input", "sources": "Rows", "catalog": "Table"}


@dataclass(frozen=True)
class ImageTable:
    """One row per image or other input of a run, those that need a look first."""

    rows: list[Row]
    kind: Kind = SOURCES
    headings: tuple[Heading, ...] = HEADINGS
    details: tuple[Heading, ...] = DETAILS

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def states(self) -> dict[str, int]:
        """Images by state, in the order of the table."""
        counts = Counter(row["state"] for row in self.rows)
        return {state: counts[state] for state in ORDER if counts[state]}

    def kinds(self, maximum: int) -> list[tuple[str, str, int]]:
        """Instrument, filter and number of images of the most frequent kinds."""
        counts = Counter((row["instrument"], row["filter"]) for row in self.rows if row["instrument"])
        return [(*kind, count) for kind, count in counts.most_common(maximum)]

    @property
    def piece_rows(self) -> int:
        """Images per piece."""
        return ROWS

    def pieces(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Names and contents of the pieces: what is sorted and searched, and the longer details."""
        for number, start in enumerate(range(0, len(self.rows), ROWS)):
            rows = self.rows[start : start + ROWS]
            looked_at = (*(heading.key for heading in self.headings), "reasons", "uri")
            detailed = (heading.key for heading in self.details if heading.key not in looked_at)
            yield f"images-{number:03}", _columns(rows, looked_at)
            yield f"details-{number:03}", _columns(rows, (*detailed, "notes"))


def table(
    state: RunState, collected: pa.Table | None, doubts: Doubts | None, kind: Kind = SOURCES
) -> ImageTable:
    """All images of a run: its planned files, with what `collected` (images.parquet) tells of them.

    `doubts` are the marks of the run, for images that are done and not collected. Of other inputs, the table
    has facts instead of what only images have.
    """
    found: dict[str, Row] = {}
    headings: tuple[Heading, ...] = HEADINGS
    details: tuple[Heading, ...] = DETAILS
    shown: tuple[str, ...] = MEASURED
    if kind is not SOURCES and collected is not None:
        facts = [_heading(field) for field in fact_fields(collected.schema)]
        headings, details = _of_rows(HEADINGS, facts[:_MAX_FACTS]), _of_rows(DETAILS, facts[_MAX_FACTS:])
        shown = (*(name for name in MEASURED if name not in _OF_IMAGES), *(fact.label for fact in facts))
    if collected is not None:
        names = [name.lower() for name in shown]
        columns = [collected["uri"].to_pylist(), *(collected[name].to_pylist() for name in names)]
        found = {uri: dict(zip(shown, values, strict=True)) for uri, *values in zip(*columns, strict=True)}
    marked = {} if doubts is None else {file.uri: " ".join(names) for file, names in state.doubtful(doubts)}
    told = [name for name in shown if name not in MEASURED]
    rows = [_row(file, found.pop(file.uri, None), marked, told) for file in state.files(*STATES)]
    # Results of files that are in no plan.
    unplanned = ((RunFile(uri, None, "", "done", None, None), image) for uri, image in found.items())
    rows += [_row(file, image, marked, told) for file, image in unplanned]
    rank = {name: number for number, name in enumerate(ORDER)}
    return ImageTable(sorted(rows, key=lambda row: rank[row["state"]]), kind, headings, details)


def _of_rows(headings: tuple[Heading, ...], facts: list[Heading]) -> tuple[Heading, ...]:
    """The headings that inputs have, in their words, with facts before the last one."""
    kept = [heading for heading in headings if heading.key not in ("exposure", "depth")]
    named = [replace(one, label=_LABELS_OF_ROWS.get(one.key, one.label)) for one in kept]
    return (*named[:-1], *facts, named[-1])


def _heading(field: pa.Field) -> Heading:
    return Heading(f"fact-{field.name}", field.name.upper(), number=kinds.is_quantity(field), minor=True)


def fact_fields(schema: pa.Schema) -> list[pa.Field]:
    """The facts that functions told, of a table of inputs."""
    return [field for field in schema if field.name not in inputs.schema(kinds.ROWS).names]


def retry_helps(cure: str | None) -> str:
    """Whether a failed image can succeed in another try, in words; `cure` is one of skyfan_contract.CURES."""
    return _CURES.get(cure, "perhaps") if cure else "perhaps"


def _row(file: RunFile, image: Row | None, marked: dict[str, str], fact_names: Sequence[str]) -> Row:
    is_done = file.state == "done"
    known = image if image is not None and is_done else {}
    doubts = (known.get("doubts") or "") if known else marked.get(file.uri, "") if is_done else ""
    failure = file.failure
    facts = {name: known.get(name) for name in fact_names}
    return {
        "name": file_name(file.uri),
        "state": DOUBTFUL if doubts else file.state,
        "instrument": known.get("instrument") or "",
        "filter": known.get("filter") or "",
        "target": known.get("target") or "",
        "date": date(known.get("t_min")),
        "exposure": _rounded(known.get("t_exptime"), 1),
        "sources": known.get("sources"),
        "depth": _rounded(known.get("depth"), 2),
        "reasons": failure.error_type if failure else doubts,
        "uri": str(uris.local_path(file.uri) or file.uri),
        "proposal": known.get("proposal_id") or "",
        "catalog": known.get("catalog") or "",
        "size": None if file.size is None else round(file.size / 1e6, 2),
        "retry": retry_helps(failure.cure) if failure else "",
        "notes": failure.message if failure else known.get("notes") or "",
    } | {f"fact-{name.lower()}": _plain(value) for name, value in facts.items()}


def date(mjd: float | None) -> str:
    """The day of a Modified Julian Date, such as 2009-10-03; empty if it is unknown."""
    if mjd is None or not math.isfinite(mjd):
        return ""
    try:
        return f"{_MJD_ZERO + timedelta(days=mjd):%Y-%m-%d}"
    except OverflowError:
        return f"MJD {mjd:g}"


def _plain(value: Any) -> Any:
    """A fact as the page shows it."""
    return ("yes" if value else "no") if isinstance(value, bool) else value


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, digits)


def _columns(rows: list[Row], keys: tuple[str, ...]) -> dict[str, Any]:
    """Values by column; a column of words that repeat is a list of words and the place of each row's word."""
    columns: dict[str, Any] = {}
    for key in keys:
        values = [row[key] for row in rows]
        if key == "name":
            # The end of the URI, unless that is percent-encoded.
            values = [None if row["uri"].endswith(f"/{row[key]}") else row[key] for row in rows]
        words = dict.fromkeys(values)
        if len(words) * 2 <= len(values):
            places = {word: place for place, word in enumerate(words)}
            columns[key] = {"words": list(words), "places": [places[value] for value in values]}
        else:
            columns[key] = values
    return columns


def section_of(table: ImageTable, folder: str) -> Markup:
    """The table of all images. Its pieces are in the page, or in `folder` as seen from the page."""
    title = f"All {table.kind.input}s"
    if not len(table):
        return section("images", title, tag("p", f"The run has no {table.kind.input}s yet."))
    noun = table.kind.input
    sentence = (
        f"{formatting.count(len(table), noun)}; those that need a look come first. "
        "Open a row for its notes or the message of its failure; a heading sorts."
    )
    about = {
        "noun": noun,
        "total": len(table),
        "rows": table.piece_rows,
        "folder": folder,
        "headings": [asdict(heading) for heading in table.headings],
        "details": [asdict(heading) for heading in table.details],
    }
    pieces = table.pieces() if len(table) <= INLINE else ()
    return section(
        "images",
        title,
        tag("p", sentence),
        tag(
            "noscript", tag("p", "The table needs JavaScript; images.parquet has the same.", class_="notice")
        ),
        _tools(table),
        tag("p", id="images-count", role="status", class_="count"),
        tag(
            "div",
            _empty_table(table),
            class_="scroll",
            role="region",
            tabindex=0,
            aria_labelledby="images-caption",
        ),
        _pager(),
        _script("images-about", about),
        [_script(name, content) for name, content in pieces],
    )


def _script(name: str, content: object) -> Markup:
    return tag("script", data(content), id=name, type="application/json")


def _tools(table: ImageTable) -> Markup:
    states = [
        _option(state, f"{_LABELS.get(state, state)} ({number:,})") for state, number in table.states.items()
    ]
    kinds = [
        _option(f"{instrument}\t{name}", f"{instrument} {name} ({number:,})")
        for instrument, name, number in table.kinds(_MAX_KINDS)
    ]
    search = tag("input", type="search", id="images-search", autocomplete="off", spellcheck="false")
    return tag(
        "div",
        _labelled("Search", search),
        _labelled("State", tag("select", _option("", "all"), states, id="images-state")),
        _labelled("Instrument", tag("select", _option("", "all"), kinds, id="images-kind"))
        if kinds
        else None,
        tag("label", tag("input", type="checkbox", id="images-notes"), "Show notes", class_="check"),
        tag("button", "Clear", type="button", id="images-clear"),
        class_="tools",
        role="search",
        aria_label="Images",
    )


def _option(value: str, label: str) -> Markup:
    return tag("option", label, value=value)


def _labelled(label: str, control: Markup) -> Markup:
    return tag("label", tag("span", label), control)


def _empty_table(table: ImageTable) -> Markup:
    heads = [
        tag(
            "th",
            tag("button", heading.label, type="button"),
            scope="col",
            data_key=heading.key,
            class_=" ".join(
                filter(None, ("number" if heading.number else "", "minor" if heading.minor else ""))
            )
            or None,
        )
        for heading in table.headings
    ]
    caption = tag("caption", f"All {table.kind.input}s of the run", id="images-caption", class_="unseen")
    return tag("table", caption, tag("thead", tag("tr", heads)), tag("tbody"), id="images-table")


def _pager() -> Markup:
    buttons = [
        tag("button", label, type="button", id=f"images-{name}")
        for name, label in (("previous", "Previous"), ("next", "Next"))
    ]
    return tag("div", text(buttons), tag("span", id="images-page"), class_="pager")
