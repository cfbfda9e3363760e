"""Charts are well-formed, have a title and a description, and draw their numbers."""

import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyfan.report import charts
from skyfan.report.charts import Chart, Scale, even
from skyfan.report.distribution import Distribution, distribution

_NUMBERS = st.floats(-1e12, 1e12)


def _svg(chart: Chart) -> ET.Element:
    """The chart's SVG; checks that assistive technology finds its title and its description."""
    drawn = ET.fromstring(chart.svg)
    assert drawn.get("role") == "img"
    texts = {element.get("id"): element.text for element in drawn}
    assert texts[drawn.get("aria-labelledby")] == chart.title
    assert texts[drawn.get("aria-describedby")] == chart.summary
    return drawn


def _values(numbers: list[float], **options: object) -> Distribution:
    values = distribution(numbers, "duration", "s", **options)  # type: ignore[arg-type]
    assert values is not None
    return values


def _heights(drawn: ET.Element, group: str) -> np.ndarray:
    return np.array([float(bar.get("height", 0)) for bar in drawn.iterfind(f"g[@class='{group}']/rect")])


def test_heights_of_bars_are_their_counts() -> None:
    values = _values(np.repeat([1.0, 2.0, 3.0, 4.0, 5.0], [1, 2, 3, 4, 10]).tolist())
    drawn = _svg(charts.histogram("h", values, "images"))
    heights = _heights(drawn, "bars")
    assert heights == pytest.approx(np.array([1, 2, 3, 4, 10]) / 10 * max(heights), abs=0.1)
    assert "duration (s)" in "".join(drawn.itertext())


def test_marked_values_are_the_hatched_part_of_their_bar() -> None:
    numbers = np.repeat([1.0, 2.0, 3.0, 4.0, 5.0], [4, 4, 4, 4, 4])
    chart = charts.histogram(
        "h", _values(numbers.tolist(), marked=numbers > 3), "invocations", marked="failed"
    )
    drawn = _svg(chart)
    assert len(_heights(drawn, "bars")) == 3
    assert len(_heights(drawn, "parts")) == 2
    assert _heights(drawn, "bars") == pytest.approx(_heights(drawn, "parts").mean(), abs=0.1)
    assert "8 failed" in chart.summary
    table = ET.fromstring(chart.numbers or "")
    assert [cell.text for cell in table.iterfind(".//td")][1::2] == ["0", "0", "0", "4", "4"]


def test_limits_are_lines_at_their_value() -> None:
    values = _values([100.0, 200.0], span=(0.0, 1000.0))
    drawn = _svg(charts.histogram("h", values, "invocations", limits=[(1000.0, "1,000 MB"), (0.0, "none")]))
    lines = {
        group.findtext("text"): float(line.get("x1", 0))
        for group in drawn.iterfind("g[@class='limit']")
        if (line := group.find("line")) is not None
    }
    assert lines == {"1,000 MB": 408, "none": 62}


def test_the_summary_says_how_many_values_were_looked_at() -> None:
    values = distribution([1.0, 2.0, np.nan], "depth", "mag", total=10)
    assert values is not None
    summary = charts.histogram("h", values, "images").summary
    assert [word for word in summary.split() if word.rstrip(":").replace(".", "").isdigit()][:4] == [
        "2", "3", "10", "1.5",
    ]  # fmt: skip


def test_steps_and_bars() -> None:
    steps = charts.steps("s", "t", np.array([0.0, 1, 2]), np.array([3.0, 1]), ("seconds", "at once"), "d")
    assert _svg(steps).find("path[@class='area']") is not None
    rows = [("compute", 2.0, "2 USD"), ("logs", 1.0, "1 USD"), ("none", 0, "0")]
    drawn = _svg(charts.bars("b", "t", rows, "d"))
    lengths = [float(bar.get("width", 0)) for bar in drawn.iterfind("rect[@class='bar']")]
    assert lengths[0] == pytest.approx(2 * lengths[1], abs=0.2)
    assert lengths[2] == 0


def test_the_smallest_part_is_still_seen() -> None:
    rows = [("done", 122_077, "done"), ("failed", 1, "failed"), ("sent", 0, "waiting")]
    drawn = _svg(charts.parts("p", "t", rows, "d"))
    widths = {bar.get("class"): float(bar.get("width", 0)) for bar in drawn.iterfind("g/rect")}
    assert widths.keys() == {"done", "failed"}
    assert widths["failed"] >= 3


def test_a_chart_of_nothing_says_why() -> None:
    assert "no times" in "".join(_svg(charts.empty("e", "Concurrency", "no times")).itertext())


@given(_NUMBERS, st.floats(1e-6, 1e9), st.integers(2, 9))
def test_even_ticks_are_few_and_inside(low: float, span: float, maximum: int) -> None:
    high = low + max(span, abs(low) * 1e-6)
    ticks = even(low, high, maximum)
    assert len(ticks) <= maximum
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
