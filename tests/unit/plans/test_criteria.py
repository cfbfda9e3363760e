"""Criteria, translated for astroquery's query_criteria."""

from typing import Any

import pytest

from skyfan.errors import UsageError
from skyfan.plans.criteria import Criteria, mjd_range, number_range


def test_every_criterion_is_part_of_the_query() -> None:
    arguments = Criteria.of(
        instrument="WFC3/IR",
        filters=["F160W", "F125W"],
        proposal=12498,
        target="ABELL*",
        dates="2010-01-01..2010-01-31",
        exptime="100..2000",
        calib_level=[3],
        where=["proposal_pi=Riess*", "em_min=1400..1600"],
    ).arguments()
    assert arguments == {
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


def test_where_overrides_the_data_product_type() -> None:
    arguments = Criteria.of(target="M101", where=["dataproduct_type=spectrum,image"]).arguments()
    assert arguments["dataproduct_type"] == ["spectrum", "image"]


@pytest.mark.parametrize("fields", [{}, {"mission": "JWST"}, {"products": "FLT"}, {"calib_level": (3,)}])
def test_a_query_for_a_whole_mission_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=fields.get("mission", "HST")):
        Criteria.of(**fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"exptime": "5"}, "--exptime.*'5'"),
        ({"exptime": ".."}, "--exptime.*'..'"),
        ({"exptime": "9..1"}, "--exptime.* 9 .* 1"),
        ({"dates": "2010-01-01"}, "--dates.*'2010-01-01'"),
        ({"dates": "yesterday..2010-01-01"}, "--dates.*'yesterday'"),
        ({"dates": "2011-01-01..2010-01-01"}, "--dates 2011-01-01..2010-01-01"),
        ({"where": ("proposal_pi",)}, "--where.*'proposal_pi'"),
        ({"where": ("em_min=9..1",)}, "--where em_min.* 9 .* 1"),
        ({"where": ("coordinates=10 20",)}, "--where coordinates"),
        ({"where": ("PageSize=3",)}, "--where PageSize"),
        ({"where": ("s_dec=0..1", "s_dec=5..6")}, "--where s_dec"),
        ({"where": ("s_dec=0..1", "s_dec=7")}, "--where s_dec"),
    ],
)
def test_an_invalid_value_is_named_with_its_option(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Criteria.of(target="M101", **fields).arguments()


@pytest.mark.parametrize(
    ("products", "needs_lists"),
    [((), False), (("DRZ",), False), (("drz ",), False), (("FLT",), True), (("DRZ", "DRC"), True)],
)
def test_the_main_file_is_enough_for_one_combined_image(products: tuple[str, ...], needs_lists: bool) -> None:
    assert Criteria.of(target="M101", products=products).needs_lists == needs_lists


@pytest.mark.parametrize("products", [("LC",), ("LC", "FAST-LC"), ("LLC",)])
@pytest.mark.parametrize("mission", ["TESS", "HLSP"])
def test_light_curves_are_time_series_and_the_main_file_of_their_observation(
    mission: str, products: tuple[str, ...]
) -> None:
    criteria = Criteria.of(mission=mission, products=products, target="25155310")
    assert criteria.arguments()["dataproduct_type"] == ["timeseries"]
    assert not criteria.needs_lists
    assert Criteria.of(mission="TESS", products="TP", target="1").needs_lists
    both = Criteria.of(mission="TESS", products=("FFIC", "LC"), target="1")
    assert both.arguments()["dataproduct_type"] == ["image", "timeseries"]
    own = Criteria.of(mission="HLSP", products="LC", where=("dataproduct_type=image", "provenance_name=QLP"))
    assert own.arguments()["dataproduct_type"] == ["image"]


def test_high_level_science_products_need_a_product() -> None:
    with pytest.raises(UsageError, match="--product"):
        Criteria.of(mission="HLSP", target="25155310")


def test_unknown_missions_and_criteria_are_named() -> None:
    with pytest.raises(UsageError, match="'GALEX'"):
        Criteria.of(target="M101", mission="GALEX")
    with pytest.raises(UsageError, match="'hla'"):
        Criteria.of(target="M101", provenance="hla")
    with pytest.raises(UsageError, match="colour"):
        Criteria.of(colour="red")


def test_ranges_may_lack_an_end() -> None:
    assert number_range("100..", "x")[0] == 100
    assert number_range("100..", "x")[1] > 1e5
    assert number_range("..30", "x")[0] < -90  # declinations
    assert number_range("24000100..", "x")[1] > 1e11  # obsid
    assert mjd_range("..2010-01-01") == [0.0, 55198.0]  # the whole of that day
    assert mjd_range("2020-01-01..9999-12-31")[1] > 2.9e6
    assert mjd_range("2010-01-01T12:00..2010-01-01T18:00") == [55197.5, 55197.75]


def test_target_pixel_files_are_time_series() -> None:
    found = Criteria.of(mission="TESS", target="TIC 1", products=["tp"])
    assert found.arguments()["dataproduct_type"] == ["timeseries"]
    assert found.needs_lists
    both = Criteria.of(mission="TESS", target="TIC 1", products=["TP", "FFIC"])
    assert both.arguments()["dataproduct_type"] == ["image", "timeseries"]
