"""Numbers, sizes, times and names for people."""

import ast
import io
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import skyfan
from skyfan import formatting
from skyfan.formatting import ENCODING_ERRORS, Column, file_name, table


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formatting.count(1), "1 file"),
        (formatting.count(12_345), "12,345 files"),
        (formatting.count(2, "image"), "2 images"),
        (formatting.size(999), "999 bytes"),
        (formatting.size(4_700_000), "4.7 MB"),
        (formatting.size(470_000_000), "470 MB"),
        (formatting.size(12.71e12), "12.71 TB"),
        (formatting.usd(0), "0 USD"),
        (formatting.usd(1234.567), "1,234.57 USD"),
        (formatting.usd(0.0018337), "0.00183 USD"),
        (formatting.usd(1.4e-7), "0.000000140 USD"),
        (formatting.duration(0.25), "250 ms"),
        (formatting.duration(1.25), "1.2 s"),
        (formatting.duration(119.9), "2 min 0 s"),
        (formatting.duration(68_950), "19 h 9 min"),
        (formatting.clock(59.6), "1:00"),
        (formatting.clock(3723), "1:02:03"),
        (formatting.timestamp(None), "–"),
        (formatting.timestamp(0), "1970-01-01 00:00:00 UTC"),
        (formatting.number(float("nan")), "–"),
        (formatting.number(26.4567), "26.46"),
        (formatting.number(122_078), "122,078"),
        (formatting.file_name("s3://bucket/a/b.fits"), "b.fits"),
        (formatting.file_name("s3://bucket/a/"), "a"),
        (formatting.truncate("abcdef", 4), "abc…"),
        (formatting.truncate("abcd", 4), "abcd"),
    ],
)
def test_formats(text: str, expected: str) -> None:
    assert text == expected


COLUMNS = (
    Column("file", "name"),
    Column("size", "number"),
    Column("rule", "prose"),
    Column("more", optional=True),
)
ROWS = [
    ["a_very_long_name_of_an_image_flt.fits", "123.45 MB", "a rule of many words that are wrapped", "x" * 9]
]


def test_a_table_that_fits_is_whole() -> None:
    assert table(COLUMNS, [*ROWS, None, ["total", "1", "", ""]], 200) == [
        "file                                        size  rule                                   more",
        "─" * 98,
        "a_very_long_name_of_an_image_flt.fits  123.45 MB  a rule of many words that are wrapped  xxxxxxxxx",
        "─" * 98,
        "total                                          1",
    ]


@pytest.mark.parametrize(
    ("width", "first"),
    [
        (94, f"{ROWS[0][0]}  123.45 MB  a rule of many words that are      xxxxxxxxx"),
        (85, "a_very_long_name_of_an_image_flt.fits  123.45 MB  a rule of many words      xxxxxxxxx"),
        (62, "a_very_l…_flt.fits  123.45 MB  a rule of many words  xxxxxxxxx"),
        (52, "a_very_lo…_flt.fits  123.45 MB  a rule of many words"),
    ],
)
def test_a_narrow_table_wraps_prose_then_shortens_names_then_leaves_columns_out(
    width: int, first: str
) -> None:
    lines = table(COLUMNS, ROWS, width)
    assert lines[2] == first
    assert max(map(len, lines)) <= width
    assert ("without more: the window is too narrow" in lines) is (width == 52)


def test_what_fits_nowhere_is_printed_as_blocks() -> None:
    assert table((Column("a", "number"), Column("long", "number")), [["1", "2" * 30], ["3", "4"]], 20) == [
        "a     1",
        "long  " + "2" * 30,
        "",
        "a     3",
        "long  4",
    ]


@given(
    st.lists(st.tuples(st.text("ab_", max_size=60), st.integers(), st.text("c d", max_size=90)), max_size=5),
    st.integers(30, 120),
)
def test_no_number_is_ever_cut(rows: list[tuple[str, int, str]], width: int) -> None:
    columns = (Column("file", "name"), Column("number", "number"), Column("words", "prose"))
    lines = table(columns, [[name, str(number), words] for name, number, words in rows], width)
    words = {word for line in lines for word in line.split()}
    assert words >= {str(number) for _, number, _ in rows}
    assert lines[0].startswith("file ") or not rows
    if lines[1:2] and lines[1].startswith("─"):
        assert max(map(len, lines)) <= width


def test_streams_without_a_sign_get_it_in_ascii() -> None:
    text = "1…3 – 4 × 5 → é \udcff"
    assert text.encode("ascii", ENCODING_ERRORS) == b"1...3 - 4 x 5 -> \\xe9 \\udcff"
    assert text.encode("latin-1", ENCODING_ERRORS) == b"1...3 - 4 \xd7 5 -> \xe9 \\udcff"


def test_file_names_are_those_that_people_wrote() -> None:
    assert file_name("file:///d/J1001%2B5027%20a.fits") == "J1001+5027 a.fits"
    assert file_name("s3://b/J1001%2B5027.fits") == "J1001%2B5027.fits"


HOSTILE = st.text(st.characters() | st.sampled_from("\x1b\x07\x9b\x7f\r\n\t\u202e\u2028[]/\\"))


@given(HOSTILE)
def test_no_text_of_others_controls_a_terminal(text: str) -> None:
    shown = formatting.printable(text)
    assert not [
        char
        for char in shown
        if unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} - {"\n"} and char not in "\n\t"
    ]
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert formatting.printable(shown) == shown
    assert len(formatting.one_line(text).splitlines()) <= 1


@given(HOSTILE)
def test_a_document_in_json_means_the_same_when_it_is_printed(text: str) -> None:
    assert json.loads(formatting.printable(json.dumps({text: text}, indent=1))) == {text: text}


@given(HOSTILE)
def test_a_text_is_printed_without_markup_and_as_one_row_of_a_table(text: str) -> None:
    output = io.StringIO()
    console = Console(file=output, width=10_000)
    formatting.say(console, formatting.one_line(text))
    assert output.getvalue() == formatting.one_line(text) + "\n"
    assert len(table([Column("file", "name"), Column("x")], [[text, "y"]], 10_000)) == 3


def test_escapes_are_those_of_python() -> None:
    assert formatting.printable("\x1b]0;t\x07 é…\n\u202e\x7f") == "\\x1b]0;t\\x07 é…\n\\u202e\\u007f"
    assert formatting.printable("a\u200bb\u2060\ufeff\xad") == "a\\u200bb\\u2060\\ufeff\\xad"  # not seen


PRINTING = {
    "formatting.py": {"console.print"},
    "common.py": {"click.echo"},
    "__init__.py": {"click.echo"},  # the script for the shell
    "worker.py": {"print"},
}


def test_all_commands_print_through_one_place() -> None:
    for path in Path(skyfan.__file__).parent.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        calls = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
        found = {name for name in calls if name.rpartition(".")[2] in {"print", "echo", "secho"}} - {"echo"}
        assert found <= PRINTING.get(path.name, set()), path
