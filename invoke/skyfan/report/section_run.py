"""Sections on the run itself: the request and its outcome."""

from typing import Any

from .. import formatting
from ..plans.plan import STANDARD
from ..runs.failures import FailureGroup
from ..runs.run_file import RunFile
from ..runs.state import RunState
from . import charts
from .html import Content, Markup, facts, notice, section, setting, table, tag, text
from .images import DOUBTFUL, retry_helps
from .measured import Doubted
from .story import MAX_PLANS, UNKNOWN, PlanSummary, Request, Story

MAX_KINDS = 20
"""Kinds of failures with a row of their own; the others are counted."""
_MAX_GROUPS = 40
_MAX_VALUES = 10
_MAX_MESSAGE = 300
_MEANING = {
    "done": "the result exists",
    "failed": "the last attempt ended with an error",
    "damaged": "the result is not the one that was recorded",
    "missing": "no result, and none will come: the event has expired",
    "cancelled": "stopped by skyfan cancel",
    "late": "no result, although all retries should be over",
    "sent": "in progress",
    "unsent": "not started",
}
_STYLE = {
    "done": "done",
    "failed": "failed",
    "missing": "missing",
    "damaged": "failed",
    "cancelled": "missing",
}


def request(story: Story) -> Markup:
    """The query, the plan and the configuration."""
    requested = story.request
    about = requested.about
    config = about.get("config") or {}
    pairs: list[tuple[str, Content]] = [
        ("Function", tag("code", about.get("function", "unknown"))),
        ("Access to S3", about.get("access", "unknown")),
        ("Outputs besides catalogs", ", ".join(about.get("outputs") or []) or "none"),
        ("Settings", _settings(config) if config else "the function's defaults"),
    ]
    plans: Content = notice("No plan is stored with this run.")
    if requested.plans:
        plans = tag("ol", [_plan(plan) for plan in requested.plans], class_="plans")
    omitted = requested.number_of_plans - MAX_PLANS
    return section(
        "request",
        "Request",
        facts(pairs),
        tag("h3", "Plans" if requested.number_of_plans > 1 else "Plan"),
        plans,
        tag("p", f"{omitted:,} more plans are left out.") if omitted > 0 else None,
        _groups(requested),
        _dropped(requested),
    )


def outcome(story: Story) -> Markup:
    """Numbers of files by state, failures by kind with examples, missing files."""
    state = story.state
    counts, sizes = state.counts, state.bytes
    total = counts["planned"]
    numbers = [(name, counts[name]) for name in _MEANING]
    summary = f"{formatting.count(total)} planned: " + ", ".join(f"{n:,} {name}" for name, n in numbers if n)
    summary += "."
    if state.unplanned:
        summary += f" {formatting.count(state.unplanned, 'result')} belong to no plan."
    parts = [(name, number, _STYLE.get(name, "waiting")) for name, number in numbers]
    rows = [
        (
            text([tag("span", class_=f"key {_STYLE.get(name, 'waiting')}", aria_hidden="true"), name]),
            _MEANING[name],
            _in_table(f"{number:,}", name) if number and name != "done" else f"{number:,}",
            _share(number, total),
            formatting.size(sizes[name]),
        )
        for name, number in numbers
        if number or name in ("done", "failed", "missing")
    ]
    head = ["State", "Meaning", "Files", "Share", "Size of inputs"]
    return section(
        "outcome",
        "Outcome",
        charts.parts("states", "Files by state", parts, summary).figure(class_="wide"),
        table("state", "Files by state", head, rows, numbers=(2, 3, 4)),
        _times(state),
        tag("h3", "Failures"),
        _failures(state.groups()),
        _missing(story.missing, counts["missing"]),
        _doubtful(story) if counts["done"] else None,
    )


def _settings(values: dict[str, Any]) -> Markup:
    return tag("ul", [tag("li", tag("code", key), " = ", setting(value)) for key, value in values.items()])


def _plan(plan: PlanSummary) -> Markup:
    size = f"{formatting.count(plan.files)}, {formatting.size(plan.bytes)}"
    if plan.created:
        size += f"; made {plan.created}"
    if not plan.query:
        return tag("li", f"Files named one by one: {size}.")
    query = {key: value for key, value in plan.query.items() if value not in (None, "", [], ())}
    for key, value in query.items():
        if isinstance(value, list) and len(value) > _MAX_VALUES:
            query[key] = [*value[:_MAX_VALUES], f"… and {len(value) - _MAX_VALUES:,} more"]
    return tag("li", f"{size}.", _settings(query))


def _groups(requested: Request) -> Markup | None:
    if all(instrument == UNKNOWN for instrument, *_ in requested.groups):
        return None
    rows = [
        (instrument, name or "–", f"{files:,}", formatting.size(size))
        for instrument, name, files, size in requested.groups[:_MAX_GROUPS]
    ]
    omitted = len(requested.groups) - _MAX_GROUPS
    caption = "Planned files by instrument and filter"
    if omitted > 0:
        caption += f"; {omitted:,} smaller groups are left out"
    return table("groups", caption, ["Instrument", "Filter", "Files", "Size"], rows, numbers=(2, 3))


