"""Each report in a file becomes a record, or is counted as unparsed, whatever wrote the file."""

import base64
import csv
import gzip
import io
import json
import random
import re
from collections.abc import Callable

import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from skyfan.bill import logs
from skyfan.bill.records import Records
from skyfan.bill.report_lines import NONE, Report

from .conftest import collect, exported, platform, stamp, tabs

Messages = list[tuple[str, Report]]
STREAM = "2026/11/20/[$LATEST]0123456789abcdef0123456789abcdef"


def read(body: bytes) -> Records:
    return collect([logs.text(io.BytesIO(body))])


def found(records: Records) -> dict[str, tuple[float, float, int]]:
    return {one.request_id: (one.duration_ms, one.billed_ms, one.memory_mb) for one in records.reports()}


def wanted(reports: list[Report]) -> dict[str, tuple[float, float, int]]:
    return {one.request_id: (one.duration_ms, one.billed_ms, one.memory_mb) for one in reports}


def events(messages: Messages) -> list[dict[str, object]]:
    return [exported(report, text) for text, report in messages]


def pretty_json(text: str, indent: int = 2) -> str:
    return json.dumps(json.loads(text), indent=indent) if text.startswith("{") else text


def table(messages: Messages, separator: str, names: list[str], quoting: int = csv.QUOTE_MINIMAL) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(names)
    for text, report in messages:
        cells = {"message": text + "\n", "timestamp": round(report.time * 1000), "ptr": "CkEKGA"}
        writer.writerow([cells[name.lstrip("@")] for name in names])
    return out.getvalue()


def aligned(messages: Messages) -> str:
    width = max(len(text) for text, _ in messages)
    rule = "+" + "-" * (width + 2) + "+\n"
    rows = (
        f"|| 7 | 1795640151728 | {text:<{width}} | {round(one.time * 1000)} ||\n" for text, one in messages
    )
    return rule + rule.join(rows) + rule


def packed(messages: Messages) -> str:
    body = json.dumps({"messageType": "DATA_MESSAGE", "logEvents": events(messages)}).encode()
    return base64.b64encode(gzip.compress(body)).decode()


def shipped(messages: Messages, name: str, *, as_object: bool = False) -> str:
    lines = []
    for text, one in messages:
        value = json.loads(text) if as_object and text.startswith("{") else text
        lines.append(json.dumps({"time": stamp(one), "stream": "out", name: value, "host": {"pod": "a"}}))
    return "\n".join(lines) + "\n"


def lines(messages: Messages, before: str, after: str = "") -> str:
    return "".join(f"{before.format(time=stamp(one))}{text}{after}\n" for text, one in messages)


def colour_keys(text: str) -> str:
    return re.sub(r'("\w+":|REPORT)', "\x1b[34;1m\\1\x1b[0m", text)


def twice(messages: Messages) -> str:
    inner = [json.dumps({"log": text, "logGroup": "g"}) for text, _ in messages]
    return "\n".join(json.dumps({"@timestamp": "2026-11-20", "message": text}) for text in inner) + "\n"


