"""Receipts of results on this machine, from lines that may be damaged."""

import pytest

from skyfan.runs.local_receipts import Receipt, parse

GOOD = Receipt((1, 2), 3, "d")


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b"5", b"null", b'["k"', b'[["k"], 1]', b"[" * 200_000, b"\0" * 9]
)
def test_a_damaged_line_is_none_and_the_next_one_counts(line: bytes) -> None:
    assert list(parse([line, GOOD.line("k").encode()])) == [("k", GOOD)]
