"""A table as the result of process(): what goes in comes out of astropy, or is refused by name."""

import io
import json
import shutil
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table as AstropyTable
from hypothesis import given, settings
from unit.skyfan_function import tables

from sep_extract.columns import COLUMNS as SOURCE_COLUMNS
from skyfan_contract import ADDED_COLUMNS, INPUT_COLUMNS, VERSION
from skyfan_function.event import Request
from skyfan_function.handler import Job, lambda_handler
from skyfan_function.storage import Source
from skyfan_function.table import Column, Fact, Table, observed, odd_words, settings_of

COLUMNS = (
    Column("NAME", "12A", "", "meta.id;meta.main", "Name of the star", shown=True),
    Column("RA_STAR", "D", "deg", "pos.eq.ra;meta.main", "Right ascension"),
    Column("DEC_STAR", "D", "deg", "pos.eq.dec;meta.main", "Declination"),
    Column("PERIOD", "D", "d", "time.period", "Period", shown=True),
    Column("DEPTHS", "2E", "", "phot.flux;arith.ratio", "Depths of odd and even transits"),
    Column("GOOD", "L", "", "meta.code.qual", "Whether nothing speaks against it"),
)
ROWS = {
    "NAME": ["b", ""],
    "RA_STAR": [10.0, None],
    "DEC_STAR": [-5.0, np.nan],
    "PERIOD": [3.5, 1],
    "DEPTHS": [[0.1, 0.2], [0.3, np.nan]],
    "GOOD": [True, False],
}
FACTS = (
    Fact("TEFF", 5772.0, "K", "phys.temperature.effective", "Effective temperature"),
    Fact("CADENCE", np.int64(120), "s", "time.interval", "Time between two fluxes"),
    Fact("RADIUS", None, "", "phys.size.radius", "Not known"),
    Fact("SPTYPE", "G2V", "", "src.spType", "Spectral type"),
)


def written(table: Table, output: str = "file:///r/x.cat.fits", **request: Any) -> bytes:
    source = Source("file:///a/star%201.fits", None, 5, "v1")  # type: ignore[arg-type]  # never read
    return table.to_result(Job(Request(source.uri, **request), source, output, None)).body


@given(tables.tables())
@settings(max_examples=60, deadline=None)
def test_what_goes_in_comes_out_of_astropy(made: tables.Made) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(io.BytesIO(written(made.table)), checksum=True) as hdus:
            hdus.verify("exception")
            for column in made.table.columns:
                got = hdus[1].data[column.name]
                np.testing.assert_array_equal(got, made.expected[column.name].astype(got.dtype))
            assert [c.name for c in hdus[1].columns] == [c.name for c in made.table.columns]
            for fact in made.table.facts:
                assert hdus[0].header[fact.name] == fact.value


def test_the_header_says_what_it_is_and_of_what() -> None:
    table = Table(
        *(COLUMNS, ROWS, FACTS, {"TELESCOP": "TESS", "EXPSTART": 58000.5}),
        notes=["one é"],
        doubts="NOISY  SHORT",
        name="CANDIDATES",
        versions={"scipy": "1.2"},
    )
    body = written(table, run="night")
    assert body == written(table, run="night")
    with fits.open(io.BytesIO(body)) as hdus:
        top, below = hdus[0].header, hdus[1].header
    wanted = (
        {"SRCURI": "file:///a/star%201.fits", "SRCVER": "v1", "RUN": "night", "V_SKYFAN": VERSION}
        | {"V_SCIPY": "1.2", "TELESCOP": "TESS", "EXPSTART": 58000.5, "DOUBTS": "NOISY SHORT"}
        | {"TEFF": 5772.0, "CADENCE": 120, "SPTYPE": "G2V", "FACT1": "TEFF", "FUNIT1": "K"}
        | {"FUCD1": "phys.temperature.effective", "FCOMM1": "Effective temperature", "FACT4": "SPTYPE"}
    )
    assert {key: top[key] for key in wanted} == wanted
    assert "RADIUS" not in top
    assert top["FACT3"] == "RADIUS"
    assert str(top["HISTORY"]) == "note: one ?"
    assert (below["EXTNAME"], below["TUCD2"], below["TCOMM4"]) == (
        "CANDIDATES",
        "pos.eq.ra;meta.main",
        "Period",
    )
    assert [below.get(f"TSHOW{i}", False) for i in (1, 2, 4)] == [True, False, True]


