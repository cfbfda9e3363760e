"""Which files of which observations are kept, and why the others are not."""

from typing import Any

import pyarrow as pa

from skyfan.plans import plan, select
from skyfan.plans.bucket import Found
from skyfan.plans.service import OBSERVATIONS

DRZ = frozenset({"DRZ", "DRC"})


def observations(*rows: dict[str, Any]) -> pa.Table:
    default = {"dataRights": "PUBLIC", "calib_level": 3, "obs_collection": "HST"}
    return pa.Table.from_pylist([default | row for row in rows], OBSERVATIONS)


def test_the_main_product_needs_no_product_list() -> None:
    files, ask = select.candidates(
        observations(
            {"obsid": "1", "dataURL": "mast:HST/product/a_drz.fits"},
            {"obsid": "2", "dataURL": "mast:HST/product/b_flt.fits"},
            {"obsid": "3", "dataURL": None},
            {"obsid": "4", "dataURL": "https://elsewhere/d_drz.fits"},
        ),
        DRZ,
    )
    assert [(file.data_uri, file.product, file.dropped) for file in files] == [
        ("mast:HST/product/a_drz.fits", "DRZ", None)
    ]
    assert ask == [1, 2, 3]


def test_proprietary_and_raw_observations_are_dropped_without_asking() -> None:
    table = observations(
        {"obsid": "1", "dataURL": "mast:HST/product/a_drz.fits", "dataRights": "EXCLUSIVE_ACCESS"},
        {"obsid": "2", "dataURL": "mast:HST/product/b_raw.fits", "calib_level": 1},
        {"obsid": "3", "dataURL": "mast:HST/product/c_drz.fits", "dataRights": None},
    )
    files, ask = select.candidates(table, DRZ)
    assert [file.dropped for file in files] == ["proprietary", "wrong type", None]
    assert ask == []
    told, _ = select.candidates(table, DRZ, proprietary=True)
    assert [file.dropped for file in told] == [None, "wrong type", None]


def test_an_observation_without_a_wanted_product_says_what_it_has() -> None:
    (file,) = select.of_product_list(0, [], ["RAW", "SPT"])
    assert (file.dropped, file.detail) == ("wrong type", "it has RAW, SPT")


def test_each_fate_of_a_file() -> None:
    gone = [
        select.File(0, name, "DRZ")
        for name in ("kept", "kept", "nowhere", "unasked", "absent", "hidden", "vast")
    ]
    select.drop_duplicates(gone)
    paths = {"kept": "a_drz.fits", "nowhere": None, "absent": "b_drz.fits", "hidden": "c_drz.fits"}
    select.locate(gone, paths | {"vast": "d_drz.fits"}, {"unasked": "path_lookup: 500"}, "bucket")
    found = {"a_drz.fits": Found(10), "b_drz.fits": Found(None), "c_drz.fits": Found(None, refused=True)}
    select.measure(gone, found | {"d_drz.fits": Found(10**11)}, {}, "bucket")
    select.grade(gone)
    assert [file.dropped for file in gone] == [
        None,
        "duplicate",
        "not in the cloud",
        "unresolved",
        "not in the cloud",
        "proprietary",
        "too big",
    ]
    assert {file.dropped for file in gone if file.dropped} <= set(plan.DROPS)
    assert (gone[0].uri, gone[0].size, gone[0].tier) == ("s3://bucket/a_drz.fits", 10, plan.STANDARD)
    assert gone[6].detail == "100.0 GB"


def test_two_data_uris_of_one_object_are_one_file() -> None:
    files = [select.File(0, "mast:HST/product/a_drz.fits"), select.File(1, "mast:HLA/product/a_drz.fits")]
    select.locate(files, dict.fromkeys((str(file.data_uri) for file in files), "a_drz.fits"), {}, "bucket")
    select.drop_duplicates(files)
    assert [file.dropped for file in files] == [None, "duplicate"]


def test_rows_carry_their_observation() -> None:
    table = observations({"obsid": "1", "filters": "F160W"}, {"obsid": "2", "filters": "F105W"})
    rows = select.table([select.File(1, "mast:x"), select.File(0, "mast:y")], table)
    assert rows.schema.names == plan.SCHEMA.names
    assert rows["filters"].to_pylist() == ["F105W", "F160W"]
