"""The documentation agrees with the code: generated parts are fresh, and what a page names exists."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click
import docs
import pytest
import template as generator
import yaml

import sep_extract

each_page = pytest.mark.parametrize("page", docs.pages(), ids=lambda page: str(page.relative_to(docs.ROOT)))


@each_page
def test_generated_parts_are_up_to_date(page: Path) -> None:
    assert docs.filled(page.read_text()) == page.read_text(), "run make generated"


def test_each_generated_part_is_on_one_page() -> None:
    text = "\n".join(page.read_text() for page in docs.pages())
    found = re.findall(r"^<!-- generated: (\S+) -->$", text, re.MULTILINE)
    assert sorted(found) == sorted(docs.PARTS)


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for path, _, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#([^)]+))?\)", page.read_text()):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in headings(target), f"{path}#{anchor}"


@each_page
def test_every_benchmark_named_exists(page: Path) -> None:
    for name in re.findall(r"benchmarks/(\w+)(?![\w.])", page.read_text()):
        assert (docs.ROOT / "benchmarks" / name).is_dir(), name


def test_every_benchmark_has_a_figure() -> None:
    named = set(re.findall(r"benchmarks/(\w+)", (docs.ROOT / "docs/benchmarks.md").read_text()))
    assert named == {path.parent.name for path in docs.ROOT.glob("benchmarks/*/__main__.py")}


def test_the_readme_is_short() -> None:
    assert len((docs.ROOT / "README.md").read_text().splitlines()) <= 150


_COMMANDS = [
    line
    for page in docs.pages()
    for kind, block in re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if not kind and line.startswith("skyfan ")
]


@pytest.mark.parametrize("line", _COMMANDS)
def test_commands_take_the_options_that_they_are_shown_with(line: str) -> None:
    _, name, *words = shlex.split(line, comments=True)
    try:
        # Within the group: click makes a command's help option once, with the names of the first context.
        with (
            docs.main.make_context("skyfan", [name], resilient_parsing=True) as group,
            docs.main.commands[name].make_context(name, words, group),
        ):
            pass
    except click.UsageError as error:
        pytest.fail(error.format_message())


def test_the_citation_and_sep_extract_name_this_version() -> None:
    citation = yaml.safe_load((docs.ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((docs.ROOT / "pyproject.toml").read_text())["project"]
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    (deployed,) = re.findall(
        r'SkyfanVersion:\n.*\n    Value: "(.*)"', (docs.ROOT / "template.yaml").read_text()
    )
    assert citation["version"] == sep_extract.__version__ == project["version"]
    assert deployed == project["version"]
    assert citation["license"] == project["license"]
    assert citation["authors"] == project["authors"]


def printed_tree() -> list[str]:
    """The paths of the tree in CONTRIBUTING.md, in its order."""
    text = (docs.ROOT / "CONTRIBUTING.md").read_text().split("```text\n")[1].split("```")[0]
    found, above = [], ""
    for indent, name in re.findall(r"^( *)(\S+)", text, re.MULTILINE):
        found.append(above + name if indent else name)
        above = above if indent else name
    return found


def registered() -> list[generator.Function]:
    """The functions of template.yaml."""
    return generator.functions(generator.TEMPLATE.read_text(encoding="utf-8"))


def shown(folder: Path) -> set[str]:
    """What the tree must show of a folder: its modules and folders."""
    return {
        f"{path.relative_to(docs.ROOT)}{'/' if path.is_dir() else ''}"
        for path in folder.iterdir()
        if (path.suffix == ".py" or path.is_dir()) and not path.name.startswith(("_", "."))
    }


def test_the_printed_tree_is_the_real_one() -> None:
    tree = printed_tree()
    assert len(set(tree)) == len(tree)
    for path in tree:
        assert (docs.ROOT / path).is_dir() if path.endswith("/") else (docs.ROOT / path).is_file(), path
    for folder in ("functions/", "invoke/skyfan/"):
        named = {path for path in tree if path.startswith(folder) and path != folder}
        # A function that somebody added to a clone is listed in template.yaml.
        assert shown(docs.ROOT / folder) - named <= {f"{item.code}/" for item in registered()}
        assert named <= shown(docs.ROOT / folder)


def test_the_printed_tree_is_in_the_order_of_imports() -> None:
    contracts = tomllib.loads((docs.ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    floors = {name: -floor for floor, names in enumerate(layers) for name in re.findall(r"\w+", names)}
    names = [
        path.removeprefix("invoke/skyfan/") for path in printed_tree() if path.startswith("invoke/skyfan/")
    ]
    order = [floors[name.rstrip("/").removesuffix(".py")] for name in names if name]
    assert order == sorted(order)