@pytest.mark.skipif(not shutil.which("fitsverify"), reason="fitsverify is not installed")
@pytest.mark.parametrize("rows", [ROWS, {name: [] for name in ROWS}])
def test_fitsverify_has_nothing_to_say(rows: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "table.fits"
    path.write_bytes(written(Table(COLUMNS, rows, FACTS, notes=["long " * 50])))
    said = subprocess.run(["fitsverify", "-l", path], capture_output=True, text=True, check=False).stdout
    assert "found 0 warning(s) and 0 error(s)" in said


def test_no_rows_have_the_same_columns() -> None:
    body = written(Table(COLUMNS, dict.fromkeys(ROWS, ())))
    table = AstropyTable.read(io.BytesIO(body), hdu=1)
    assert (len(table), table.colnames) == (0, list(ROWS))
    assert table["DEPTHS"].shape == (0, 2)


COLUMN = {"name": "A", "kind": "J", "unit": "", "ucd": "", "meaning": ""}
RA = {"kind": "D", "unit": "deg", "ucd": "pos.eq.ra;meta.main"}


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ({}, [1.5], "1.5"),
        ({}, [2**31], "2147483648"),
        ({}, [np.nan], "nan"),
        ({}, ["x"], "'x'"),
        ({}, [None], "None"),
        ({}, [[1, 2]], r"\(rows,\)"),
        ({}, 3, r"\(rows,\)"),
        ({}, np.ma.masked_array([1, 2], [True, False]), "masked"),
        ({"kind": "B"}, [-1], "-1"),
        ({"kind": "K"}, np.array([2**63], "u8"), "9223372036854775808"),
        ({"kind": "K"}, [2.0**63], "9.2"),
        ({"kind": "E"}, [1e39], "1e.39"),
        ({"kind": "D"}, ["1"], "'1'"),
        ({"kind": "3E"}, [[1, 2]], r"\(rows, 3\)"),
        ({"kind": "L"}, [1], "bools"),
        ({"kind": "3A"}, ["abcd"], "'abcd' has 4"),
        ({"kind": "3A"}, ["é"], "ASCII"),
        ({"kind": "3A"}, ["a\n"], "ASCII"),
        ({"kind": "3A"}, [None], "ASCII"),
        ({"kind": "P"}, [1], "unknown kind 'P'"),
        ({"kind": "0J"}, [1], "unknown kind '0J'"),
        ({"name": "row id"}, [1], "letters"),
        *(({"name": name.lower()}, [1], name) for name in ADDED_COLUMNS if name[0] != "_"),
        ({"unit": "µm"}, [1], "ASCII"),
        ({"meaning": "two\nlines"}, [1], "ASCII"),
        (RA, [1.0], "position"),
        ({**RA, "kind": "E"}, [1.0], "position"),
    ],
)
def test_what_does_not_fit_is_refused(column: dict[str, Any], values: Any, said: str) -> None:
    one = Column(**{**COLUMN, **column})
    with pytest.raises(Exception, match=said) as caught:
        written(Table([one], {one.name: values}))
    assert type(caught.value).__name__ == "TableError"


def test_columns_of_other_lengths_or_names_are_refused() -> None:
    two = [Column(**{**COLUMN, "name": name}) for name in ("A", "B")]
    for columns, rows, said in (
        (two, {"A": [1], "B": [1, 2]}, "A has 1, B has 2"),
        (two, {"A": [1]}, "B has no values"),
        (two, {"A": [1], "B": [1], "C": [1]}, "C is not among"),
        ([two[0], two[0]._replace(name="a")], {"A": [1], "a": [1]}, "two columns"),
    ):
        with pytest.raises(Exception, match=said):
            written(Table(columns, rows))


@pytest.mark.parametrize("name", ["teff", "EFFECTIVE", "NAXIS1", "SRCURI", "FACT2", "RUN", "FILTER"])
def test_facts_have_names_of_their_own(name: str) -> None:
    with pytest.raises(Exception, match=name):
        written(Table(COLUMNS, ROWS, [Fact(name, 1, "", "", "")]))


def test_no_fact_hides_a_column_of_the_table_of_inputs() -> None:
    for name in INPUT_COLUMNS:
        with pytest.raises(Exception, match=name.upper()):
            written(Table(COLUMNS, ROWS, [Fact(name.upper(), 1, "", "", "")]))


@pytest.mark.parametrize("value", [np.inf, 2**63, "é", [1], b"x"])
def test_a_fact_is_what_a_header_holds(value: Any) -> None:
    with pytest.raises(Exception, match="TEFF"):
        written(Table(COLUMNS, ROWS, [Fact("TEFF", value, "", "", "")]))


