"""The lease of a run: of several machines, one sends."""

import json
import os
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from obstore.store import LocalStore

from skyfan.aws import lease
from skyfan.aws.journal import Journal
from skyfan.aws.lease import Holder, Lease
from skyfan.errors import InputError, RunBusyError, UsageError
from skyfan.storage.place import Place

KEY = "runs/r/lease.json"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A folder under the name of a bucket."""
    return Place("s3://results", LocalStore(tmp_path / "bucket", mkdir=True))


@pytest.fixture
def machine(place: Place, tmp_path: Path) -> Callable[[str], Lease]:
    """Makes the lease of a new process on a machine."""

    def make(name: str) -> Lease:
        (tmp_path / name).mkdir(exist_ok=True)
        return Lease(place, "r", tmp_path / name)

    return make


def written(place: Place) -> Holder:
    return Holder(**json.loads(place.get(KEY) or b"{}"))


def kill(held: Lease) -> None:
    """Leaves the lease as kill -9 would."""
    held._end.set()
    held._thread.join()


def until_stopped(held: Lease) -> str:
    deadline = time.monotonic() + 30
    while not held.stopped and time.monotonic() < deadline:
        time.sleep(0.01)
    return held.stopped


def test_another_machine_is_refused_with_holder_and_expiry(
    place: Place, machine: Callable[[str], Lease]
) -> None:
    with machine("a"):
        found = written(place)
        assert lease.holder(place, "r") == found
        assert 0 < found.until - time.time() <= lease.DURATION_S
        expiry = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(found.until))
        with pytest.raises(UsageError, match=f"{re.escape(found.name)}.*{expiry}"):
            machine("b").__enter__()
        with Lease(place, "other", machine("b")._memory.parent):
            pass
    assert lease.holder(place, "r") is None
    with machine("b"):
        assert lease.holder(place, "r") is not None


def test_after_a_kill_this_machine_goes_on_at_once_and_others_when_it_expires(
    place: Place, machine: Callable[[str], Lease]
) -> None:
    kill(machine("a").__enter__())
    with pytest.raises(UsageError, match="lease"):
        machine("b").__enter__()
    kill(machine("a").__enter__())
    place.put(KEY, json.dumps({**vars(written(place)), "until": time.time() - 1}).encode())
    assert lease.holder(place, "r") is None
    with pytest.warns(UserWarning, match=re.escape(written(place).name)):
        held = machine("b").__enter__()
    with pytest.raises(UsageError, match="lease"):
        machine("a").__enter__()
    held.__exit__(None, None, None)
    with machine("a"):
        pass


def test_a_process_that_was_killed_while_it_took_the_lease_keeps_nobody_out(
    machine: Callable[[str], Lease], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = machine("a")
    first.__enter__()
    kill(first)
    with monkeypatch.context() as patch:
        patch.setattr(Lease, "_write", killed)
        with pytest.raises(Killed):
            machine("a").__enter__()
    with machine("a") as last:
        assert not last.stopped


class Killed(BaseException):
    """Ends a process as kill -9 would: nothing catches it."""


def killed(*_: object) -> bool:
    raise Killed


def test_a_lease_is_renewed(
    place: Place, machine: Callable[[str], Lease], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.01)
    monkeypatch.setattr(lease, "RENEW_S", 0.0)
    with machine("a") as held:
        first = written(place)
        deadline = time.monotonic() + 30
        while written(place) == first and time.monotonic() < deadline:
            time.sleep(0.01)
        assert written(place).until > first.until
        assert written(place).token == first.token
        assert held.stopped == ""


def test_who_has_lost_the_lease_stops(
    place: Place, machine: Callable[[str], Lease], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.01)
    monkeypatch.setattr(lease, "RENEW_S", 0.0)
    with machine("a") as held:
        other = Holder("eve@elsewhere, process 1", "token", time.time() + 60)
        monkeypatch.setattr(held, "_holder", replace(held._holder))
        place.put(KEY, json.dumps(vars(other)).encode())
        assert "eve@elsewhere" in until_stopped(held)
    assert written(place) == other, "the lease of another is not given back"


@pytest.mark.slow
def test_a_lease_that_cannot_be_renewed_stops_when_it_has_expired(
    place: Place, machine: Callable[[str], Lease], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.01)
    monkeypatch.setattr(lease, "DURATION_S", 0.3)

    def refuse(*_: object) -> None:
        raise InputError("no network")

    with machine("a") as held:
        monkeypatch.setattr(Place, "put_if", refuse)
        assert "no network" in until_stopped(held)
        assert time.time() > held._holder.until


def test_an_open_cancel_stops_the_sender(
    place: Place, machine: Callable[[str], Lease], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.01)
    with machine("a") as held:
        place.put("runs/r/cancel.json", b'[{"began": 1.0, "reserved": {}, "ended": null}]')
        assert "'r'" in until_stopped(held)


def test_of_two_machines_that_start_at_once_one_is_refused(
    place: Place, machine: Callable[[str], Lease], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2, timeout=30)
    get = Place.get_tagged
    first: set[int] = set()

    def get_together(place: Place, key: str) -> tuple[bytes, str] | None:
        found = get(place, key)
        if threading.get_ident() not in first:
            first.add(threading.get_ident())
            both.wait()
        return found

    monkeypatch.setattr(Place, "get_tagged", get_together)

    def start(name: str) -> Lease | UsageError:
        try:
            return machine(name).__enter__()
        except UsageError as error:
            return error

    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(start, ["a", "b"]))
    (held,) = [result for result in results if isinstance(result, Lease)]
    assert written(place).token == held._holder.token
    kill(held)


WRONG = [
    b"[" * 100_000,
    b'{"name": "a", "token": "b", "until": 1e300}',
    b'{"name": "a", "token": "b", "until": NaN}',
    b'{"name": 3, "token": ["b"], "until": 4e9}',
]


def test_a_damaged_lease_is_an_input_error(place: Place, machine: Callable[[str], Lease]) -> None:
    for body in (b"{", b"[]", b'{"name": "a", "token": "b", "until": "soon"}', *WRONG):
        place.put(KEY, body)
        with pytest.raises(InputError, match=r"r/lease\.json"):
            machine("a").__enter__()


def test_the_journal_is_open_only_with_the_lease(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "here"))
    with Journal(place, "r"):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
        for _ in range(2):
            with pytest.raises(UsageError, match="lease"):
                Journal(place, "r").__enter__()
    with Journal(place, "r") as journal:
        assert journal.stopped == ""


@pytest.mark.parametrize(("now", "is_lost"), [(99.9, False), (100.0, False), (100.1, True)])
def test_a_lease_that_cannot_be_renewed_is_lost_when_it_has_expired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: float, is_lost: bool
) -> None:
    def fail(*_: object) -> None:
        raise InputError("connection reset")

    one = lease.Lease(Place.at(tmp_path), "r", tmp_path)
    one._holder = lease.Holder("me", "token", until=100.0)
    rounds = iter([False, True])
    monkeypatch.setattr(one, "_end", SimpleNamespace(wait=lambda _: next(rounds)))
    monkeypatch.setattr(lease.time, "time", lambda: now)
    monkeypatch.setattr(Place, "get_tagged", fail)
    one._beat()
    assert ("could not be renewed" in one.stopped) == is_lost


@pytest.mark.parametrize(("left", "renewed"), [(45.1, False), (44.9, True)])
def test_a_lease_is_renewed_15_seconds_after_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: float, renewed: bool
) -> None:
    one = lease.Lease(Place.at(tmp_path), "r", tmp_path)
    one._holder = lease.Holder("me", "token", until=1000.0)
    rounds = iter([False, True])
    monkeypatch.setattr(one, "_end", SimpleNamespace(wait=lambda _: next(rounds)))
    monkeypatch.setattr(lease.time, "time", lambda: 1000.0 - left)
    renewals: list[bool] = []
    monkeypatch.setattr(one, "_renew", lambda: renewals.append(True) or True)
    one._beat()
    assert bool(renewals) == renewed
    assert one.stopped == ""


class Store:
    """Conditional writes with scripted answers: each write's new ETag, or None if another has written."""

    def __init__(self, written: list[str | None], found: list[tuple[str, str] | None]) -> None:
        """`found` are token and ETag of what each read finds."""
        self.written, self.found = written, found
        self.used: list[str | None] = []
        self.name = "s3://results"

    def put_if(self, key: str, body: bytes, etag: str | None) -> str | None:
        assert (key, json.loads(body)["token"]) == (KEY, "own")
        self.used.append(etag)
        return self.written.pop(0)

    def get_tagged(self, key: str) -> tuple[bytes, str] | None:
        found = self.found.pop(0)
        return found and (json.dumps({"name": "eve", "token": found[0], "until": 2e9}).encode(), found[1])


