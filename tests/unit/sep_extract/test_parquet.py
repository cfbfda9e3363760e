"""Parquet: the same columns as the FITS catalog, and what they mean."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sep_extract.columns import COLUMNS
from sep_extract.errors import ConfigurationError
from sep_extract.event import parse
from sep_extract.storage import key_of

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not part of the layer")

Make = Callable[..., Any]


@pytest.mark.parametrize("at", [None, [], [(40.0, 50.0)]])
def test_it_is_the_fits_catalog(extract: Make, catalog: Make, flt: Make, stars: Make, at: Any) -> None:
    summary = extract(flt(stars(at=at)), outputs=["parquet"], config={"detect_thresh": 5})
    fits_table = catalog(summary)
    path = Path("/", key_of(summary["outputs"]["parquet"]))
    assert path.name == "image.fits.cat.parquet"
    table = pq.read_table(path)
    assert table.column_names == fits_table.colnames
    assert table.num_rows == len(fits_table) == summary["sources"]
    for name in table.column_names:
        expected = np.asarray(np.ma.filled(fits_table[name], np.nan))
        values = np.array(table[name].to_pylist(), dtype=expected.dtype).reshape(expected.shape)
        np.testing.assert_array_equal(values, expected, err_msg=name)


def test_it_says_what_it_holds(extract: Make, flt: Make) -> None:
    summary = extract(flt(), outputs=["parquet"], config={"detect_thresh": 2})
    schema = pq.read_schema(Path("/", key_of(summary["outputs"]["parquet"])))
    for field, column in zip(schema, COLUMNS, strict=True):
        meta = {key.decode(): value.decode() for key, value in field.metadata.items()}
        unit = "electron/s" if column.unit == "flux" else column.unit
        assert {k: meta[k] for k in ("unit", "ucd", "description")} == {
            "unit": unit,
            "ucd": column.ucd,
            "description": column.meaning,
        }
    assert schema.metadata[b"source"].decode() == summary["input"]
    assert schema.metadata[b"version"].startswith(b"size=")
    given = parse({"input": summary["input"], "config": {"detect_thresh": 2}}).config.json()
    assert schema.metadata[b"config"].decode() == given


def test_without_pyarrow(extract: Make, flt: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A function's packages may leave it out; then no receipt says that all is done."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"'parquet' needs pyarrow, .* or leave 'parquet' out"):
        extract(flt(), outputs=["parquet"])
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
