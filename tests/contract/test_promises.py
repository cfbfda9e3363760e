"""Every promise of docs/reliability.md and SECURITY.md names tests that exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
PAGES = (REPO / "docs/reliability.md", REPO / "SECURITY.md")
_ID = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def _named() -> set[tuple[str, str]]:
    return {found for page in PAGES for found in _ID.findall(page.read_text())}


def _tables(page: Path) -> list[list[str]]:
    """The rows of a page's tables below their heads."""
    rows = [line.strip("|").split(" | ") for line in page.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows if not row[0].strip().startswith("---")]


def test_every_row_names_a_test() -> None:
    promises = [row for row in _tables(PAGES[0]) if row[-1] != "shown by"]
    threats = [row for row in _tables(PAGES[1]) if len(row) == 4 and row[-1] != "shown by"]
    assert len(promises) > 25
    assert len(threats) > 15
    assert not [row for row in promises + threats if not _ID.search(row[-1])]


def test_every_named_test_is_written() -> None:
    texts = {file: (REPO / file).read_text() for file, _ in _named() if (REPO / file).exists()}
    lacking = {(file, test) for file, test in _named() if f"def {test}(" not in texts.get(file, "")}
    assert not lacking


@pytest.mark.slow
def test_every_named_test_is_collected() -> None:
    files = sorted({file for file, _ in _named()})
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "", "-p", "no:cacheprovider", *files],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    collected = set(re.findall(r"^(tests/[\w/]+\.py)::(\w+)", done.stdout, re.MULTILINE))
    assert done.returncode == 0, done.stdout[-2000:]
    assert _named() - collected == set()
