"""Chunks of receipts."""

from pathlib import Path

import pytest

from skyfan.errors import InputError
from skyfan.runs import digests, receipts

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


@pytest.mark.parametrize("body", [b"", b"PAR1", b"text"])
def test_a_damaged_chunk_is_named(handmade: Handmade, body: bytes) -> None:
    handmade.receipt((A, "ra", 1000.0))
    Path(handmade.place.name, "runs/r/receipts/0000.parquet").write_bytes(body)
    with pytest.raises(InputError, match=r"0000\.parquet"):
        receipts.read(handmade.place, receipts.chunks(handmade.place, "r"))