FORMS: dict[str, Callable[[Messages], str]] = {
    "lines": lambda some: lines(some, ""),
    "sam": lambda some: lines(some, STREAM + " {time} "),
    "sam in colour": lambda some: lines(some, f"\x1b[36m{STREAM}\x1b[0m \x1b[33m{{time}}\x1b[0m "),
    "tail": lambda some: lines(some, "{time} " + STREAM + " "),
    "syslog": lambda some: lines(some, "<14>1 {time} host app - - - "),
    "grep": lambda some: lines(some, "logs/a.log:17:"),
    "brackets": lambda some: lines(some, "[INFO] [{time}] {{worker}} "),
    "indented": lambda some: lines(some, "    "),
    "quoted": lambda some: "".join(json.dumps(text) + ",\n" for text, _ in some),
    "markdown": lambda some: lines(some, "| {time} | ", " |"),
    "one line": lambda some: "\t".join(text for text, _ in some) + "\n",
    "in colour": lambda some: "".join(colour_keys(text) + "\n" for text, _ in some),
    "pretty": lambda some: "".join(pretty_json(text) + "\n" for text, _ in some),
    "pretty behind a prefix": lambda some: "".join(
        f"{STREAM} {stamp(one)} {pretty_json(text, 4)}\n" for text, one in some
    ),
    "pretty in colour": lambda some: "".join(colour_keys(pretty_json(text)) + "\n" for text, _ in some),
    "export": lambda some: json.dumps({"events": events(some)}),
    "pretty export": lambda some: json.dumps({"events": events(some), "nextToken": None}, indent=4) + "\n",
    "pretty messages": lambda some: json.dumps([text for text, _ in some], indent=4) + "\n",
    "messages": lambda some: json.dumps([text for text, _ in some]) + "\n",
    "rows of Insights": lambda some: (
        json.dumps(
            {
                "results": [
                    [{"field": "@timestamp", "value": stamp(one)}, {"field": "@message", "value": text}]
                    for text, one in some
                ]
            },
            indent=4,
        )
        + "\n"
    ),
    "Insights": lambda some: json.dumps([{"@timestamp": stamp(one), "@message": text} for text, one in some]),
    "log": lambda some: shipped(some, "log"),
    "textPayload": lambda some: shipped(some, "textPayload"),
    "an object as message": lambda some: shipped(some, "message", as_object=True),
    "JSON in JSON in JSON": twice,
    "subscription": lambda some: json.dumps({"awslogs": {"data": packed(some)}}) + "\n",
    "Kinesis": lambda some: json.dumps({"Records": [{"kinesis": {"data": packed(some)}}]}, indent=2) + "\n",
    "base64": lambda some: packed(some) + "\n",
    "tail of an invocation": lambda some: (
        json.dumps({"StatusCode": 200, "LogResult": base64.b64encode(lines(some, "").encode()).decode()})
        + "\n"
    ),
    "console": lambda some: table(some, ",", ["timestamp", "message"]),
    "console, quoted": lambda some: table(some, ",", ["timestamp", "message"], csv.QUOTE_ALL),
    "semicolons": lambda some: table(some, ";", ["timestamp", "message"]),
    "tabs": lambda some: table(some, "\t", ["@message", "@timestamp", "@ptr"]),
    "Insights, CSV": lambda some: table(some, ",", ["@ptr", "@message", "@timestamp"]),
    "CSV without header": lambda some: table(some, ",", ["timestamp", "message"]).partition("\n")[2],
    "YAML": lambda some: yaml.safe_dump({"events": events(some)}),
    "narrow YAML": lambda some: yaml.safe_dump({"events": events(some)}, width=30),
    "YAML in double quotes": lambda some: yaml.safe_dump(events(some), default_style='"', width=60),
    "YAML blocks": lambda some: "".join(f"- message: |\n    {text}\n" for text, _ in some),
    "AWS's table": aligned,
    "AWS's text": lambda some: "".join(
        f"EVENTS\t7\t{round(one.time * 1000) + 900}\t{STREAM}\t{text}\n\t{round(one.time * 1000)}\n"
        for text, one in some
    ),
}
NOISE = (
    "START RequestId: 1 Version: $LATEST",
    "[INFO]\t2026-11-20T10:00:01.123Z\tid\tStarting",
    "{'input': 's3://a/b'}",
    "{",
    "}",
    '{"time": "2026-11-20T10:00:01.000Z", "cut',
    '{"events": [',
    '"',
    "\ufeff",
    "timestamp,message",
    "message;timestamp",
    '{"level": "INFO", "message": "REPORT on {things}"}',
    "---",
    "\x1b[31mred",
    "x" * 140_000,
    "\\",
    "H4sIAAAAAAAAA0tMSgYAwkEkNQMAAAA=" * 3,
    '{"a":' * 300,
    "[" * 3000,
    "\x00\ufffd",
)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