def test_other_mistakes_are_named() -> None:
    for changes, said in (
        ({"observation": {"OBJECT": "x"}}, "OBJECT"),
        ({"doubts": "not good"}, "'not'"),
        ({"beside": {"png": b""}}, "'png'"),
        ({"beside": {".cat.fits": b""}}, "table"),
        ({"facts": [FACTS[0], FACTS[0]]}, "two facts"),
    ):
        with pytest.raises(Exception, match=said):
            written(Table(COLUMNS, ROWS, **changes))
    with pytest.raises(Exception, match=r"\.cat\.fits.*x\.json"):
        written(Table(COLUMNS, ROWS), output="file:///r/x.json")


def test_the_first_header_counts() -> None:
    first = fits.Header([("TELESCOP", "TESS"), ("FILTER", None), ("OBJECT", "x")])
    found = observed(first, {"TELESCOP": "HST", "FILTER": "F606W", "DETECTOR": "IR"})
    assert found == {"TELESCOP": "TESS", "DETECTOR": "IR", "FILTER": "F606W"}


@dataclass(frozen=True)
class Limits:
    least: float = 7.0
    periods: tuple[float, float] = (0.5, 13.0)


@dataclass(frozen=True)
class LimitsRequest(Request):
    config: Limits = field(default=Limits(), metadata={"check": lambda given: Limits(**given)})
    depth: float = field(default=1.0, metadata={"check": float})


def test_the_settings_are_those_of_the_request() -> None:
    uri = "file:///a"
    plain, changed = settings_of(LimitsRequest(uri)), settings_of(LimitsRequest(uri, config=Limits(least=9)))
    assert json.loads(plain.json) == {"least": 7.0, "periods": [0.5, 13.0], "depth": 1.0}
    assert (plain.changed, changed.changed) == ("{}", '{"least":9}')
    assert plain.digest != changed.digest
    assert settings_of(LimitsRequest(uri, run="other")) == plain
    assert settings_of(Request(uri)).json == "{}"


def test_units_and_ucds_are_checked_by_tests() -> None:
    assert odd_words(COLUMNS, FACTS) == []
    columns = [Column("A", "J", "parsecs", "meta.nonsense", ""), Column("B", "J", "", "", "")]
    assert [said.partition(":")[0] for said in odd_words(columns)] == ["A", "A", "B"]
    assert not odd_words([c for c in SOURCE_COLUMNS if c.unit != "flux" and "pixel**2" not in c.unit])


def process(job: Job[Request]) -> Table:
    if job.source.size == 3:
        return Table(COLUMNS, ROWS | {"NAME": ["b"]})
    return Table(COLUMNS, ROWS, doubts="FAINT", beside={".preview.png": b"png"})


def test_a_function_returns_it(
    out: Path, put: Callable[..., str], monkeypatch: pytest.MonkeyPatch, logged: Callable[[], list[Any]]
) -> None:
    monkeypatch.setenv("SKYFAN_OUTPUT", f"file://{out}/runs/{{run}}/stars/{{key}}.cat.fits")
    monkeypatch.setenv("SKYFAN_FAILURES", f"file://{out}/runs/{{run}}/failures/{{key}}.json")
    handler = lambda_handler(process)
    answer = handler({"input": put("star", "star.fits")}, None)
    assert (answer["rows"], answer["doubts"], answer["notes"]) == (2, "FAINT", [])
    assert list(answer["outputs"]) == ["preview"]
    assert AstropyTable.read(Path(answer["output"].removeprefix("file://")), hdu=1)["NAME"].tolist() == [
        "b",
        "",
    ]
    assert Path(answer["outputs"]["preview"].removeprefix("file://")).read_bytes() == b"png"
    failed = handler({"input": put("bad", "bad.fits")}, None)
    assert (failed["errorType"], failed["permanent"]) == ("TableError", True)
    assert [line["level"] for line in logged()] == ["INFO", "ERROR"]


def test_rows_may_be_dicts() -> None:
    rows = [{name: ROWS[name][i] for name in ROWS} for i in range(2)]
    assert written(Table.of_rows(COLUMNS, rows, facts=FACTS)) == written(Table(COLUMNS, ROWS, FACTS))
    assert written(Table.of_rows(COLUMNS, [])) == written(Table(COLUMNS, dict.fromkeys(ROWS, ())))
    with pytest.raises(Exception, match="differ in GOOD"):
        Table.of_rows(COLUMNS, [{name: rows[0][name] for name in rows[0] if name != "GOOD"}])