def held_in(store: Store, tmp_path: Path) -> Lease:
    one = Lease(store, "r", tmp_path)  # type: ignore[arg-type]
    one._holder, one._etag = Holder("me", "own", 100.0), "first"
    return one


def test_a_renewal_uses_the_etag_of_the_last_write(tmp_path: Path) -> None:
    store = Store(["second", "third"], [])
    one = held_in(store, tmp_path)
    assert one._renew()
    assert one._renew()
    assert store.used == ["first", "second"]
    assert one._holder.until == pytest.approx(time.time() + 60.0, abs=5.0)


def test_a_renewal_whose_response_was_lost_goes_on_with_the_etag_that_it_finds(tmp_path: Path) -> None:
    store = Store([None, None, "fourth"], [("own", "second"), ("own", "third")])
    one = held_in(store, tmp_path)
    assert one._renew()
    assert store.used == ["first", "second", "third"]
    assert (one._etag, one.stopped) == ("fourth", "")


def test_a_renewal_that_never_succeeds_is_repeated_later(tmp_path: Path) -> None:
    store = Store([None] * 3, [("own", "x")] * 3)
    one = held_in(store, tmp_path)
    assert one._renew()
    assert (store.written, store.found, one.stopped) == ([], [], "")
    assert one._holder.until == 100.0, "it does not count as renewed"


