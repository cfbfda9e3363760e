"""Receipts of the engines on this machine: damaged lines cost no other."""

import json

import pytest

from skyfan.runs.local_receipts import Receipt, parse

GOOD = Receipt((5, 7), 9, "ab")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\0" * 40,
        bytes(range(256)).replace(b"\n", b""),
        b"[" * 100_000,
        b'{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}',
        *(
            json.dumps(wrong).encode()
            for wrong in (
                ["k", "5", "7", "9", "ab"],
                ["k", 5.5, 7, 9, "ab"],
                ["k", 5, 7, True, "ab"],
                ["k", 5, 7, -9, "ab"],
                ["k", 5, 7, 1 << 63, "ab"],
                ["k", 5, 7, 9, "\u00e9"],
                ["\ud800", 5, 7, 9, "ab"],
                [3, 5, 7, 9, "ab"],
            )
        ),
    ],
)
def test_a_damaged_line_costs_no_other(line: bytes) -> None:
    whole = GOOD.line("k").encode().strip()
    assert list(parse([whole, line, whole])) == [("k", GOOD)] * 2
    assert list(parse([whole[: len(whole) // 2]])) == []
