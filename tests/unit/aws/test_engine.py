"""The AWS engine: what it would send and sends, what it waits for, and what it refuses at once."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from skyfan import events, template
from skyfan.aws import engine, journal
from skyfan.aws import stack as stacks
from skyfan.aws.connection import BrokenError, Response
from skyfan.aws.engine import AwsEngine
from skyfan.aws.stack import Deployed, Functions, Stack
from skyfan.engine import AwsOptions, Call, Selection
from skyfan.errors import InputError, Interrupted, UsageError
from skyfan.plans import plan as plans
from skyfan.plans.plan import Plan
from skyfan.runs import run as runs
from skyfan.runs.judge import Limits
from skyfan.runs.outcome import Outcome
from skyfan.storage.place import Place
from skyfan.task import Task

REPO = Path(__file__).parents[3]
REGISTRY = template.read(REPO / "template.yaml")
OUTPUTS = {
    "ResultsBucket": "results",
    "FailuresBucket": "failures",
    "DoubtfulMarks": "yes",
    **{
        f"{name}{what}": f"s-{name}" for name in ("SepExtract", "SepExtractLarge") for what in ("Name", "Arn")
    },
}
STANDARD = Deployed("s-F", 1769, 300.0, retries=1, age_s=21600.0)
BIG = Deployed("s-FLarge", 10240, 900.0, retries=2, age_s=3600.0)
DENIED = Response(403, {"x-amzn-errortype": "AccessDeniedException"}, b'{"message": "no right"}')
SMALL, LARGE = 10**7, 2 * 10**9


class Aws:
    """A stack without AWS: its functions, and engines for it."""

    def __init__(self, bucket: Place, folder: Path) -> None:
        self.place, self.folder = bucket, folder
        self.outputs = dict(OUTPUTS)
        self.functions = Functions({"standard": STANDARD, "large": BIG}, 1000, "as told", ("it is told",))
        self.concurrency: int | None = None
        self.found: list[str] = []

    def find(self, name: str) -> Stack:
        self.found.append(name)
        return Stack(name, "us-east-1", self.outputs)

    def deployed(self, stack: Stack, registry: Any, function: str, concurrency: int | None) -> Functions:
        assert (function, registry) == ("SepExtract", REGISTRY)
        self.concurrency = concurrency
        return self.functions

    def engine(self, **options: Any) -> AwsEngine:
        return AwsEngine(REGISTRY, AwsOptions(**{"wait": False, "every_s": 0.0, "connections": 2, **options}))

    def plan(self, *sizes: int | None, bucket: str = "b") -> Plan:
        uris = [f"s3://{bucket}/{at:03}_drz.fits" for at in range(len(sizes))]
        size = pa.array(list(sizes), pa.int64())
        table = pa.table({"uri": uris, "size": size, "tier": ["standard"] * len(sizes)})
        return plans.write(self.folder / "plan.parquet", table, {})

    def finish(self, *uris: str) -> None:
        for uri in uris:
            key = uri.removeprefix("s3://")
            self.place.put(f"runs/r/catalogs/{key}.cat.fits", b"catalog")

    def accept(self, *uris: str, request: str = "id", function: str = "s-F") -> None:
        """Leaves receipts of an earlier call."""
        with journal.Journal(self.place, "r") as writing:
            writing.add([(Call(function, (uri,), b""), f"{request}-{uri}", 1.7e9) for uri in uris])
            writing.rotate()
            writing.upload()


@pytest.fixture
def aws(bucket: Place, tmp_path: Path, wire: Any, monkeypatch: pytest.MonkeyPatch) -> Aws:
    aws = Aws(bucket, tmp_path)
    monkeypatch.setattr(stacks, "find", aws.find)
    monkeypatch.setattr(stacks, "deployed", aws.deployed)
    monkeypatch.setattr(engine, "_TICK_S", 0.001)
    return aws


URIS = [f"s3://b/{at:03}_drz.fits" for at in range(101)]


def finishing(aws: Aws, wire: Any, *failing: str) -> None:
    """Lambda processes what it accepts at once: a catalog for each input, a record for failing ones."""

    def work(at: int, request: Any) -> None:
        aws.finish(*(uri for uri in request.inputs if uri not in failing))
        for uri in request.inputs:
            if uri in failing:
                about = {"condition": "PermanentFailure", "requestId": f"id-{at}", "functionArn": "s-F"}
                record = {
                    "timestamp": "2030-01-01T00:00:00Z",
                    "requestContext": about,
                    "requestPayload": {"input": uri, "run": "r"},
                    "responsePayload": {"errorType": "NotFitsError", "errorMessage": "no", "cure": "never"},
                }
                key = uri.removeprefix("s3://")
                aws.place.put(f"runs/r/failures/{key}.json", json.dumps(record).encode())

    wire.script = work


def sent(engine: AwsEngine, files: Plan | Selection) -> tuple[Outcome, list[Any]]:
    seen: list[Any] = []
    return engine.send(Task("r"), files, seen.append), seen


def test_its_place_is_the_bucket_of_the_stack_which_is_found_once(aws: Aws) -> None:
    one = aws.engine(stack="mine")
    assert one.place.name == one.place.name == "s3://results"
    assert aws.found == ["mine"]
    assert aws.engine(bucket="s3://results").place.name == "s3://results"
    with pytest.raises(UsageError, match="s3://results, not in s3://other"):
        _ = aws.engine(bucket="s3://other").place


def test_a_preview_has_the_calls_that_remain_and_sends_nothing(aws: Aws, wire: Any) -> None:
    aws.finish(URIS[0])
    aws.accept(URIS[1])
    preview = aws.engine(batch=2).plan(Task("r"), aws.plan(*[SMALL] * 6, LARGE))
    calls = list(preview.calls)
    assert [(call.function, call.uris) for call in calls] == [
        ("s-F", (URIS[2], URIS[3])),
        ("s-F", (URIS[4], URIS[5])),
        ("s-FLarge", (URIS[6],)),
    ]
    assert (preview.done_before, preview.sent_before) == (1, 1)
    assert preview.estimate is not None
    assert preview.estimate.files == 7
    assert preview.notices == ["it is told"]
    assert wire.requests == []
    assert [item.key for item in aws.place.list("runs/r/plans/")] == []


def test_the_limits_of_a_preview(aws: Aws) -> None:
    plan = aws.plan(*[SMALL] * 8)
    assert len(list(aws.engine(max_files=3).plan(Task("r"), plan).calls)) == 3
    (preview,) = [aws.engine(concurrency=7).plan(Task("r"), plan)]
    assert len(list(preview.calls)) == 8
    assert aws.concurrency == 7
    # Half of the budget pays for half of the files; what was sent before, or may have been, is paid first.
    usd = preview.estimate.usd_most if preview.estimate else 0.0
    capped = aws.engine(max_cost=usd / 2 + 1e-9)
    assert len(list(capped.plan(Task("r"), plan).calls)) in {3, 4}
    free = len(list(capped.plan(Task("r"), plan).calls))
    aws.accept(URIS[0])
    after_receipt = list(capped.plan(Task("r"), plan).calls)
    assert len(after_receipt) == free - 1
    lost = journal.folder(aws.place, "r") / "attempts"
    lost.write_text(json.dumps([1, "s-F", URIS[5]]) + "\n")
    assert len(list(capped.plan(Task("r"), plan).calls)) == free - 2


def test_a_run_is_stored_then_sent_and_reported(aws: Aws, wire: Any) -> None:
    plan = aws.plan(SMALL, SMALL, LARGE)
    wire.latency_s = 0.5
    outcome, seen = sent(aws.engine(), plan)
    about = runs.read(aws.place, "r")
    assert about["failures"] == "s3://failures"
    assert about["doubtful"] is True
    assert about["results"] == "runs/{run}/catalogs/{key}.cat.fits"
    assert len(list(aws.place.list("runs/r/plans/"))) == 1
    assert [(request.function, request.inputs) for request in wire.requests] == [
        ("s-F", [URIS[0]]),
        ("s-F", [URIS[1]]),
        ("s-FLarge", [URIS[2]]),
    ]
    assert wire.requests[0].event == {"input": URIS[0], "run": "r"}
    assert (outcome.files, outcome.sent, outcome.remaining, outcome.invocations) == (3, 3, 0, 3)
    assert (outcome.done_before, outcome.sent_before, outcome.stopped) == (0, 0, "")
    assert (outcome.state, outcome.doubts) == (None, None), "it did not wait"
    assert 1.0 <= outcome.send_seconds <= 1.21
    assert 0.0 < outcome.seconds < 30.0
    assert seen[0] == events.Notice("it is told")
    assert (seen[-1].files, seen[-1].sent, seen[-1].before, seen[-1].late) == (3, 3, 0, 0)


def test_a_stack_of_an_earlier_version_marks_nothing(aws: Aws) -> None:
    del aws.outputs["DoubtfulMarks"]
    sent(aws.engine(), aws.plan(SMALL))
    assert "doubtful" not in runs.read(aws.place, "r")


def test_a_second_call_sends_what_remains(aws: Aws, wire: Any) -> None:
    plan = aws.plan(*[SMALL] * 5)
    first, _ = sent(aws.engine(max_files=2), plan)
    assert (first.sent, first.remaining, first.stopped) == (2, 3, "the limit of 2 files is reached")
    aws.finish(URIS[0])
    second, seen = sent(aws.engine(), plan)
    assert (second.sent, second.remaining) == (3, 0)
    assert (second.done_before, second.sent_before, seen[-1].before) == (1, 1, 2)
    assert sorted(wire.inputs) == URIS[:5]


def test_it_waits_until_each_file_is_done_or_has_failed(aws: Aws, wire: Any) -> None:
    plan = aws.plan(*[SMALL] * 4)
    aws.finish(URIS[0])
    finishing(aws, wire, URIS[2])
    outcome, seen = sent(aws.engine(wait=True), plan)
    assert outcome.state is not None
    assert outcome.state.counts["done"] == 3
    assert (outcome.files, outcome.done_before, outcome.sent, outcome.done, outcome.failed) == (4, 1, 3, 2, 1)
    assert list(outcome.failures) == ["NotFitsError"]
    last = seen[-1]
    assert (last.planned, last.done, last.failed, last.late) == (4, 3, 1, 0)
    assert outcome.doubts is not None


def test_it_does_not_wait_where_lambda_refuses(aws: Aws, wire: Any) -> None:
    wire.script = lambda at, request: DENIED
    outcome, _ = sent(aws.engine(wait=True), aws.plan(*[SMALL] * 4))
    assert "AccessDeniedException" in outcome.stopped
    assert (outcome.sent, outcome.remaining) == (0, 4)


def test_after_a_limit_it_waits_for_what_was_sent(aws: Aws, wire: Any) -> None:
    finishing(aws, wire)
    outcome, _ = sent(aws.engine(wait=True, max_files=2), aws.plan(*[SMALL] * 4))
    assert (outcome.sent, outcome.done, outcome.remaining) == (2, 2, 2)


def test_ctrl_c_while_sending_reports_what_was_sent(aws: Aws, wire: Any) -> None:
    seen: list[Any] = []

    def interrupt(event: Any) -> None:
        seen.append(event)
        if isinstance(event, events.Dispatched) and len(seen) == 3:
            raise KeyboardInterrupt

    wire.latency_s = 0.15
    with pytest.raises(Interrupted) as caught:
        aws.engine().send(Task("r"), aws.plan(*[SMALL] * 50), interrupt)
    outcome = caught.value.partial
    assert outcome.interrupted
    assert outcome.remaining is None
    assert outcome.sent == outcome.invocations == seen[-1].sent > 0
    assert outcome.files == 50


def test_a_retry_sends_the_selected_files_and_stores_no_plan(aws: Aws, wire: Any) -> None:
    plan = aws.plan(*[SMALL] * 4)
    finishing(aws, wire)
    aws.finish(URIS[0])
    sent(aws.engine(max_files=1), plan)
    before = len(wire.requests)
    selection = Selection()
    wire.script = lambda at, request: None
    record = {"requestContext": {"condition": "RetriesExhausted", "requestId": "id-x"}, "timestamp": "2030"}
    record |= {"requestPayload": {"input": URIS[2], "run": "r"}, "responsePayload": {"errorType": "Oh"}}
    aws.accept(URIS[2])
    aws.place.put("runs/r/failures/b/002_drz.fits.json", json.dumps(record).encode())
    outcome, _ = sent(aws.engine(), selection)
    assert wire.inputs[before:] == [URIS[2]]
    assert (outcome.files, outcome.sent, outcome.done_before) == (1, 1, 0)
    assert outcome.doubts is not None, "known, though it did not wait"
    assert len(list(aws.place.list("runs/r/plans/"))) == 1
    assert aws.engine().state("r").counts["done"] == 2


def test_after_a_retry_an_image_that_kills_its_batch_is_the_only_one_without_a_result(
    aws: Aws, wire: Any
) -> None:
    """The large function processes one file, is killed by the next, and never begins the rest."""
    plan, killer = aws.plan(*[LARGE] * 6), URIS[1]
    failures = Place.at("s3://failures")

    def work(at: int, request: Any) -> None:
        for uri in request.inputs:
            if uri == killer:  # after its third attempt Lambda records the event
                about = {
                    "requestId": f"id-{at}",
                    "condition": "RetriesExhausted",
                    "functionArn": "a:b:c:d:e:f:s-FLarge",
                }
                record = {
                    "timestamp": "2030-01-01T00:00:00Z",
                    "requestContext": about,
                    "requestPayload": request.event,
                    "responsePayload": {"errorType": "Runtime.OutOfMemory", "errorMessage": "killed"},
                }
                key = f"aws/lambda/async/s-FLarge/2030/01/01/2030-01-01T00.00.00-{at}"
                failures.put(key, json.dumps(record).encode())
                return
            aws.finish(uri)

    wire.script = work
    outcome, _ = sent(aws.engine(wait=True, batch=6), plan)
    assert outcome.state is not None
    assert (outcome.state.counts["done"], outcome.state.counts["failed"]) == (1, 5)
    outcome, _ = sent(aws.engine(wait=True, batch=6), Selection())
    assert [request.inputs for request in wire.requests[1:]] == [[uri] for uri in URIS[1:6]]
    assert outcome.state is not None
    assert (outcome.state.counts["done"], outcome.state.counts["failed"]) == (5, 1)
    selection = Selection()
    outcome, _ = sent(aws.engine(wait=True, batch=6), selection)
    assert (outcome.sent, selection.exhausted) == (0, {"Runtime.OutOfMemory": 1})


def test_the_budget_of_a_run_counts_its_earlier_calls(aws: Aws, wire: Any) -> None:
    plan = aws.plan(*[SMALL] * 8)
    whole = aws.engine().plan(Task("r"), plan).estimate
    assert whole is not None
    capped = aws.engine(max_cost=whole.usd_most / 2 + 1e-9)
    first, _ = sent(capped, plan)
    assert "cost limit" in first.stopped
    assert first.sent in {3, 4}
    second, _ = sent(capped, plan)
    assert (second.sent, second.remaining) == (0, 8 - first.sent)
    assert second.sent_before == first.sent


def test_lost_responses_count_in_the_budget(aws: Aws, wire: Any) -> None:
    plan = aws.plan(*[SMALL] * 8)
    whole = aws.engine().plan(Task("r"), plan).estimate
    assert whole is not None
    sent(aws.engine(max_cost=whole.usd_most / 2 + 1e-9), plan)
    number = len(wire.requests)
    wire.script = lambda at, request: BrokenError("it broke off") if at == number else None
    outcome, _ = sent(aws.engine(max_cost=whole.usd_most * (number + 2) / 8 + 1e-9), plan)
    assert len(wire.requests) - number <= 2
    assert outcome.sent <= 1


@pytest.mark.parametrize(
    ("sizes", "options", "match"),
    [((), {"batch": 5}, None), ((SMALL,), {"stack": "x"}, "reserved concurrency of 0")],
)
def test_what_cannot_run_is_refused_before_the_run_exists(
    aws: Aws, wire: Any, sizes: tuple[int, ...], options: dict[str, Any], match: str | None
) -> None:
    if match is None:
        outcome, _ = sent(aws.engine(**options), aws.plan(*sizes))
        assert (outcome.files, outcome.sent) == (0, 0)
        return
    aws.functions = replace(aws.functions, tiers={"standard": replace(STANDARD, reserved=0), "large": BIG})
    with pytest.raises(UsageError, match=match):
        sent(aws.engine(**options), aws.plan(*sizes))
    assert list(aws.place.list("runs/")) == []


def test_an_event_that_is_too_large_is_refused_before_the_run_exists(aws: Aws) -> None:
    with pytest.raises(UsageError, match="make the configuration smaller"):
        aws.engine().send(Task("r", config={"a": "x" * 2_000_000}), aws.plan(SMALL))
    assert list(aws.place.list("runs/")) == []


def test_a_batch_is_refused_for_a_function_of_single_files() -> None:
    assert engine.FAILURES in REGISTRY.function("SepExtract").environment
    registry = template.read(REPO / "tests/process/toy/template.yaml")
    aws = AwsEngine(registry, AwsOptions(batch=5))
    for call in (aws.send, aws.plan):
        with pytest.raises(UsageError, match=f"ToyLarge .*{engine.FAILURES}"):
            call(Task(function="ToyLarge"), Selection())


def work_of(aws: Aws, files: Plan, **options: Any) -> Any:
    return aws.engine(**options)._work(Task("r"), files)


def test_how_long_a_file_may_take_is_that_of_its_functions(aws: Aws) -> None:
    work = work_of(aws, aws.plan(SMALL))
    limits = work.limits(work.estimate())
    # An event of the large function lives an hour at most, and half an hour in the queue is the usual limit.
    assert limits == Limits(timeout_s=900.0, retries=2, queue_s=Limits.queue_s, age_s=21600.0)


@pytest.mark.parametrize(
    ("hours", "queue_s"), [(0.0, Limits.queue_s), (Limits.queue_s / 3600 + 0.1, None), (5.0, 3600.0)]
)
def test_the_queue_is_as_long_as_the_work_but_no_event_is_older_than_lambda_keeps_it(
    aws: Aws, hours: float, queue_s: float | None
) -> None:
    work = work_of(aws, aws.plan(SMALL))
    cost = replace(work.estimate(), busy_seconds_high=hours * 3600 * 1000)
    assert work.queue_s(cost) == pytest.approx(hours * 3600)
    expected = hours * 3600 if queue_s is None else queue_s
    assert work.limits(cost).queue_s == pytest.approx(min(expected, 3600.0))


def test_notices_name_unknown_sizes_and_a_queue_that_is_too_long(aws: Aws) -> None:
    work = work_of(aws, aws.plan(SMALL, None, None))
    cost = work.estimate()
    notices = list(work.notices(cost))
    assert notices[0] == "it is told"
    assert "2 files of unknown size: each counts as 170 MB" in notices[1]
    assert len(notices) == 2
    at_limit = replace(cost, unknown=0, busy_seconds_high=3600.0 * 1000)
    assert list(work.notices(at_limit)) == ["it is told"]
    (_, last) = work.notices(replace(at_limit, busy_seconds_high=3601.0 * 1000))
    assert "waves" in last


def watch_of(unfinished: int = 0, finished: int = 0) -> Any:
    reads: list[int] = []
    return SimpleNamespace(
        read=lambda: reads.append(1), unfinished=lambda: unfinished, finished=lambda: finished, reads=reads
    )


def test_all_files_are_sent_at_once_where_half_the_age_of_an_event_suffices(aws: Aws) -> None:
    work = work_of(aws, aws.plan(SMALL))
    watch = watch_of()
    cost = replace(work.estimate(), busy_seconds_high=1000 * 3600.0 / 2)
    assert work.waves(cost, watch) is None
    assert watch.reads == []
    assert work.waves(replace(cost, busy_seconds_high=1000 * 3600.0 / 2 + 1), watch) is not None
    assert watch.reads == [1]


def test_waves_hold_what_the_functions_do_in_half_the_age_of_an_event(aws: Aws) -> None:
    plan = aws.plan(*[SMALL] * 100, LARGE)
    runs.begin(aws.place, Task("r"), "s3://results/runs/{run}/catalogs/{key}.cat.fits")
    runs.add_plan(aws.place, "r", plan)
    aws.functions = replace(aws.functions, concurrency=1)
    work = work_of(aws, plan)
    cost = replace(work.estimate(), busy_seconds_high=1e5)
    waves = work.waves(cost, watch_of(unfinished=3, finished=10))
    assert waves is not None
    # 101 files take 100,000 s: three of them that were sent before 2,970 s, and 1,800 s is the most.
    assert waves.queued_s == pytest.approx(3 * 1e5 / 101)
    assert not waves.is_open()
    waves = work.waves(cost, watch_of())
    assert (waves.queued_s, waves.is_open()) == (0.0, True)
    seconds = work.conditions().speeds.seconds
    waves.add(Call("s-F", (URIS[0], URIS[1]), b""))
    assert waves.queued_s == pytest.approx(2 * seconds([SMALL], 1769)[1][0])
    waves.add(Call("s-FLarge", (URIS[100],), b""))
    assert waves.queued_s == pytest.approx(2 * seconds([SMALL], 1769)[1][0] + seconds([LARGE], 10240)[1][0])


class Watching:
    """A watch whose updates find these states, or errors of the storage."""

    def __init__(self, *found: Any) -> None:
        self.found, self.state, self.errors = list(found), None, list[Exception]()
        self.polled, self.hurried, self.limits = -1.0, 0, Limits()

    def unfinished(self) -> int:
        return 1

    def hurry(self) -> None:
        self.hurried += 1

    def update(self) -> None:
        found = self.found.pop(0)
        if isinstance(found, Exception):
            self.errors.append(found)
        elif found is not None:
            self.polled, counts, self.errors = *found, []
            self.state = SimpleNamespace(counts=counts)


def counts(sent: int) -> dict[str, int]:
    return {"sent": sent, "done": 1, "planned": 2}


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands at 100, and nothing is waited for."""
    clock = SimpleNamespace(monotonic=lambda: 100.0, time=lambda: 100.0, sleep=lambda _: None)
    monkeypatch.setattr(engine, "time", clock)


