"""build/budget.py: whose a file is, and what is refused."""

from pathlib import Path

import budget
import pytest


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, size in {
        "numpy/__init__.py": 1_000_000, "numpy/__pycache__/__init__.cpython-313.pyc": 500_000,
        "numpy.libs/libblas.so.3": 2_000_000, "sep.cpython-313-x86_64-linux-gnu.so": 700_000,
        "_yaml/__init__.py": 1, "yaml/a.py": 2, "numpy-2.4.6.dist-info/METADATA": 3,
        "six.py": 4, "__pycache__/six.cpython-313.pyc": 5,
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    return tmp_path


def test_each_file_belongs_to_a_package(tree: Path) -> None:
    assert budget.sizes(tree) == {
        "numpy": {"source": 1_000_000, "compiled": 500_000, "libraries": 2_000_000},
        "sep": {"libraries": 700_000},
        "yaml": {"source": 3},
        "dist-info": {"data": 3},
        "six": {"source": 4, "compiled": 5},
    }


def test_the_largest_comes_first_and_the_total_last(tree: Path) -> None:
    table = budget.report(budget.sizes(tree), {"numpy": 4, "total": 5}).splitlines()
    assert table[1].split() == ["numpy", "2.00", "1.00", "0.50", "0.00", "3.50", "4.0"]
    assert table[-1].split()[0] == "total"
    assert table[-1].split()[-2:] == ["4.20", "5.0"]


def test_too_large_a_package_one_unheard_of_and_the_total_are_named(tree: Path) -> None:
    limits = {"numpy": 3.4, "yaml": 1, "dist-info": 1, "six": 1, "total": 4}
    with pytest.raises(budget.BudgetError) as caught:
        budget.check(budget.sizes(tree), limits)
    assert str(caught.value) == (
        "numpy takes 3.50 MB of 3.4; sep (0.70 MB) has no budget; total takes 4.20 MB of 4"
    )
    budget.check(budget.sizes(tree), {**limits, "numpy": 3.5, "sep": 0.7, "total": 4.3})
