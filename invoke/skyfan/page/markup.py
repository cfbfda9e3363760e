"""HTML and SVG whose texts are escaped by construction: only tag() makes markup."""

import re
from collections.abc import Iterable
from html import escape
from typing import Any

_VOID = {"meta", "img", "br", "hr"}
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
    """An element. An attribute's _ stands for -, one at the end is dropped; None and False leave it out."""
    given = "".join(
        f" {_name(name)}" if value is True else f' {_name(name)}="{_escaped(value)}"'
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    end = "" if element in _VOID else f"</{element}>"
    return Markup(f"<{element}{given}>{text(content)}{end}")


def _name(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _escaped(value: Content) -> str:
    return escape(_FORBIDDEN.sub("\ufffd", str(value)))
