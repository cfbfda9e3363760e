"""The planned files: several plans, several batches, dropped rows."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from skyfan.errors import InputError
from skyfan.plans import plan as plans
from skyfan.plans.plan import Item
from skyfan.runs import planned
from skyfan.runs import run as runs

from .conftest import Handmade


def test_rows_are_counted_over_the_kept_files_of_all_plans(
    handmade: Handmade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "_ROW_GROUP", 2)
    for name, tier in (("one", "standard"), ("two", "large")):
        rows = {
            "uri": [f"s3://b/{name}{number}.fits" for number in range(5)],
            "size": pa.array([10, 11, None, 13, 14], pa.int64()),
            "tier": [tier] * 5,
            "dropped": pa.array([None, "duplicate", None, None, None], pa.string()),
        }
        runs.add_plan(handmade.place, "r", plans.write(tmp_path / "plan.parquet", pa.table(rows), {}))
    keys = planned.keys(handmade.place, "r")
    files = planned.read(handmade.place, keys)
    assert len(files) == 8
    assert sorted(files.row) == list(range(8))
    assert sorted(files.size) == [-1, -1, 10, 10, 13, 13, 14, 14]
    every = list(planned.items(handmade.place, keys, np.arange(8)))
    assert {item.uri for item in every} == {
        f"s3://b/{plan}{n}.fits" for plan in ("one", "two") for n in (0, 2, 3, 4)
    }
    for item in every:
        size = {"0": 10, "2": None, "3": 13, "4": 14}[item.uri[-6]]
        assert item == Item(item.uri, size, "standard" if "one" in item.uri else "large")
    for rows_wanted in ([0], [7], [1, 4, 6], [3, 4], []):
        found = list(planned.items(handmade.place, keys, np.array(rows_wanted, np.int64)))
        assert found == [every[row] for row in rows_wanted]


def test_a_plan_that_is_none_or_was_removed_is_named(handmade: Handmade) -> None:
    handmade.place.put("runs/r/plans/x.parquet", b"text")
    for key in ("runs/r/plans/x.parquet", "runs/r/plans/gone.parquet"):
        with pytest.raises(InputError, match=key):
            planned.read(handmade.place, [key])
