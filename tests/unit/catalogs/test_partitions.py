"""How keys are divided into partitions and into ranges; test_collect.py covers their contents."""

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from skyfan.catalogs import healpix, partitions
from skyfan.catalogs.spill import FIRST

KEYS = st.lists(st.integers(0, (12 << 58) - 1), max_size=200)


def count_below(keys: list[int]) -> Callable[[NDArray[np.int64]], NDArray[np.int64]]:
    ordered = np.sort(np.array(keys, np.int64))
    return lambda edges: np.searchsorted(ordered, edges)


@given(KEYS, st.integers(1, 50))
def test_each_key_is_in_one_partition_within_the_limit(keys: list[int], limit: int) -> None:
    found = list(partitions.split(count_below(keys), limit))
    assert sum(part.rows for part in found) == len(keys)
    assert all(part.rows <= limit or part.order == healpix.FINEST for part in found)
    edges = [edge for part in found for edge in (part.start, part.stop)]
    assert edges == sorted(edges)
    for part in found:
        assert sum(part.start <= key < part.stop for key in keys) == part.rows > 0


def test_equal_keys_exceed_the_limit_in_the_smallest_partition() -> None:
    (part,) = partitions.split(count_below([5] * 100), 10)
    assert (part.order, part.pixel, part.rows) == (healpix.FINEST, 0, 100)


@given(st.lists(st.integers(FIRST, -1), max_size=100), st.integers(1, 20))
def test_ranges_have_up_to_the_limit(keys: list[int], limit: int) -> None:
    ranges = list(partitions.split_range(count_below(keys), FIRST, 0, limit))
    assert ranges == sorted(ranges)
    counts = [sum(start <= key < stop for key in keys) for start, stop in ranges]
    assert sum(counts) == len(keys)
    assert all(
        0 < count <= limit or stop - start == 1 for count, (start, stop) in zip(counts, ranges, strict=True)
    )
