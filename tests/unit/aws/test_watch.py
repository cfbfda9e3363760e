"""Looks at a run in the background, when the storage fails and when it does not."""

import time
from typing import Any, cast

from skyfan.aws.watch import Watch
from skyfan.errors import InputError
from skyfan.runs.judge import Limits
from skyfan.runs.outcome import RunState
from skyfan.runs.state import Follower


class Scripted:
    """A follower that gives what it was told to, one a look."""

    def __init__(self, *looks: object) -> None:
        self.looks = list(looks)

    def read(self, **_: Any) -> object:
        look = self.looks.pop(0)
        if isinstance(look, Exception):
            raise look
        return look


def until(watch: Watch, what: str) -> None:
    while not getattr(watch, what):
        watch.poll()
        time.sleep(0.001)


def test_a_look_that_fails_is_remembered_until_one_goes_well() -> None:
    state = cast("RunState", object())
    follower = Scripted(InputError("the storage failed"), state)
    with Watch(cast("Follower", follower), Limits(), 0.0) as watch:
        until(watch, "failed")
        assert watch.state is None
        assert [str(error) for error in watch.failed] == ["the storage failed"]
        watch.now()
        until(watch, "state")
        assert watch.state is state
        assert watch.failed == []


def test_a_look_that_was_asked_for_begins_after_that() -> None:
    follower = Scripted(*[cast("RunState", object())] * 3)
    with Watch(cast("Follower", follower), Limits(), 3600.0) as watch:
        watch.poll()
        assert len(follower.looks) == 3  # none is due for an hour
        asked = time.monotonic()
        watch.now()
        until(watch, "state")
        assert watch.looked >= asked
