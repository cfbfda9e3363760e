"""The local engine with real processes: Lambda's rules, tested with a function that fails on demand."""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest

from skyfan import events, template
from skyfan.engine import LocalOptions, Selection
from skyfan.errors import (
    FunctionRefusedError,
    Interrupted,
    RunBusyError,
    RunConflictError,
    TemplateError,
    UsageError,
)
from skyfan.inputs import expand
from skyfan.local import engine as local
from skyfan.local.process import Process
from skyfan.local.run_folder import RunFolder
from skyfan.runs import run as runs
from skyfan.runs import state
from skyfan.runs.outcome import Outcome
from skyfan.runs.show import has_unsuccessful
from skyfan.storage import uris
from skyfan.storage.place import Place
from skyfan.task import Task
from skyfan.template import Function

TOY = template.read(Path(__file__).parent / "toy" / "template.yaml")

Play = Callable[..., tuple[Outcome, list[events.Event]]]


@pytest.fixture
def scripts(tmp_path: Path) -> Callable[..., list[str]]:
    """Writes input files with actions of the toy function; returns their URIs."""

    def make(*actions: str) -> list[str]:
        paths = [tmp_path / "in" / f"{number}.fits" for number in range(len(actions))]
        (tmp_path / "in").mkdir(exist_ok=True)
        for path, action in zip(paths, actions, strict=True):
            path.write_text(action)
        return [uris.from_path(path) for path in paths]

    return make


