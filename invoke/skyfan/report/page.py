"""Documents: a run's report with the files beside its page, and charts as SVG files of their own."""

import base64
import hashlib
import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import pyarrow.compute as pc

from .. import files, formatting
from ..bill.show import Costs
from ..catalogs.kinds import SOURCES
from ..errors import InputError
from ..plans.plan import Plan
from ..runs.state import UNSUCCESSFUL
from ..sky.footprints import NO_FOOTPRINTS, FootprintCollector
from . import charts, images, section_costs, section_run, section_sky, thumbnails
from .charts import WIDTH, Chart
from .html import Markup, data, facts, notice, section, table, tag, text
from .maps import sky_charts
from .story import Story

_STYLE, _SCRIPT = (Path(__file__).with_name(name) for name in ("page.css", "report.js"))
_MAX_VERSIONS = 10
_VERSION = re.compile("[0-9a-f]{12}")
_MARGIN, _GAP, _TITLE, _HEADING, _LINE = 24, 32, 64, 26, 16
# The mean width of a letter in captions, on the safe side.
_LETTER = 6.4
_PAGE_WIDTH = 2 * WIDTH + _GAP + 2 * _MARGIN


def render(story: Story, folder: str = "") -> str:
    """The page as HTML; `folder`, as seen from the page, has what it loads on demand."""
    folder = quote(folder)
    kind = story.images.kind
    contents = {
        "outcome": ("Outcome", section_run.outcome(story)),
        "images": (f"{kind.input}s".capitalize(), images.section_of(story.images, folder)),
        "pictures": ("Pictures", _pictures(story, folder)),
        "sky": ("Sky", section_sky.maps(story)),
        "measured": (f"{kind.row}s".capitalize(), _measured(story)),
        "work": ("Work", section_costs.work(story)),
        "costs": ("Costs", section_costs.costs(story)),
        "request": ("Request", section_run.request(story)),
        "versions": ("Versions", _versions(story)),
    }
    return document(
        title=f"Run {story.run}: skyfan report",
        banner=_banner(story),
        contents=contents,
        made=f"Made by skyfan {story.skyfan}, {formatting.timestamp(story.created)}, from {story.place}.",
        has_folder=bool(folder),
    )