@pytest.mark.parametrize(("found", "who"), [(("other", "e"), "eve"), (None, "another machine")])
def test_a_lease_that_another_has_is_lost(tmp_path: Path, found: tuple[str, str] | None, who: str) -> None:
    one = held_in(Store([None], [found]), tmp_path)
    assert not one._renew()
    assert one.stopped.startswith(who)
    assert "taken over run 'r'" in one.stopped


def test_a_start_against_many_others_is_given_up(tmp_path: Path) -> None:
    expired = [("other", "e")] * 3
    store = Store([None] * 3, expired)  # type: ignore[arg-type]
    one = held_in(store, tmp_path)
    store.get_tagged = lambda key: (b'{"name": "eve", "token": "other", "until": 1.0}', "e")  # type: ignore[method-assign]
    with pytest.raises(RunBusyError, match="several machines"):
        one.__enter__()
    assert store.used == ["e"] * 3
    assert (tmp_path / "lease").read_text() == "own", "the next process here takes over what it may have got"


def test_a_lost_lease_ends_its_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = held_in(Store([None], [("other", "e")]), tmp_path)
    monkeypatch.setattr(lease.cancels, "unfinished", lambda *_: None)
    monkeypatch.setattr(one, "_end", SimpleNamespace(wait=lambda seconds: seconds != 1.0))
    one._beat()
    assert "taken over" in one.stopped


def test_the_first_reason_to_stop_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = held_in(Store([], []), tmp_path)
    one._holder, one.stopped = Holder("me", "own", time.time() + 60.0), "lost"
    rounds = iter([False, True])
    monkeypatch.setattr(one, "_end", SimpleNamespace(wait=lambda _: next(rounds)))
    monkeypatch.setattr(lease.cancels, "unfinished", lambda *_: object())
    one._beat()
    assert one.stopped == "lost"


def test_a_holder_without_a_user_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise KeyError("no user")

    monkeypatch.setattr(lease.getpass, "getuser", none)
    monkeypatch.setattr(lease.socket, "gethostname", lambda: "host")
    assert lease._name() == f"{os.getuid()}@host, process {os.getpid()}"
