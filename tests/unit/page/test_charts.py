"""Charts are well-formed, have a name and a description, and draw what they are given."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from skyfan.page import charts
from skyfan.page.distribution import distribution


def _svg(markup: str) -> ET.Element:
    drawn = ET.fromstring(markup)
    assert drawn.get("role") == "img"
    names = {element.get("id"): element.text for element in drawn}
    assert names[drawn.get("aria-labelledby")]
    assert names[drawn.get("aria-describedby")]
    return drawn


def test_heights_of_bars_are_their_counts() -> None:
    values = distribution(np.repeat([1.0, 2.0, 3.0, 4.0, 5.0], [1, 2, 3, 4, 10]), "duration", "s")
    assert values is not None
    drawn = _svg(charts.histogram("h", values, "images"))
    heights = [float(bar.get("height", 0)) for bar in drawn.iterfind("g[@class='bars']/rect")]
    assert heights == pytest.approx(np.array([1, 2, 3, 4, 10]) / 10 * max(heights), abs=0.1)
    assert "duration (s)" in "".join(drawn.itertext())


def test_the_summary_says_what_was_looked_at() -> None:
    some = distribution([1.0, 2.0, np.nan], "depth", "mag", of=10)
    assert some is not None
    assert charts.summary(some, "images").startswith(
        "2 of a sample of 3 of 10 images have one: median 1.5 mag"
    )


def test_steps_and_bars() -> None:
    drawn = _svg(charts.steps("s", "t", np.array([0.0, 1, 2]), np.array([3.0, 1]), "seconds", "at once", "d"))
    assert drawn.find("path[@class='area']") is not None
    drawn = _svg(
        charts.bars("b", "t", [("compute", 2.0, "2 USD"), ("logs", 1.0, "1 USD"), ("none", 0, "0")], "d")
    )
    lengths = [float(bar.get("width", 0)) for bar in drawn.iterfind("rect[@class='bar']")]
    assert lengths[0] == pytest.approx(2 * lengths[1], abs=0.2)
    assert lengths[2] == 0


def test_the_least_part_is_still_seen() -> None:
    drawn = _svg(
        charts.parts(
            "p", "t", [("done", 122_077, "done"), ("failed", 1, "failed"), ("sent", 0, "waiting")], "d"
        )
    )
    widths = {bar.get("class"): float(bar.get("width", 0)) for bar in drawn.iterfind("g/rect")}
    assert widths.keys() == {"done", "failed"}
    assert widths["failed"] >= 3
