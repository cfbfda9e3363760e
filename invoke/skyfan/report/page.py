"""The whole page: one HTML file that needs nothing else, neither the network nor a script."""

from pathlib import Path

from .. import formatting
from ..runs.state import UNSUCCESSFUL
from . import charts, section_costs, section_run, section_sky
from .html import Markup, facts, notice, section, table, tag, text
from .story import Story

_STYLE = Path(__file__).with_name("page.css")
# Whatever might slip into the page could neither fetch nor run.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_MAX_VERSIONS = 10


def render(story: Story) -> str:
    """The page as HTML."""
    contents = {
        "request": ("Request", section_run.request(story)),
        "outcome": ("Outcome", section_run.outcome(story)),
        "sky": ("Sky", section_sky.maps(story)),
        "pictures": ("Pictures", section_sky.pictures(story)),
        "measured": ("Sources", section_sky.measured(story)),
        "work": ("Work", section_costs.work(story)),
        "costs": ("Costs", section_costs.costs(story)),
        "versions": ("Versions", _versions(story)),
    }
    links = [tag("li", tag("a", label, href=f"#{name}")) for name, (label, _) in contents.items()]
    styles = (path.read_text(encoding="utf-8") for path in (charts.STYLE, _STYLE))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=f"skyfan {story.skyfan}"),
        tag("title", f"Run {story.run}: skyfan report"),
        tag("style", Markup("".join(styles))),
    )
    made = f"Made by skyfan {story.skyfan}, {formatting.timestamp(story.created)}, from {story.place}."
    body = tag(
        "body",
        tag("a", "Skip to the report", href="#main", class_="skip"),
        tag("svg", charts.PATTERNS, class_="patterns", aria_hidden="true"),
        tag("header", tag("div", _banner(story), class_="inside")),
        tag("nav", tag("ul", links), aria_label="Contents"),
        tag("main", [part for _, part in contents.values()], id="main", tabindex=-1),
        tag("footer", tag("p", made)),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _banner(story: Story) -> Markup:
    counts = story.state.counts
    done = f"{counts['done']:,}"
    if counts["done"] < counts["planned"]:
        done += f" of {counts['planned']:,}"
    figures = [("images done", done)]
    if trouble := sum(counts[name] for name in UNSUCCESSFUL):
        figures.append(("failed or missing", f"{trouble:,}"))
    doubtful = story.measured.doubtful if story.measured else len(story.doubts or ())
    if doubtful:
        figures.append(("doubtful images", f"{doubtful:,}"))
    if story.measured:
        figures.append(("sources", f"{story.measured.sources + story.measured.unplaced:,}"))
    if story.costs:
        label = "spent" if story.state.functions else "at Lambda's prices"
        figures.append((label, formatting.usd(story.costs.bill.usd)))
    return text(
        [
            tag("p", "skyfan report", class_="eyebrow"),
            tag("h1", "Run ", tag("span", story.run)),
            tag("p", tag("code", story.place)),
            facts(figures, "figures"),
        ]
    )


def _versions(story: Story) -> Markup:
    if story.measured is None or not story.measured.versions:
        sentence = story.absent.get("measured", "No catalog has been collected.")
        return section("versions", "Versions", notice(sentence))
    versions = story.measured.versions
    head = ["skyfan", "sep", "numpy", "astropy", "Digest of the settings", "Images"]
    rows = [(*map(str, names), f"{number:,}") for names, number in versions[:_MAX_VERSIONS]]
    omitted = len(versions) - _MAX_VERSIONS
    caption = "Versions that made the catalogs"
    if omitted > 0:
        caption += f"; {omitted:,} rarer combinations are left out"
    return section("versions", "Versions", table("made", caption, head, rows, numbers=(5,)))
