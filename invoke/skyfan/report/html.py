"""HTML and SVG whose texts are escaped by construction: only tag() makes markup."""

import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

VOID = {"meta", "img", "br", "hr", "input"}
"""Elements without an end tag."""
# What HTML forbids even as references, and halves of pairs that UTF-8 cannot hold.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = Any
"""A text or number, which is escaped; Markup, which is not; None, which is nothing; or several of these."""


def text(content: Content) -> Markup:
    """Content as HTML."""
    if isinstance(content, Markup):
        return content
    if content is None:
        return Markup()
    if isinstance(content, Iterable) and not isinstance(content, str):
        return Markup("".join(map(text, content)))
    return Markup(_escaped(content))


def tag(element: str, *content: Content, **attributes: Content) -> Markup:
    """An element. In an attribute's name _ stands for -, except at its end, where it is dropped.

    Attributes that are None or False are left out.
    """
    written = "".join(
        f" {_name(name)}" if value is True else f' {_name(name)}="{_escaped(value)}"'
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    end = "" if element in VOID else f"</{element}>"
    return Markup(f"<{element}{written}>{text(content)}{end}")


def section(name: str, heading: str, *content: Content) -> Markup:
    """A section of the page; its name is its address."""
    title = tag("h2", heading, id=f"{name}-heading")
    return tag("section", title, content, id=name, aria_labelledby=f"{name}-heading")


def table(  # noqa: PLR0913
    name: str,
    caption: Content,
    head: Sequence[str],
    rows: Iterable[Sequence[Content]],
    *,
    numbers: Sequence[int] = (),
    foot: Sequence[Content] = (),
    wordy: bool = False,
    sortable: bool = False,
) -> Markup:
    """A table whose first column heads its rows; `numbers` are the columns that are aligned to the right.

    `wordy` is for a table with a column of sentences, which need room. With `sortable`, a click on a heading
    sorts the rows. On a narrow screen each row of a table with more than three columns becomes a block, whose
    cells repeat the headings.
    """
    is_wide = len(head) > 3

    def side(column: int) -> str | None:
        return "number" if column in numbers else None

    heads = [tag("th", heading, scope="col", class_=side(column)) for column, heading in enumerate(head)]

    def line(row: Sequence[Content]) -> Markup:
        cells = [
            tag("td", cell, class_=side(column), data_label=head[column] if is_wide else None)
            for column, cell in enumerate(row[1:], 1)
        ]
        return tag("tr", tag("th", row[0], scope="row", class_=side(0)), cells)

    classes = (("wordy", wordy), ("wide", is_wide), ("sortable", sortable))
    content = tag(
        "table",
        tag("caption", caption, id=f"{name}-caption"),
        tag("thead", tag("tr", heads)),
        tag("tbody", [line(row) for row in rows]),
        tag("tfoot", line(foot)) if foot else None,
        class_=" ".join(name for name, has in classes if has) or None,
    )
    return tag("div", content, class_="scroll", role="region", tabindex=0, aria_labelledby=f"{name}-caption")


def facts(pairs: Iterable[tuple[str, Content]], class_: str = "facts") -> Markup:
    """Names and values."""
    return tag("dl", [tag("div", tag("dt", key), tag("dd", value)) for key, value in pairs], class_=class_)


def figure(content: Markup, caption: Content, *more: Content, class_: str | None = None) -> Markup:
    """A picture with its caption below."""
    return tag("figure", content, tag("figcaption", caption), *more, class_=class_)


def notice(sentence: str) -> Markup:
    """A sentence that stands for a missing part of the page; `backquoted` words are commands."""
    pieces = sentence.split("`")
    words = [tag("code", piece) if number % 2 else piece for number, piece in enumerate(pieces)]
    return tag("p", words, class_="notice")


def data(value: Any) -> Markup:
    """A value as JSON that is safe inside a script element, and in a script of its own.

    It is ASCII without <, > and &: no text in it can end the element or begin another. Raises ValueError for
    NaN and infinity.
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def setting(value: Any) -> Markup:
    """A setting's value as JSON writes it."""
    return tag("code", json.dumps(value, ensure_ascii=False))


def cards(*content: Content, large: bool = False) -> Markup:
    """Figures side by side, as many as fit, of `large` ones two; nothing if there are none."""
    figures = text(content)
    return tag("div", figures, class_="cards pairs" if large else "cards") if figures else figures


def _name(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _escaped(value: Content) -> str:
    return escape(_FORBIDDEN.sub("\ufffd", str(value)))
