"""Plan files: written, read, and refused."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyfan.errors import InputError, UsageError
from skyfan.plans import plan
from skyfan.plans.plan import LARGE, STANDARD, Item

ROWS = pa.table(
    {
        "uri": ["s3://b/z", "s3://b/a", None, "file:///x"],
        "size": [3, None, None, 5],
        "tier": [LARGE, STANDARD, None, STANDARD],
        "dropped": [None, None, "too big", None],
    }
)


def test_a_plan_is_sorted_counted_and_read_back(tmp_path: Path) -> None:
    written = plan.write(tmp_path / "plan.parquet", ROWS, {"query": {"paths": ["x"]}})
    read = plan.read(tmp_path / "plan.parquet")
    assert read == written
    assert (read.files, read.about["bytes"], read.about["dropped"]) == (3, 8, {"too big": 1})
    assert read.about["query"] == {"paths": ["x"]}
    assert list(read) == [
        Item("file:///x", 5, STANDARD),
        Item("s3://b/a", None, STANDARD),
        Item("s3://b/z", 3, LARGE),
    ]
    assert read.table().schema.names == plan.SCHEMA.names
    assert read.table()["dropped"].to_pylist() == [None, None, None, "too big"]


def test_equal_plans_are_equal_files(tmp_path: Path) -> None:
    one = plan.write(tmp_path / "1", ROWS, {})
    other = plan.write(tmp_path / "2", ROWS.take([3, 2, 1, 0]), {})
    assert one.path.read_bytes() == other.path.read_bytes()
    assert one.digest() == other.digest()
    assert plan.write(tmp_path / "3", ROWS.slice(1), {}).digest() != one.digest()


def test_files_that_are_no_plans_are_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a.fits\n")
    pq.write_table(ROWS, tmp_path / "other.parquet")
    for name in ("missing", "text", "other.parquet"):
        with pytest.raises(InputError, match=str(tmp_path / name)):
            plan.read(tmp_path / name)


def test_a_plan_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=str(tmp_path / "no/plan")):
        plan.write(tmp_path / "no/plan", ROWS, {})