def _dropped(requested: Request) -> Markup | None:
    if not requested.dropped:
        return None
    rows = [(reason, meaning, f"{number:,}") for reason, meaning, number in requested.dropped]
    caption = "Products left out of the plan"
    return table("dropped", caption, ["Reason", "Meaning", "Products"], rows, numbers=(2,))


def _share(number: int, total: int) -> str:
    if not total:
        return "–"
    share = number / total
    # 122,077 of 122,078 is not all.
    if number not in (0, total) and share < 0.0005:
        return "< 0.1%"
    if number not in (0, total) and share >= 0.9995:
        return "> 99.9%"
    return f"{share:.1%}"


def _times(state: RunState) -> Markup:
    times = state.times
    pairs = [
        ("First sent", times.first_sent),
        ("Last sent", times.last_sent),
        ("First result", times.first_done),
        ("Last result", times.last_done),
    ]
    return facts([(name, formatting.timestamp(time)) for name, time in pairs if time is not None])


def _failures(groups: list[FailureGroup]) -> Markup:
    if not groups:
        return tag("p", "No file failed.")
    rows = [
        (
            tag("code", group.error_type),
            _in_table(f"{group.count:,}", "failed", group.error_type),
            retry_helps(group.cure),
            text([tag("code", group.input), tag("br"), formatting.truncate(group.message, _MAX_MESSAGE)]),
        )
        for group in groups[:MAX_KINDS]
    ]
    omitted = sum(group.count for group in groups[MAX_KINDS:])
    caption = "Failures by kind, with one example each"
    if omitted:
        caption += f"; {formatting.count(omitted)} of rarer kinds are in the table of all images"
    head = ["Error", "Files", "Can a retry help?", "Example"]
    return table("failures", caption, head, rows, numbers=(1,), wordy=True)


def _in_table(label: str, state: str, search: str = "") -> Markup:
    """A link to the images of a state and a reason in the table of all images."""
    return tag("a", label, href="#images", data_state=state, data_search=search or None)


def _doubtful(story: Story) -> Markup:
    kind = story.images.kind
    heading, command = (
        tag("h3", f"Doubtful {kind.input}s"),
        tag("code", f"skyfan status {story.run} --doubtful"),
    )
    if story.measured:
        number, doubts, of = story.measured.doubtful, story.measured.doubts, f"collected {kind.input}s"
    elif story.doubts is not None:
        number, doubts, of = len(story.doubts), story.doubts.reasons, f"{kind.input}s that are done"
    else:
        command = tag("code", f"skyfan collect {story.run}")
        return text([heading, tag("p", "Not known: ", command, " counts them from the catalogs.")])
    if not number:
        return text([heading, tag("p", f"None of the {of} is doubtful.")])
    sentence = f"{number:,} of the {of}, some for several reasons. "
    where: Content = "The column doubts of images.parquet says which."
    if story.doubts is not None:
        where = text([command, " lists them."])
    examples = (
        _doubted({reason: story.measured.doubted[reason] for reason in doubts}) if story.measured else {}
    )
    rows = [
        (tag("code", reason), _in_table(f"{count:,}", DOUBTFUL, reason), examples.get(reason, "–"))
        for reason, count in doubts.items()
    ]
    head = ["Reason", f"{kind.input}s".capitalize(), f"Example, and the notes of its {kind.result}"]
    made = table("doubtful", f"Doubtful {kind.input}s by reason", head, rows, numbers=(1,), wordy=True)
    return text([heading, tag("p", sentence, where), made])


def _doubted(examples: dict[str, Doubted]) -> dict[str, Content]:
    """The example of each reason; the notes of an image stand beside the first of its reasons."""
    shown: set[str] = set()
    cells: dict[str, Content] = {}
    for reason, example in examples.items():
        name = tag("code", example.uri)
        notes = formatting.truncate(example.notes, _MAX_MESSAGE)
        cells[reason] = name if example.uri in shown else text([name, tag("br"), notes])
        shown.add(example.uri)
    return cells


def _missing(files: list[RunFile], number: int) -> Markup | None:
    if not number:
        return None
    sentence = f"{formatting.count(number)} were sent, but have neither a catalog nor a failure record."
    if number > len(files):
        sentence += f" The first {len(files)}; the table of images has all:"
    names = [tag("li", tag("code", file.uri), _sent(file)) for file in files]
    return text([tag("h3", "Missing files"), tag("p", sentence), tag("ul", names)])


def _sent(file: RunFile) -> str:
    tier = "" if file.tier == STANDARD else f", {file.tier} memory"
    return f", sent {formatting.timestamp(file.sent)}{tier}"
