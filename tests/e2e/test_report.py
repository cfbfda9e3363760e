"""skyfan report on a run of real images, in a real Chromium that has no network."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from standins import chromium
from standins.survey import Exposure, Sky, Survey

from skyfan import api
from skyfan.cli import main
from skyfan.report import images, thumbnails

pytestmark = pytest.mark.slow

WIDTHS = (360, 800, 1400)
HOSTILE = "<img src=x onerror=document.title='owned'>.fits"
_AXE = Path(__file__).parents[1] / "browser/node_modules/axe-core/axe.min.js"
# What breaks WCAG or axe's best practices, with an example.
_VIOLATIONS = """
axe.run(document).then((found) => [found.passes.length, found.violations.map((rule) =>
  `${rule.id} (${rule.nodes.length}): ${rule.nodes[0].html.slice(0, 200)} ${rule.nodes[0].failureSummary}`)])
"""
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
_USABLE = "a, summary, input, select, button:not([disabled]), [tabindex='0']"
_FOCUSED = """
(() => {
  const e = document.activeElement, style = getComputedStyle(e);
  const name = e.getAttribute("href") || e.getAttribute("aria-labelledby") || e.id || e.title + e.textContent;
  const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const box = e.getBoundingClientRect();
  return [e.tagName + " " + name, outlined, box.top < innerHeight && box.bottom > 0];
})()
"""
_SMALL = (
    "[...document.querySelectorAll('svg text')].filter((e) => e.getBoundingClientRect().height < 8).length"
)


@pytest.fixture(scope="module")
def page(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run over the demo's images and a broken file whose name would be markup."""
    folder = tmp_path_factory.mktemp("out")
    broken = folder / HOSTILE
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
    loaded = browser.value(
        "[...document.querySelectorAll('#gallery img')].map((i) => i.complete && i.naturalWidth > 0)"
    )
    assert loaded == [True] * 10, "each image and its outlines"
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
    assert {"Files by state", "All images of the run"} <= set(tables)
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
        element, outlined, in_sight = browser.value(_FOCUSED)
        assert outlined, f"the focus on {element} does not show"
        assert in_sight, f"{element} is not in sight"
        seen.append(element)
    browser.media()
    assert seen[0] == "A #main"
    assert len(seen) == usable
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
        "['nav', '.skip', '.tools', 'main', '.gallery img', '#images-table tbody tr'].map((name) => "
        "getComputedStyle(document.querySelector(name)).display)"
    )
    wide = browser.value("document.documentElement.scrollWidth <= innerWidth")
    browser.media()
    assert shown[:3] == ["none", "none", "none"]
    assert "none" not in shown[3:]
    assert wide


def test_without_images_pictures_are_those_of_previews_less_their_outlines(
    page: Path, browser: chromium.Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "_LARGEST", 0)
    api.report("default", page.parent, to=tmp_path / "previews.html")
    browser.open(tmp_path / "previews.html")
    sizes = browser.value(
        "[...document.querySelectorAll('#gallery img')]"
        ".map((i) => [i.className, i.naturalWidth, i.naturalHeight])"
    )
    assert [name for name, *_ in sizes] == ["sky", "outlines"] * 5
    assert all(max(size) <= 360 for _, *size in sizes)
    assert all(base[1:] == over[1:] for base, over in zip(sizes[::2], sizes[1::2], strict=True))


