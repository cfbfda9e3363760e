"""Which files are doubtful, from the marks beside the results, and what `skyfan status` makes of it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from skyfan.cli import main
from skyfan.runs import state
from skyfan.storage import uris
from skyfan.storage.listing import Object
from skyfan.storage.place import Place
from skyfan_contract import NO_DOUBTS

from .conftest import Handmade

A, B, C, D = (f"s3://stpubdata/hst/public/x/{name} ü%20.fits" for name in "abcd")


def found(handmade: Handmade) -> dict[str, str]:
    """The reasons of each doubtful file."""
    run = state.read(handmade.place, "r")
    doubts = run.doubts()
    assert doubts is not None
    return {file.uri: " ".join(reasons) for file, reasons in run.doubtful(doubts)}


def status(handmade: Handmade, *words: str) -> Result:
    return CliRunner().invoke(main, ["status", "r", "-o", handmade.place.name, *words])


@pytest.fixture
def three(handmade: Handmade) -> Handmade:
    """A run of three files that are done, two of them doubtful, and a fourth that is not done."""
    handmade.plan([A, B, C, D])
    handmade.mark(C, "MASKED", ago=10)
    handmade.mark(A, "NO_SKY MASKED", ago=10)
    handmade.mark(D, "NO_SKY", ago=10)
    for uri in (A, B, C):
        handmade.done(uri)
    return handmade


def test_files_are_doubtful_once_they_are_done_and_counted_by_reason(three: Handmade) -> None:
    assert found(three) == {A: "NO_SKY MASKED", C: "MASKED"}
    doubts = state.read(three.place, "r").doubts()
    assert doubts is not None
    assert list(doubts.reasons.items()) == [("MASKED", 2), ("NO_SKY", 1)]


def test_the_newest_mark_counts(three: Handmade) -> None:
    three.mark(A, NO_DOUBTS, ago=5)
    three.mark(C, "UNIT", ago=5)
    assert found(three) == {C: "UNIT"}
    three.mark(A, "ASSUMED", ago=1)
    three.mark(C, NO_DOUBTS, ago=20)
    assert found(three) == {A: "ASSUMED", C: "UNIT"}


def test_of_marks_of_one_second_the_doubt_counts(three: Handmade, monkeypatch: pytest.MonkeyPatch) -> None:
    three.mark(A, NO_DOUBTS)
    three.mark(C, NO_DOUBTS)
    listed = Place.list
    for backwards in (True, False):

        def in_one_second(place: Place, prefix: str, *, turned: bool = backwards) -> Iterator[Object]:
            items = sorted(listed(place, prefix), key=lambda item: item.key, reverse=turned)
            return (item._replace(modified=1.0) for item in items)

        with monkeypatch.context() as patch:
            patch.setattr(Place, "list", in_one_second)
            assert found(three) == {A: "NO_SKY MASKED", C: "MASKED"}


def test_marks_of_unknown_files_are_ignored(three: Handmade) -> None:
    three.mark("s3://elsewhere/x.fits", "NO_SKY")
    three.place.put("runs/r/doubtful/by-hand", b"")
    assert found(three) == {A: "NO_SKY MASKED", C: "MASKED"}


def test_some_of_the_files_have_doubts_of_their_own(three: Handmade) -> None:
    some = state.read(three.place, "r").restrict([B, C])
    doubts = some.doubts()
    assert doubts is not None
    assert [(file.uri, reasons) for file, reasons in some.doubtful(doubts)] == [(C, ["MASKED"])]


def test_status_counts_doubtful_files_and_lists_them(three: Handmade) -> None:
    shown = status(three)
    assert (shown.exit_code, "MASKED 2, NO_SKY 1" in shown.stdout) == (0, True)
    document = json.loads(status(three, "--json").stdout)
    assert (document["doubtful"], document["doubts"]) == (2, {"MASKED": 2, "NO_SKY": 1})
    rows = json.loads(status(three, "--doubtful", "--json").stdout)
    assert [(row["input"], row["doubts"]) for row in rows] == [(A, "NO_SKY MASKED"), (C, "MASKED")]
    for row in rows:
        path = uris.local_path(row["result"])
        assert path is not None
        assert path.read_bytes() == b"catalog"
    lines = [line.split("\t") for line in status(three, "--doubtful").stdout.splitlines()]
    assert lines == [list(row.values()) for row in rows]


@pytest.mark.parametrize("form", [[], ["--json"], ["--doubtful"], ["--failed"]])
def test_only_strict_makes_doubtful_files_an_error(three: Handmade, form: list[str]) -> None:
    assert status(three, *form).exit_code == 0
    assert status(three, *form, "--strict").exit_code == 1
    for uri in (A, C):
        three.mark(uri, NO_DOUBTS)
    assert status(three, *form, "--strict").exit_code == 0


def test_without_marks_doubtful_files_are_not_known(three: Handmade) -> None:
    """A run of a function that marks none, such as one of an earlier version."""
    path = Path(three.place.name) / "runs/r/run.json"
    about = json.loads(path.read_text())
    del about["doubtful"]
    path.write_text(json.dumps(about))
    assert state.read(three.place, "r").doubts() is None
    shown = status(three)
    assert (shown.exit_code, "not known" in shown.stdout) == (0, True)
    document = json.loads(status(three, "--json").stdout)
    assert (document["doubtful"], document["doubts"]) == (None, None)
    assert status(three, "--strict").exit_code == 1
    assert status(three, "--doubtful").exit_code == 2


def test_failed_and_doubtful_files_are_listed_one_kind_at_a_time(three: Handmade) -> None:
    assert status(three, "--failed", "--doubtful").exit_code == 2
