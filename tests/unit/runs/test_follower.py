"""A state that is read repeatedly while the storage fails now and then."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from skyfan.errors import InputError
from skyfan.runs import state
from skyfan.runs.state import Follower
from skyfan.storage import listing
from skyfan.storage.listing import Object
from skyfan.storage.place import Place

from .conftest import Handmade

NOW = time.time()
FILES = [f"s3://stpubdata/hst/{name}.fits" for name in "abcdef"]


@dataclass(frozen=True)
class Failing(Place):
    """A place whose n-th operation fails once, a listing at any of its objects."""

    countdown: list[int] = field(default_factory=lambda: [-1])

    def _step(self, key: str) -> None:
        self.countdown[0] -= 1
        if self.countdown[0] == 0:
            raise InputError(f"{key}: storage error: connection reset")

    def get(self, key: str) -> bytes | None:
        self._step(key)
        return super().get(key)

    def get_tagged(self, key: str) -> tuple[bytes, str] | None:
        self._step(key)
        return super().get_tagged(key)

    def modified(self, key: str) -> float:
        self._step(key)
        return super().modified(key)

    def list(self, prefix: str, after: str | None = None) -> Iterator[Object]:
        self._step(prefix)
        for item in super().list(prefix, after):
            self._step(item.key)
            yield item

    def watch(self, prefix: str) -> Callable[[], Iterator[tuple[int, Iterable[Object]]]]:
        changes = super().watch(prefix)

        def stepped() -> Iterator[tuple[int, Iterable[Object]]]:
            for number, items in changes():
                self._step(prefix)
                yield number, items

        return stepped


def failing(place: Place, countdown: list[int]) -> Failing:
    return Failing(place.name, place.store, countdown)


def test_a_read_that_fails_loses_nothing(handmade: Handmade) -> None:
    def write() -> None:
        handmade.plan(FILES)
        for n, uri in enumerate(FILES[:5]):
            handmade.receipt((uri, f"request {n}", NOW - 60))
        handmade.done(FILES[0])
        handmade.record(FILES[1], request="request 1", time=NOW - 30, error="NotFitsError")
        handmade.record(FILES[2], request="request 2", time=NOW - 30, error="StorageError")
        handmade.own(FILES[3], request="request 3", time=NOW - 30, error="NotFitsError", message="no FITS")

    countdown = [-1]
    place, lambdas = failing(handmade.place, countdown), failing(handmade.lambdas, countdown)
    followers = [Follower(place, "r", lambdas) for _ in range(60)]
    for follower in followers:
        follower.read(now=NOW)
    write()
    expected = state.read(handmade.place, "r", handmade.lambdas, now=NOW)
    assert expected.counts["failed"] == 3
    failures = 0
    for operation, follower in zip(count(1), followers, strict=False):
        countdown[0] = operation
        try:
            follower.read(now=NOW)
        except InputError:
            failures += 1
        countdown[0] = -1
        found = follower.read(now=NOW)
        assert found.counts == expected.counts, f"after a failure of operation {operation}"
        assert [group.document() for group in found.groups()] == [
            group.document() for group in expected.groups()
        ]
    assert 15 < failures < len(followers), "not every operation of a read has failed"


def test_results_that_come_and_go_are_seen(handmade: Handmade, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_SETTLED_NS", 0)
    handmade.plan(FILES[:3])
    handmade.done(FILES[0])
    handmade.done(FILES[5])
    follower = Follower(handmade.place, "r", handmade.lambdas)
    found = follower.read(now=NOW)
    assert (found.counts["done"], found.unplanned) == (1, 1)
    time.sleep(0.02)
    handmade.done(FILES[1])
    assert follower.read(now=NOW).counts["done"] == 2
    time.sleep(0.02)
    for path in Path(handmade.place.name, "runs/r/catalogs").rglob("[af].fits.cat.fits"):
        path.unlink()
    found = follower.read(now=NOW)
    assert (found.counts["done"], found.unplanned) == (1, 0)
    assert [file.uri for file in found.files("done")] == [FILES[1]]
    assert found.times.first_done == found.times.last_done
