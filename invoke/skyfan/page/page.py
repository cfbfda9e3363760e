"""The whole page: one HTML file that needs nothing else, neither the network nor a script."""

from pathlib import Path

from .. import words
from . import of_costs, of_run, of_sky
from .elements import facts, section, table
from .markup import Markup, tag, text
from .story import Story

_STYLE = Path(__file__).with_name("style.css")
# Whatever slipped into the page could neither fetch nor run.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_VERSIONS = 10


def render(story: Story) -> str:
    """The page as HTML."""
    title = f"Run {story.run}: skyfan report"
    contents = [
        ("Asked", of_run.asked(story)),
        ("Outcome", of_run.outcome(story)),
        ("Sky", of_sky.maps(story)),
        ("Pictures", of_sky.pictures(story)),
        ("Sources", of_sky.measured(story)),
        ("Work", of_costs.work(story)),
        ("Costs", of_costs.costs(story)),
        ("Versions", _versions(story)),
    ]
    names = ("asked", "outcome", "sky", "pictures", "measured", "work", "costs", "versions")
    links = [
        tag("li", tag("a", label, href=f"#{name}")) for (label, _), name in zip(contents, names, strict=True)
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=f"skyfan {story.skyfan}"),
        tag("title", title),
        tag("style", Markup(_STYLE.read_text(encoding="utf-8"))),
    )
    body = tag(
        "body",
        tag("a", "Skip to the report", href="#main", class_="skip"),
        tag("header", tag("div", _banner(story), class_="inside")),
        tag("nav", tag("ul", links), aria_label="Contents"),
        tag("main", [part for _, part in contents], id="main", tabindex=-1),
        tag(
            "footer",
            tag("p", f"Made by skyfan {story.skyfan}, {words.moment(story.made)}, from {story.place}."),
        ),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _banner(story: Story) -> Markup:
    counts = story.state.counts
    shown = [("images done", f"{counts['done']:,}")]
    if counts["done"] < counts["planned"]:
        shown[0] = ("images done", f"{counts['done']:,} of {counts['planned']:,}")
    if troubled := sum(counts[name] for name in ("failed", "missing", "cancelled")):
        shown.append(("failed or missing", f"{troubled:,}"))
    if story.measured:
        shown.append(("sources", f"{story.measured.sources + story.measured.unplaced:,}"))
    if story.costs:
        what = "spent" if story.state.functions else "at Lambda's prices"
        shown.append((what, words.usd(story.costs.bill.usd)))
    return text(
        [
            tag("p", "skyfan report", class_="eyebrow"),
            tag("h1", "Run ", tag("span", story.run)),
            tag("p", tag("code", story.place)),
            facts(shown, "figures"),
        ]
    )


def _versions(story: Story) -> Markup:
    found = story.measured.versions if story.measured else []
    head = ["skyfan", "sep", "numpy", "astropy", "Digest of the settings", "Images"]
    rows = [(*map(str, versions), f"{number:,}") for versions, number in found[:_VERSIONS]]
    left = len(found) - _VERSIONS
    caption = "What made the catalogs" + (f"; {left:,} rarer combinations are left out" if left > 0 else "")
    made = (
        table("made", caption, head, rows, numbers=(5,))
        if rows
        else tag("p", story.absent.get("measured", "No catalog has been collected."), class_="absent")
    )
    return section("versions", "Versions", made)