def report(number: int, rng: random.Random) -> Report:
    duration = rng.randrange(1, 90_000_000) / 100
    request = "-".join(f"{rng.getrandbits(4 * n):0{n}x}" for n in (8, 4, 4, 4, 12))
    status = rng.choice(["", "success", "error", "timeout"])
    time = 1.79e9 + number
    return Report(request, duration, -(-duration // 1), 1769, 90, NONE, NONE, NONE, status, "", time)


def message(one: Report, rng: random.Random) -> str:
    compact = rng.random() < 0.3
    json_text = json.dumps(json.loads(platform(one)), separators=(",", ":")) if compact else platform(one)
    return json_text if rng.random() < 0.5 else tabs(one, rng).partition("\n")[0]


GENERATE = (Phase.explicit, Phase.reuse, Phase.generate)  # a smaller seed is no simpler file
SEEDS = st.integers(0, 1 << 32)


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None, max_examples=6, phases=GENERATE)
@given(seed=SEEDS)
def test_each_form_is_read_whole(form: str, seed: int) -> None:
    rng = random.Random(seed)
    reports = [report(number, rng) for number in range(rng.randrange(1, 6))]
    text = FORMS[form]([(message(one, rng), one) for one in reports])
    records = read(text.encode())
    assert found(records) == wanted(reports)
    assert records.unparsed == 0


def check_mixture(seed: int) -> None:
    """A file of several forms with odd lines between them: no report is lost, and nothing raises."""
    rng = random.Random(seed)
    reports, parts = [], []
    for _ in range(rng.randrange(1, 5)):
        some = [report(len(reports) + number, rng) for number in range(rng.randrange(1, 4))]
        reports += some
        parts.append(rng.choice(list(FORMS.values()))([(message(one, rng), one) for one in some]))
        parts += [rng.choice(NOISE) for _ in range(rng.randrange(3))]
    text = "\n".join(parts)
    body = text.encode(rng.choice(ENCODINGS))
    for _ in range(rng.choice([0, 0, 1, 2])):
        body = gzip.compress(body)
    records = read(body)
    known = found(records)
    missing = [one for one in reports if known.get(one.request_id) != wanted([one])[one.request_id]]
    assert len(missing) <= records.unparsed, missing
    assert set(known) <= {one.request_id for one in reports}


@settings(deadline=None, max_examples=100, phases=GENERATE)
@given(seed=SEEDS)
def test_no_report_is_lost_in_any_mixture_of_forms_and_odd_lines(seed: int) -> None:
    check_mixture(seed)


@pytest.mark.slow
@settings(deadline=None, max_examples=1000, phases=GENERATE)
@given(seed=SEEDS)
def test_no_report_is_lost_in_a_thousand_mixtures(seed: int) -> None:
    check_mixture(seed)


@settings(deadline=None, max_examples=100, phases=GENERATE)
@given(seed=SEEDS)
def test_a_file_cut_anywhere_loses_no_report_before_the_cut(seed: int) -> None:
    rng = random.Random(seed)
    some = [report(number, rng) for number in range(4)]
    form = rng.choice(list(FORMS))
    text = FORMS[form]([(message(one, rng), one) for one in some])
    cut = rng.randrange(len(text))
    records = read(text[:cut].encode())
    whole = [one for one in some if f"REPORT RequestId: {one.request_id}" in text[: max(cut - 20, 0)]]
    assert len(whole) <= len(records) + records.unparsed, form
    assert found(records).items() <= wanted(some).items()


_JSON_REPORT = (
    '{"time": "2026-07-09T06:05:50.581Z", "type": "platform.report", "record": {"requestId": "aec7a529", '
    '"metrics": {"durationMs": 50.0, "billedDurationMs": 50, "memorySizeMB": 128, "maxMemoryUsedMB": 94}}}'
)
_TEXT_REPORT = (
    "REPORT RequestId: aec7a529\tDuration: 50.0 ms\tBilled Duration: 50 ms\tMemory Size: 128 MB\t"
    "Max Memory Used: 94 MB"
)


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize(
    ("report", "old", "new", "name"),
    [
        (_JSON_REPORT, '"billed', '"billedDurationMs": 1, "billed', "billedDurationMs"),
        (_JSON_REPORT, '"requestId"', '"requestId": "x", "requestId"', "requestId"),
        (_JSON_REPORT, '}}}', '}, "metrics": {}}}', "metrics"),
        (_JSON_REPORT, '"type"', '"type": "function", "type"', "type"),
        (_JSON_REPORT, '}}}', '}}, "type": "function"}', "type"),
        (_JSON_REPORT, '}}}', '}}, "record": {}}', "record"),
        (_TEXT_REPORT, "Billed", "Billed Duration: 1 ms\tBilled", "Billed Duration"),
        (_TEXT_REPORT, "94 MB", "94 MB\tMemory Size: 64 MB", "Memory Size"),
    ],
)  # fmt: skip
def test_a_report_that_states_a_field_twice_is_not_on_the_bill_and_is_named(
    report: str, old: str, new: str, name: str, escaped: bool
) -> None:
    assert read(report.encode()).unparsed == 0
    assert len(read(report.encode())) == 1
    twice = report.replace(old, new, 1)
    text = json.dumps({"timestamp": 1783577150581, "message": twice}) if escaped else twice
    records = read(text.encode())
    assert (len(records), records.unparsed) == (0, 1)
    assert name in records.examples[0]


def test_an_export_that_states_messages_twice_is_named() -> None:
    first, second = (json.dumps(report) for report in (_JSON_REPORT, _TEXT_REPORT))
    records = read(f'{{"timestamp": 1, "message": {first}, "message": {second}}}'.encode())
    assert (len(records), records.unparsed) == (0, 1)
    records = read(f'{{"events": [{{"timestamp": 1, "message": {first}}}], "events": []}}'.encode())
    assert (len(records), records.unparsed) == (0, 1)
    assert read(b'{"level": "INFO", "level": "DEBUG"}').unparsed == 0  # of no report
