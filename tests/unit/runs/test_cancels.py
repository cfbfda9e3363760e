"""The cancels of a run, written by several processes."""

from pathlib import Path

import pytest

from skyfan.errors import InputError, UsageError
from skyfan.runs import cancels
from skyfan.runs.cancels import Cancel
from skyfan.storage.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.at(tmp_path)


def test_a_cancel_begins_and_ends(place: Place) -> None:
    assert cancels.unfinished(place, "r") is None
    assert cancels.begin(place, "r", Cancel(1.0, {})) == cancels.unfinished(place, "r") == Cancel(1.0, {})
    assert cancels.begin(place, "r", Cancel(2.0, {})) == Cancel(1.0, {}), "the first is still open"
    assert cancels.windows(place, "r") == [(1000.0, float("inf"))]
    cancels.end(place, "r", 3.0)
    cancels.end(place, "r", 4.0)
    assert cancels.unfinished(place, "r") is None
    assert cancels.begin(place, "r", Cancel(5.0, {})) == Cancel(5.0, {})
    assert cancels.windows(place, "r") == [(1000.0, 3000.0), (5000.0, float("inf"))]


def test_two_writers_lose_no_cancel(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    get = Place.get_tagged
    others = [5.0, 6.0]

    def another_writes_after_the_read(place: Place, key: str) -> tuple[bytes, str] | None:
        found = get(place, key)
        if others:
            when = others.pop()
            place.put(key, f'[{{"began": {when}, "reserved": {{}}, "ended": {when + 1}}}]\n'.encode())
        return found

    monkeypatch.setattr(Place, "get_tagged", another_writes_after_the_read)
    assert cancels.begin(place, "r", Cancel(9.0, {})) == Cancel(9.0, {})
    assert cancels.read(place, "r") == [Cancel(5.0, {}, 6.0), Cancel(9.0, {})]


def test_a_damaged_file_is_an_input_error(place: Place) -> None:
    texts = [b"[3]", b"{}", b'{"a": 1}', b"[" * 100_000, b'[{"began": "x", "reserved": {}}]', b"null", b"\0"]
    texts += [b'[{"began": NaN, "reserved": {}}]', b'[{"began": 1, "reserved": 2}]']
    for text in texts:
        place.put("runs/r/cancel.json", text)
        with pytest.raises(InputError, match=r"r/cancel\.json.*remove it"):
            cancels.read(place, "r")


def test_a_cancel_that_others_always_forestall_is_an_input_error(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str | None] = []
    monkeypatch.setattr(Place, "put_if", lambda _place, _key, _body, etag: tries.append(etag))
    with pytest.raises(InputError, match=r"r/cancel\.json"):
        cancels.begin(place, "r", Cancel(1.0, {}))
    assert len(tries) == 5


def test_nothing_ends_where_no_cancel_is_open(place: Place) -> None:
    cancels.end(place, "r", 3.0)
    assert cancels.read(place, "r") == []
    cancels.refuse_if_open(place, "r")
    cancels.begin(place, "r", Cancel(1.0, {}))
    with pytest.raises(UsageError, match="'r'"):
        cancels.refuse_if_open(place, "r")