@pytest.fixture
def play(tmp_path: Path, scripts: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> Play:
    """Runs the toy function over scripts; by default with one worker and almost without pauses."""
    monkeypatch.setattr(local, "BACKOFF_S", (0.01, 0.02))

    def go(*actions: str, inputs: Iterable[str] | None = None, function: str = "Toy", **options: Any) -> Any:
        task = Task(run="r", config=options.pop("config", {}), function=function)
        received: list[events.Event] = []
        on_event = options.pop("on_event", received.append)
        engine = local.LocalEngine(TOY, LocalOptions(tmp_path / "out", **{"jobs": 1, **options}))
        found = scripts(*actions) if inputs is None else inputs
        with runs.as_plan(found) as plan:
            outcome = engine.send(task, plan, on_event)
        assert psutil.Process().children() == [], "all workers have ended"
        return outcome, received

    return go


def results(received: list[events.Event]) -> list[Any]:
    return [event.result for event in received if isinstance(event, events.Done)]


def failures(received: list[events.Event]) -> list[dict[str, Any]]:
    return [event.error for event in received if isinstance(event, events.Failed)]


def log(outcome: Outcome) -> str:
    assert outcome.log is not None
    return outcome.log.read_text()


def test_a_process_is_started_cold_and_kept_warm(play: Play) -> None:
    outcome, received = play("ok", "ok", "ok")
    assert [result["calls"] for result in results(received)] == [1, 2, 3]
    assert len({result["pid"] for result in results(received)}) == 1
    assert log(outcome).count("Init Duration") == 1


def test_two_jobs_are_two_processes(play: Play) -> None:
    _, received = play(*["sleep 0.3"] * 4, jobs=2)
    assert len({result["pid"] for result in results(received)}) == 2


def test_no_more_processes_than_files(play: Play) -> None:
    outcome, _ = play("ok", jobs=64)
    assert log(outcome).count("Init Duration") == 1


def test_a_function_error_keeps_the_process_and_is_retried(play: Play) -> None:
    outcome, received = play("flaky 2", "ok")
    assert (outcome.done, outcome.failed, outcome.retries) == (2, 0, 2)
    last = max(
        (event for event in received if isinstance(event, events.Done)), key=lambda event: event.attempt
    )
    assert last.attempt == 3
    assert (received[0].bytes, last.size) == (len("flaky 2ok"), len("flaky 2"))
    assert log(outcome).count("Init Duration") == 1
    ids = re.findall(r"^REPORT RequestId: (\S+)", log(outcome), re.MULTILINE)
    assert len(ids) == 4
    assert len(set(ids)) == 2, "a retry keeps its request ID"


def test_other_files_go_on_while_a_failed_file_waits(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "BACKOFF_S", (0.5, 0.5))
    _, received = play("flaky 1", "ok", "ok")
    kinds = [type(event).__name__ for event in received]
    assert kinds == ["Started", "Retrying", "Done", "Done", "Done"]
    assert [event.attempt for event in received if isinstance(event, events.Done)] == [1, 1, 2]


def test_the_last_failure_leaves_a_record_like_lambdas(play: Play, tmp_path: Path) -> None:
    outcome, received = play("fail no good", "ok")
    assert (outcome.done, outcome.failed, outcome.retries) == (1, 1, 2)
    group = outcome.failures["PixelError"]
    assert (group.count, group.message) == (1, "no good")
    uri = uris.from_path(tmp_path / "in" / "0.fits")
    path = tmp_path / "out/runs/r/failures" / f"{uris.key(uri)}.json"
    assert group.record == path.as_uri()
    record = json.loads(path.read_text())
    assert record["version"] == "1.0"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["timestamp"])
    context = record["requestContext"]
    assert context["condition"] == "RetriesExhausted"
    assert context["approximateInvokeCount"] == 3
    assert context["functionArn"].endswith(":function:Toy:$LATEST")
    assert record["requestPayload"] == {"input": uri, "run": "r"}
    assert record["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    payload = record["responsePayload"]
    assert (payload["errorType"], payload["errorMessage"]) == ("PixelError", "no good")
    assert "worker.py" not in "".join(payload["stackTrace"])
    assert "in fail" in payload["stackTrace"][-1]
    assert failures(received)[0]["requestId"] == context["requestId"]


def test_the_record_is_removed_when_the_file_succeeds(play: Play, scripts: Callable[..., list[str]]) -> None:
    outcome, _ = play("fail", retries=0)
    record = uris.local_path(outcome.failures["PixelError"].record)
    assert record is not None
    outcome, _ = play("ok")
    assert outcome.done == 1
    assert not record.exists()


def test_a_file_over_the_time_limit_is_killed_and_others_go_on(play: Play) -> None:
    outcome, received = play("ok", "sleep 30", "ok", retries=0, timeout_s=1.0)
    assert (outcome.done, outcome.failed) == (2, 1)
    (error,) = failures(received)
    assert error["errorType"] == "Sandbox.Timedout"
    assert error["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")
    assert re.search(
        r"REPORT .*\tDuration: 1000.00 ms\tBilled Duration: 1000 ms.*\tStatus: timeout", log(outcome)
    )
    assert log(outcome).count("Init Duration") == 2, "a killed process is replaced"


def test_a_file_over_the_memory_size_is_killed_and_others_go_on(play: Play) -> None:
    outcome, received = play("ok", "eat 2000", "ok", retries=1, memory_mb=150)
    assert (outcome.done, outcome.failed) == (2, 1)
    assert failures(received)[0]["errorType"] == "Runtime.OutOfMemory"
    reports = re.findall(r"Max Memory Used: (\d+) MB.*Error Type: Runtime.OutOfMemory", log(outcome))
    assert len(reports) == 2
    assert all(150 < int(used) < 600 for used in reports)


def test_the_memory_of_children_counts(play: Play) -> None:
    outcome, received = play("child_eats 600", retries=0, memory_mb=300)
    assert [error["errorType"] for error in failures(received)] == ["Runtime.OutOfMemory"]
    assert outcome.failures["Runtime.OutOfMemory"].exhausted
    outcome, _ = play("child_eats 600", memory_mb=2000)
    (used,) = re.findall(r"Max Memory Used: (\d+) MB", log(outcome))
    assert 600 <= int(used) < 800


def test_memory_shared_with_children_counts_once(play: Play) -> None:
    outcome, _ = play("child_eats 1 400", memory_mb=700)
    assert outcome.done == 1
    (used,) = re.findall(r"Max Memory Used: (\d+) MB", log(outcome))
    assert 400 <= int(used) < 600


def test_the_memory_of_the_parent_does_not_count(play: Play) -> None:
    ballast = bytearray(os.urandom(1) * 400 * 2**20)
    outcome, _ = play("ok", memory_mb=300)
    assert ballast
    assert outcome.done == 1
    (used,) = re.findall(r"Max Memory Used: (\d+) MB", log(outcome))
    assert int(used) < 100


def test_a_file_whose_worker_was_killed_is_retried_alone(play: Play) -> None:
    outcome, received = play("sleep 0.2", "die 1", "sleep 0.2", "ok", "ok", jobs=3, retries=0)
    assert (outcome.done, outcome.failed, outcome.retries) == (5, 0, 1)
    (retry,) = [event for event in received if isinstance(event, events.Retrying)]
    assert "memory" in retry.error["errorMessage"]
    assert [result["beside"] for result in results(received) if "beside" in result] == [[]]


def test_a_worker_that_is_terminated_before_it_has_done_anything_ends_no_run(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = []

    def terminated(self: Process, function: Function, environment: dict[str, str]) -> None:
        start(self, function, environment)
        if not starts:
            os.kill(self.pid, signal.SIGTERM)
        starts.append(self.pid)

    start = Process.__init__
    monkeypatch.setattr(Process, "__init__", terminated)
    outcome, received = play("ok", "ok", retries=0)
    assert (outcome.done, outcome.failed, outcome.retries) == (2, 0, 1)
    (retry,) = [event for event in received if isinstance(event, events.Retrying)]
    assert "signal: terminated (not by skyfan)" in retry.error["errorMessage"]


def test_a_file_whose_worker_is_killed_alone_too_has_failed(play: Play) -> None:
    outcome, received = play("die 9", "ok", retries=2)
    assert (outcome.done, outcome.failed, outcome.retries) == (1, 1, 1)
    (error,) = failures(received)
    assert error["errorType"] == "Runtime.ExitError"
    assert "signal: killed" in error["errorMessage"]
    assert "memory" in error["errorMessage"]
    assert outcome.failures["Runtime.ExitError"].exhausted


@pytest.mark.parametrize(
    ("action", "how"),
    [("leave 3", "exit status 3"), ("crash", "signal: segmentation fault")],
)
def test_a_crash_is_an_exit_error_and_its_output_is_in_the_log(play: Play, action: str, how: str) -> None:
    outcome, received = play("ok", action, "ok", retries=0)
    assert (outcome.done, outcome.failed) == (2, 1)
    (error,) = failures(received)
    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith(f"Runtime exited with error: {how}")
    if action == "leave 3":
        assert "last words\n" in log(outcome)


def test_a_process_that_dies_between_files_is_replaced(play: Play) -> None:
    outcome, _ = play("die_later", "sleep 0.2", "ok")
    assert outcome.done == 3
    assert outcome.failed == 0


def test_a_kill_ends_the_functions_children_too(play: Play, tmp_path: Path) -> None:
    play("ok", "spawn 60", retries=0, timeout_s=0.5)
    child = int((tmp_path / "in" / "1.child").read_text())
    deadline = time.monotonic() + 2
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_result_that_json_cannot_hold_is_lambdas_marshal_error(play: Play) -> None:
    _, received = play("unserialisable", retries=0)
    assert failures(received)[0]["errorType"] == "Runtime.MarshalError"


def test_the_handlers_output_is_between_start_and_end(play: Play) -> None:
    outcome, _ = play("say hello", "ok")
    first, second = re.findall(r"^START.*?^REPORT.*?$", log(outcome), re.MULTILINE | re.DOTALL)
    lines = first.splitlines()
    assert re.fullmatch(r"START RequestId: [0-9a-f-]{36} Version: \$LATEST", lines[0])
    assert lines[1:3] == ["said: hello", "to stderr"]
    assert re.fullmatch(r"\[WARNING\]\t\S+Z\t[0-9a-f-]{36}\tlogged", lines[3])
    assert lines[4] == "past sys.stdout"
    assert re.fullmatch(r"END RequestId: [0-9a-f-]{36}", lines[5])
    pattern = (
        r"REPORT RequestId: [0-9a-f-]{36}\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 300 MB"
        r"\tMax Memory Used: \d+ MB\tInit Duration: [\d.]+ ms\tStart Time: \S+Z"
    )
    assert re.fullmatch(pattern, lines[6])
    assert len(second.splitlines()) == 3


def test_billed_duration_includes_init(play: Play) -> None:
    outcome, _ = play("ok")
    fields = dict(re.findall(r"\t([\w ]+): ([\d.]+) ms", log(outcome)))
    total = float(fields["Duration"]) + float(fields["Init Duration"])
    assert 0 <= int(fields["Billed Duration"]) - total < 1.01


def test_the_lines_of_an_invocation_stay_together(play: Play) -> None:
    outcome, _ = play(*["chatter 200"] * 6, jobs=3)
    for block in re.findall(r"^START.*?^REPORT.*?$", log(outcome), re.MULTILINE | re.DOTALL):
        lines = block.splitlines()
        assert len(lines) == 203
        assert len(set(re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", block))) == 1


def test_only_the_end_of_long_output_is_kept(play: Play) -> None:
    outcome, _ = play("chatter 5000")
    assert "line 4999 " in log(outcome)
    assert len(log(outcome)) < 300_000


def test_the_handler_sees_lambdas_context_and_environment(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    _, received = play("context", timeout_s=5.0, config={"thresh": 3})
    (seen,) = results(received)
    assert seen["event"]["config"] == {"thresh": 3}
    context, environ = seen["context"], seen["environ"]
    assert context["function_name"] == environ["AWS_LAMBDA_FUNCTION_NAME"] == "Toy"
    assert context["memory_limit_in_mb"] == environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "300"
    assert context["invoked_function_arn"] == "arn:aws:lambda:eu-west-1:000000000000:function:Toy"
    assert context["log_group_name"] == "/aws/lambda/Toy"
    assert 4000 < seen["remaining_ms"] <= 4995
    assert environ["TOY_COLOUR"] == "green"
    assert environ["SKYFAN_OUTPUT"].startswith("file:///")
    assert environ["SKYFAN_OUTPUT"].endswith("/out/runs/{run}/results/{key}.txt")
    assert (environ["OPENBLAS_NUM_THREADS"], environ["OMP_NUM_THREADS"]) == ("1", "3")
    assert seen["path"][0] == environ["LAMBDA_TASK_ROOT"]


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("ImportFails", "ImportModuleError: .*'toy.import_fails'"),
        ("HandlerMissing", "HandlerNotFound: .*'no_such_handler'"),
        ("DiesAtStart", "ExitError: .*exit status 7"),
    ],
)
def test_a_function_that_cannot_start_stops_the_run(
    play: Play, tmp_path: Path, function: str, reason: str
) -> None:
    with pytest.raises(FunctionRefusedError, match=f"{function} .*{reason}"):
        play("ok", "ok", function=function)
    (path,) = (tmp_path / "out/runs/r/logs").iterdir()
    assert "INIT_REPORT Init Duration: " in path.read_text()
    assert not (tmp_path / "out/runs/r/failures").exists()


def test_a_refused_event_stops_the_run_and_frees_its_name(play: Play) -> None:
    with pytest.raises(FunctionRefusedError, match="no key thrash"):
        play("refuse no key thrash", "ok", config={"thrash": 3})
    outcome, _ = play("ok", "ok", config={"thresh": 3})
    assert outcome.done == 2


def test_a_refused_event_later_on_is_that_files_failure(play: Play) -> None:
    outcome, _ = play("ok", "refuse this one", "ok", retries=0)
    assert (outcome.done, outcome.failed) == (2, 1)


def test_a_failure_that_the_function_recorded_is_neither_retried_nor_recorded_again(
    play: Play, tmp_path: Path
) -> None:
    outcome, received = play("record NotFitsError no stars", "ok", retries=2)
    assert (outcome.done, outcome.failed, outcome.retries, outcome.unwritten) == (1, 1, 0, 0)
    (failed,) = [event for event in received if isinstance(event, events.Failed)]
    assert (failed.error["errorType"], failed.attempt) == ("NotFitsError", 1)
    group = outcome.failures["NotFitsError"]
    assert (group.count, group.message, group.permanent) == (1, "no stars", True)
    (record,) = (tmp_path / "out/runs/r/failures").rglob("*.json")
    assert failed.record == record
    assert group.record == record.as_uri()
    assert json.loads(record.read_text()).keys() == {"requestPayload", "responsePayload"}, (
        "it is the function's"
    )
    assert log(outcome).count("REPORT RequestId") == 2
    assert log(outcome).count("Init Duration") == 1, "its process goes on"


def test_the_state_of_the_run_contains_recorded_failures(play: Play, tmp_path: Path) -> None:
    outcome, _ = play("record NotFitsError no stars", "record ImageTooLargeError needs 4 GB", "ok")
    run = state.read(Place.at(tmp_path / "out"), "r")
    assert (run.counts["done"], run.counts["failed"]) == (1, 2)
    expected = {"NotFitsError": (True, False), "ImageTooLargeError": (False, True)}
    for groups in (run.groups(), outcome.failures.values()):
        assert {group.error_type: (group.permanent, group.exhausted) for group in groups} == expected
    selection = Selection()
    names, memory_mb = {"standard": "Toy", "large": "ToyLarge"}, {"standard": 300, "large": 1200}
    files = [(item.uri[-6:], item.tier) for item in selection.select(run, names, memory_mb)]
    assert files == [("1.fits", "large")], "only a larger function can help"
    assert selection.permanent == {"NotFitsError": 1}
    outcome, _ = play("ok", "ok", "ok")
    assert (outcome.done, outcome.failed) == (3, 0)
    assert not list((tmp_path / "out/runs/r/failures").rglob("*.json"))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_recorded_refusal_stops_the_run_and_frees_its_name(play: Play, tmp_path: Path, jobs: int) -> None:
    with pytest.raises(FunctionRefusedError, match="no key thrash"):
        play(*["record EventError no key thrash"] * 4, config={"thrash": 3}, jobs=jobs)
    assert not list((tmp_path / "out/runs/r").rglob("*.json")), "run.json and failures are removed"
    outcome, _ = play("ok", "ok", config={"thresh": 3})
    assert outcome.done == 2


def test_a_second_run_processes_only_new_and_changed_files(play: Play, tmp_path: Path) -> None:
    play("ok", "ok", "fail", retries=0)
    first = next(path for path in (tmp_path / "out").rglob("0.fits.txt"))
    changed = tmp_path / "in" / "1.fits"
    later = time.time_ns() + 10**9
    os.utime(changed, ns=(later, later))
    outcome, received = play(inputs=sorted(map(uris.from_path, (tmp_path / "in").iterdir())), retries=0)
    assert (outcome.done_before, outcome.done, outcome.failed) == (1, 1, 1)
    assert [event.input for event in received if isinstance(event, events.Done)] == [uris.from_path(changed)]
    assert first.exists()


@pytest.mark.parametrize("seconds", [-(10**6), 10**6], ids=["earlier", "in the future"])
def test_the_version_of_an_input_decides_and_not_the_clock(play: Play, tmp_path: Path, seconds: int) -> None:
    """rsync and tar set old times; a camera's clock may be ahead."""
    _, before = play("ok")
    (uri,) = (event.input for event in before if isinstance(event, events.Done))
    moment = time.time_ns() + seconds * 10**9
    os.utime(tmp_path / "in" / "0.fits", ns=(moment, moment))
    counts = [play(inputs=[uri])[0] for _ in range(2)]
    assert [(outcome.done, outcome.done_before) for outcome in counts] == [(1, 0), (0, 1)]


def test_a_result_without_a_recorded_version_counts_if_it_is_not_older(play: Play, tmp_path: Path) -> None:
    """As after a kill between both."""
    _, before = play("ok")
    inputs = [event.input for event in before if isinstance(event, events.Done)]
    record = tmp_path / "out" / "runs" / "r" / "inputs.jsonl"
    record.write_text(record.read_text().rstrip()[:-3])
    outcome, _ = play(inputs=inputs)
    assert (outcome.done_before, outcome.damaged) == (1, 0)
    assert outcome.state is not None
    assert (outcome.state.counts["done"], outcome.state.unrecorded) == (1, 1)


def test_without_remaining_files_no_process_is_started_and_no_log_written(play: Play) -> None:
    _, before = play("ok")
    outcome, received = play(inputs=[event.input for event in before if isinstance(event, events.Done)])
    assert outcome.done_before == 1
    assert outcome.log is None
    assert [type(event) for event in received] == [events.Started, events.AlreadyDone]


def test_another_configuration_under_the_same_name_is_refused(play: Play) -> None:
    play("ok", config={"thresh": 3, "mesh": 64})
    with pytest.raises(RunConflictError) as caught:
        play("ok", config={"thresh": 5, "back": 1})
    message = str(caught.value)
    assert "config thresh was 3 and is now 5" in message
    assert "config mesh was 64 and is now not set" in message
    assert "config back was not set and is now 1" in message
    assert "--run" in message


def test_a_success_that_left_no_result_is_counted(play: Play) -> None:
    outcome, _ = play("nothing", "ok")
    assert (outcome.done, outcome.unwritten) == (1, 1)
    assert not outcome.is_complete


def test_ctrl_c_stops_all_workers_and_the_same_call_continues(
    play: Play, scripts: Callable[..., list[str]]
) -> None:
    files = scripts("ok", "ok", "sleep 5", "ok")

    def interrupted(event: events.Event) -> None:
        if isinstance(event, events.Done):
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        play(inputs=files, jobs=2, on_event=interrupted)
    assert psutil.Process().children() == []
    assert caught.value.partial.done <= 2
    assert caught.value.partial.interrupted
    for path in files[2:3]:
        (uris.local_path(path) or Path()).write_text("ok")
    outcome, _ = play(inputs=files)
    assert outcome.done + outcome.done_before == 4


def test_a_function_without_skyfan_output_is_refused(play: Play) -> None:
    with pytest.raises(TemplateError, match="SKYFAN_OUTPUT"):
        play("ok", function="NoOutput")


@pytest.mark.parametrize("wrong", [{"jobs": 0}, {"retries": -1}, {"timeout_s": 0.0}, {"memory_mb": -5}])
def test_impossible_options_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=str(*wrong.values())):
        LocalOptions(tmp_path, **wrong)


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "x" * 65, "a b"])
def test_run_names_that_would_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(name))):
        Task(run=name)


