"""The READMEs say what the code does: generated parts are up to date, and what they name is there."""

from __future__ import annotations

import re
from pathlib import Path

import docs
import pytest


@pytest.mark.parametrize("page", docs.pages(), ids=lambda page: str(page.relative_to(docs.ROOT)))
def test_generated_parts_are_up_to_date(page: Path) -> None:
    assert docs.filled(page.read_text()) == page.read_text(), "run make docs"


@pytest.mark.parametrize("page", docs.pages(), ids=lambda page: str(page.relative_to(docs.ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_benchmark_named_in_the_readme_exists() -> None:
    named = set(re.findall(r"benchmarks/(\w+)", (docs.ROOT / "README.md").read_text()))
    assert named
    for name in named:
        assert (docs.ROOT / "benchmarks" / name / "__main__.py").exists(), name
