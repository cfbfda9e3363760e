"""Ids of sources: distinct as doubles, equal in every run."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyfan.catalogs import ids
from skyfan.catalogs.ids import Ids


def test_a_million_ids_are_distinct_as_doubles() -> None:
    taken = Ids()
    counts = [1000] * 1000
    bases = [taken.assign(f"s3://archive/{i:04}_flt.fits", count) for i, count in enumerate(counts)]
    image = np.repeat(np.arange(1000, dtype=np.int32), counts)
    number = np.tile(np.arange(1, 1001, dtype=np.int32), 1000)
    found = ids.row_ids(np.stack([image, number], axis=1), bases)
    assert len(np.unique(found.astype(np.float64))) == 1_000_000
    assert found.min() > 0
    assert found.max() < 1 << 53


@given(st.lists(st.integers(0, 300), max_size=40))
@settings(max_examples=50)
def test_ranges_never_overlap_however_full_the_numbers_are(counts: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids, "BASES", 20_000)
        patch.setattr(ids, "_CELL", 6)
        taken = Ids()
        bases = [taken.assign(f"s3://archive/{i}", count) for i, count in enumerate(counts)]
    used = [base + n for base, count in zip(bases, counts, strict=True) for n in range(1, count + 1)]
    assert len(set(used)) == len(used)


def test_the_largest_id_of_the_largest_image_is_exact_as_a_double() -> None:
    found = ids.row_ids(np.array([[0, 2**31 - 1]], np.int32), [ids.BASES - 1])
    assert int(found[0]) < 1 << 53


def test_an_image_has_the_same_ids_whatever_else_there_is() -> None:
    alone = Ids().assign("s3://archive/a", 10)
    taken = Ids()
    assert [taken.assign(f"s3://archive/{name}", 10) for name in "bca"][2] == alone
