"""Parquet: the same columns as the FITS catalog, and what they mean."""

import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table
from astropy.units import Unit

from sep_extract.columns import COLUMNS, Column
from sep_extract.event import Request
from sep_extract.parquet import _metadata
from skyfan_contract import key_of
from skyfan_function.errors import ConfigurationError

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


def test_unknown_values_are_null(extract: Make, flt: Make, stars: Make) -> None:
    """Without a zero point there is no magnitude."""
    summary = extract(flt(stars(), primary={"PHOTFLAM": None, "PHOTPLAM": None}), outputs=["parquet"])
    table = pq.read_table(Path("/", key_of(summary["outputs"]["parquet"])))
    assert 0 < len(table) == table["MAG_AUTO"].null_count
    assert table["MAG_APER"].combine_chunks().flatten().null_count == 4 * len(table)


def test_it_says_what_it_holds(extract: Make, flt: Make) -> None:
    summary = extract(flt(), outputs=["parquet"], config={"detect_thresh": 2})
    schema = pq.read_schema(Path("/", key_of(summary["outputs"]["parquet"])))
    types = {"J": "int32", "I": "int16", "D": "double", "E": "float"}
    for field, column in zip(schema, COLUMNS, strict=True):
        assert str(field.type.value_type if column.per_aperture else field.type) == types[column.kind]
        meta = {key.decode(): value.decode() for key, value in field.metadata.items()}
        unit = "electron/s" if column.unit == "flux" else column.unit
        assert {k: meta[k] for k in ("unit", "ucd", "description")} == {
            "unit": unit,
            "ucd": column.ucd,
            "description": column.meaning,
        }
    assert schema.metadata[b"source"].decode() == summary["input"]
    assert schema.metadata[b"version"].startswith(b"size=")
    given = Request.parse({"input": summary["input"], "config": {"detect_thresh": 2}}).config.json()
    assert schema.metadata[b"config"].decode() == given


def test_every_column_is_a_field_of_the_votable() -> None:
    columns = [
        Column("N", "J", "", "meta.id", "Running <number> & more"),
        Column("F", "E", "uJy", "phot.flux", "Fluxes", per_aperture=True),
        Column("E", "D", "electron/s", "phot.flux", "VOUnits has no electron"),
    ]
    found = _metadata(columns, 3)
    assert found["IVOA.VOTable-Parquet.version"] == "1.0"
    space = "{http://www.ivoa.net/xml/VOTable/v1.3}"
    fields = list(ET.fromstring(found["IVOA.VOTable-Parquet.content"]).iter(f"{space}FIELD"))
    assert [field.attrib for field in fields] == [
        {"name": "N", "datatype": "int", "ucd": "meta.id"},
        {"name": "F", "datatype": "float", "ucd": "phot.flux", "arraysize": "3", "unit": "uJy"},
        {"name": "E", "datatype": "double", "ucd": "phot.flux"},
    ]
    assert [field.findtext(f"{space}DESCRIPTION") for field in fields] == [c.meaning for c in columns]
    rows = json.loads(found["table_meta_yaml"])["datatype"]
    assert [row.get("unit") for row in rows] == [None, "uJy", "electron/s"]
    assert [row["meta"] for row in rows] == [{"ucd": column.ucd} for column in columns]
    assert {row["datatype"] for row in rows} == {"string"}


@pytest.mark.parametrize("at", [[], [(40.0, 50.0)]])
@pytest.mark.parametrize("apertures", [[0.5], [0.5, 1.0]])
def test_astropy_reads_it_with_units_and_ucds(
    extract: Make, flt: Make, stars: Make, apertures: list[float], at: Any
) -> None:
    config = {"phot_apertures": apertures, "detect_thresh": 5}
    summary = extract(flt(stars(at=at)), outputs=["parquet"], config=config)
    path = Path("/", key_of(summary["outputs"]["parquet"]))
    for name in ("parquet", "parquet.votable"):
        read = Table.read(path, format=name)
        assert len(read) == summary["sources"] == len(at)
        assert read["FLUX_APER"].shape == (len(read), len(apertures))
        for column in COLUMNS:
            unit = "electron/s" if column.unit == "flux" else column.unit
            assert Unit(read[column.name].unit or "") == Unit(unit), column.name
            assert read[column.name].meta["ucd"] == column.ucd
            assert " ".join(read[column.name].description.split()) == column.meaning


def test_without_pyarrow(extract: Make, flt: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A function's packages may leave it out; then no receipt says that all is done."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"'parquet' needs pyarrow, .* or leave 'parquet' out"):
        extract(flt(), outputs=["parquet"])
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
