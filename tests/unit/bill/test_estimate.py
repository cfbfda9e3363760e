"""Estimates: a range that holds what was measured, and never falls when work grows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyfan.bill import speeds
from skyfan.bill.estimate import estimate
from skyfan.errors import UsageError
from skyfan.plans.plan import Item

MEMORY = {"standard": 1769, "large": 10240}
SIZES = st.lists(st.one_of(st.none(), st.integers(0, 2 * 10**9)), max_size=30)


def items(sizes: list[int | None], bucket: str = "stpubdata", tier: str = "standard") -> list[Item]:
    return [Item(f"s3://{bucket}/{number}.fits", size, tier) for number, size in enumerate(sizes)]


@settings(deadline=None, max_examples=40)
@given(SIZES, SIZES, st.sampled_from([1, 5]), st.sampled_from([1, 1000, 3000]))
def test_a_range_that_never_falls_when_work_grows(
    some: list[int | None], more: list[int | None], batch: int, concurrency: int
) -> None:
    smaller = estimate(items(some), memory_mb=MEMORY, batch=batch, concurrency=concurrency)
    larger = estimate(items(some + more), memory_mb=MEMORY, batch=batch, concurrency=concurrency)
    for one in (smaller, larger):
        assert 0 <= one.usd_low <= one.usd_high
        assert 0 <= one.seconds_low <= one.seconds_high
        assert one.usd_low == one.low.usd
        assert one.usd_high == pytest.approx(sum(line.usd for line in one.high.lines), rel=1e-12)
    assert larger.files == len(some) + len(more)
    slack = 1 + 1e-12
    assert smaller.usd_low <= larger.usd_low * slack
    assert smaller.usd_high <= larger.usd_high * slack
    assert smaller.seconds_high <= larger.seconds_high * slack


@settings(deadline=None)
@given(st.integers(0, 2 * 10**9), st.integers(0, 10**9), st.sampled_from([512, 1024, 1769, 10240]))
def test_a_larger_file_never_takes_less(size: int, more: int, memory: int) -> None:
    table = speeds.measured()
    (low, lower), (high, higher) = table.seconds([size, size + more], memory)
    assert low <= lower * (1 + 1e-12)
    assert high <= higher * (1 + 1e-12)
    assert low <= high


# What benchmarks/costs/speeds.py printed for whole files and tiled ones: the range must hold them.
@pytest.mark.parametrize(
    ("size", "seconds"),
    [
        (4144320, 0.25),
        (4144320, 0.28),
        (16534080, 0.97),
        (16534080, 0.68),
        (10546560, 2.54),
        (10546560, 2.04),
        (15883200, 2.26),
        (360046080, 23.45),
        (168085440, 43.45),
        (168088320, 9.25),
    ],
)
def test_the_table_holds_what_was_measured(size: int, seconds: float) -> None:
    low, high = speeds.measured().seconds(size, 1769)
    assert low <= seconds + 0.8 * size / 78e6
    assert seconds <= high


def test_half_the_memory_is_half_as_fast_and_more_than_one_cpu_no_faster() -> None:
    table = speeds.measured()
    half, one, much = (table.seconds(0, memory)[0] for memory in (884.5, 1769, 10240))
    assert half == pytest.approx(2 * one)
    assert much == one


def test_memory_of_the_tier_batches_and_another_bucket() -> None:
    plain = estimate(items([10**7] * 100), memory_mb=MEMORY)
    large = estimate(items([10**7] * 100, tier="large"), memory_mb=MEMORY)
    assert large.low.lines[0].quantity == pytest.approx(plain.low.lines[0].quantity * 10240 / 1769)
    assert estimate(items([10**7] * 100), memory_mb=MEMORY, batch=10).usd_high < plain.usd_high
    gets = {line.name: line.usd for line in estimate(items([10**7], "mine"), memory_mb=MEMORY).low.lines}
    assert gets["S3 GET"] > 0
    assert next(line.usd for line in plain.low.lines if line.name == "S3 GET") == 0


def test_files_of_unknown_size_are_said() -> None:
    made = estimate(items([None, 5]), memory_mb=MEMORY)
    assert any(said.startswith("1 files of unknown size") for said in made.assumptions)


def test_a_past_run_narrows_the_range() -> None:
    rng = np.random.default_rng(1)
    sizes = rng.uniform(1e7, 2e7, 500)
    history = speeds.past(sizes, sizes / 1e7 * rng.uniform(0.95, 1.05, 500), 1769, "first")
    guess = estimate(items([15_000_000] * 1000), memory_mb=MEMORY)
    known = estimate(items([15_000_000] * 1000), memory_mb=MEMORY, history=history)
    assert "500 files of the run first" in known.assumptions[0]
    assert known.usd_high / known.usd_low < guess.usd_high / guess.usd_low
    low, high = history.seconds(15_000_000, 1769)
    assert 1.3 < low < 1.5 < high < 1.7


def test_wrong_use_is_told() -> None:
    with pytest.raises(UsageError, match="tier large"):
        estimate(items([1], tier="large"), memory_mb={"standard": 1769})
    with pytest.raises(UsageError, match="at least 1"):
        estimate([], memory_mb=MEMORY, concurrency=0)
    with pytest.raises(ValueError, match="no file"):
        speeds.past([], [], 1769, "first")
