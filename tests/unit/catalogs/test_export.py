"""Tables of sources as files of three formats, for astropy and for JSON."""

import csv
import io
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st
from standins import catalogs

from skyfan import tables
from skyfan.catalogs import collect as collecting
from skyfan.catalogs import export
from skyfan.catalogs.search import search
from skyfan.errors import UsageError
from skyfan.formatting import csv_text
from skyfan.storage.place import Place


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """20 sources of one image, as search() returns them."""
    output = tmp_path_factory.mktemp("export")
    offsets = np.linspace(-0.001, 0.001, 20)
    body = catalogs.catalog("s3://archive/3.fits", 200 + offsets, 41.8 + offsets)
    catalogs.put(catalogs.run_folder(output), "s3://archive/3.fits", body)
    collecting.collect(Place.at(output), "default", output / "set")
    return search(output / "set", 200.0, 41.8, 1.0).table


@given(st.lists(st.text() | st.none() | st.text("=+-@\t\r a'", min_size=1), min_size=1))
def test_no_text_in_a_csv_file_is_a_formula(texts: list[str | None]) -> None:
    names = pa.table({"FILTER": pa.array(texts, pa.string()), "MAG": pa.array([-1.0] * len(texts))})
    with tempfile.TemporaryDirectory() as folder:
        export.write(names, Path(folder) / "a.csv")
        with Path(folder, "a.csv").open(newline="") as file:
            rows = list(csv.reader(file))[1:]
    assert [row[0] for row in rows] == [csv_text(text or "") for text in texts]
    assert not [row for row in rows if row[0].startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert {row[1] for row in rows} == {"-1"}


def test_fits_csv_and_parquet_have_the_same_values(table: pa.Table, tmp_path: Path) -> None:
    for name in ("a.fits", "a.csv", "a.parquet"):
        export.write(table, tmp_path / name)
    read = Table.read(tmp_path / "a.fits")
    assert str(read["FLUX_AUTO"].unit) == "ct / s"
    assert read["FLUX_APER"].shape == (20, 4)
    assert read["SOURCE_ID"].tolist() == table["SOURCE_ID"].to_pylist()
    assert read["IMAGE"][0] == "s3://archive/3.fits"
    text = pyarrow.csv.read_csv(tmp_path / "a.csv")
    np.testing.assert_array_equal(text["FLUX_APER_3"].to_numpy(), read["FLUX_APER"][:, 2])
    assert text["DISTANCE"].to_pylist() == table["DISTANCE"].to_pylist()
    assert pq.read_table(tmp_path / "a.parquet").equals(table)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.fits", "a.parquet"]


def test_an_empty_table_is_a_file_too(table: pa.Table, tmp_path: Path) -> None:
    export.write(table.slice(0, 0), tmp_path / "none.fits")
    assert len(Table.read(tmp_path / "none.fits")) == 0


def test_an_astropy_table_has_units_and_ucds(table: pa.Table) -> None:
    converted = tables.to_astropy(table)
    assert converted["DISTANCE"].unit == u.arcsec
    assert converted["DELTAWIN_J2000"].meta["ucd"] == "pos.eq.dec;meta.main"
    text = io.StringIO()
    converted.info(out=text)
    assert "Isophotal flux" in text.getvalue()


@pytest.mark.parametrize("name", ["a.xls", "nowhere/a.csv"])
def test_a_file_that_cannot_be_written_is_named(name: str, table: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=str(tmp_path / name)):
        export.write(table, tmp_path / name)


def test_json_has_null_instead_of_nan_and_infinity() -> None:
    table = pa.table({"a": [1.5, float("nan")], "b": [[float("inf"), 2.0], [1.0, 2.0]]})
    assert export.to_rows(table) == [{"a": 1.5, "b": [None, 2.0]}, {"a": None, "b": [1.0, 2.0]}]
