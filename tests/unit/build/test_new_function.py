"""build/new_function.py: a name becomes a function that passes its own test, or is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import template as generator

import new_function

REPO = generator.ROOT
# About as long as a name may be: the lines of the files must still fit.
LONG = "a_function_with_an_uncommonly_long_name"


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A copy of the stack in a folder of its own, without what only a build needs."""
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    for folder in ("functions", "build"):
        shutil.copytree(REPO / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(REPO / "template.yaml", tmp_path)
    return tmp_path


def everything(root: Path) -> dict[Path, bytes]:
    """All files below `root`, with what they hold."""
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def run(stack: Path, *command: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, *(str(word) for word in command)]
    return subprocess.run(words, cwd=stack, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("PixelCensus", ("PixelCensus", "pixel_census")),
        ("pixel_census", ("PixelCensus", "pixel_census")),
        ("XMatch", ("XMatch", "x_match")),
        ("x_match", ("XMatch", "x_match")),
        ("Psf2d", ("Psf2d", "psf2d")),
        ("budget", ("Budget", "budget")),  # a module of build/, which no function imports
    ],
)
def test_id_and_folder_are_made_from_each_other(name: str, expected: tuple[str, str]) -> None:
    assert new_function.names(name) == expected


@pytest.mark.parametrize(
    ("name", "word"),
    [
        *((name, "words of letters and digits") for name in ("", "starCounts", "star-counts", "Star Counts")),
        *(
            (name, "words of letters and digits")
            for name in ("psf_2d", "a__b", "2d", "étoile", "../x", "A/b")
        ),
        *((name, "abbreviations") for name in ("HTTPCheck", "h_t_t_p", "ABTest")),
        *((name, "of Python's or skyfan's own") for name in ("Class", "json", "Skyfan", "skyfan_function")),
        *((name, "installed package") for name in ("numpy", "Astropy", "pytest")),
        ("a" * 41, "40 characters"),
        ("FitsSummary", "exists already"),
        ("sep_extract", "exists already"),
        ("Runtime", "exists already"),
        ("FitsSummaryLarge", "Large"),
        ("output_bucket", "OutputBucket"),
        ("Timeout", "Timeout"),
        ("Catalogs", "SepExtract writes to catalogs/"),
        ("failures", "skyfan itself writes to failures/"),
    ],
)
def test_a_name_is_refused_and_nothing_is_written(name: str, word: str, stack: Path) -> None:
    before = everything(stack)
    with pytest.raises((new_function.NameRefusedError, generator.EntryError)) as refused:
        new_function.create(stack, name)
    assert word in str(refused.value)
    assert everything(stack) == before


def test_a_template_without_the_place_for_entries_is_refused(stack: Path) -> None:
    path = stack / "template.yaml"
    path.write_text(path.read_text().replace("    # `skyfan new-function` adds", "    # adds"))
    with pytest.raises(new_function.NameRefusedError, match="one line"):
        new_function.create(stack, "PixelCensus")


def test_a_function_is_made_with_its_part_of_the_template(stack: Path) -> None:
    before = everything(stack)
    made = run(stack, "build/new_function.py", "PixelCensus")
    assert (made.returncode, made.stderr) == (0, "")
    after = {path: body for path, body in everything(stack).items() if "__pycache__" not in path.parts}
    folder = stack / "functions/pixel_census"
    files = {str(path.relative_to(folder)) for path in after.keys() - before.keys()}
    package = {"pixel_census/__init__.py", "pixel_census/handler.py"}
    assert files == {*package, "test_pixel_census.py", "event.json", "README.md", "Makefile"}
    assert [path for path in before if after.get(path) != before[path]] == [stack / "template.yaml"]
    text = (stack / "template.yaml").read_text(encoding="utf-8")
    assert generator.filled(text) == text
    (function,) = (item for item in generator.functions(text) if item.name == "PixelCensus")
    assert (function.code, function.results) == ("functions/pixel_census", "pixel_census/{key}.cat.fits")
    for path in files:
        body = (folder / path).read_text(encoding="utf-8")
        assert not {word for word in (new_function.NAME, new_function.FOLDER) if word in body}, path
    assert json.loads((folder / "event.json").read_text())["input"].startswith("s3://")
    assert (folder / "Makefile").read_text() == (REPO / "functions/sep_extract/Makefile").read_text()
    for command in (
        "--function PixelCensus",
        "pytest functions/pixel_census",
        "sam local invoke PixelCensus",
    ):
        assert command in made.stdout

    again = run(stack, "build/new_function.py", "pixel_census")
    assert again.returncode == 2
    assert str(folder) in again.stderr
    other = run(stack, "build/new_function.py", "Others")
    assert other.returncode == 0
    assert {"PixelCensus", "Others"} < {
        item.name for item in generator.functions((stack / "template.yaml").read_text())
    }


@pytest.mark.slow  # starts pytest and ruff
def test_its_own_test_passes_and_its_code_is_clean(stack: Path) -> None:
    new_function.create(stack, LONG)
    tested = run(stack, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"functions/{LONG}")
    assert tested.returncode == 0, tested.stdout
    assert "3 passed" in tested.stdout
    shutil.copy(REPO / "pyproject.toml", stack)
    for command in (("check",), ("format", "--check")):
        linted = run(stack, "-m", "ruff", *command, "--no-cache", f"functions/{LONG}")
        assert linted.returncode == 0, linted.stdout
