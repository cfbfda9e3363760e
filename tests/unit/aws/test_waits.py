"""What a run on AWS says while it waits."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from skyfan.aws import engine
from skyfan.aws.connection import Endpoint
from skyfan.aws.sender import Admission, Sender
from skyfan.engine import AwsOptions
from skyfan.runs.judge import Limits


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock on the wall says 12:00:00 UTC."""
    monkeypatch.setattr(time, "time", lambda: 43_200.0)
    monkeypatch.setattr("skyfan.formatting.localtime", time.gmtime)


@pytest.fixture
def sender() -> Any:
    credentials: Any = SimpleNamespace()
    made = Sender(
        Endpoint("http://127.0.0.1:1", "us-east-1"),
        credentials,
        AwsOptions(patience_s=300.0),
        admission=Admission(),
        on_accepted=lambda _: None,
        on_tick=lambda: None,
    )
    made._last = 1000.0
    return made


def test_a_sender_that_nothing_accepts_says_why_since_when_and_until_when(sender: Any) -> None:
    sender._last_error = "TooManyRequestsException"
    assert sender._wait(1001.0) == "", "a moment needs no words"
    said = sender._wait(1060.0)
    assert said == "nothing accepted since 11:59:00, given up at 12:04:00: TooManyRequestsException"
    sender._last_error = ""
    assert sender._wait(1060.0) == ""


def test_a_full_queue_is_no_trouble_and_is_said(sender: Any) -> None:
    sender._full_since = 43_190.0
    assert sender._wait(1000.0) == "the queue is full since 11:59:50, until files in it have finished"


def test_results_are_waited_for_until_they_are_late() -> None:
    watch: Any = SimpleNamespace(errors=[], limits=Limits(60.0, 0, 60.0), unfinished=lambda: 1)
    assert (
        engine._result_wait(watch, 43_200.0) == "waiting for 1 result since 12:00:00, until 12:05:00 at most"
    )
    watch.errors = [OSError("no route")]
    assert "cannot be read, 1 of 5 times: no route" in engine._result_wait(watch, 43_200.0)
