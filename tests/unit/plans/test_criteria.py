"""Criteria as a person says them, to what astroquery's query_criteria is given."""

from typing import Any

import pytest

from skyfan.errors import UsageError
from skyfan.plans.criteria import Criteria, days, span
from skyfan.plans.sky import position, radius_degrees


def test_every_criterion_reaches_the_request() -> None:
    asked = Criteria.of(
        instrument="WFC3/IR",
        filters=["F160W", "F125W"],
        proposal=12498,
        target="ABELL*",
        dates="2010-01-01..2010-01-31",
        exptime="100..2000",
        calib_level=[3],
        where=["proposal_pi=Riess*", "em_min=1400..1600"],
    ).arguments()
    assert asked == {
        "obs_collection": ["HST"],
        "dataproduct_type": ["image"],
        "instrument_name": ["WFC3/IR"],
        "filters": ["F160W", "F125W"],
        "proposal_id": [12498],
        "target_name": ["ABELL*"],
        "calib_level": [3],
        "t_min": [55197.0, 55228.0],
        "t_exptime": [100.0, 2000.0],
        "proposal_pi": ["Riess*"],
        "em_min": [1400.0, 1600.0],
    }


def test_where_has_the_last_word_on_the_kind_of_product() -> None:
    asked = Criteria.of(target="M101", where=["dataproduct_type=spectrum,image"]).arguments()
    assert asked["dataproduct_type"] == ["spectrum", "image"]


@pytest.mark.parametrize("fields", [{}, {"mission": "JWST"}, {"products": "FLT"}, {"calib_level": (3,)}])
def test_a_query_without_a_criterion_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="at least one of"):
        Criteria.of(**fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"exptime": "5"}, "MIN..MAX"),
        ({"exptime": ".."}, "MIN..MAX"),
        ({"exptime": "9..1"}, "9 is more than 1"),
        ({"dates": "2010-01-01"}, "FROM..TO"),
        ({"dates": "yesterday..2010-01-01"}, "'yesterday' is no date"),
        ({"dates": "2011-01-01..2010-01-01"}, "after the last"),
        ({"where": ("proposal_pi",)}, "KEY=VALUE"),
    ],
)
def test_what_cannot_be_understood_is_told(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Criteria.of(target="M101", **fields).arguments()


def test_unknown_missions_and_criteria_are_told() -> None:
    with pytest.raises(UsageError, match="'GALEX'"):
        Criteria.of(target="M101", mission="GALEX")
    with pytest.raises(UsageError, match="no criterion colour"):
        Criteria.of(colour="red")


def test_open_ends() -> None:
    assert span("100..", "x")[0] == 100
    assert span("100..", "x")[1] > 1e5
    assert days("..2010-01-01") == [0.0, 55198.0]  # the whole of that day
    assert days("2010-01-01T12:00..2010-01-01T18:00") == [55197.5, 55197.75]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("10.5 -30", (10.5, -30.0)),
        ("10.5, +30.25", (10.5, 30.25)),
        ("01:00:00 -30:30:00", (15.0, -30.5)),
        ("1h0m0s 10d0m0s", (15.0, 10.0)),
    ],
)
def test_positions(text: str, place: tuple[float, float]) -> None:
    assert position(text) == pytest.approx(place)


def test_names_and_impossible_positions() -> None:
    assert position("M101") is None
    with pytest.raises(UsageError, match="-90 to 90"):
        position("10 95")


def test_radii() -> None:
    assert [radius_degrees(text) for text in ("0.2d", "6m", "36s", "0.5")] == pytest.approx(
        [0.2, 0.1, 0.01, 0.5]
    )
    for wrong in ("wide", "0", "90d"):
        with pytest.raises(UsageError, match="--radius"):
            radius_degrees(wrong)
