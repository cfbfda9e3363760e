"""Tables of any function: what the runtime writes, collect and search give back, with its facts."""

import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.table import QTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.skyfan_function import tables

from skyfan.catalogs import collect as collecting
from skyfan.catalogs import dataset, export, fitstable, kinds, search
from skyfan.catalogs.collected import Collected
from skyfan.errors import UsageError
from skyfan.storage.place import Place
from skyfan_contract import ADDED_COLUMNS, INPUT_COLUMNS, key_of
from skyfan_function.event import Request
from skyfan_function.handler import Job
from skyfan_function.storage import Source
from skyfan_function.table import Column, Fact, Table

COLUMNS = (
    Column("NAME", "8A", "", "meta.id;meta.main", "Name", shown=True),
    Column("RA_STAR", "D", "deg", "pos.eq.ra;meta.main", "Right ascension"),
    Column("DEC_STAR", "D", "deg", "pos.eq.dec;meta.main", "Declination"),
    Column("PERIOD", "D", "d", "time.period", "Period", shown=True),
    Column("GOOD", "L", "", "meta.code.qual", "Whether it is good"),
    Column("DEPTHS", "2E", "", "phot.flux", "Odd and even"),
    Column("SOURCE_ID", "K", "", "meta.id", "That of Gaia"),
)
FACT = Fact("TEFF", 5772.5, "K", "phys.temperature.effective", "Effective temperature")


def rows(number: int, **changes: Any) -> dict[str, Any]:
    index = np.arange(number)
    return {
        "NAME": [f"b{i}" for i in index],
        "RA_STAR": 10 + index / 100,
        "DEC_STAR": np.full(number, -5.0),
        "PERIOD": index + 0.5,
        "GOOD": index % 2 == 0,
        "DEPTHS": np.stack([index, -index], axis=1),
        "SOURCE_ID": index + 2**60,
        **changes,
    }


