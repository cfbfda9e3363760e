"""SVG files of their own: well-formed, complete without the page, whatever the log or the plan holds."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from skyfan.api import costs
from skyfan.cli import main
from skyfan.errors import InputError, UsageError
from skyfan.plans import plan
from skyfan.plans.plan import Plan
from skyfan.report import page as figures

_SVG = "{http://www.w3.org/2000/svg}"
_SQUARE = "POLYGON ICRS 10.0 -5.0 10.1 -5.0 10.1 -4.9 10.0 -4.9"


def _log(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(lines))
    return path


def _line(n: int, ms: float = 2000, mb: int = 100, more: str = "") -> str:
    return (
        f"REPORT RequestId: r{n}\tDuration: {ms:.2f} ms\tBilled Duration: {ms:.0f} ms\tMemory Size: 1024 MB\t"
        f"Max Memory Used: {mb} MB{more}\n"
    )


def _run() -> list[str]:
    bad = "\tStatus: error\tError Type: Bad"
    return [
        _line(n, 1000 + 100 * n, 100 + n, f"{'' if n % 4 else bad}\tStart Time: 2026-11-22T10:00:{n:02}.000Z")
        for n in range(20)
    ]


def _plan(path: Path, rows: list[dict[str, object]]) -> Plan:
    return plan.write(path, pa.Table.from_pylist(rows), {})


def _texts(svg: str) -> list[str]:
    return [text.text or "" for text in ET.fromstring(svg).iter(f"{_SVG}text")]


def _overlaps(svg: str) -> bool:
    """Whether two charts of a sheet share a pixel, or one leaves the page."""
    page = ET.fromstring(svg)
    boxes = [
        tuple(float(panel.get(name, 0)) for name in ("x", "y", "width", "height"))
        for panel in page.iterfind(f"{_SVG}g/{_SVG}svg")
    ]
    width, height = float(page.get("width", 0)), float(page.get("height", 0))
    return any(x + w > width or y + h > height for x, y, w, h in boxes) or any(
        a < c + e and c < a + d and b < f + h and f < b + g
        for number, (a, b, d, g) in enumerate(boxes)
        for c, f, e, h in boxes[:number]
    )


def test_a_bill_has_four_charts_with_units(tmp_path: Path) -> None:
    svg = figures.costs_figure(costs(log=[_log(tmp_path / "a.log", _run())]))
    texts = _texts(svg)
    assert "20 invocations" in texts[0]
    for axis in ("duration (s)", "memory used (MB)", "seconds since the first", "1,024 MB"):
        assert axis in texts
    assert any("5 failed" in text for text in texts)
    assert any(text.endswith("USD") for text in texts)
    assert not _overlaps(svg)


@pytest.mark.parametrize(
    "lines",
    [
        [_line(0)],
        [_line(0, 0.01), _line(1, 900_000)],
        [_line(n, mb=0) for n in range(3)],
        ["INIT_REPORT Init Duration: 316.80 ms\tPhase: init\tStatus: error\n"],
    ],
)
def test_few_and_strange_records_are_drawn(tmp_path: Path, lines: list[str]) -> None:
    svg = figures.costs_figure(costs(log=[_log(tmp_path / "a.log", lines)]))
    assert "no times in the logs" in _texts(svg)
    assert "nan" not in svg
    assert not _overlaps(svg)


def test_a_document_stands_alone_and_names_each_element_once(tmp_path: Path) -> None:
    svg = figures.costs_figure(costs(log=[_log(tmp_path / "a.log", _run())]))
    page = ET.fromstring(svg)
    assert page.findtext(f"{_SVG}title")
    assert "--ink" in (page.findtext(f"{_SVG}style") or "")
    ids = [element.get("id") for element in page.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert "href" not in svg


@pytest.mark.parametrize("ra", [[10.0, 10.2], [359.9, 0.1], [10.0, 200.0]])
def test_footprints_are_drawn_on_the_whole_sky_and_in_fields(tmp_path: Path, ra: list[float]) -> None:
    rows = [{"uri": f"s3://b/{x}.fits", "s_ra": x, "s_dec": -5.0, "s_region": _SQUARE} for x in ra]
    svg = figures.footprints_figure(_plan(tmp_path / "p.parquet", rows))
    page = ET.fromstring(svg)
    panels = page.findall(f"{_SVG}g/{_SVG}svg")
    assert len(panels) == (3 if ra[1] == 200 else 2)
    assert "p.parquet: 2 images" in _texts(svg)
    assert not _overlaps(svg)


def test_a_plan_without_positions_has_no_footprints(tmp_path: Path) -> None:
    made = _plan(tmp_path / "p.parquet", [{"uri": "s3://b/a.fits", "dropped": None}])
    with pytest.raises(InputError, match=r"p\.parquet"):
        figures.footprints_figure(made)


def test_the_file_is_whole_or_absent(tmp_path: Path) -> None:
    figures.write_svg(tmp_path / "a.svg", "<svg/>")
    assert (tmp_path / "a.svg").read_text() == "<svg/>"
    with pytest.raises(UsageError, match="no/a"):
        figures.write_svg(tmp_path / "no" / "a.svg", "<svg/>")
    assert [path.name for path in tmp_path.iterdir()] == ["a.svg"]


def test_the_commands_write_svg_and_refuse_other_suffixes(tmp_path: Path) -> None:
    log = str(_log(tmp_path / "a.log", _run()))
    for words in (["costs", "--log", log, "--plot"], ["plan", log, "--footprints"]):
        done = CliRunner().invoke(main, [*words, str(tmp_path / "a.png")])
        assert done.exit_code == 2
        assert ".svg" in done.stderr
        assert not (tmp_path / "a.png").exists()
    done = CliRunner().invoke(main, ["costs", "--log", log, "--plot", str(tmp_path / "a.svg")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "a.svg").read_text().startswith("<svg")
