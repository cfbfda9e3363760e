"""The changes that `make mutants` makes, and its list of those that no test should notice."""

import ast
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mutants_changes import changes, probed

REPO = Path(__file__).parents[3]
EQUIVALENT = tomllib.loads((REPO / "build/mutants_equivalent.toml").read_text())
SOURCE = '''"""Words."""
LEAST: int = 3

def share(a: int, b: int = 2) -> float:
    """Words."""
    if a < b and not a == LEAST:
        raise ValueError(f"{a + 1} is wrong")
    for x in zip(a, b, strict=True):
        print(-x)
    return a / b
'''


def test_each_change_is_one_operator_number_condition_or_statement() -> None:
    found = [(change.line, change.statement, change.text) for change in changes(ast.parse(SOURCE))]
    define, test = "def share(a: int, b: int=2) -> float:", "if a < b and (not a == LEAST):"
    assert found == [
        (2, 0, "LEAST: int = 3 => LEAST: int = 4"),
        (4, 0, f"{define} => def share(a: int, b: int=3) -> float:"),
        (6, 6, f"{test} => if not (a < b and (not a == LEAST)):"),
        (6, 6, f"{test} => if a < b or not a == LEAST:"),
        (6, 6, f"{test} => if a <= b and (not a == LEAST):"),
        (6, 6, f"{test} => if a < b and a == LEAST:"),
        (6, 6, f"{test} => if a < b and (not a != LEAST):"),
        (7, 7, "raise ValueError(f'{a + 1} is wrong') => pass"),
        (9, 9, "print(-x) => pass"),
        (9, 9, "print(-x) => print(x)"),
        (10, 10, "return a / b => return a * b"),
    ]


def test_every_change_compiles_and_is_taken_back() -> None:
    tree = ast.parse(SOURCE)
    before = ast.unparse(tree)
    for change in changes(tree):
        assert ast.unparse(tree) != before, change.text
        compile(tree, "share.py", "exec")
    assert ast.unparse(tree) == before


def test_a_module_with_probes_tells_which_lines_ran() -> None:
    hits = bytearray(30)
    values: dict[str, Callable[..., Any]] = {"_hits": hits}  # type: ignore[dict-item]
    exec(compile(probed(ast.parse(SOURCE), offset=10), "share.py", "exec"), values)
    with pytest.raises(ValueError, match="2 is wrong"):
        values["share"](1)
    assert [line for line in range(20) if hits[10 + line]] == [5, 6, 7]


@pytest.mark.parametrize("path", EQUIVALENT)
def test_what_is_listed_as_equivalent_is_a_change_and_has_a_reason(path: str) -> None:
    texts = {change.text for change in changes(ast.parse((REPO / path).read_text()))}
    assert set(EQUIVALENT[path]) <= texts
    assert all(len(reason) > 10 for reason in EQUIVALENT[path].values())
