"""Which image of a visit is the detection image of the others."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from skyfan.aws.invocations import calls
from skyfan.bill.estimate import Conditions, estimate
from skyfan.engine import File
from skyfan.errors import InputError, UsageError
from skyfan.plans import make, plan, tiers
from skyfan.plans.detections import with_detections
from skyfan.plans.plan import LARGE, STANDARD, Item
from skyfan.task import MAX_EVENT, Task

FOLDER = "s3://stpubdata/hst/public"


def rows(*files: tuple[str, str, float | None]) -> pa.Table:
    """Of files with instrument and exposure time."""
    return plan.complete(
        [
            pa.Table.from_pylist(
                [
                    {
                        "uri": f"{FOLDER}/{name}",
                        "size": 10_000_000,
                        "tier": STANDARD,
                        "product": tiers.product_type(name),
                        "instrument_name": camera,
                        "t_exptime": seconds,
                    }
                    for name, camera, seconds in files
                ],
                plan.SCHEMA,
            )
        ]
    )


def detects(table: pa.Table) -> dict[str, str | None]:
    return {
        row["uri"].removeprefix(f"{FOLDER}/"): row["detect"] and row["detect"].removeprefix(f"{FOLDER}/")
        for row in table.to_pylist()
    }


def test_the_total_of_hap_is_that_of_its_filters() -> None:
    total = "hst_10265_01_acs_wfc_total_j92c01_drc.fits"
    filters = [f"hst_10265_01_acs_wfc_{name}_j92c01_drc.fits" for name in ("f606w", "f814w")]
    other = "hst_10265_02_acs_wfc_f606w_j92c02_drc.fits"
    camera = "hst_10265_01_wfc3_ir_f160w_j92c01_drz.fits"
    files = [(name, "ACS/WFC", 900.0) for name in (total, *filters, other)]
    table, said = with_detections(rows(*files, (camera, "WFC3/IR", None)), "total")
    assert detects(table) == {total: None, **dict.fromkeys(filters, total), other: None, camera: None}
    assert said["files"] == 2
    assert said["images"] == 1
    assert said["alone"] == {"the plan has no exposure times of the visit's drizzled images": 1}
    detail = dict(zip(table["uri"].to_pylist(), table["detail"].to_pylist(), strict=True))
    assert detail[f"{FOLDER}/{camera}"].startswith("no detection image: ")


def test_without_a_total_the_longest_exposure_of_visit_and_camera_is() -> None:
    files = [
        ("jbeveo010_drz.fits", "ACS/WFC", 500.0),
        ("jbeveo020_drz.fits", "ACS/WFC", 900.0),
        ("jbeveo030_drz.fits", "ACS/WFC", 900.0),
        ("jbeveoabq_flt.fits", "ACS/WFC", 5000.0),
        ("jbevep010_flt.fits", "ACS/WFC", 100.0),
        ("ibeveo010_drz.fits", "WFC3/IR", 700.0),
        ("picture.fits", "", None),
    ]
    table, said = with_detections(rows(*files), "total")
    assert detects(table) == {
        "jbeveo010_drz.fits": "jbeveo020_drz.fits",
        "jbeveo020_drz.fits": None,
        "jbeveo030_drz.fits": "jbeveo020_drz.fits",
        "jbeveoabq_flt.fits": "jbeveo020_drz.fits",
        "jbevep010_flt.fits": None,
        "ibeveo010_drz.fits": None,
        "picture.fits": None,
    }
    assert said["alone"] == {
        "the plan has no drizzled image of its visit": 1,
        "its name tells no visit": 1,
    }


def test_one_image_for_all() -> None:
    table, said = with_detections(rows(("a.fits", "", None), ("b.fits", "", None)), f"{FOLDER}/b.fits")
    assert detects(table) == {"a.fits": "b.fits", "b.fits": None}
    assert said == {"how": f"{FOLDER}/b.fits", "images": 1, "files": 1, "alone": {}}
    with pytest.raises(UsageError, match="'total' or the URI"):
        with_detections(rows(("a.fits", "", None)), "deepest")


def test_the_plan_keeps_it_and_looks_up_an_image_that_it_does_not_hold(tmp_path: Path) -> None:
    for name, size in (("a_drz.fits", 10), ("b_drz.fits", 20), ("deep.fits", 30)):
        (tmp_path / name).write_bytes(b"x" * size)
    deep = (tmp_path / "deep.fits").as_uri()
    options = make.PlanOptions(detect=deep)
    made = make.plan(str(tmp_path / "?_drz.fits"), tmp_path / "plan.parquet", options=options)
    assert [(item.detect, item.detect_size, item.bytes_read) for item in made] == [
        (deep, 30, 40),
        (deep, 30, 50),
    ]
    assert made.about["detect"]["files"] == 2
    options = make.PlanOptions(detect=(tmp_path / "none.fits").as_uri())
    with pytest.raises(InputError, match=r"the detection image .*none\.fits"):
        make.plan(str(tmp_path / "?_drz.fits"), tmp_path / "plan.parquet", options=options)


def test_its_memory_counts() -> None:
    large = ("deep_drz.fits", 16 * 20_000_000)
    memory = {STANDARD: 512, LARGE: 10240}
    assert tiers.tier("a_drz.fits", 16_000_000, memory) == STANDARD
    assert tiers.tier("a_drz.fits", 16_000_000, memory, detect=large) == LARGE
    assert tiers.tier("a_drz.fits", 16_000_000, memory, detect=("b_drz.fits", 16_000_000)) == STANDARD


def test_files_of_one_invocation_share_it() -> None:
    files = [File(f"s3://b/{i}", "f", detect=f"s3://b/d{i // 3}" if i < 6 else None) for i in range(8)]
    sent: list[dict[str, Any]] = []
    for call in calls(files, Task("r"), 10):
        assert len(call.payload) <= MAX_EVENT
        sent.append(json.loads(call.payload))
    assert sorted((event.get("detect", ""), len(event["inputs"])) for event in sent) == [
        ("", 2),
        ("s3://b/d0", 3),
        ("s3://b/d1", 3),
    ]
    assert [c.uris for c in calls(files[:1], Task("r"))] == [("s3://b/0",)]
    assert b'"detect":"s3://b/d0"' in next(calls(files[:1], Task("r"))).payload


def test_the_estimate_counts_both_images() -> None:
    conditions = Conditions({STANDARD: 512, LARGE: 10240})
    one = estimate([Item("s3://stpubdata/a_drz.fits", 10**9)], conditions)
    both = estimate(
        [Item("s3://stpubdata/a_drz.fits", 10**9, detect="s3://stpubdata/b_drz.fits", detect_size=10**9)],
        conditions,
    )
    assert both.usd_high > 1.3 * one.usd_high
    unknown = [Item("s3://stpubdata/a_drz.fits", 10**7, detect="s3://stpubdata/b_drz.fits")]
    assert estimate(unknown, conditions).unknown == 1
