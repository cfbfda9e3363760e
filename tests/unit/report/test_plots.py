"""Charts of a kind of data each draw what they are given, however much."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyfan.bill.records import NUMBERS, Records
from skyfan.report import section_costs, section_sky
from skyfan.report.charts import Chart
from skyfan.report.distribution import distribution, grid

SECONDS = st.integers(1, 1000)


def records(ends: list[float], seconds: list[float], cold: list[float]) -> Records:
    columns = {name: np.full(len(ends), np.nan) for name in NUMBERS}
    columns |= {"time": np.array(ends) + 1.8e9, "duration_ms": np.array(seconds) * 1000}
    columns |= {"init_ms": np.array(cold) * 1000, "billed_ms": np.array(seconds) * 1000}
    names = np.array([f"r{n}" for n in range(len(ends))], "S")
    return Records(request_id=names, **columns, kind=np.zeros(len(ends), np.int32), kinds=(("success", ""),))


def drawn(chart: Chart, kind: str) -> str:
    """The data of all paths of a class."""
    found = ET.fromstring(chart.svg).iterfind(f".//path[@class='{kind}']")
    return "".join(path.get("d", "") for path in found)


def test_an_invocation_is_a_bar_and_its_cold_start_is_marked() -> None:
    chart = section_costs.timeline(records([3, 5, 5], [2, 1, 3], [1, np.nan, np.nan]))
    assert drawn(chart, "warm").count("M") == 3
    assert drawn(chart, "cold").count("M") == 1
    assert "1 cold start and 0 failed" in chart.summary


def test_of_very_many_the_page_has_a_curve() -> None:
    rng = np.random.default_rng(0)
    number = 100_000
    ends = rng.uniform(0, 600, number).tolist()
    chart = section_costs.timeline(records(ends, [3.0] * number, [1.0] * 900 + [np.nan] * (number - 900)))
    assert "100,000 invocations" in chart.summary
    assert "900 cold starts" in chart.summary
    assert len(chart.svg) < 10_000


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=60))
def test_invocations_in_one_lane_do_not_overlap(found: list[tuple[int, int]]) -> None:
    starts = np.array([start for start, _ in found], float)
    ends = starts + np.array([length for _, length in found])
    lanes = section_costs._lanes(starts, ends)
    for lane in range(lanes.max() + 1):
        own = np.flatnonzero(lanes == lane)
        assert len(own)
        order = own[np.lexsort((ends[own], starts[own]))]
        assert (starts[order][1:] >= ends[order][:-1]).all()
    peak = max(int(((starts <= at) & (ends > at)).sum()) for at in starts)
    assert lanes.max() + 1 == peak


def test_number_counts_are_per_magnitude_and_have_the_depth() -> None:
    values = distribution(np.repeat([20.0, 21, 22], [10, 100, 1000]), "MAG_AUTO", "AB mag")
    depth = distribution([25.0, 25.5, 26.0], "depth", "AB mag")
    assert values
    chart = section_sky.number_counts(values, depth)
    heights = [
        float(c.get("cy", 0)) for c in ET.fromstring(chart.svg).iterfind(".//g[@class='points']/g/circle")
    ]
    assert np.diff(heights) == pytest.approx(np.diff(heights).mean(), rel=0.02), "a factor of 10 is one step"
    assert "25.50" in chart.summary
    assert re.search(r"5σ 25\.5<", chart.svg)


def test_the_density_has_each_source_or_says_how_many_it_lacks() -> None:
    rng = np.random.default_rng(1)
    found = grid(rng.normal(24, 2, 5000), rng.lognormal(1, 0.6, 5000), (40, 30))
    assert found
    assert int(found.counts.sum()) + found.outside == 5000
    chart = section_sky.widths(found, None)
    cells = sum(drawn(chart, f"shade{level}").count("M") for level in range(1, 7))
    assert cells == int((found.counts > 0).sum())
    assert grid(np.array([1.0, np.nan]), np.array([1.0, 2.0]), (4, 4)) is None


def test_the_cost_grows_to_its_sum() -> None:
    chart = section_costs.growth(
        records([1, 2, 3], [1, 1, 1], [np.nan] * 3), np.array([0.01, 0.02, 0.03]), 0.5
    )
    assert "0.0600 USD" in chart.summary
    assert "0.50 USD" in chart.summary
    heights = [float(y) for y in re.findall(r"L\S+ (\S+?)(?=[LZ])", drawn(chart, "area"))]
    assert (np.diff(heights[:-1]) <= 0).all()
    assert section_costs.growth(records([np.nan], [1], [1]), np.array([1.0]), 0).svg.count(
        "no times in the logs"
    )
