"""Fill the generated parts of the READMEs: python build/docs.py, or with --check to see if that is due.

A part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``; NAME is a key of PARTS.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "invoke"), str(ROOT / "functions/sep_extract")]

import click  # noqa: E402

from sep_extract import errors, quality  # noqa: E402
from sep_extract.columns import COLUMNS  # noqa: E402
from sep_extract.event import Config  # noqa: E402
from sep_extract.ladder import MEANING  # noqa: E402
from skyfan.cli import main  # noqa: E402

_PART = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def columns() -> str:
    """The catalog's columns."""
    kinds = {"J": "int32", "I": "int16", "D": "float64", "E": "float32"}
    units = {"flux": "image", "": ""}
    return _table(
        ["column", "type", "unit", "UCD", "meaning"],
        [
            [
                f"`{c.name}`",
                kinds[c.kind] + (" [n]" if c.per_aperture else ""),
                units.get(c.unit, c.unit),
                f"`{c.ucd}`",
                c.meaning,
            ]
            for c in COLUMNS
        ],
    )


def settings() -> str:
    """The keys of the event's config."""

    def default(value: object) -> str:
        if isinstance(value, bool) or value is None:
            return {True: "true", False: "false", None: "null"}[value]
        return str(list(value)) if isinstance(value, tuple) else str(value)

    return _table(
        ["key", "default", "meaning"],
        [[f"`{f.name}`", f"`{default(f.default)}`", f.metadata["meaning"]] for f in fields(Config)],
    )


def good_bits() -> str:
    """The DQ bits by instrument."""
    rows = [
        ["/".join(filter(None, key)), str(bits.good), str(bits.saturated), bits.source]
        for key, bits in quality.TABLE.items()
    ]
    rows.append(
        ["any other", str(quality.UNKNOWN.good), str(quality.UNKNOWN.saturated), quality.UNKNOWN.source]
    )
    return _table(["detector", "good bits", "saturation", "source"], rows)


def steps() -> str:
    """The ladder of retries."""
    return _table(
        ["EXTRACT_STEP", "detection ran"], [[str(int(step)), text] for step, text in MEANING.items()]
    )


def error_names() -> str:
    """The leaves of the tree of errors."""
    rows = []
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.SepExtractError) and not kind.__subclasses__():
            rows.append([f"`{name}`", (kind.__doc__ or "").strip(), "no" if kind.permanent else "yes"])
    return _table(["errorType", "meaning", "can another try help"], rows)


def command_help(name: str) -> str:
    """The help text of one command."""
    with (
        main.make_context("skyfan", ["--help"], resilient_parsing=True, terminal_width=100) as above,
        click.Context(main.commands[name], above, info_name=name) as context,
    ):
        return f"```\n{context.get_help()}\n```\n"


PARTS: dict[str, Callable[[], str]] = {
    "columns": columns,
    "settings": settings,
    "good-bits": good_bits,
    "steps": steps,
    "errors": error_names,
    **{f"help-{name}": partial(command_help, name) for name in main.commands},
}


def filled(text: str) -> str:
    """The text with its generated parts as they should be. Raises KeyError for a part that nothing makes."""
    return _PART.sub(lambda match: match[1] + PARTS[match[2]]() + match[3], text)


def pages() -> list[Path]:
    """The files that may hold generated parts."""
    return [ROOT / "README.md", ROOT / "invoke/README.md", *sorted((ROOT / "functions").glob("*/README.md"))]


if __name__ == "__main__":
    stale = [page for page in pages() if filled(page.read_text()) != page.read_text()]
    if "--check" in sys.argv[1:]:
        sys.exit("\n".join(f"{page.relative_to(ROOT)} is out of date: run make docs" for page in stale) or 0)
    for page in stale:
        page.write_text(filled(page.read_text()))
        print(f"wrote {page.relative_to(ROOT)}")
