"""The local engine with real processes: Lambda's rules, seen through a function that fails on demand."""

import json
import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest

from skyfan import events, template, uris
from skyfan.errors import FunctionRefusedError, RunConflictError, TemplateError, UsageError
from skyfan.local import engine as local
from skyfan.task import Task

TOY = template.read(Path(__file__).parent / "toy" / "template.yaml")

Play = Callable[..., tuple[events.Summary, list[events.Event]]]


@pytest.fixture
def scripts(tmp_path: Path) -> Callable[..., list[str]]:
    """Makes input files that tell the toy function what to do; gives their URIs."""

    def make(*actions: str) -> list[str]:
        paths = [tmp_path / "in" / f"{number}.fits" for number in range(len(actions))]
        (tmp_path / "in").mkdir(exist_ok=True)
        for path, action in zip(paths, actions, strict=True):
            path.write_text(action)
        return [uris.from_path(path) for path in paths]

    return make


@pytest.fixture
def play(tmp_path: Path, scripts: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> Play:
    """Runs the toy function over scripts, on one worker and without pauses unless told otherwise."""
    monkeypatch.setattr(local, "BACKOFF_S", (0.01, 0.02))

    def go(*actions: str, inputs: Iterable[str] | None = None, function: str = "Toy", **given: Any) -> Any:
        task = Task(run="r", config=given.pop("config", {}))
        options = local.LocalOptions(tmp_path / "out", **{"jobs": 1, **given})
        told: list[events.Event] = []
        found = scripts(*actions) if inputs is None else inputs
        summary = local.run(found, TOY.function(function), task, options, told.append)
        assert psutil.Process().children() == [], "no worker is left behind"
        return summary, told

    return go


def results(told: list[events.Event]) -> list[Any]:
    return [event.result for event in told if isinstance(event, events.Done)]


def failures(told: list[events.Event]) -> list[dict[str, Any]]:
    return [event.error for event in told if isinstance(event, events.Failed)]


def log(summary: events.Summary) -> str:
    assert summary.log is not None
    return summary.log.read_text()


def test_a_process_is_started_cold_and_kept_warm(play: Play) -> None:
    summary, told = play("ok", "ok", "ok")
    assert [result["calls"] for result in results(told)] == [1, 2, 3]
    assert len({result["pid"] for result in results(told)}) == 1
    assert log(summary).count("Init Duration") == 1


def test_two_jobs_are_two_processes(play: Play) -> None:
    _, told = play(*["sleep 0.3"] * 4, jobs=2)
    assert len({result["pid"] for result in results(told)}) == 2


def test_no_more_processes_than_files(play: Play) -> None:
    summary, _ = play("ok", jobs=64)
    assert log(summary).count("Init Duration") == 1


def test_a_function_error_keeps_the_process_and_is_tried_again(play: Play) -> None:
    summary, told = play("flaky 2", "ok")
    assert (summary.done, summary.failed, summary.retries) == (2, 0, 2)
    last = max((event for event in told if isinstance(event, events.Done)), key=lambda event: event.attempt)
    assert last.attempt == 3
    assert log(summary).count("Init Duration") == 1
    ids = re.findall(r"^REPORT RequestId: (\S+)", log(summary), re.MULTILINE)
    assert len(ids) == 4
    assert len(set(ids)) == 2, "a retry keeps its request ID"


def test_others_go_on_while_a_failed_file_waits(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "BACKOFF_S", (0.5, 0.5))
    _, told = play("flaky 1", "ok", "ok")
    kinds = [type(event).__name__ for event in told]
    assert kinds == ["Started", "Retrying", "Done", "Done", "Done"]


def test_the_last_failure_leaves_lambdas_record(play: Play, tmp_path: Path) -> None:
    summary, told = play("fail no good", "ok")
    assert (summary.done, summary.failed, summary.retries) == (1, 1, 2)
    group = summary.failures["PixelError"]
    assert (group.count, group.message) == (1, "no good")
    uri = uris.from_path(tmp_path / "in" / "0.fits")
    assert group.record == tmp_path / "out/runs/r/failures" / f"{uris.key(uri)}.json"
    record = json.loads(group.record.read_text())
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
    assert failures(told)[0]["requestId"] == context["requestId"]


def test_a_record_goes_when_the_file_succeeds(play: Play, scripts: Callable[..., list[str]]) -> None:
    summary, _ = play("fail", retries=0)
    record = summary.failures["PixelError"].record
    summary, _ = play("ok")
    assert summary.done == 1
    assert not record.exists()


def test_a_time_limit_kills_and_others_go_on(play: Play) -> None:
    summary, told = play("ok", "sleep 30", "ok", retries=0, timeout_s=1.0)
    assert (summary.done, summary.failed) == (2, 1)
    assert summary.seconds < 10
    (error,) = failures(told)
    assert error["errorType"] == "Sandbox.Timedout"
    assert error["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")
    assert re.search(
        r"REPORT .*\tDuration: 1000.00 ms\tBilled Duration: 1000 ms.*\tStatus: timeout", log(summary)
    )
    assert log(summary).count("Init Duration") == 2, "a killed process is replaced"


def test_a_memory_size_kills_and_others_go_on(play: Play) -> None:
    summary, told = play("ok", "eat 2000", "ok", retries=1, memory_mb=150)
    assert (summary.done, summary.failed) == (2, 1)
    assert failures(told)[0]["errorType"] == "Runtime.OutOfMemory"
    reports = re.findall(r"Max Memory Used: (\d+) MB.*Error Type: Runtime.OutOfMemory", log(summary))
    assert len(reports) == 2
    assert all(150 < int(used) < 600 for used in reports)


def test_memory_is_the_process_own_and_not_its_parents(play: Play) -> None:
    ballast = bytearray(os.urandom(1) * 400 * 2**20)
    summary, _ = play("ok", memory_mb=300)
    assert ballast
    assert summary.done == 1
    (used,) = re.findall(r"Max Memory Used: (\d+) MB", log(summary))
    assert int(used) < 100


@pytest.mark.parametrize(
    ("action", "how"),
    [("leave 3", "exit status 3"), ("crash", "signal: segmentation fault")],
)
def test_a_crash_is_told_with_its_last_words(play: Play, action: str, how: str) -> None:
    summary, told = play("ok", action, "ok", retries=0)
    assert (summary.done, summary.failed) == (2, 1)
    (error,) = failures(told)
    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith(f"Runtime exited with error: {how}")
    if action == "leave 3":
        assert "last words\n" in log(summary)


def test_a_process_that_dies_between_files_is_replaced(play: Play) -> None:
    summary, _ = play("die_later", "sleep 0.2", "ok")
    assert summary.done == 3
    assert summary.failed == 0


def test_a_kill_takes_the_functions_children_along(play: Play, tmp_path: Path) -> None:
    play("ok", "spawn 60", retries=0, timeout_s=0.5)
    child = int((tmp_path / "in" / "1.child").read_text())
    deadline = time.monotonic() + 2
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_result_that_json_cannot_hold_is_lambdas_marshal_error(play: Play) -> None:
    _, told = play("unserialisable", retries=0)
    assert failures(told)[0]["errorType"] == "Runtime.MarshalError"


def test_what_a_handler_prints_stands_between_start_and_end(play: Play) -> None:
    summary, _ = play("say hello", "ok")
    first, second = re.findall(r"^START.*?^REPORT.*?$", log(summary), re.MULTILINE | re.DOTALL)
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
    summary, _ = play("ok")
    fields = dict(re.findall(r"\t([\w ]+): ([\d.]+) ms", log(summary)))
    total = float(fields["Duration"]) + float(fields["Init Duration"])
    assert 0 <= int(fields["Billed Duration"]) - total < 1.01


def test_lines_of_an_invocation_stay_together(play: Play) -> None:
    summary, _ = play(*["chatter 200"] * 6, jobs=3)
    for block in re.findall(r"^START.*?^REPORT.*?$", log(summary), re.MULTILINE | re.DOTALL):
        lines = block.splitlines()
        assert len(lines) == 203
        assert len(set(re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", block))) == 1


def test_endless_output_is_cut_from_the_front(play: Play) -> None:
    summary, _ = play("chatter 5000")
    assert "bytes of output left out" in log(summary)
    assert "line 4999 " in log(summary)
    assert len(log(summary)) < 300_000


def test_the_handler_sees_lambdas_context_and_environment(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    _, told = play("context", timeout_s=5.0, config={"thresh": 3})
    (seen,) = results(told)
    assert seen["event"]["config"] == {"thresh": 3}
    context, environ = seen["context"], seen["environ"]
    assert context["function_name"] == environ["AWS_LAMBDA_FUNCTION_NAME"] == "Toy"
    assert context["memory_limit_in_mb"] == environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "300"
    assert context["invoked_function_arn"] == "arn:aws:lambda:eu-west-1:000000000000:function:Toy"
    assert context["log_group_name"] == "/aws/lambda/Toy"
    assert 4000 < seen["left"] <= 4995
    assert environ["TOY_COLOUR"] == "green"
    assert environ["SKYFAN_OUTPUT"].startswith("file:///")
    assert environ["SKYFAN_OUTPUT"].endswith("/out/runs/{run}/results/{key}.txt")
    assert (environ["OPENBLAS_NUM_THREADS"], environ["OMP_NUM_THREADS"]) == ("1", "3")
    assert seen["path"][0] == environ["LAMBDA_TASK_ROOT"]


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("ImportFails", "Runtime.ImportModuleError: Unable to import module 'toy.import_fails'"),
        ("HandlerMissing", "Runtime.HandlerNotFound: Handler 'no_such_handler' missing"),
        ("DiesAtStart", "Runtime.ExitError: Runtime exited with error: exit status 7"),
    ],
)
def test_a_function_that_cannot_start_stops_the_run(
    play: Play, tmp_path: Path, function: str, told: str
) -> None:
    with pytest.raises(FunctionRefusedError, match=re.escape(f"{function} cannot start: {told}")):
        play("ok", "ok", function=function)
    (path,) = (tmp_path / "out/runs/r/logs").iterdir()
    assert "INIT_REPORT Init Duration: " in path.read_text()
    assert not (tmp_path / "out/runs/r/failures").exists()


def test_a_refused_event_stops_the_run_and_frees_its_name(play: Play) -> None:
    with pytest.raises(FunctionRefusedError, match="Toy refused the event: no key thrash"):
        play("refuse no key thrash", "ok", config={"thrash": 3})
    summary, _ = play("ok", "ok", config={"thresh": 3})
    assert summary.done == 2


def test_a_refused_event_later_on_is_that_files_failure(play: Play) -> None:
    summary, _ = play("ok", "refuse this one", "ok", retries=0)
    assert (summary.done, summary.failed) == (2, 1)


def test_a_second_run_does_only_what_is_missing(play: Play, tmp_path: Path) -> None:
    play("ok", "ok", "fail", retries=0)
    first = next(path for path in (tmp_path / "out").rglob("0.fits.txt"))
    changed = tmp_path / "in" / "1.fits"
    later = time.time_ns() + 10**9
    os.utime(changed, ns=(later, later))
    summary, told = play(inputs=sorted(map(uris.from_path, (tmp_path / "in").iterdir())), retries=0)
    assert (summary.already_done, summary.done, summary.failed) == (1, 1, 1)
    assert [event.input for event in told if isinstance(event, events.Done)] == [uris.from_path(changed)]
    assert first.exists()


def test_nothing_left_to_do_starts_no_process_and_writes_no_log(play: Play) -> None:
    _, before = play("ok")
    summary, told = play(inputs=[event.input for event in before if isinstance(event, events.Done)])
    assert summary.already_done == 1
    assert summary.log is None
    assert [type(event) for event in told] == [events.Started, events.AlreadyDone]


def test_another_configuration_under_the_same_name_is_refused(play: Play) -> None:
    play("ok", config={"thresh": 3, "mesh": 64})
    with pytest.raises(RunConflictError) as caught:
        play("ok", config={"thresh": 5, "back": 1})
    message = str(caught.value)
    assert "config thresh was 3 and is now 5" in message
    assert "config mesh was 64 and is now not set" in message
    assert "config back was not set and is now 1" in message
    assert "--run" in message


def test_a_success_without_a_result_is_counted(play: Play) -> None:
    summary, _ = play("nothing", "ok")
    assert (summary.done, summary.unwritten) == (2, 1)


def test_inputs_may_come_one_at_a_time(play: Play, scripts: Callable[..., list[str]]) -> None:
    given = scripts(*["ok"] * 30)
    summary, told = play(inputs=iter(given), jobs=2)
    assert summary.total == summary.done == 30
    assert told[0] == events.Started(30, 2)


def test_ctrl_c_stops_cleanly_and_the_same_call_goes_on(
    play: Play, scripts: Callable[..., list[str]]
) -> None:
    given = scripts("ok", "ok", "sleep 5", "ok")

    def interrupted() -> Iterable[str]:
        yield from given[:3]
        raise KeyboardInterrupt

    with pytest.raises(events.Interrupted) as caught:
        play(inputs=interrupted(), jobs=2)
    assert psutil.Process().children() == []
    assert caught.value.summary.done <= 2
    for path in given[2:3]:
        (uris.local_path(path) or Path()).write_text("ok")
    summary, _ = play(inputs=given)
    assert summary.done + summary.already_done == 4


def test_a_function_that_does_not_say_where_results_go_is_refused(play: Play) -> None:
    with pytest.raises(TemplateError, match="needs SKYFAN_OUTPUT"):
        play("ok", function="NoOutput")


@pytest.mark.parametrize("wrong", [{"jobs": 0}, {"retries": -1}, {"timeout_s": 0.0}, {"memory_mb": -5}])
def test_options_that_make_no_sense_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="must be"):
        local.LocalOptions(tmp_path, **wrong)


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "x" * 65, "a b"])
def test_run_names_that_would_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="a run's name"):
        Task(run=name)
