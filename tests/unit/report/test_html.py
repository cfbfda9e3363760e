"""Whatever a text holds, it stays a text."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyfan.report.html import Markup, tag, text


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: dict[str, str | None] = {}
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.update(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(markup: str) -> _Reader:
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return reader


@given(st.text(), st.text(min_size=1))
def test_texts_and_attributes_come_back_as_they_were(words: str, value: str) -> None:
    markup = tag("p", words, title=value)
    markup.encode("utf-8")  # no half of a surrogate pair is left
    found = _read(markup)
    assert found.tags == ["p"]
    plain = [c for c in words if c.isprintable() and c not in "\r\n"]
    assert [c for c in found.text if c.isprintable() and c not in "\r\n\ufffd"] == [
        c for c in plain if c != "\ufffd"
    ]
    assert len(found.attributes["title"] or "") == len(value)


def test_only_tag_makes_markup() -> None:
    assert tag("p", "<b>", tag("i", "&")) == "<p>&lt;b&gt;<i>&amp;</i></p>"
    assert tag("p", [1, None, (Markup("<hr>"), "<")]) == "<p>1<hr>&lt;</p>"
    assert text("<") == "&lt;"


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"class_": "a", "aria_label": "b"}, '<br class="a" aria-label="b">'),
        ({"hidden": True, "id": None, "open": False}, "<br hidden>"),
        ({"title": "\"'<&\x00"}, '<br title="&quot;&#x27;&lt;&amp;\ufffd">'),
        ({"tabindex": 0}, '<br tabindex="0">'),
    ],
)
def test_attributes(attributes: dict[str, object], expected: str) -> None:
    assert tag("br", **attributes) == expected
