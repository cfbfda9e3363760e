"""A folder as the place of runs; tests/contract has the same in a bucket."""

from pathlib import Path

import pytest
from obstore.exceptions import GenericError
from obstore.store import MemoryStore

from skyfan.errors import InputError
from skyfan.storage import place as places
from skyfan.storage.listing import Object
from skyfan.storage.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.at(tmp_path)


def test_an_object_is_written_listed_and_read(place: Place, tmp_path: Path) -> None:
    place.put("runs/a/run.json", b"0123456789")
    (tmp_path / "runs/a/.run.json.17.part").write_text("half of it")
    (item,) = place.list("runs/a/")
    assert (item.key, item.size) == ("runs/a/run.json", 10)
    assert item.modified == pytest.approx((tmp_path / item.key).stat().st_mtime, abs=0.001)
    assert item.modified == place.modified(item.key)
    assert place.get(item.key) == b"0123456789"
    assert place.get_range(item.key, 3, 6) == b"345"
    assert place.prefixes("runs/") == ("runs/a",)
    assert place.uri(item.key) == (tmp_path / item.key).as_uri()


def test_names_of_files_in_a_folder_are_what_the_system_allows(place: Place) -> None:
    key = "runs/a/failures/new\nline \x1b]0;title\x07 %20 # é.json"
    place.put(key, b"0123")
    (item,) = place.list("runs/a/")
    assert item.key == key
    assert (place.get(key), place.get_range(key, 1, 3)) == (b"0123", b"12")
    assert place.modified(key) == item.modified
    assert [body for _, body in place.fetch([item])] == [b"0123"]


def test_of_two_writers_one_is_first(place: Place) -> None:
    first = place.put_if("lease.json", b"1", None)
    assert first is not None
    assert place.put_if("lease.json", b"2", None) is None
    assert place.get_tagged("lease.json") == (b"1", first)
    second = place.put_if("lease.json", b"22", first)
    assert second not in (None, first)
    assert place.put_if("lease.json", b"333", first) is None
    assert place.put_if("missing.json", b"1", first) is None
    assert place.get_tagged("lease.json") == (b"22", second)
    assert place.get_tagged("missing.json") is None


def test_a_file_system_without_hard_links(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (Path(place.name) / "runs").mkdir()

    def refuse(*_: object, **__: object) -> None:
        raise GenericError("Unable to link: Operation not permitted")

    monkeypatch.setattr(places.obstore, "put", refuse)
    etag = place.put_if("runs/run.json", b"1", None)
    assert place.get_tagged("runs/run.json") == (b"1", etag)
    assert place.put_if("runs/run.json", b"2", None) is None
    assert place.get("runs/run.json") == b"1"
    with pytest.raises(InputError, match="none"):
        place.put_if("none/run.json", b"1", None)


def test_missing_objects(place: Place) -> None:
    assert list(place.list("runs/none/")) == []
    assert place.prefixes("runs/none/") == ()
    assert place.get("nothing") is None
    assert place.modified("nothing") == 0
    with pytest.raises(InputError, match="nothing"):
        place.get_range("nothing", 0, 1)


def test_names_of_places(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        Place.at(tmp_path / "nowhere")
    assert Place.at(tmp_path / "new", make=True).folder == tmp_path / "new"
    with pytest.raises(InputError, match="s3://bucket/runs"):
        Place.at("s3://bucket/runs")


@pytest.mark.parametrize("ahead", [0, 25, places.READ_AHEAD])
def test_many_objects_are_fetched_in_order_without_deleted_ones(
    ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "READ_AHEAD", ahead)
    place = Place("s3://memory", MemoryStore())
    for number in range(100):
        place.put(f"a/{number:03}", b"x" * (number % 11))
    objects = [*place.list("a/"), Object("a/deleted", 5, 0.0)]
    fetched = list(place.fetch([objects[-1], *objects]))
    assert [item.key for item, _ in fetched] == [f"a/{number:03}" for number in range(100)]
    assert [len(body) for _, body in fetched] == [item.size for item, _ in fetched]


def test_a_fetch_may_be_abandoned() -> None:
    place = Place("s3://memory", MemoryStore())
    place.put("a", b"1")
    fetched = place.fetch([Object("a", 1, 0.0)] * 1000)
    assert next(fetched)[1] == b"1"
    fetched.close()
    assert list(fetched) == []
