"""Pages of the documentation whose cells run: each of them runs here, beside the build of the site."""

import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

DOCS = Path(__file__).parents[2] / "docs"
CELL = re.compile(r"^```\{code-cell\} ipython3\n((?::[^\n]*\n)*)(.*?)^```$", re.MULTILINE | re.DOTALL)
pytestmark = [
    pytest.mark.slow,
    # nbclient and pyzmq ask for an event loop in a way that Python discourages
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("howto/tess-images.md", ("2 files: 2 done", "2 results: 2 fresh")),
        ("howto/completeness.md", ("run deep: limits of 2 of 2 images",)),
    ],
)
def test_the_cells_of_a_page_run(
    page: str, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(DOCS))
    cells = [text for _, text in CELL.findall((DOCS / page).read_text(encoding="utf-8"))]
    assert len(cells) > 1
    # A command that fails must fail its cell, which IPython does not do by itself.
    shell = re.compile(r"^!(.*)$", re.MULTILINE)
    checked = [shell.sub(r"!\1\nassert _exit_code == 0", text) for text in cells]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in checked])
    nbclient.NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    said = "".join(one.get("text", "") for cell in book.cells for one in cell.outputs)
    for each in words:
        assert each in said
