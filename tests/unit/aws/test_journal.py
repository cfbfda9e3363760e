"""Receipts in the journal and in the bucket, also after a process was killed."""

import io
import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from obstore.store import LocalStore

from skyfan.aws import journal
from skyfan.aws.journal import Journal
from skyfan.engine import Call
from skyfan.errors import InputError, UsageError
from skyfan.runs import receipts
from skyfan.storage.place import Place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A folder under the name of a bucket."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "bucket").mkdir()
    return Place("s3://results", LocalStore(tmp_path / "bucket"))


def accepted(*names: str) -> tuple[Call, str, float]:
    return Call("skyfan-F", tuple(f"s3://b/{name}" for name in names), b"{}"), "id-" + names[0], 1.7e9


def recorded(place: Place) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for chunk in sorted(receipts.chunks(place, "r"), key=lambda chunk: chunk.key):
        table = pq.read_table(io.BytesIO(place.get(chunk.key) or b""))
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
    assert list(journal.pending(place, "r")) == []


def test_receipts_of_a_killed_process_are_uploaded_first(place: Place) -> None:
    with Journal(place, "r") as killed:
        killed.add([accepted("a")])
        killed.rotate()
        killed.add([accepted("b")])
    with (killed.folder / "open.jsonl").open("a") as lines:
        lines.write('\n["s3://b/torn", "id')
    assert [receipt.uri for receipt in journal.pending(place, "r")] == ["s3://b/a", "s3://b/b"]
    assert recorded(place) == []
    with Journal(place, "r"):
        assert [row["uri"] for row in recorded(place)] == ["s3://b/a", "s3://b/b"]


def test_a_second_upload_of_a_chunk_overwrites_it(place: Place) -> None:
    with Journal(place, "r") as writing:
        writing.add([accepted("a")])
        writing.rotate()
        (chunk,) = writing.folder.glob("*-*.jsonl")
        kept = chunk.read_bytes()
        writing.upload()
        chunk.write_bytes(kept)  # killed between the upload and the removal
    with Journal(place, "r"):
        assert len(recorded(place)) == 1


def test_a_chunk_that_the_bucket_refuses_stays_in_the_journal(
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
        assert [receipt.uri for receipt in journal.pending(place, "r")] == ["s3://b/a"]
        writing.upload()
    assert len(recorded(place)) == 1


def test_only_one_process_has_the_journal_of_a_run(place: Place) -> None:
    with Journal(place, "r"):
        with pytest.raises(UsageError, match="'r'"):
            Journal(place, "r").__enter__()
        with Journal(place, "other"):
            pass
    with Journal(place, "r"):
        pass


def test_damaged_lines_cost_no_other_receipt(place: Place) -> None:
    wrong: list[object] = [
        [1, 2, 3, 4, 5],
        ["u", "r", "1", "f", 1],
        ["u", "r", -1, "f", 1],
        ["u", "r", 1, "f", 1e99],
    ]
    lines = [
        *map(json.dumps, wrong),
        "[" * 100_000,
        '{"a":1,"b":2,"c":3,"d":4,"e":5}',
        '["\\ud800","r",1,"f",1]',
        "\0" * 9,
    ]
    with Journal(place, "r") as writing:
        writing.add([accepted("a")])
        with (writing.folder / "open.jsonl").open("a") as file:
            file.write("\n" + "\n".join(lines))
        writing.add([accepted("b")])
    with Journal(place, "r"):
        pass
    assert [row["uri"] for row in recorded(place)] == ["s3://b/a", "s3://b/b"]


def test_names_are_escaped_in_the_journal(place: Place) -> None:
    with Journal(place, "r") as writing:
        writing.add([accepted('odd\n"name"')])
        (line,) = (writing.folder / "open.jsonl").read_text().split("\n")[1:]
    assert json.loads(line)[0] == 's3://b/odd\n"name"'


def test_short_writes_lose_no_receipt(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with Journal(place, "r") as writing:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda file, data: write(file, data[:7]))
            writing.add([accepted("a", "b")])
        writing.rotate()
        writing.upload()
    assert [row["uri"] for row in recorded(place)] == ["s3://b/a", "s3://b/b"]


@pytest.mark.parametrize("failing", [0, OSError(28, "No space left on device")])
def test_a_full_disk_is_an_error_and_costs_no_other_receipt(
    place: Place, monkeypatch: pytest.MonkeyPatch, failing: int | OSError
) -> None:
    write = os.write
    writes: list[int] = []

    def fill(file: int, data: memoryview) -> int:
        writes.append(file)
        if len(writes) == 1:
            return write(file, data[:20])
        if isinstance(failing, OSError):
            raise failing
        return failing

    with Journal(place, "r") as writing:
        writing.add([accepted("a")])
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", fill)
            with pytest.raises(OSError, match="No space"):
                writing.add([accepted("half")])
        writing.add([accepted("b")])
        writing.rotate()
        writing.upload()
    assert [row["uri"] for row in recorded(place)] == ["s3://b/a", "s3://b/b"]
