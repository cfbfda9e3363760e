"""What of a plan is left to be sent."""

from pathlib import Path

import pytest
from obstore.store import LocalStore

from skyfan.aws.calls import Call
from skyfan.aws.deployed import Deployed
from skyfan.aws.journal import Journal
from skyfan.aws.left import Left
from skyfan.errors import InputError
from skyfan.plans.plan import LARGE, Item
from skyfan.runs.place import Place

RESULTS = "runs/{run}/catalogs/{key}.cat.fits"
FUNCTIONS = {"standard": Deployed("s-F", 1769, 300.0), "large": Deployed("s-FLarge", 10240, 900.0)}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Place("s3://results", LocalStore(tmp_path / "bucket", mkdir=True))


def left(place: Place, *items: Item) -> Left:
    made = Left(place, "r", RESULTS, items, FUNCTIONS)
    made.read()
    return made


def accept(place: Place, *names: str, upload: bool) -> None:
    with Journal(place, "r") as journal:
        journal.add([(Call("s-F", (f"s3://b/{name}",), b"{}"), "id", 1.7e9) for name in names])
        if upload:
            journal.rotate()
            journal.upload()


def test_done_and_sent_files_are_passed_over(place: Place) -> None:
    place.put("runs/r/catalogs/b/done.cat.fits", b"x")
    place.put("runs/r/catalogs/b/new.preview.png", b"x")  # not a catalog
    place.put("runs/other/catalogs/b/new.cat.fits", b"x")  # nor of this run
    accept(place, "sent", "done", upload=True)
    accept(place, "here", upload=False)
    names = ["done", "here", "new", "sent"]
    made = left(place, *(Item(f"s3://b/{name}", None) for name in names), Item("s3://b/big", 1, LARGE))
    assert made.receipts == 3
    assert list(made) == [("s3://b/new", "s-F"), ("s3://b/big", "s-FLarge")]
    assert (made.done_before, made.sent_before) == (1, 2)


def test_every_receipt_of_a_file_counts_as_paid(place: Place) -> None:
    accept(place, "a", "a", "b", upload=True)
    accept(place, "a", upload=False)
    assert left(place).receipts == 4


def test_a_file_of_this_machine_is_refused(place: Place) -> None:
    with pytest.raises(InputError, match="is on this machine"):
        list(left(place, Item("file:///data/a.fits", 1)))
