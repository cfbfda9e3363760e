"""Histograms count every value once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyfan.report.distribution import distribution

_VALUES = st.lists(
    st.floats(-1e9, 1e9, allow_subnormal=False)
    | st.sampled_from([float("nan"), float("inf"), float("-inf")]),
    max_size=200,
)


@given(_VALUES, st.booleans())
def test_every_finite_value_is_counted_once(values: list[float], integers: bool) -> None:
    if integers:
        values = [np.round(value) for value in values]
    found = distribution(values, "x", "", integers=integers)
    finite = [value for value in values if np.isfinite(value)]
    if found is None:
        assert not finite
        return
    assert found.counts.sum() == found.finite == len(finite)
    assert found.sampled == found.total == len(values)
    assert (np.diff(found.edges) > 0).all()
    assert not found.clipped
    assert found.quantiles[0] == min(finite)
    assert found.quantiles[4] == max(finite)
    assert len(found.counts) <= 31


def test_wide_positive_values_get_a_logarithmic_axis() -> None:
    wide = distribution([0.1, 1, 10, 1000], "x", "s")
    narrow = distribution([0.0, 1, 10, 1000], "x", "s")
    assert wide is not None
    assert narrow is not None
    assert (wide.log, narrow.log) == (True, False)


def test_a_rare_value_does_not_squeeze_the_others() -> None:
    values = np.append(np.linspace(20, 27, 10_000), [99.0, -40.0])
    found = distribution(values, "magnitude", "mag", total=50_000)
    assert found is not None
    assert found.clipped
    assert 19.9 < found.edges[0] < found.edges[-1] < 27.1
    assert found.counts.sum() == 10_002
    assert found.quantiles[0] == -40
    assert (found.sampled, found.total) == (10_002, 50_000)


@pytest.mark.parametrize("values", [[3.0], [3.0, 3.0], [0.0], [-1e-9]])
def test_one_value_is_a_bar(values: list[float]) -> None:
    found = distribution(values, "x", "")
    assert found is not None
    assert found.counts.max() == len(values)


def test_whole_numbers_have_bins_of_whole_numbers() -> None:
    found = distribution([0, 1, 1, 4], "sources", "", integers=True)
    assert found is not None
    assert found.edges.tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5, 4.5]
    assert found.counts.tolist() == [1, 2, 0, 0, 1]


def test_marked_values_are_counted_in_their_bin() -> None:
    found = distribution([1.0, np.nan, 2.0, 2.0, 5.0], "x", "", marked=[True, True, False, True, False])
    assert found is not None
    assert found.counts.sum() == 4
    assert found.marked.sum() == 2
    assert (found.marked <= found.counts).all()
    assert found.marked[-1] == 0


def test_bins_cover_the_span() -> None:
    found = distribution([70.0, 80.0], "memory", "MB", span=(0.0, 1769.0))
    assert found is not None
    assert (found.edges[0], found.edges[-1]) == (0, 1769)
    assert not found.log