@pytest.fixture
def beside(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same page with its table in files, as that of a run of many images."""
    monkeypatch.setattr(images, "INLINE", 0)
    monkeypatch.setattr(images, "ROWS", 4)
    return api.report("default", page.parent, to=tmp_path / "beside.html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing(page: Path, browser: chromium.Page, width: int, scheme: str) -> None:
    if not _AXE.exists():
        pytest.skip("axe-core is not here: npm ci --prefix tests/browser fetches it")
    browser.media(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
    browser.open(page, width)
    browser.value("skyfanReady.then(() => document.getElementById('images-notes').click())")
    browser.ask("Runtime.evaluate", expression=_AXE.read_text(encoding="utf-8"))
    passed, violations = browser.value(_VIOLATIONS)
    browser.value("document.querySelector('#gallery button').click()")
    violations += browser.value(_VIOLATIONS)[1]
    browser.media()
    assert passed > 40
    assert violations == []


def _states(browser: chromium.Page) -> list[str]:
    found: list[str] = browser.value(
        "[...document.querySelectorAll('#images-table .mark')].map((mark) => mark.textContent)"
    )
    return found


def test_the_table_sorts_filters_and_shows_notes_with_data_from_files(
    beside: Path, browser: chromium.Page
) -> None:
    browser.open(beside)
    browser.value("skyfanReady")
    (folder,) = (beside.parent / "beside-data").iterdir()
    loaded = [beside.as_uri(), (folder / "images-000.js").as_uri()]
    assert browser.requested() == [*loaded, (folder / "images-001.js").as_uri()], "all: they fit one screen"
    assert _states(browser) == ["failed", *["doubtful"] * 4, "done"]
    browser.value("document.querySelector('#images-table tbody button').click()")
    browser.value("new Promise((done) => setTimeout(done, 100))")
    assert (folder / "details-000.js").as_uri() in browser.requested()
    assert "TruncatedError" in browser.value("document.querySelector('tr.failed').textContent")
    details = browser.value("document.querySelector('tr.details').textContent")
    assert HOSTILE in details
    assert "no" in details.partition("Can a retry help?")[2]
    click = "document.querySelector('#images-table [data-key=sources] button').click()"
    browser.value(click)
    browser.value("new Promise((done) => setTimeout(done, 50))")
    lines = "[...document.querySelectorAll('#images-table tbody tr:not(.details)')]"
    sources = f"{lines}.map((line) => line.cells[6].textContent)"
    assert browser.value(sources) == ["785", "688", "73", "39", "0", "–"], "descending, unknown ones last"
    assert browser.value("document.querySelector('[data-key=sources]').ariaSort") == "descending"
    browser.value("document.querySelector('a[data-search=DISPERSED]').click()")
    browser.value("new Promise((done) => setTimeout(done, 50))")
    assert _states(browser) == ["doubtful"]
    assert browser.value("document.getElementById('images-count').textContent") == "1 of 6 images"
    assert browser.complaints() == []


def test_without_its_folder_the_page_says_so(beside: Path, browser: chromium.Page) -> None:
    shutil.rmtree(beside.parent / "beside-data")
    browser.open(beside)
    browser.value("skyfanReady")
    assert "keep the folder beside-data" in browser.value(
        "document.getElementById('images-count').textContent"
    )


def test_no_text_becomes_markup(page: Path, beside: Path, browser: chromium.Page) -> None:
    for path in (page, beside):
        browser.open(path)
        browser.value("skyfanReady.then(() => document.getElementById('images-notes').click())")
        browser.value("new Promise((done) => setTimeout(done, 100))")
        assert browser.value("document.body.textContent").count(HOSTILE) >= 3
        assert browser.value("document.title") == "Run default: skyfan report"
        assert browser.value("document.querySelectorAll('img[onerror]').length") == 0


def test_pictures_enlarge_by_keyboard_with_and_without_outlines(page: Path, browser: chromium.Page) -> None:
    browser.media(prefers_reduced_motion="reduce")
    browser.open(page)
    browser.value("document.querySelector('#gallery button').focus()")
    browser.press("Enter", 13, "\r")
    wait = "new Promise((done) => setTimeout(done, 300))"
    browser.value(wait)
    opened = "document.getElementById('viewer').open"
    picture = "document.querySelector('#viewer .sky')"
    assert browser.value(opened) is True
    assert browser.value(f"{picture}.naturalWidth") > 360, "the large one, from the folder beside the page"
    shown = "getComputedStyle(document.querySelector('#viewer .outlines')).opacity"
    first = browser.value(f"{picture}.alt")
    browser.press("o", 79, "o")
    browser.value(wait)
    assert browser.value(shown) == "0"
    browser.press("ArrowRight", 39)
    assert browser.value(f"{picture}.alt") != first
    browser.press("Escape", 27)
    browser.value(wait)
    assert browser.value(opened) is False
    assert browser.value("document.activeElement.title") == "Enlarge"
    browser.media()


def test_the_theme_has_a_switch(page: Path, browser: chromium.Page) -> None:
    browser.media(prefers_color_scheme="light")
    browser.open(page)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = browser.value(ground)
    for name, expected in (("light", True), ("dark", False), ("auto", True)):
        browser.value("document.getElementById('theme').click()")
        assert browser.value("document.getElementById('theme').textContent") == f"Theme: {name}"
        assert (browser.value(ground) == light) is expected
    browser.media()


@pytest.fixture(scope="module")
def objects_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of stars in two filters, of which some vary."""
    folder = tmp_path_factory.mktemp("objects")
    rng = np.random.default_rng(3)
    sky, stars, mags = Sky(10.0, 20.0), rng.uniform(-25, 25, (80, 2)), rng.uniform(20, 24, 80)
    made = Survey()
    for number in range(8):
        name, band = f"s3://archive/j{number}_flc.fits", f"F{606 + 208 * (number % 2)}W"
        one = Exposure(name, sky, np.zeros(2), band, 55000.0 + number, 25.5, size=60.0)
        rows = np.flatnonzero(one.covers(stars))
        snr = 5 * 10 ** (0.4 * (25.5 - mags[rows]))
        varied = mags[rows] + np.where(rows < 20, np.sin(number), 0) + rng.normal(0, 1.09 / snr)
        made.add(one, stars[rows] + rng.normal(0, 0.04 / snr[:, None], (len(rows), 2)), varied, snr)
    api.match(made.write(folder / "data"), folder / "objects", options=api.MatchOptions(jobs=1))
    return api.report(folder / "objects")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_of_objects_is_clear_and_whole(
    objects_page: Path, browser: chromium.Page, width: int, scheme: str
) -> None:
    browser.media(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
    browser.open(objects_page, width)
    assert browser.requested() == [objects_page.as_uri()]
    assert browser.complaints() == []
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value(_SMALL) == 0
    found: list[list[Any]] = browser.value(_CONTRAST)
    assert [text for text in found if text[0] < 4.5] == []
    if _AXE.exists():
        browser.ask("Runtime.evaluate", expression=_AXE.read_text(encoding="utf-8"))
        assert browser.value(_VIOLATIONS)[1] == []
    browser.media()


def test_a_heading_sorts_its_table_down_up_and_back(objects_page: Path, browser: chromium.Page) -> None:
    browser.open(objects_page)
    table = "document.querySelector('[aria-labelledby=variable-caption] table')"
    column = f"[...{table}.tBodies[0].rows].map((row) => row.cells[5].textContent)"
    before: list[str] = browser.value(column)
    assert len(before) > 5
    by_number = sorted(before, key=float)
    for expected, state in ((by_number[::-1], "descending"), (by_number, "ascending"), (before, None)):
        browser.value(f"{table}.tHead.rows[0].cells[5].querySelector('button').click()")
        assert browser.value(column) == expected
        assert browser.value(f"{table}.tHead.rows[0].cells[5].getAttribute('aria-sort')") == state
