"""build/links.py finds links that lead nowhere, and no others."""

from pathlib import Path

import links
import pytest


def site(folder: Path, **pages: str) -> list[str]:
    for name, body in pages.items():
        (folder / f"{name}.html").write_text(f"<html><body>{body}</body></html>")
    return list(links.broken(links.read(folder), folder))


@pytest.mark.parametrize(
    "body",
    [
        '<a href="b.html">',
        '<a href="b.html#here">',
        '<a href="#top"><p id="top">',
        '<a href=".">',  # a folder is its index
        '<a href="https://example.org/x">',
        '<a href="mailto:a@example.org">',
        '<a href="b.html#caf%C3%A9">',
        '<a name="b"></a><a href="#b">',
    ],
)
def test_a_link_that_leads_somewhere_is_none_of_the_broken(tmp_path: Path, body: str) -> None:
    assert site(tmp_path, index=body, b='<p id="here"><p id="café">') == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('<a href="c.html">', "file"),
        ('<img src="c.png">', "file"),
        ('<a href="b.html#there">', "anchor"),
        ('<a href="#there">', "anchor"),
    ],
)
def test_a_link_that_leads_nowhere_is_named(tmp_path: Path, body: str, reason: str) -> None:
    (line,) = site(tmp_path, index=body, b='<p id="here">')
    assert line.startswith("index.html: ")
    assert line.endswith(f"no such {reason}")


def test_links_to_other_sites_are_listed_once(tmp_path: Path) -> None:
    site(tmp_path, index='<a href="https://a.org/x#1"><a href="https://a.org/x#2"><a href="b.html">', b="")
    assert links.external(links.read(tmp_path).values()) == ["https://a.org/x"]
