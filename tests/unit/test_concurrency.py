"""Chunks, delays between retries, and coroutines called from plain functions."""

import asyncio
from itertools import islice

import pytest

from skyfan import concurrency


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


@pytest.mark.enable_socket  # an event loop is a socket pair
def test_a_coroutine_runs_with_and_without_a_running_loop() -> None:
    async def notebook() -> int:
        return int(concurrency.run(answer()))

    assert concurrency.run(answer()) == 42
    assert asyncio.run(notebook()) == 42


def test_chunks_hold_all_items_in_order() -> None:
    assert list(concurrency.chunks("abcdefg", 3)) == [["a", "b", "c"], ["d", "e", "f"], ["g"]]
    assert list(concurrency.chunks([], 3)) == []


def test_delays_double_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    assert list(islice(concurrency.backoff(0.5, 3.0), 5)) == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert next(islice(concurrency.backoff(0.1, 10.0), 5000, None)) == 10.0


@pytest.mark.parametrize(
    ("header", "seconds"), [(None, 0), ("", 0), ("7", 7), ("900", 30), ("Fri, 31 Dec 1999 23:59:59 GMT", 0)]
)
def test_retry_after(header: str | None, seconds: float) -> None:
    assert concurrency.retry_after(header, 30) == seconds
