"""An input that takes too long fails by name, while there is time to say so."""

import json
import signal
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skyfan_contract import key_of
from skyfan_function import batch, patience
from skyfan_function.errors import OutOfTimeError, StorageError, TooSlowError
from skyfan_function.handler import Job, lambda_handler
from skyfan_function.time_limit import in_time

Put = Callable[..., str]
LONG = 60.0


def limited_to(seconds: float) -> Any:
    """What Lambda gives a handler, with so much time left."""
    end = time.monotonic() + seconds
    return types.SimpleNamespace(
        memory_limit_in_mb="1769",
        aws_request_id="abc",
        invoked_function_arn="arn",
        get_remaining_time_in_millis=lambda: int(1000 * (end - time.monotonic())),
    )


def process(job: Job[Any]) -> dict[str, Any]:
    """Sleeps if the input says so."""
    if job.source.file.read() == b"slow":
        time.sleep(LONG)
    return {}


def test_an_input_that_takes_too_long_is_a_failure_with_a_record(out: Path, put: Put) -> None:
    uri = put("slow")
    answer = lambda_handler(process)({"input": uri}, limited_to(0.2))
    assert (answer["errorType"], answer["cure"]) == ("TooSlowError", "larger")
    record = json.loads((out / "default/failures" / f"{key_of(uri)}.json").read_text())
    assert record["requestContext"]["condition"] == "PermanentFailure"
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


def test_a_store_that_is_slow_is_no_reason_for_a_larger_function(out: Path, put: Put) -> None:
    def waits(job: Job[Any]) -> dict[str, Any]:
        return patience.within(lambda: time.sleep(LONG)) or {}

    with pytest.raises(StorageError) as caught:
        lambda_handler(waits)({"input": put("slow")}, limited_to(0.2))
    assert caught.value.cure == "retry"


def test_no_call_to_the_store_outlasts_the_invocation() -> None:
    began = time.monotonic()
    with patience.of_invocation(limited_to(1.3)), pytest.raises(TimeoutError, match=r"within 0\.[23]"):
        patience.within(lambda: time.sleep(LONG))
    assert time.monotonic() - began < patience.PATIENCE_S


def test_in_a_batch_only_the_first_had_all_the_time(out: Path, put: Put) -> None:
    slow, other, quick = put("slow", "a"), put("slow", "b"), put("quick", "c")
    first = lambda_handler(process)({"inputs": [slow, quick]}, limited_to(0.3))
    assert [failure["errorType"] for failure in first["failures"]] == ["TooSlowError", "OutOfTimeError"]
    later = batch.process({"inputs": [quick, other]}, seen := _Seen(), limited_to(20), lambda *_: None)
    assert seen.late == [TooSlowError, OutOfTimeError]
    assert len(later["results"]) == 2


class _Seen:
    def __init__(self) -> None:
        self.late: list[type[Exception]] = []

    def __call__(self, event: dict[str, Any], *, spare: float, late: type[Exception]) -> dict[str, Any]:
        assert spare >= 5
        self.late.append(late)
        time.sleep(0.001)
        return {"input": event["input"]}


@pytest.mark.parametrize(
    ("seconds", "spare", "limit"), [(300, 5, 270), (60, 5, 54), (30, 5, 25), (3, 5, 2.4), (300, 24, 270)]
)
def test_what_is_left_for_records(
    monkeypatch: pytest.MonkeyPatch, seconds: float, spare: float, limit: float
) -> None:
    """A tenth, or what is asked for, and at most a fifth."""
    timers: list[float] = []
    monkeypatch.setattr(signal, "setitimer", lambda _, *times: timers.append(times[0]))
    context = types.SimpleNamespace(get_remaining_time_in_millis=lambda: 1000 * seconds)
    with in_time(context, spare, TooSlowError):
        pass
    assert timers == [pytest.approx(limit), 0]


def test_nothing_is_limited_without_a_context_or_in_another_thread() -> None:
    done = []

    def work(context: Any) -> None:
        with in_time(context, 5, TooSlowError):
            time.sleep(0.01)
        done.append(context)

    work(None)
    thread = threading.Thread(target=work, args=(limited_to(0.001),))
    thread.start()
    thread.join()
    assert len(done) == 2


def test_a_reader_that_goes_on_after_any_error_does_not_hide_that_time_is_over() -> None:
    """As astropy's, which takes any error in a header for damage of the file."""

    def read() -> None:
        try:
            time.sleep(LONG)
        except Exception:
            pytest.fail("hidden")

    with pytest.raises(TooSlowError), in_time(limited_to(0.05), 0.0, TooSlowError):
        read()
