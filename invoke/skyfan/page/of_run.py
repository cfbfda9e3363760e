"""Sections on the run itself: what was asked, and what came of it."""

from typing import Any

from .. import words
from ..plans.plan import STANDARD
from ..runs.outcome import File, Group, RunState
from . import charts
from .asked import MOST, Asked
from .elements import absent, facts, figure, section, setting, table
from .markup import Content, Markup, tag, text
from .story import Story

KINDS = 20
"""Kinds of failures that are told; the rest is counted."""
_GROUPS = 40
_MESSAGE = 300
_MEANING = {
    "done": "the catalog is there",
    "failed": "gave an error on its last try",
    "missing": "was sent, and nothing came of it",
    "cancelled": "was stopped by skyfan cancel",
    "late": "should be there by now",
    "sent": "on its way",
    "unsent": "not begun",
}
_LOOK = {"done": "done", "failed": "failed", "missing": "missing", "cancelled": "missing"}


def asked(story: Story) -> Markup:
    """The query, the plan and the configuration."""
    found = story.asked
    about = found.about
    config = about.get("config") or {}
    told: list[tuple[str, Content]] = [
        ("Function", tag("code", about.get("function", "unknown"))),
        ("Images are read", about.get("access", "unknown")),
        ("Further results", ", ".join(about.get("outputs") or []) or "none"),
        ("Settings", _settings(config) if config else "the function's defaults"),
    ]
    more = f" The first {MOST} of {found.number:,} are shown." if found.number > MOST else ""
    plans = [
        _plan(number, plan.query, plan.made, plan.files, plan.bytes)
        for number, plan in enumerate(found.plans, 1)
    ]
    body: Content = tag("ol", plans, class_="plans") if plans else absent("No plan is kept with this run.")
    return section(
        "asked",
        "What was asked",
        facts(told),
        tag("h3", "Plans" if found.number > 1 else "The plan"),
        body,
        tag("p", more) if more else None,
        _groups(found),
        _dropped(found),
    )


def _settings(values: dict[str, Any]) -> Markup:
    return tag("ul", [tag("li", tag("code", key), " = ", setting(value)) for key, value in values.items()])


def _plan(number: int, query: dict[str, Any] | None, made: str, files: int, size: int) -> Markup:
    counted = f"{words.files(files)}, {words.size(size)}" + (f"; made {made}" if made else "")
    if not query:
        return tag("li", f"Files that were named one by one: {counted}.")
    return tag("li", f"{counted}.", _settings(_short(query)))


def _short(query: dict[str, Any]) -> dict[str, Any]:
    """A query without endless lists."""
    return {
        key: [*value[:10], f"… and {len(value) - 10:,} more"]
        if isinstance(value, list) and len(value) > 10
        else value
        for key, value in query.items()
        if value not in (None, "", [], ())
    }


def _groups(found: Asked) -> Markup | None:
    if not found.groups:
        return None
    rows = [
        (instrument, name or "–", f"{files:,}", words.size(size))
        for instrument, name, files, size in found.groups
    ]
    left = len(rows) - _GROUPS
    caption = "Planned files by instrument and filter" + (
        f"; {left:,} rarer ones are left out" if left > 0 else ""
    )
    return table("groups", caption, ["Instrument", "Filter", "Files", "Size"], rows[:_GROUPS], numbers=(2, 3))


def _dropped(found: Asked) -> Markup | None:
    if not found.dropped:
        return None
    rows = [(reason, meaning, f"{number:,}") for reason, meaning, number in found.dropped]
    return table(
        "dropped", "Products left out of the plan", ["Reason", "Meaning", "Products"], rows, numbers=(2,)
    )


def outcome(story: Story) -> Markup:
    """Counts of states, failures by kind with examples, what is missing."""
    state = story.state
    counts, sizes = state.counts, state.bytes
    total = counts["planned"]
    rows = [(name, counts[name]) for name in _MEANING]
    caption = f"{words.files(total)} planned: " + ", ".join(f"{n:,} {name}" for name, n in rows if n)
    bar = charts.parts(
        "states", "Files by state", [(name, n, _LOOK.get(name, "waiting")) for name, n in rows], caption
    )
    shown = [
        (
            text([tag("span", class_=f"key {_LOOK.get(name, 'waiting')}", aria_hidden="true"), name]),
            _MEANING[name],
            f"{number:,}",
            _share(number, total),
            words.size(sizes[name]),
        )
        for name, number in rows
        if number or name in ("done", "failed", "missing")
    ]
    more = f" {words.files(state.unplanned, 'result')} belong to no plan." if state.unplanned else ""
    head = ["State", "Meaning", "Files", "Share", "Size of inputs"]
    return section(
        "outcome",
        "What came of it",
        figure(bar, caption + "." + more, class_="wide"),
        table("state", "Files by state", head, shown, numbers=(2, 3, 4)),
        _times(state),
        tag("h3", "Failures"),
        _failures(state.groups()),
        _missing(story.missing, counts["missing"]),
    )


def _share(number: int, total: int) -> str:
    if not total:
        return "–"
    share = number / total
    # 122,077 of 122,078 is not all.
    return (
        f"{share:.1%}"
        if number in (0, total) or 0.0005 <= share < 0.9995
        else ("< 0.1%" if share < 0.5 else "> 99.9%")
    )


def _times(state: RunState) -> Markup:
    times = state.times
    pairs = [
        ("First sent", times.first_sent),
        ("Last sent", times.last_sent),
        ("First result", times.first_done),
        ("Last result", times.last_done),
    ]
    return facts([(name, words.moment(time)) for name, time in pairs if time is not None])


def _failures(groups: list[Group]) -> Markup:
    if not groups:
        return tag("p", "No file failed.")
    left = sum(group.count for group in groups[KINDS:])
    caption = "Failures by kind, each with one example" + (
        f"; {words.files(left)} failed in rarer ways" if left else ""
    )
    rows = [
        (
            tag("code", group.error_type),
            f"{group.count:,}",
            _hope(group),
            text([tag("code", group.input), tag("br"), words.shortened(group.message, _MESSAGE)]),
        )
        for group in groups[:KINDS]
    ]
    return table(
        "failures",
        caption,
        ["Error", "Files", "Can another try help?", "Example"],
        rows,
        numbers=(1,),
        wordy=True,
    )


def _hope(group: Group) -> str:
    if group.exhausted:
        return "with more memory or time"
    return {True: "no", False: "yes", None: "perhaps"}[group.permanent]


def _missing(files: list[File], number: int) -> Markup | None:
    if not number:
        return None
    shown = [tag("li", tag("code", file.uri), _sent(file)) for file in files]
    left = f" The first {len(files)}:" if number > len(files) else ""
    sentence = f"{words.files(number)} were sent, and neither a catalog nor a failure came of them.{left}"
    return text([tag("h3", "Missing files"), tag("p", sentence), tag("ul", shown)])


def _sent(file: File) -> str:
    tier = "" if file.tier == STANDARD else f", {file.tier} memory"
    return f", sent {words.moment(file.sent)}{tier}"
