"""The planned files: several plans, several batches, dropped rows."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from skyfan.errors import InputError
from skyfan.plans import plan as plans
from skyfan.plans.plan import Item
from skyfan.runs import digests, planned
from skyfan.runs import run as runs
from skyfan.storage.listing import Object
from skyfan.storage.place import Place
from skyfan_watch.definition import PLANNED

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


def test_plans_of_single_files_are_read_once_and_in_the_order_of_their_keys(
    handmade: Handmade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch adds them one at a time, anywhere in the order; the result is that of one reading."""
    place = handmade.place
    rows = [{"uri": "s3://b/table.fits", "size": 5, "tier": "standard"}]
    table = pa.Table.from_pylist(rows, schema=plans.SCHEMA)
    runs.add_plan(place, "r", plans.write(tmp_path / "plan.parquet", table, {}))
    fetched: list[str] = []
    own = type(place).fetch

    def fetch(self: Place, objects: Iterable[Object], head: int | None = None) -> Any:
        wanted = list(objects)
        fetched.extend(item.key for item in wanted)
        return own(self, wanted, head)

    monkeypatch.setattr(Place, "fetch", fetch)
    reader = planned.Plans(place)
    for number, version in enumerate(("5", "1", "9", "3", "0")):
        row = {"uri": f"s3://b/{version}.fits", "size": number, "tier": "standard"}
        place.put(f"runs/r/plans/{version * 32}{PLANNED}", json.dumps(row).encode())
        keys = planned.keys(place, "r")
        fetched.clear()
        found = reader.read(keys)
        assert fetched == [f"runs/r/plans/{version * 32}{PLANNED}"]
        whole = planned.read(place, keys)
        for name in ("digests", "size", "row"):
            assert (getattr(found, name) == getattr(whole, name)).all()
        uris = [item.uri for item in planned.items(place, keys, np.sort(found.row))]
        assert digests.of_uris(uris)[found.row].tolist() == found.digests.tolist()