@pytest.mark.usefixtures("still")
def test_waiting_ends_with_a_state_that_was_read_after_the_last_file_was_sent() -> None:
    outcome = Outcome("r", Place("s3://b", None))  # type: ignore[arg-type]
    watch = Watching(None, (99.9, counts(0)), (100.0, counts(2)), (100.0, counts(0)), (101.0, counts(0)))
    seen: list[Any] = []
    engine._wait(watch, outcome, seen.append)  # type: ignore[arg-type]
    assert len(watch.found) == 1, "the last state was not needed"
    assert watch.hurried == 1
    assert len(seen) == 5
    assert (seen[0].planned, seen[0].done, seen[0].late) == (None, 0, 0)
    assert (seen[-1].planned, seen[-1].done) == (2, 1)


@pytest.mark.usefixtures("still")
def test_waiting_ends_when_five_polls_in_a_row_have_failed() -> None:
    outcome = Outcome("r", Place("s3://b", None))  # type: ignore[arg-type]
    errors = [InputError(f"no storage {at}") for at in range(9)]
    watch = Watching(*errors[:4], (100.0, counts(1)), *errors[4:])
    with pytest.raises(InputError, match="no storage 8"):
        engine._wait(watch, outcome, events.ignore)  # type: ignore[arg-type]


def test_progress_counts_unsuccessful_files_of_every_kind() -> None:
    outcome = Outcome("r", Place("s3://b", None), files=9, done_before=2, sent_before=3, sent=4)  # type: ignore[arg-type]
    known = {"planned": 20, "done": 7, "late": 5, "failed": 1, "missing": 2, "cancelled": 4, "sent": 8}
    watch = SimpleNamespace(state=SimpleNamespace(counts=known))
    found = engine._progress(outcome, watch)  # type: ignore[arg-type]
    assert (found.files, found.before, found.sent) == (9, 5, 4)
    assert (found.planned, found.done, found.failed, found.late) == (20, 7, 7, 5)
    unknown = engine._progress(outcome, SimpleNamespace(state=SimpleNamespace(counts={})))  # type: ignore[arg-type]
    assert (unknown.planned, unknown.done, unknown.failed, unknown.late) == (None, 0, 0, 0)
