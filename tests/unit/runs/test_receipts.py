"""Chunks of receipts."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyfan.errors import InputError
from skyfan.runs import digests, receipts
from skyfan.storage.place import Place

from .conftest import Handmade

A, B = "s3://b/a.fits", "s3://b/b.fits"


def test_chunks_are_read_as_one(handmade: Handmade) -> None:
    handmade.receipt((A, "ra", 1000.0))
    handmade.receipt((B, "rb", 2000.5), (A, "rc", 3000.0))
    handmade.place.put("runs/r/receipts/note.txt", b"no receipts")
    chunks = receipts.chunks(handmade.place, "r")
    assert sorted(item.key[-12:] for item in chunks) == ["0000.parquet", "0001.parquet"]
    found = receipts.read(handmade.place, chunks)
    assert found.functions == {"skyfan-SepExtract"}
    rows = zip(found.file.tolist(), found.sent.tolist(), found.request.tolist(), strict=True)
    assert sorted(rows, key=lambda row: row[1]) == [
        (digests.digest("b/a.fits"), 1_000_000, digests.digest("ra")),
        (digests.digest("b/b.fits"), 2_000_500, digests.digest("rb")),
        (digests.digest("b/a.fits"), 3_000_000, digests.digest("rc")),
    ]


def _chunk(spoilt: bool) -> bytes:
    """A row without values, or a page whose bytes are others."""
    written = io.BytesIO()
    value = {"uri": A, "request_id": "r" * 99, "sent": 0, "function": "f"} if spoilt else {}
    pq.write_table(pa.Table.from_pylist([value], receipts.SCHEMA), written, compression="snappy")
    body = bytearray(written.getvalue())
    if spoilt:
        at = body.index(b"rrrrrrrr") - 8
        body[at : at + 16] = b"\xff" * 16
    return bytes(body)


@pytest.mark.parametrize("body", [b"", b"PAR1", b"text", _chunk(False), _chunk(True)])
def test_a_damaged_chunk_is_named(handmade: Handmade, body: bytes) -> None:
    handmade.receipt((A, "ra", 1000.0))
    Path(handmade.place.name, "runs/r/receipts/0000.parquet").write_bytes(body)
    with pytest.raises(InputError, match=r"0000\.parquet"):
        receipts.read(handmade.place, receipts.chunks(handmade.place, "r"))


def test_a_chunk_that_is_listed_and_cannot_be_read_does_not_count_as_unsent(
    handmade: Handmade, monkeypatch: pytest.MonkeyPatch
) -> None:
    handmade.receipt((A, "ra", 1000.0))
    monkeypatch.setattr(Place, "get", lambda *_: None)
    with pytest.raises(InputError, match=r"0000\.parquet is listed, but reading it finds nothing"):
        receipts.read(handmade.place, receipts.chunks(handmade.place, "r"))
