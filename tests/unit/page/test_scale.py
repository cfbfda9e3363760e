"""Axes: where values lie, and round numbers inside."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyfan.page.scale import Scale, even

_NUMBERS = st.floats(-1e12, 1e12)


@given(_NUMBERS, st.floats(1e-6, 1e9), st.integers(2, 9))
def test_even_ticks_are_few_and_inside(low: float, span: float, most: int) -> None:
    high = low + max(span, abs(low) * 1e-6)
    ticks = even(low, high, most)
    assert len(ticks) <= most
    slack = (high - low) * 1e-6
    assert all(low - slack <= tick <= high + slack for tick in ticks)
    steps = {round((b - a) / (high - low), 6) for a, b in pairwise(ticks)}
    assert len(steps) <= 1


@given(st.floats(1e-6, 1e6), st.floats(1.01, 1e9))
def test_logarithmic_ticks_are_few_and_inside(low: float, ratio: float) -> None:
    scale = Scale(low, low * ratio, 0, 100, log=True)
    ticks = scale.ticks(6)
    assert len(ticks) <= 6
    assert all(-0.1 <= scale(tick) <= 100.1 for tick in ticks)


@pytest.mark.parametrize(("low", "high", "expected"), [
    (0, 100, [0, 20, 40, 60, 80, 100]), (0, 3, [0, 1, 2, 3]), (-0.25, 0.25, [-0.2, -0.1, 0.0, 0.1, 0.2]),
])  # fmt: skip
def test_even_ticks(low: float, high: float, expected: list[float]) -> None:
    assert even(low, high, 6) == pytest.approx(expected)


def test_ends_and_middle() -> None:
    linear, logarithmic = Scale(0, 10, 100, 0), Scale(1, 100, 0, 10, log=True)
    assert [linear(v) for v in (0, 5, 10)] == [100, 50, 0]
    assert [logarithmic(v) for v in (1, 10, 100)] == pytest.approx([0, 5, 10])
    assert logarithmic.ticks(6) == [1, 3, 10, 30, 100]
