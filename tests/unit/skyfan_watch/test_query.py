"""Which files a query wants, and what a message says."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyfan.errors import UsageError
from skyfan.watches import queries
from skyfan_watch.messages import parse
from skyfan_watch.query import Query

KEY = "hst/public/ib46/ib4606c6q/ib4606c6q_flt.fits"
HEADER = {
    "instrument_name": "WFC3/IR",
    "filters": "F435W;F160W",
    "proposal_id": "11600",
    "target_name": "M31",
    "t_min": 55400.0,
    "t_exptime": 500.0,
    "s_ra": 10.68,
    "s_dec": 41.27,
}


@pytest.mark.parametrize(
    ("criteria", "key", "reason"),
    [
        ({"instrument": "WFC3/IR"}, None, None),
        ({"instrument": "WFC3*"}, None, None),
        ({"instrument": "wfc3/ir"}, None, None),
        ({"instrument": "WFC3/UVIS"}, None, "another instrument"),
        ({"instrument": "ACS/WFC"}, "another instrument", None),
        ({"instrument": "ACS*"}, "another instrument", None),
        ({"filters": "F160W"}, None, None),
        ({"filters": "F16*"}, None, None),
        ({"filters": "F1?0W"}, None, "another filter"),
        ({"filters": "F105W"}, None, "another filter"),
        ({"proposal": 11600}, None, None),
        ({"proposal": 116}, None, "another proposal"),
        ({"target": "M31", "exptime": "400..600", "dates": "2010-07-01..2010-08-01"}, None, None),
        ({"target": "M31", "exptime": "501.."}, None, "another exposure time"),
        ({"around": "10.68 41.27"}, None, None),
        ({"around": "10.68 41.27", "radius": "1m"}, None, None),
        ({"around": "10.73 41.27", "radius": "1m"}, None, "another position"),
        ({"instrument": "WFC3/IR", "products": "DRZ"}, "another product type", None),
        ({"instrument": "WFC3/IR", "provenance": "hap"}, "another provenance", None),
        ({"mission": "JWST", "instrument": "NIRCAM*"}, "another mission, or not public", None),
    ],
)
def test_criteria_are_those_of_plan(criteria: dict[str, Any], key: str | None, reason: str | None) -> None:
    query = queries.of_archive(**{"products": "FLT", **criteria})
    assert Query.of(json.loads(json.dumps(query.document()))) == query
    assert query.by_key("stpubdata", KEY) == key
    if key is None:
        assert query.by_header(HEADER) == reason


def test_a_header_is_read_only_where_the_key_does_not_tell() -> None:
    for criteria, needs in (("WFC3*", False), ("WFC3/IR", True), ("*", False)):
        query = queries.of_archive(instrument=criteria, products="FLT")
        assert query.needs_header_of(KEY) is needs
    odd = "jwst/public/jw02731/L3/t/odd_i2d.fits"
    assert queries.of_archive(mission="JWST", instrument="NIRCAM*").needs_header_of(odd)


def test_a_header_without_what_is_asked_decides_nothing() -> None:
    query = queries.of_archive(filters="F160W", around="10.68 41.27")
    assert query.by_header({**HEADER, "filters": None}) == "no filter in its header"
    assert query.by_header({**HEADER, "s_ra": None}) == "no position in its header"


@pytest.mark.parametrize("criteria", [{"where": "a=b"}, {"calib_level": 3}, {}, {"mission": "ROSAT"}])
def test_what_no_announcement_tells_is_refused(criteria: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        queries.of_archive(**criteria)
    with pytest.raises(UsageError):
        queries.of_folder(**(criteria or {"sector": 1}))


def test_a_sector_is_in_the_key() -> None:
    query = queries.of_archive(mission="TESS", sector=14, camera=2)
    key = "tess/public/ffi/s0014/2019/199/{}-1/tess2019199_s0014-{}-1-0150-s_ffic.fits"
    assert query.by_key("stpubdata", key.format(2, 2)) is None
    assert query.by_key("stpubdata", key.format(3, 3)) == "another sector, camera or CCD"
    assert not query.needs_header


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Records", "s3", "object", "key", "bucket", "name", "Message", "Type", "detail"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.text(max_size=40) | documents.map(json.dumps))
def test_no_message_is_an_error_and_none_is_understood_in_silence(body: str) -> None:
    found = parse(body)
    assert found.events or found.is_test or found.problems
