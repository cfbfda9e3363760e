"""What sections are put together from: tables with captions, figures, lists of facts."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ..words import number
from .charts import histogram, summary, title
from .distribution import Distribution
from .markup import Content, Markup, tag, text


def section(name: str, heading: str, *content: Content) -> Markup:
    """A section of the page; its name is its address."""
    heading = tag("h2", heading, id=f"{name}-heading")
    return tag("section", heading, text(content), id=name, aria_labelledby=f"{name}-heading")


def table(
    name: str,
    caption: Content,
    head: Sequence[str],
    rows: Iterable[Sequence[Content]],
    *,
    numbers: Sequence[int] = (),
    foot: Sequence[Content] = (),
    wordy: bool = False,
) -> Markup:
    """A table whose first column heads its rows; `numbers` are the columns that are set to the right.

    `wordy` says that a column holds sentences, which need room.

    It scrolls by itself where the screen is too narrow, so it can be reached with the Tab key.
    """

    def side(column: int) -> str | None:
        return "number" if column in numbers else None

    heads = [tag("th", heading, scope="col", class_=side(column)) for column, heading in enumerate(head)]

    def line(row: Sequence[Content]) -> Markup:
        cells = [tag("td", cell, class_=side(column)) for column, cell in enumerate(row[1:], 1)]
        return tag("tr", tag("th", row[0], scope="row", class_=side(0)), cells)

    made = tag(
        "table",
        tag("caption", caption, id=f"{name}-caption"),
        tag("thead", tag("tr", heads)),
        tag("tbody", [line(row) for row in rows]),
        tag("tfoot", line(foot)) if foot else None,
        class_="wordy" if wordy else None,
    )
    return tag("div", made, class_="scroll", role="region", tabindex=0, aria_labelledby=f"{name}-caption")


def facts(pairs: Iterable[tuple[str, Content]], class_: str = "facts") -> Markup:
    """Names and values."""
    return tag("dl", [tag("div", tag("dt", key), tag("dd", value)) for key, value in pairs], class_=class_)


def figure(drawn: Markup, caption: Content, *more: Content, class_: str | None = None) -> Markup:
    """A picture with its caption below."""
    return tag("figure", drawn, tag("figcaption", caption), *more, class_=class_)


def chart(name: str, values: Distribution | None, noun: str) -> Markup:
    """A histogram with its summary, and its numbers as a table for who wants them; nothing without values."""
    if values is None:
        return Markup()
    rows = [
        (f"{number(low)} to {number(high)}", f"{count:,}")
        for low, high, count in zip(values.edges[:-1], values.edges[1:], map(int, values.counts), strict=True)
        if count
    ]
    unit = f" ({values.unit})" if values.unit else ""
    caption = title(values, noun)
    numbers = tag(
        "details",
        tag("summary", f"Numbers of the chart: {caption}"),
        table(f"{name}-numbers", caption, [f"{values.label}{unit}", noun], rows, numbers=(1,)),
    )
    return figure(histogram(name, values, noun), summary(values, noun), numbers)


def absent(sentence: str) -> Markup:
    """A sentence in the place of what is not there; what stands in `backquotes` is a command."""
    pieces = sentence.split("`")
    return tag(
        "p", [tag("code", piece) if at % 2 else piece for at, piece in enumerate(pieces)], class_="absent"
    )


def setting(value: Any) -> Markup:
    """A setting's value as JSON writes it."""
    return tag("code", json.dumps(value, ensure_ascii=False))


def cards(*content: Content) -> Markup:
    """Figures side by side, as many as fit; nothing where there are none."""
    inside = text(content)
    return tag("div", inside, class_="cards") if inside else inside
