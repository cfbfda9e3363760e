"""The files of a plan that remain to be sent."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from obstore.store import LocalStore

from skyfan.aws.journal import Journal
from skyfan.aws.remaining import Remaining, Selected
from skyfan.aws.stack import Deployed, Functions
from skyfan.engine import Call, File, Selection
from skyfan.errors import InputError
from skyfan.plans.plan import LARGE, STANDARD, Item
from skyfan.storage.place import Place
from skyfan.storage.uris import Results

RESULTS = Results("runs/r/catalogs/", ".cat.fits")
FUNCTIONS = Functions(
    {"standard": Deployed("s-F", 1769, 300.0), "large": Deployed("s-FLarge", 10240, 900.0)}, 1000, "", ()
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Place("s3://results", LocalStore(tmp_path / "bucket", mkdir=True))


def remaining(place: Place, *items: Item) -> Remaining:
    files = Remaining(place, "r", RESULTS, items, FUNCTIONS)
    files.read()
    return files


def accept(place: Place, *names: str, upload: bool) -> None:
    with Journal(place, "r") as journal:
        journal.add([(Call("s-F", (f"s3://b/{name}",), b"{}"), "id", 1.7e9) for name in names])
        if upload:
            journal.rotate()
            journal.upload()


def test_done_and_sent_files_are_skipped(place: Place) -> None:
    place.put("runs/r/catalogs/b/done.cat.fits", b"x")
    place.put("runs/r/catalogs/b/new.preview.png", b"x")  # not a catalog
    place.put("runs/other/catalogs/b/new.cat.fits", b"x")  # of another run
    accept(place, "sent", "done", upload=True)
    accept(place, "pending", upload=False)
    names = ["done", "pending", "new", "sent"]
    files = remaining(place, *(Item(f"s3://b/{name}", None) for name in names), Item("s3://b/big", 2 * 10**9))
    assert list(files) == [File("s3://b/new", "s-F"), File("s3://b/big", "s-FLarge")]
    assert (files.done_before, files.sent_before) == (1, 2)


@pytest.mark.parametrize(
    ("memory_mb", "expected"),
    [
        ((1200, 10240), ["s-F", "s-FLarge", "s-FLarge", "s-FLarge", "s-FLarge"]),
        ((10240, 10240), ["s-F", "s-F", "s-FLarge", "s-FLarge", "s-FLarge"]),
        ((512, 1024), ["s-FLarge", "s-FLarge", "s-FLarge", "s-FLarge", "s-FLarge"]),
    ],
)
def test_the_deployed_memory_decides_where_a_file_of_known_size_goes(
    place: Place, memory_mb: tuple[int, int], expected: list[str]
) -> None:
    standard, large = Deployed("s-F", memory_mb[0], 300.0), Deployed("s-FLarge", memory_mb[1], 900.0)
    functions = Functions({"standard": standard, "large": large}, 1000, "", ())
    items = [
        Item("s3://b/1_drz.fits", 10**8, LARGE),  # whatever the plan says
        Item("s3://b/2_drz.fits", 10**9),
        Item("s3://b/3_drz.fits", 20 * 10**9),  # too large for any: the function records why
        Item("s3://b/4_drz.fits", None, LARGE),
        Item("s3://b/5_drz.fits", 4 * 10**9, STANDARD),
    ]
    files = Remaining(place, "r", RESULTS, items, functions)
    assert [file.function for file in files.all()] == expected


def test_a_local_file_is_refused(place: Place) -> None:
    with pytest.raises(InputError, match="file:///data/a"):
        list(remaining(place, Item("file:///data/a.fits", 1)))


class Purse:
    """A budget that notes the receipts it is told of."""

    def __init__(self) -> None:
        self.files: list[str] = []

    def receipts(self, accepted: Any) -> None:
        self.files += accepted["uri"].to_pylist()


def test_every_receipt_counts_in_the_budget(place: Place) -> None:
    accept(place, "a", "b", upload=True)
    accept(place, "a", upload=True)
    accept(place, "c", upload=False)
    purse = Purse()
    files = Remaining(place, "r", RESULTS, [], FUNCTIONS)
    files.read(purse)  # type: ignore[arg-type]
    assert sorted(purse.files) == ["s3://b/a", "s3://b/a", "s3://b/b", "s3://b/c"]


def test_the_files_of_a_call_are_those_of_its_plan(place: Place) -> None:
    items = [Item("s3://b/1", None), Item("s3://b/2", 2 * 10**9)]
    files = remaining(place, *items)
    assert list(files.uris()) == ["s3://b/1", "s3://b/2"]
    assert [item.tier for item in files.graded()] == [STANDARD, LARGE]
    assert (files.done_before, files.sent_before) == (0, 0), "counted while they are sent, not before"


def test_a_retry_has_the_files_that_its_selection_finds_in_the_newest_state(place: Place) -> None:
    accept(place, "a", "b", upload=True)
    states = iter(["first", "second"])
    follower = SimpleNamespace(place=place, run="r", read=lambda: next(states))
    asked: list[Any] = []

    class Found(Selection):
        def select(self, state: Any, functions: Any, memory_mb: Any, outputs: Any = ()) -> Iterator[Item]:
            asked.append((state, functions, memory_mb))
            self.alone = {"s3://b/2"}
            return iter([Item("s3://b/1", None, STANDARD), Item("s3://b/2", 1, LARGE)])

    files = Selected(Found(), follower, FUNCTIONS)  # type: ignore[arg-type]
    purse = Purse()
    files.read(purse)  # type: ignore[arg-type]
    assert sorted(purse.files) == ["s3://b/a", "s3://b/b"]
    expected = [File("s3://b/1", "s-F"), File("s3://b/2", "s-FLarge", is_alone=True)]
    assert list(files) == list(files.all()) == expected
    assert list(files.uris()) == ["s3://b/1", "s3://b/2"]
    functions, memory_mb = {"standard": "s-F", "large": "s-FLarge"}, {"standard": 1769, "large": 10240}
    assert asked == [("second", functions, memory_mb)] * 3
    assert (files.done_before, files.sent_before) == (0, 0)
