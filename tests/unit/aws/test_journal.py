"""Receipts on their way to the bucket, and what a dead process leaves of them."""

import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from obstore.store import LocalStore

from skyfan.aws import journal
from skyfan.aws.calls import Call
from skyfan.aws.journal import Journal
from skyfan.errors import InputError, UsageError
from skyfan.runs import receipts
from skyfan.runs.place import Place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A folder that passes for a bucket."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "bucket").mkdir()
    return Place("s3://results", LocalStore(tmp_path / "bucket"))


def accepted(*names: str) -> tuple[Call, str, float]:
    return Call("skyfan-F", tuple(f"s3://b/{name}" for name in names), b"{}"), "id-" + names[0], 1.7e9


def recorded(place: Place) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for key in sorted(receipts.keys(place, "r")):
        table = pq.read_table(io.BytesIO(place.get(key) or b""))
        assert table.schema.equals(receipts.SCHEMA)
        rows += table.to_pylist()
    return rows


def test_a_chunk_has_a_row_for_each_file(place: Place) -> None:
    with Journal(place, "r") as writing:
        writing.add([accepted("a", "b"), accepted("c")])
        assert writing.waiting == 3
        writing.rotate()
        writing.upload()
    rows = recorded(place)
    assert [(row["uri"], row["request_id"], row["batch"]) for row in rows] == [
        ("s3://b/a", "id-a", 2),
        ("s3://b/b", "id-a", 2),
        ("s3://b/c", "id-c", 1),
    ]
    assert str(rows[0]["sent"]) == "2023-11-14 22:13:20+00:00"
    assert list(journal.left(place, "r")) == []


def test_what_a_dead_process_left_is_uploaded_first(place: Place) -> None:
    with Journal(place, "r") as dead:
        dead.add([accepted("a")])
        dead.rotate()
        dead.add([accepted("b")])
    with (dead.folder / "open.jsonl").open("a") as half:
        half.write('["s3://b/torn", "id')
    assert [receipt.uri for receipt in journal.left(place, "r")] == ["s3://b/a", "s3://b/b"]
    assert recorded(place) == []
    with Journal(place, "r"):
        assert [row["uri"] for row in recorded(place)] == ["s3://b/a", "s3://b/b"]


def test_uploading_again_overwrites(place: Place) -> None:
    with Journal(place, "r") as writing:
        writing.add([accepted("a")])
        writing.rotate()
        (chunk,) = writing.folder.glob("*-*.jsonl")
        kept = chunk.read_bytes()
        writing.upload()
        chunk.write_bytes(kept)  # killed between the upload and the removal
    with Journal(place, "r"):
        assert len(recorded(place)) == 1


def test_a_bucket_that_takes_nothing_leaves_the_chunk_here(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise InputError("no")

    with Journal(place, "r") as writing:
        writing.add([accepted("a")])
        writing.rotate()
        with monkeypatch.context() as patch:
            patch.setattr(Place, "put", refuse)
            with pytest.raises(InputError):
                writing.upload()
        assert [receipt.uri for receipt in journal.left(place, "r")] == ["s3://b/a"]
        writing.upload()
    assert len(recorded(place)) == 1


def test_one_process_has_the_journal(place: Place) -> None:
    with Journal(place, "r"):
        with pytest.raises(UsageError, match="'r' is being sent by another process on this machine"):
            Journal(place, "r").__enter__()
        with Journal(place, "other"):
            pass
    with Journal(place, "r"):
        pass


def test_a_line_is_plain_json(place: Place) -> None:
    with Journal(place, "r") as writing:
        writing.add([accepted('odd\n"name"')])
        (line,) = (writing.folder / "open.jsonl").read_text().splitlines()
    assert json.loads(line)[0] == 's3://b/odd\n"name"'
