"""Results in notebooks: rows with units, nothing lost, and no foreign text that becomes markup."""

import html.parser

import numpy as np
import pyarrow as pa
import pytest
from astropy import units as u
from astropy.utils.masked import Masked
from hypothesis import given
from hypothesis import strategies as st

from skyfan import tables
from skyfan.tables import SHOWN_ROWS, Tabular


class Result(Tabular):
    def __init__(self, table: pa.Table, summary: str = "a result") -> None:
        self.table, self.summary = table, summary

    def _table(self) -> pa.Table:
        return self.table

    def _summary(self) -> str:
        return self.summary


def column(name: str, kind: pa.DataType, unit: str = "") -> pa.Field:
    return pa.field(name, kind, metadata={"unit": unit, "ucd": "meta.id", "description": f"the {name}"})


MADE = pa.table(
    [
        pa.array([1.5, None]),
        pa.array([3, None], pa.int32()),
        pa.array([[1.0, 2.0], [None, 4.0]], pa.list_(pa.float32(), 2)),
        pa.array(["a", None]),
        pa.array([7.0, 8.0]),
    ],
    pa.schema(
        [
            column("D", pa.float64(), "arcsec"),
            column("N", pa.int32(), "pixel"),
            column("APER", pa.list_(pa.float32(), 2), "electron/s"),
            column("NAME", pa.string()),
            column("ODD", pa.float64(), "furlong[/x]"),
        ]
    ),
)


def test_columns_with_units_are_quantities() -> None:
    table = Result(MADE).to_table()
    assert table["D"][0] == 1.5 * u.arcsec
    assert np.isnan(table["D"][1])
    assert isinstance(table["N"], Masked)
    assert table["N"].mask.tolist() == [False, True]
    assert table["N"][0] == 3 * u.pix
    assert table["APER"].unit == u.electron / u.s
    assert table["APER"].shape == (2, 2)
    assert table["D"].info.description == "the D"
    assert table["D"].info.meta == {"ucd": "meta.id"}
    assert table["NAME"].tolist() == ["a", ""]
    assert table["ODD"].value.tolist() == [7.0, 8.0]
    assert str(table["ODD"].unit) == "furlong[/x]"  # which astropy does not know, and does not lose


def test_pandas_gets_a_column_per_element() -> None:
    frame = Result(MADE).to_pandas()
    assert list(frame.columns) == ["D", "N", "APER_1", "APER_2", "NAME", "ODD"]
    assert frame["APER_2"].tolist() == [2.0, 4.0]


class Markup(html.parser.HTMLParser):
    """Collects tags and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(
    st.text(st.characters(codec="utf-8")), st.sampled_from(["<script>", "</td>", '"><img src=x>', "\x1b[2J"])
)
def test_foreign_text_is_no_markup(text: str, attack: str) -> None:
    hostile = attack + text
    field = pa.field(hostile, pa.string(), metadata={"unit": hostile, "description": hostile})
    page = Markup()
    page.feed(Result(pa.table([pa.array([hostile])], pa.schema([field])), hostile)._repr_html_())
    assert page.tags <= {"p", "table", "thead", "tbody", "tr", "th", "td", "br", "small"}
    assert "\x1b" not in page.text
    assert "\x1b" not in repr(Result(MADE, hostile))


def test_a_notebook_shows_the_first_rows_and_says_how_many_there_are() -> None:
    rows = pa.table({f"c{i:02}": pa.array([float(i)] * 1000) for i in range(20)})
    shown = Result(rows)._repr_html_()
    assert shown.count("<tr>") == SHOWN_ROWS + 1
    assert "and 990 rows and 8 columns more" in shown
    assert len(shown) < 5000


def test_a_column_without_any_value_is_not_shown() -> None:
    shown = Result(pa.table({"empty": pa.nulls(2), "full": [1, 2]}))._repr_html_()
    assert "empty" not in shown
    assert "and 1 column more" in shown


def test_no_rows_still_show_the_columns() -> None:
    shown = Result(MADE.slice(0, 0))._repr_html_()
    assert "ODD" in shown
    assert tables.to_astropy(MADE.slice(0, 0)).colnames == ["D", "N", "APER", "NAME", "ODD"]


def test_the_repr_is_one_short_line() -> None:
    assert repr(Result(MADE, "run a: 3 files")) == "<Result: run a: 3 files>"


def test_a_missing_pandas_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(tables.UsageError, match="pip install pandas"):
        Result(MADE).to_pandas()