class Run:
    """A run of a function that makes tables, in a folder."""

    def __init__(self, folder: Path, results: str = "runs/{run}/stars/{key}.cat.fits") -> None:
        self.folder = folder
        (folder / "runs/night").mkdir(parents=True)
        about = {"function": "Stars", "config": {}, "outputs": [], "access": "anonymous", "results": results}
        (folder / "runs/night/run.json").write_text(json.dumps(about))

    def add(self, name: str, table: Table) -> Path:
        """Writes the table of one input, as a function does."""
        uri = f"s3://tess/{name}_lc.fits"
        path = self.folder / f"runs/night/stars/{key_of(uri)}.cat.fits"
        path.parent.mkdir(parents=True, exist_ok=True)
        source = Source(uri, None, 5, "v1")  # type: ignore[arg-type]  # never read
        path.write_bytes(table.to_result(Job(Request(uri, "night"), source, path.as_uri(), None)).body)
        return path

    def collect(self) -> Collected:
        return collecting.collect(Place.at(self.folder), "night", self.folder / "set")

    @property
    def images(self) -> list[dict[str, Any]]:
        """The table of inputs."""
        return pq.read_table(self.folder / "set/images.parquet").to_pylist()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@given(st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_functions_write_is_what_people_find(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Any columns and values of a few inputs: by the reader, and as JSON after collect and search."""
    run = Run(tmp_path_factory.mktemp("run"))
    columns = data.draw(tables.schemas())
    made = [data.draw(tables.tables(columns)) for _ in range(data.draw(st.integers(1, 3)))]
    for i, one in enumerate(made):
        catalog = fitstable.read(run.add(f"{i}", one.table).read_bytes())
        for column in catalog.layout.columns:
            found = column.values(catalog.rows[column.name])
            np.testing.assert_array_equal(found, one.expected[column.name].astype(found.dtype))
    done = run.collect()
    ids = {row["ROW_ID"]: row for row in export.to_rows(search.all_rows(done.folder).table)}
    for i, one in enumerate(made):
        if f"tess/{i}_lc.fits.cat.fits" in done.damaged:
            continue  # a fact is a text here, and a number in an earlier one: refused by name
        (row,) = (row for row in run.images if row["uri"] == f"s3://tess/{i}_lc.fits")
        assert all(row[fact.name.lower()] == fact.value for fact in one.table.facts)
        assert row["sources"] == len(one.expected[columns[0].name])
        for at in range(row["sources"]):
            got = ids[row["source_id"] + at + 1]
            assert got["INPUT"] == row["uri"]
            assert {c.name: got[c.name] for c in columns} == {
                c.name: _with_null(one.expected[c.name][at].tolist()) for c in columns
            }


def _with_null(value: Any) -> Any:
    """As JSON has it: null for NaN."""
    if isinstance(value, list):
        return [_with_null(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def test_a_table_is_collected_with_its_facts_units_and_observation(run: Run) -> None:
    observed = {"TELESCOP": "TESS", "INSTRUME": "Photometer", "EXPSTART": 58000.0, "EXPEND": 58002.0}
    run.add("a", Table(COLUMNS, rows(3), [FACT], observed, notes=["short"], doubts="FEW"))
    run.add("b", Table(COLUMNS, rows(0), [FACT._replace(value=None)], {"RA_TARG": 10.0, "DEC_TARG": -5.0}))
    done = run.collect()
    assert (done.images, done.sources, done.unplaced, done.doubts) == (2, 3, 0, {"FEW": 1})
    a, b = run.images
    assert set(a) == {*INPUT_COLUMNS, "teff"}
    assert (a["teff"], b["teff"], a["telescope"], a["t_min"], a["notes"]) == (
        5772.5,
        None,
        "TESS",
        58000.0,
        "short",
    )
    assert (b["s_ra"], b["s_dec"], b["sources"]) == (10.0, -5.0, 0)
    found = search.search(done.folder, 10.01, -5, 0.005)
    (row,) = export.to_rows(found.table)
    assert (row["NAME"], row["GOOD"], row["DEPTHS"], row["SOURCE_ID"]) == (
        "b1",
        False,
        [1.0, -1.0],
        2**60 + 1,
    )
    assert (row["INSTRUMENT"], row["MJD"], row["INPUT"]) == ("Photometer", 58001.0, "s3://tess/a_lc.fits")
    assert not {"FILTER", "FLUX_UNIT", "IMAGE"} & set(row)
    assert found.table.schema.field("PERIOD").metadata[b"unit"] == b"d"
    short = search.search(done.folder, 10.01, -5, 1, kinds.SHORT)
    assert short.table.column_names == ["DISTANCE", "RA_STAR", "DEC_STAR", "NAME", "PERIOD", "INPUT"]
    properties = (done.folder / "hats.properties").read_text()
    assert "hats_col_ra=RA_STAR" in properties


def test_what_skyfan_adds_is_what_functions_may_not_have() -> None:
    added = {field.name for kind in (kinds.ROWS,) for field in collecting.schema.from_input(kind)}
    assert added | {"_healpix_29", "ROW_ID", "DISTANCE"} == set(ADDED_COLUMNS)
    assert tuple(collecting.images.schema(kinds.ROWS).names) == INPUT_COLUMNS


def test_a_table_without_positions_is_searched_as_a_whole(run: Run) -> None:
    columns = [column for column in COLUMNS if not column.name.endswith("_STAR")]
    values = {column.name: rows(30)[column.name] for column in columns}
    run.add("a", Table(columns, values))
    run.add("b", Table(columns, values))
    done = run.collect()
    assert (done.sources, done.unplaced, done.partitions) == (0, 60, 0)
    with pytest.raises(UsageError, match=r"no position.*pos\.eq\.ra;meta\.main"):
        search.search(done.folder, 10, -5, 1)
    assert sorted(search.all_rows(done.folder).table["PERIOD"].to_pylist()) == sorted([*values["PERIOD"]] * 2)
    assert len(search.all_rows(done.folder, ["NAME"], 7).table) == 7
    assert "hats_col_ra" not in (done.folder / "hats.properties").read_text()
    run.add("a", Table(columns, {name: array[:5] for name, array in values.items()}))
    again = run.collect()
    assert (again.read, again.unplaced) == (1, 35)
    assert again.to_table().colnames[0] == "ROW_ID"


def test_an_update_gives_the_same_as_one_call(run: Run, tmp_path: Path) -> None:
    whole = Run(tmp_path / "whole")
    for name, value in (("a", None), ("b", 5000), ("c", 5000.5)):
        table = Table(COLUMNS, rows(40), [FACT._replace(value=value)], {"FILTER": "V"} if name == "b" else {})
        run.add(name, table)
        whole.add(name, table)
        last = run.collect()
    done = whole.collect()
    assert last.sources == done.sources == 120
    both = [search.all_rows(folder).table for folder in (last.folder, done.folder)]
    assert both[0].equals(both[1])
    assert (
        [row["teff"] for row in run.images] == [row["teff"] for row in whole.images] == [None, 5000.0, 5000.5]
    )
    assert run.collect().read == 0


def test_tables_that_do_not_fit_others_are_left_out_by_name(run: Run) -> None:
    run.add("a", Table(COLUMNS, rows(2), [FACT]))
    other = [column._replace(kind="J") if column.name == "PERIOD" else column for column in COLUMNS]
    run.add("b", Table(other, rows(2, PERIOD=[1, 2])))
    run.add("c", Table(COLUMNS, rows(2), [FACT._replace(value="hot")]))
    odd = Table([*COLUMNS, COLUMNS[0]._replace(name="ROW")], rows(2, ROW=["", ""]))
    path = run.add("d", odd)
    path.write_bytes(path.read_bytes().replace(b"'ROW     '", b"'INPUT   '"))
    done = run.collect()
    assert done.sources == 2
    said = {name.removeprefix("tess/")[0]: why.split()[1:3] for name, why in done.damaged.items()}
    assert said == {"b": ["column", "PERIOD"], "c": ["fact", "TEFF"], "d": ["column", "INPUT"]}


def test_longer_texts_and_more_columns_in_later_inputs(run: Run) -> None:
    run.add("a", Table(COLUMNS, rows(2)))
    run.collect()
    longer = [COLUMNS[0]._replace(kind="30A"), *COLUMNS[1:], Column("NEW", "J", "", "", "")]
    run.add("b", Table(longer, rows(1, NAME=["x" * 30], NEW=[7])))
    table = search.all_rows(run.collect().folder).table
    assert sorted(table["NAME"].to_pylist()) == ["b0", "b1", "x" * 30]
    assert sorted(map(str, table["NEW"].to_pylist())) == ["7", "None", "None"]
    assert b'name="NAME" datatype="unicodeChar" arraysize="30"' in b"".join(
        dataset.find(run.folder / "set").schema.metadata.values()
    )


def test_json_results_cannot_be_collected(tmp_path: Path) -> None:
    run = Run(tmp_path, results="runs/{run}/stars/{key}.json")
    with pytest.raises(UsageError, match=r"Stars.*no tables.*\.json.*Table.*\.cat\.fits"):
        run.collect()


@pytest.mark.parametrize("suffix", [*export.SUFFIXES, ".reg", ".crtf"])
def test_all_formats_hold_any_table(run: Run, suffix: str) -> None:
    run.add("a", Table(COLUMNS, rows(3, PERIOD=[1.5, np.nan, 2.5])))
    found = search.search(run.collect().folder, 10, -5, 1)
    path = run.folder / f"found{suffix}"
    found.write(path)
    if suffix in (".reg", ".crtf"):
        assert sum("10.0" in line for line in path.read_text().splitlines()) == 3
        return
    if suffix == ".csv":
        assert path.read_text().splitlines()[1].count(",") == path.read_text().splitlines()[0].count(",")
        return
    table = QTable.read(path)
    assert [str(name).strip() for name in table["NAME"]] == ["b0", "b1", "b2"]
    assert [bool(good) for good in table["GOOD"]] == [True, False, True]
    assert list(table["SOURCE_ID"]) == [2**60, 2**60 + 1, 2**60 + 2]


def test_plots(run: Run) -> None:
    pytest.importorskip("matplotlib").use("agg")
    run.add("a", Table(COLUMNS, rows(3)))
    done = run.collect()
    assert done.plot().get_xlabel() == "PERIOD (d)"
    assert search.search(done.folder, 10, -5, 1).plot().get_xlabel() == "RA (degrees)"
    assert "3 rows" in repr(done)
    assert "NAME" in done._repr_html_()


def test_kinds_are_the_same_constants_after_a_way_through_another_process() -> None:
    for kind in (kinds.SOURCES, kinds.ROWS, kinds.OBJECTS):
        assert pickle.loads(pickle.dumps(kind)) is kind
