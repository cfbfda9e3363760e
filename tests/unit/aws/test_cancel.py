"""Waiting until nothing of a cancelled run is in flight, and cancels of earlier versions."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from skyfan.aws import cancel
from skyfan.errors import Interrupted, RunBusyError, UsageError
from skyfan.runs import cancels
from skyfan.runs import run as runs
from skyfan.runs.cancels import Cancel
from skyfan.storage.place import Place
from skyfan.task import Task


def state(sent: int = 0, late: int = 0, cancelled: int = 0) -> Any:
    return SimpleNamespace(counts={"sent": sent, "late": late, "cancelled": cancelled})


class Scripted:
    """A follower that returns these states, then the last one again and again."""

    def __init__(self, *states: Any) -> None:
        self.states, self.polls = list(states), 0

    def read(self) -> Any:
        self.polls += 1
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(cancel.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(cancel.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A run in what is taken for a bucket."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    place = Place.at(tmp_path / "bucket", make=True)
    runs.begin(place, Task("r"), "s3://results/runs/{run}/{key}.cat.fits")
    return Place("s3://results", place.store)


def test_it_waits_while_files_are_sent_or_late(clock: list[float]) -> None:
    seen: list[Any] = []
    follower = Scripted(state(sent=2), state(sent=1, late=1), state(late=1), state(cancelled=2))
    after = cancel._wait(follower, 600.0, seen.append)  # type: ignore[arg-type]
    assert (after.counts["cancelled"], len(seen), clock[0]) == (2, 4, 6.0)
    assert cancel.in_flight(state(sent=2, late=3)) == 5


def test_it_gives_up_when_no_state_has_changed_for_its_patience(clock: list[float]) -> None:
    # Each change of a count begins the ten seconds anew.
    follower = Scripted(state(sent=3), state(sent=3), state(sent=2), state(sent=2))
    after = cancel._wait(follower, 10.0, lambda _: None)  # type: ignore[arg-type]
    assert after.counts["sent"] == 2
    assert clock[0] == 14.0


def test_a_cancel_ends_when_nothing_is_in_flight(place: Place) -> None:
    found = cancel.cancel(place, None, "r")
    assert (found.running, found.stopped) == (0, 0)
    (only,) = cancels.read(place, "r")
    assert only.ended is not None
    assert only.ended >= only.began > 1e9


def test_a_cancel_stays_open_while_files_are_in_flight(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancel, "_wait", lambda *_: state(sent=1, late=2, cancelled=4))
    found = cancel.cancel(place, None, "r")
    assert (found.running, found.stopped) == (3, 4)
    assert cancels.unfinished(place, "r") is not None


def test_ctrl_c_leaves_it_open(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cancel, "_wait", interrupt)
    with pytest.raises(Interrupted):
        cancel.cancel(place, None, "r")
    assert cancels.unfinished(place, "r") is not None


def test_it_waits_for_the_sender_of_this_machine(
    place: Place, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    entered: list[float] = []

    class Busy:
        def __init__(self, *_: object) -> None:
            pass

        def __enter__(self) -> None:
            entered.append(clock[0])
            if len(entered) < 3:
                raise RunBusyError("it is being sent")

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(cancel, "Journal", Busy)
    with pytest.warns(UserWarning, match="'r'") as said:
        cancel.cancel(place, None, "r")
    assert entered == [0.0, 2.0, 4.0]
    assert len(said) == 1


def test_a_folder_has_nothing_to_cancel(tmp_path: Path) -> None:
    folder = Place.at(tmp_path)
    runs.begin(folder, Task("r"), "s3://results/runs/{run}/{key}.cat.fits")
    with pytest.raises(UsageError, match="Ctrl-C"):
        cancel.cancel(folder, None, "r")
    assert cancels.read(folder, "r") == []


def test_a_cancel_of_an_earlier_version_has_to_be_withdrawn(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserved: list[tuple[str, int | None]] = []
    monkeypatch.setattr(cancel, "_reserve", lambda *pair: reserved.append(pair))
    cancels.begin(place, "r", Cancel(1.0, {"f": None, "g": 7}))
    with pytest.raises(UsageError, match="--restore"):
        cancel.cancel(place, None, "r")
    assert cancel.restore(place, "r") == {"f": None, "g": 7}
    assert reserved == [("f", None), ("g", 7)]
    assert cancels.unfinished(place, "r") is None
    with pytest.raises(UsageError, match="no cancel"):
        cancel.restore(place, "r")


def test_the_concurrency_of_a_function_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []
    client = SimpleNamespace(
        delete_function_concurrency=lambda **names: calls.append(("delete", names)),
        put_function_concurrency=lambda **names: calls.append(("put", names)),
    )
    monkeypatch.setattr(cancel.session, "client", lambda _: client)
    cancel._reserve("f", None)
    cancel._reserve("g", 0)
    assert calls == [
        ("delete", {"FunctionName": "f"}),
        ("put", {"FunctionName": "g", "ReservedConcurrentExecutions": 0}),
    ]
