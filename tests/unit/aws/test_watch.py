"""Polling a run in the background, with and without errors of the storage."""

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from skyfan.aws import watch as watching
from skyfan.aws.watch import Watch
from skyfan.errors import InputError
from skyfan.runs.judge import Limits
from skyfan.runs.state import Follower, RunState


class Scripted:
    """A follower whose polls return or raise the given values."""

    def __init__(self, *values: object) -> None:
        self.values = list(values)

    def read(self, **_: Any) -> object:
        value = self.values.pop(0)
        if isinstance(value, Exception):
            raise value
        return value


def update_until(watch: Watch, attribute: str) -> None:
    while not getattr(watch, attribute):
        watch.update()
        time.sleep(0.001)


def test_errors_are_kept_until_a_poll_succeeds() -> None:
    state = cast("RunState", object())
    follower = Scripted(InputError("the storage failed"), state)
    with Watch(cast("Follower", follower), Limits(), 0.0) as watch:
        update_until(watch, "errors")
        assert watch.state is None
        assert [str(error) for error in watch.errors] == ["the storage failed"]
        watch.hurry()
        update_until(watch, "state")
        assert watch.state is state
        assert watch.errors == []


def test_a_hurried_poll_begins_after_the_call() -> None:
    follower = Scripted(*[cast("RunState", object())] * 3)
    with Watch(cast("Follower", follower), Limits(), 3600.0) as watch:
        watch.update()
        assert len(follower.values) == 3  # none is due for an hour
        called = time.monotonic()
        watch.hurry()
        update_until(watch, "state")
        assert watch.polled >= called


def test_files_that_lambda_has_finished_and_those_that_it_has_not() -> None:
    with Watch(cast("Follower", Scripted()), Limits(), 3600.0) as watch:
        assert (watch.finished(), watch.unfinished()) == (0, 0), "nothing is known yet"
        counts = {"unsent": 1, "sent": 2, "late": 4, "missing": 8, "cancelled": 16, "failed": 32, "done": 64}
        watch.state = cast("RunState", SimpleNamespace(counts=counts, accepted=100))
        assert (watch.finished(), watch.unfinished()) == (100 - 2 - 4, 2 + 4)


@pytest.mark.parametrize(
    ("every", "took", "error", "next_at"),
    [(2.0, 0.1, False, 2.1), (2.0, 1.0, False, 11.0), (2.0, 0.1, True, 10.1), (20.0, 0.1, True, 20.1)],
)
def test_polls_take_a_tenth_of_the_time(
    monkeypatch: pytest.MonkeyPatch, every: float, took: float, error: bool, next_at: float
) -> None:
    now = [0.0]
    monkeypatch.setattr(watching.time, "monotonic", lambda: now[0])
    value = InputError("the storage failed") if error else object()
    follower = Scripted(value, value)
    with Watch(cast("Follower", follower), Limits(), every) as watch:
        now[0] = every - 0.01
        watch.update()
        assert watch._poll is None, "none is due yet"
        now[0] = every
        watch.update()
        assert watch._poll is not None
        watch._poll.exception()  # waits for it
        now[0] = every + took
        watch.update()
        assert (watch.state is None) == error
        for when, begun in ((every + next_at - 0.01, False), (every + next_at, True)):
            now[0] = when
            watch.update()
            assert (watch._poll is not None) == begun
