import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyfan.fetch import checks
from skyfan.fetch.checks import Sums, compare, needed
from skyfan.fetch.source import Version


@given(st.binary(max_size=60), st.lists(st.integers(0, 20), max_size=8), st.integers(1, 20))
def test_checksums_do_not_depend_on_how_the_bytes_come(body: bytes, sizes: list[int], part: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "PIECE", part)
        sums, at = Sums(("md5", "crc32", "parts")), 0
        for size in [*sizes, len(body)]:
            sums.update(body[at : at + size])
            at += size
        found = sums.digests()
    parts = [hashlib.md5(body[start : start + part]).digest() for start in range(0, len(body), part)]
    assert sums.length == len(body)
    assert found["md5"] == hashlib.md5(body).hexdigest()
    assert found["parts"] == f"{hashlib.md5(b''.join(parts)).hexdigest()}-{len(parts)}"


def test_a_file_has_one_checksum_where_its_etag_is_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    md5 = hashlib.md5(b"abc").hexdigest()
    for etag, algorithm, verified in [
        (f'"{md5}"', "md5", "md5"),
        (f'"{hashlib.md5(bytes.fromhex(md5)).hexdigest()}-1"', "sha256", "md5 of parts"),
        ("", "sha256", "size"),
    ]:
        found = compare(needed(etag).read(path), path, Version(3, etag), dict)
        assert (found.algorithm, found.verified, found.is_same) == (algorithm, verified, True)
        assert found.checksum == hashlib.new(algorithm, b"abc").hexdigest()
    assert not compare(needed(f'"{"0" * 32}"').read(path), path, Version(3, f'"{"0" * 32}"'), dict).is_same