def document(
    *,
    title: str,
    banner: Markup,
    contents: dict[str, tuple[str, Markup]],
    made: str,
    has_folder: bool = False,
) -> str:
    """A page of sections by name, with their labels; with `has_folder` it loads files beside it."""
    links = [tag("li", tag("a", label, href=f"#{name}")) for name, (label, _) in contents.items()]
    style = "".join(path.read_text(encoding="utf-8") for path in (charts.STYLE, _STYLE))
    script = _SCRIPT.read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style, script, has_folder)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content=f"skyfan {version('skyfan')}"),
        tag("title", title),
        tag("style", Markup(style)),
    )
    body = tag(
        "body",
        tag("a", "Skip to the report", href="#main", class_="skip"),
        tag("svg", charts.PATTERNS, class_="patterns", aria_hidden="true"),
        tag("header", tag("div", banner, class_="inside")),
        tag(
            "nav",
            tag(
                "div", tag("ul", links), tag("button", "Theme", type="button", id="theme", class_="scripted")
            ),
            aria_label="Contents",
        ),
        tag("main", [part for _, part in contents.values()], id="main", tabindex=-1),
        tag("footer", tag("p", made)),
        tag("script", Markup(script)),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _pictures(story: Story, folder: str) -> Markup:
    kind = story.images.kind
    chosen = f"those with the most {kind.row}s for each instrument and filter" if story.measured else ""
    return thumbnails.section_of(story.thumbnails, story.state.counts["done"], chosen, folder, kind)


def _measured(story: Story) -> Markup:
    if story.measured and story.measured.rows:
        return section_sky.measured_rows(story.measured, story.measured.rows)
    return section_sky.measured(story)


def _policy(style: str, script: str, has_folder: bool) -> str:
    """Whatever might slip into the page could neither fetch nor run.

    Only this style and this script count, and the files beside the page.
    """
    style_hash, script_hash = (f"'sha256-{_digest(text)}'" for text in (style, script))
    beside = " 'self' file:" if has_folder else ""
    return (
        f"default-src 'none'; style-src {style_hash}; script-src {script_hash}{beside}; "
        f"img-src data:{beside}; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _banner(story: Story) -> Markup:
    counts = story.state.counts
    done = f"{counts['done']:,}"
    if counts["done"] < counts["planned"]:
        done += f" of {counts['planned']:,}"
    kind = story.images.kind
    figures = [(f"{kind.input}s done", done)]
    if trouble := sum(counts[name] for name in UNSUCCESSFUL):
        figures.append(("failed or missing", f"{trouble:,}"))
    doubtful = story.measured.doubtful if story.measured else len(story.doubts or ())
    if doubtful:
        figures.append((f"doubtful {kind.input}s", f"{doubtful:,}"))
    if story.measured:
        figures.append((f"{kind.row}s", f"{story.measured.sources + story.measured.unplaced:,}"))
    figures += _time_and_money(story)
    return text(
        [
            tag("p", "skyfan report", class_="eyebrow"),
            tag("h1", "Run ", tag("span", story.run)),
            tag("p", tag("code", story.place)),
            facts(figures, "figures"),
        ]
    )


def _time_and_money(story: Story) -> list[tuple[str, str]]:
    """What the run took and cost; of a run on this machine, what Lambda would have cost."""
    costs, figures = story.costs, []
    running = costs.bill.concurrency if costs else None
    seconds = running.ended - running.began if running else story.state.times.worked_s
    if seconds:
        label = "from first to last" if story.state.functions else "on this machine"
        figures.append((label, formatting.duration(seconds)))
    if costs:
        label = "spent" if story.state.functions else "is what Lambda would have cost"
        figures.append((label, formatting.usd(costs.bill.usd)))
    return figures


def _versions(story: Story) -> Markup:
    if story.measured is None or not story.measured.versions:
        sentence = story.absent.get("measured", "No catalog has been collected.")
        return section("versions", "Versions", notice(sentence))
    versions = story.measured.versions
    kind = story.images.kind
    head = ["skyfan", "sep", "numpy", "astropy", "Digest of the settings", f"{kind.input}s".capitalize()]
    if kind is not SOURCES:
        head.remove("sep")
    rows = [(*map(str, names), f"{number:,}") for names, number in versions[:_MAX_VERSIONS]]
    omitted = len(versions) - _MAX_VERSIONS
    caption = f"Versions that made the {kind.result}s"
    if omitted > 0:
        caption += f"; {omitted:,} rarer combinations are left out"
    return section("versions", "Versions", table("made", caption, head, rows, numbers=(len(head) - 1,)))


@dataclass(frozen=True)
class Site:
    """A report on disk."""

    page: Path
    folder: Path | None
    """What the page loads on demand; None if it needs nothing."""

    @property
    def bytes(self) -> int:
        """Size of the page alone."""
        return self.page.stat().st_size


def write(path: Path, story: Story) -> Site:
    """Writes the page of a story to `path`, and its files to the folder `<name>-data` beside it.

    The files lie in a subfolder that is named by their content, so that a page never meets the files of
    another version; older ones are removed last. Raises UsageError if something cannot be written.
    """
    parent = path.with_name(f"{path.stem}-data")
    contents = dict(_contents(story))
    if not contents:
        _write_page(path, story, "")
        _clean(parent, "")
        return Site(path, None)
    digest = hashlib.sha256()
    for name, body in contents.items():
        digest.update(f"{name} {len(body)} ".encode() + body)
    version = digest.hexdigest()[:12]
    folder = parent / version
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, body in contents.items():
            with files.replace(folder / name) as part:
                part.write_bytes(body)
        _write_page(path, story, f"{parent.name}/{version}")
    except BaseException as error:
        if is_new:  # no page shows it
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                parent.rmdir()
        if isinstance(error, OSError):
            raise files.cannot_write(path, error) from error
        raise
    _clean(parent, version)
    return Site(path, parent)


def _contents(story: Story) -> Iterator[tuple[str, bytes]]:
    if len(story.images) > images.INLINE:
        for name, columns in story.images.pieces():
            yield f"{name}.js", f'skyfanData("{name}",{data(columns)});\n'.encode("ascii")
    yield from thumbnails.files(story.thumbnails).items()


def _write_page(path: Path, story: Story, folder: str) -> None:
    html = render(story, folder)
    with files.replace(path) as part:
        part.write_text(html, encoding="utf-8")


def _clean(parent: Path, version: str) -> None:
    """Removes the files of earlier pages, and an empty folder."""
    with suppress(OSError):
        for old in parent.iterdir():
            if old.name != version and _VERSION.fullmatch(old.name):
                shutil.rmtree(old, ignore_errors=True)
        if not version:
            parent.rmdir()


def costs_figure(costs: Costs) -> str:
    """The bill as a standalone SVG: durations, memory, concurrency and cost by part."""
    bill = costs.bill
    title = (
        f"{f'Run {costs.run}' if costs.run else 'Log files'}: "
        f"{formatting.count(bill.invocations, 'invocation')}, "
        f"{formatting.count(bill.images, 'image')}, {formatting.usd(bill.usd)}"
    )
    records = costs.records
    return sheet(
        title,
        [
            section_costs.durations(records),
            section_costs.memory(records),
            section_costs.concurrency(bill),
            section_costs.parts(bill),
        ],
    )


def footprints_figure(plan: Plan) -> str:
    """The positions of a plan's files as a standalone SVG: the whole sky and the fields with the most images.

    Raises InputError for a plan whose files have no positions, such as files named by path.
    """
    sky = FootprintCollector()
    table = plan.table()
    sky.add(table.filter(pc.is_null(table["dropped"])))
    planned = sky.finish()
    if not len(planned):
        raise InputError(
            f"{plan.path} has no file with a position on the sky: there are no footprints to draw"
        )
    whole, *fields = sky_charts(planned, NO_FOOTPRINTS)
    title = f"{plan.path.name}: {formatting.count(len(planned), 'image')}"
    return sheet(title, fields, above=whole)


def sheet(title: str, below: Sequence[Chart], above: Chart | None = None) -> str:
    """An SVG document of charts, two in a row, under a title; `above` is a chart of the whole width."""
    rows: list[list[_Panel]] = []
    if above:
        rows.append([_Panel(above, _PAGE_WIDTH - 2 * _MARGIN, "all-sky")])
    rows += [[_Panel(chart, WIDTH) for chart in below[n : n + 2]] for n in range(0, len(below), 2)]
    top, panels = float(_TITLE), []
    for row in rows:
        panels += [panel.at(_MARGIN + number * (WIDTH + _GAP), top) for number, panel in enumerate(row)]
        top += max(panel.total for panel in row) + _GAP
    height = f"{top:g}"
    document = tag(
        "svg",
        tag("title", title),
        tag("style", Markup(charts.STYLE.read_text(encoding="utf-8"))),
        charts.PATTERNS,
        tag("rect", width=_PAGE_WIDTH, height=height, class_="page"),
        tag("text", title, x=_MARGIN, y=40, class_="title"),
        panels,
        xmlns="http://www.w3.org/2000/svg",
        width=_PAGE_WIDTH,
        height=height,
        viewBox=f"0 0 {_PAGE_WIDTH} {height}",
    )
    return f"{document}\n"


def write_svg(path: Path, svg: str) -> None:
    """Writes an SVG document, whole or not at all. Raises UsageError if it cannot be written."""
    with files.replace(path) as part:
        part.write_text(svg, encoding="utf-8")


class _Panel:
    """A chart with its title above and its summary below."""

    def __init__(self, chart: Chart, width: float, class_: str | None = None) -> None:
        self._chart, self._width, self._class = chart, width, class_
        self._height = chart.height * width / WIDTH
        self._lines = textwrap.wrap(chart.summary, int(width / _LETTER))
        self.total = _HEADING + self._height + (len(self._lines) + 0.5) * _LINE

    def at(self, left: float, top: float) -> Markup:
        """Everything, with its upper left corner there."""
        middle = top + _HEADING
        box = {"x": left, "y": f"{middle:g}", "width": f"{self._width:g}", "height": f"{self._height:g}"}
        below = [
            tag("text", line, x=left, y=f"{middle + self._height + number * _LINE:g}", class_="caption")
            for number, line in enumerate(self._lines, 1)
        ]
        heading = tag("text", self._chart.title, x=left, y=f"{top + 16:g}", class_="heading")
        return tag("g", heading, tag("svg", self._chart.svg, **box, class_=self._class), below)