NAMES = {
    "control": b"a\x01\x1b[31m\n.fits",
    "not utf-8": b"caf\xe9.fits",
    "neither": b"caf\xe8.fits",
    "markup": b"[red].fits",
    "uri": b"a#1?%20 .fits",
    "fits": b"n" * 246 + b".fits",
    "too long": b"n" * 247 + b".fits",
    "longest": b"n" * 250 + b".fits",
}


def test_a_hostile_name_costs_its_own_file_at_most(play: Play, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in NAMES.values():
        Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_text("ok")  # noqa: PTH118
    outcome, received = play(inputs=expand([str(folder)]))
    assert [error["errorType"] for error in failures(received)] == ["NameTooLongError"] * 2
    assert (outcome.files, outcome.done, outcome.failed, outcome.remaining) == (8, 6, 2, 0)
    found = state.read(Place.at(tmp_path / "out"), "r")
    assert found.counts == {**dict.fromkeys(found.counts, 0), "planned": 8, "done": 6, "failed": 2}
    assert {Path(uris.local_path(file.uri) or "").name for file in found.files("failed")} == {
        os.fsdecode(NAMES["too long"]),
        os.fsdecode(NAMES["longest"]),
    }
    again, _ = play(inputs=expand([str(folder)]))
    assert (again.done_before, again.failed, again.invocations) == (6, 2, 0)


def test_two_calls_never_work_on_one_run(play: Play, tmp_path: Path) -> None:
    task = Task(run="r", function="Toy")
    folder = RunFolder(tmp_path / "out", task, template.results(TOY.function("Toy")))
    with folder.locked(), pytest.raises(RunBusyError, match="another process works on run 'r'"):
        play("ok")
    assert play("ok")[0].done == 1


def test_a_run_whose_engine_was_killed_is_abandoned_until_it_is_continued(play: Play, tmp_path: Path) -> None:
    def stop(event: events.Event) -> None:
        now = state.read(Place.at(tmp_path / "out"), "r")
        assert (now.running, now.is_abandoned) == (True, False)
        if isinstance(event, events.Done):
            raise SystemExit("as a kill, without the end of the call")

    with pytest.raises(SystemExit):
        play(*["ok"] * 4, on_event=stop)
    found = state.read(Place.at(tmp_path / "out"), "r")
    assert (found.running, found.is_abandoned, has_unsuccessful(found)) == (False, True, True)
    assert found.counts["planned"] == found.counts["done"] + found.counts["unsent"] == 4
    engine = local.LocalEngine(TOY, LocalOptions(tmp_path / "out", jobs=1))
    outcome = engine.send(Task(run="r", function="Toy"), Selection())
    assert outcome.files == found.counts["unsent"]
    assert state.read(Place.at(tmp_path / "out"), "r").counts["done"] == 4
