"""skyfan in a real notebook kernel: bars while it works, results that show themselves, and charts."""

import shutil
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

pytestmark = [
    pytest.mark.slow,
    # nbclient and pyzmq ask for an event loop in a way that Python discourages
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
CELLS = (
    'import skyfan\nskyfan.run("images", "out", "first")',
    'skyfan.collect("first", "out")',
    'skyfan.search("first", "3.594 -30.392", "5s", where="out").to_table()',
    'skyfan.costs("first", "out")',
    '%matplotlib inline\nskyfan.collect("first", "out").plot();',
    'skyfan.show("images/<b>bold.fits", "first", "out")',
    "skyfan.status('first', 'out', nothing=1)",
)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, demo_data: Path) -> list[list[dict[str, Any]]]:
    """What each cell of the notebook shows."""
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "images").mkdir()
    shutil.copy(demo_data / "abell2744_f105w_drz.fits", folder / "images" / "<b>bold.fits")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    nbclient.NotebookClient(
        book, timeout=120, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": folder}}
    ).execute()
    return [cell.outputs for cell in book.cells]


def html(outputs: list[dict[str, Any]]) -> list[str]:
    return [one["data"].get("text/html", "") for one in outputs if "data" in one]


def test_a_run_shows_its_bar_and_then_its_files(outputs: list[list[dict[str, Any]]]) -> None:
    bar, result = html(outputs[0])
    assert '<progress value="1" max="1">' in bar
    assert "run first: 1 of 1 file done" in result
    assert "&lt;b&gt;bold.fits" in result or "%3Cb%3Ebold.fits" in result
    assert "<b>" not in result


def test_no_bar_moves_when_the_call_has_ended(outputs: list[list[dict[str, Any]]]) -> None:
    assert not any("<progress >" in text for cell in outputs for text in html(cell))


@pytest.mark.parametrize(("cell", "word"), [(1, "MAG_AUTO"), (2, "arcsec"), (3, "request_id")])
def test_results_are_tables(outputs: list[list[dict[str, Any]]], cell: int, word: str) -> None:
    shown = html(outputs[cell])[-1]
    assert shown.count("<tr") > 1
    assert word in shown
    assert len(shown) < 200_000


def test_a_chart_is_drawn(outputs: list[list[dict[str, Any]]]) -> None:
    for cell in outputs[4:6]:
        assert any("image/png" in one.get("data", {}) for one in cell)


def test_a_mistake_is_an_error_of_python(outputs: list[list[dict[str, Any]]]) -> None:
    assert outputs[6][0]["ename"] == "TypeError"
