"""skyfan report on a run of real images, in a real Chromium that has no network."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from standins import chromium

from skyfan import api
from skyfan.cli import main

pytestmark = pytest.mark.slow

WIDTHS = (360, 768, 1280)
# Each text's colour against the ground it stands on, by WCAG 2's formula for contrast.
_CONTRAST = """
(() => {
  const channels = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const found = channels(getComputedStyle(e).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || /^(title|desc|style)$/.test(element.tagName)) continue;
    const style = getComputedStyle(element);
    const ink = channels(element.ownerSVGElement ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(element))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), element.tagName, node.textContent.trim().slice(0, 40)]);
  }
  return found;
})()
"""
_USABLE = "a, summary, [tabindex='0']"
_FOCUSED = """
(() => {
  const e = document.activeElement, style = getComputedStyle(e);
  const name = e.getAttribute("href") || e.getAttribute("aria-labelledby") || e.textContent;
  const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  return [e.tagName + " " + name, outlined, e.getBoundingClientRect().top];
})()
"""
_SMALL = (
    "[...document.querySelectorAll('svg text')].filter((e) => e.getBoundingClientRect().height < 8).length"
)


@pytest.fixture(scope="module")
def page(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run over the demo's images and one file that is none."""
    folder = tmp_path_factory.mktemp("out")
    broken = folder / "broken.fits"
    broken.write_bytes(b"SIMPLE  = ")
    for words, code in (
        (["run", str(demo_data), str(broken), "--output", str(folder), "--outputs", "preview"], 1),
        (["collect", "default", "--output", str(folder)], 0),
        (["report", "default", "--output", str(folder), "--to", str(folder / "page.html")], 0),
    ):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == code, done.output
    return folder / "page.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    """A browser. Skips where there is none; in CI that fails."""
    program = chromium.find()
    if program is None:
        reason = "no Chromium here (Debian's package chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with chromium.browser(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("width", WIDTHS)
def test_it_opens_from_disk_and_fits(page: Path, browser: chromium.Page, width: int) -> None:
    browser.open(page, width)
    assert browser.requested() == [page.as_uri()]
    assert browser.complaints() == []
    assert browser.value("document.documentElement.scrollWidth") <= width
    loaded = browser.value("[...document.images].map((image) => image.complete && image.naturalWidth > 0)")
    assert loaded == [True] * 5
    assert browser.value(_SMALL) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_their_ground(page: Path, browser: chromium.Page, scheme: str) -> None:
    browser.media(prefers_color_scheme=scheme)
    browser.open(page)
    found: list[list[Any]] = browser.value(_CONTRAST)
    browser.media()
    assert len(found) > 200
    assert [text for text in found if text[0] < 4.5] == []


def test_a_screen_reader_finds_its_way(page: Path, browser: chromium.Page) -> None:
    browser.open(page)
    nodes = browser.accessible()
    roles = [role for role, _ in nodes]
    for landmark in ("banner", "main", "contentinfo"):
        assert roles.count(landmark) == 1, landmark
    assert ("navigation", "Contents") in nodes
    headings = [name for role, name in nodes if role == "heading"]
    assert headings[0] == "Run default"
    for section in (
        "Request",
        "Outcome",
        "Positions on the sky",
        "Depth and sources",
        "Costs",
    ):
        assert section in headings
        assert ("region", section) in nodes
    tables = [name for role, name in nodes if role == "table"]
    assert "Files by state" in tables
    assert all(tables)
    pictures = [name for role, name in nodes if role in {"image", "img"}]
    assert len(pictures) > 10
    assert all(pictures)
    assert any("abell2744_f105w_drz.fits with its sources outlined" in name for name in pictures)


def test_the_tab_key_reaches_all_that_can_be_used(page: Path, browser: chromium.Page) -> None:
    browser.media(prefers_reduced_motion="reduce")  # the page then scrolls at once
    browser.open(page, 360)
    usable = browser.value(
        f"[...document.querySelectorAll({_USABLE!r})].filter((e) => e.checkVisibility()).length"
    )
    seen: list[str] = []
    for _ in range(usable):
        browser.press("Tab", 9)
        element, outlined, top = browser.value(_FOCUSED)
        assert outlined, f"the focus on {element} does not show"
        assert -1 <= top < 900, f"{element} is not in sight"
        seen.append(element)
    browser.media()
    assert seen[0] == "A #main"
    assert len(set(seen)) == usable
    assert "DIV state-caption" in seen


def test_the_skip_link_and_the_details_work_without_a_mouse(page: Path, browser: chromium.Page) -> None:
    browser.open(page)
    browser.press("Tab", 9)
    browser.press("Enter", 13, "\r")
    assert browser.value("[location.hash, document.activeElement.id]") == ["#main", "main"]
    browser.value("document.querySelector('summary').focus()")
    browser.press("Enter", 13, "\r")
    assert browser.value("document.querySelector('details').open") is True


def test_it_prints(page: Path, browser: chromium.Page) -> None:
    browser.open(page)
    printed = browser.pdf()
    assert printed.startswith(b"%PDF-")
    browser.media("print")
    shown = browser.value(
        "['nav', '.skip', 'main', '.gallery img'].map((name) => "
        "getComputedStyle(document.querySelector(name)).display)"
    )
    wide = browser.value("document.documentElement.scrollWidth <= innerWidth")
    browser.media()
    assert shown[:2] == ["none", "none"]
    assert "none" not in shown[2:]
    assert wide


def test_without_previews_pictures_are_drawn_from_images_and_catalogs(
    page: Path, browser: chromium.Page, tmp_path: Path
) -> None:
    previews = list(page.parent.rglob("*.preview.png"))
    assert len(previews) == 5
    for preview in previews:
        preview.unlink()
    api.report("default", page.parent, to=tmp_path / "drawn.html")
    browser.open(tmp_path / "drawn.html")
    sizes = browser.value(
        "[...document.images].map((image) => Math.max(image.naturalWidth, image.naturalHeight))"
    )
    assert len(sizes) == 5
    assert all(240 < size <= 480 for size in sizes)
