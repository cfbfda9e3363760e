"""The match on a survey of which everything is known: the figures of benchmarks/match --truth."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks/match"))

import truth


@pytest.mark.slow
def test_the_objects_of_a_dense_survey_are_the_true_ones(tmp_path: Path) -> None:
    survey = truth.make(tmp_path)
    figures = truth.judge(survey, tmp_path)
    assert figures["images"] == {"repeated": survey.repeats, "used": 200}
    assert figures["unsolved"] == 0
    assert figures["offset_before_mas"] > 300
    assert figures["offset_max_mas"] < 2
    assert figures["stars_at_10"] > 5000
    assert figures["completeness"] > 0.99
    assert figures["purity"] > 0.99
    for colours in ("01", "12", "23"):
        assert abs(figures[f"colour_{colours}"]) < 0.01
        assert abs(figures[f"colour_{colours}_faint"]) < 0.01
    assert figures["constant_tested"] > 5000
    assert figures["false_alarms"] < 3 * truth.CHANCE + 2 / figures["constant_tested"]
    assert figures["variables_found"] > 0.9
