"""Fill the generated parts of the documentation: python build/docs.py, or with --check to see if that is due.

A part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``; NAME is a key of PARTS.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from enum import IntFlag
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_FOLDERS = ("build", "invoke", "functions/runtime", "functions/sep_extract", "functions/transits")
sys.path[:0] = [str(ROOT / name) for name in _FOLDERS]

import access  # noqa: E402
import click  # noqa: E402
import pyarrow as pa  # noqa: E402

from sep_extract import classes, instruments, quality  # noqa: E402
from sep_extract import errors as sep_errors  # noqa: E402
from sep_extract.columns import COLUMNS  # noqa: E402
from sep_extract.event import Config  # noqa: E402
from sep_extract.ladder import MEANING  # noqa: E402
from skyfan import errors as skyfan_errors  # noqa: E402
from skyfan import template  # noqa: E402
from skyfan.cli import main  # noqa: E402
from skyfan.objects import schema  # noqa: E402
from skyfan_contract import LARGER, NEVER, RETRY  # noqa: E402
from skyfan_function import errors  # noqa: E402
from skyfan_function.table import Column, Fact  # noqa: E402
from transits import columns as transit_columns  # noqa: E402
from transits import errors as transit_errors  # noqa: E402
from transits import event as transit_event  # noqa: E402
from transits import formats as transit_formats  # noqa: E402
from transits import quality as transit_quality  # noqa: E402

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


def described(rows: Sequence[Column | Fact]) -> str:
    """Columns of a table, or facts about an input."""
    kinds = {"K": "int64", "J": "int32", "I": "int16", "D": "float64", "E": "float32"}
    is_column = isinstance(rows[0], Column)
    return _table(
        ["column", "type", "unit", "UCD", "meaning"] if is_column else ["fact", "unit", "UCD", "meaning"],
        [
            [
                f"`{row.name}`",
                *([kinds[row.kind]] if isinstance(row, Column) else []),
                row.unit,
                f"`{row.ucd}`",
                row.meaning,
            ]
            for row in rows
        ],
    )


def light_curves() -> str:
    """The formats of light curves that Transits reads."""
    known, refused = transit_formats.table()
    rows = [[row.title, f"`{row.flux}`", "any" if row.bad < 0 else str(row.bad), row.source] for row in known]
    others = "; ".join(row.title for row in refused)
    return (
        _table(["light curve", "flux", "QUALITY bits that exclude a cadence", "source"], rows)
        + f"\nRefused by name: {others}.\n"
    )


def arrow_columns(chosen: Iterable[pa.Field]) -> str:
    """Columns of a table that skyfan writes."""
    rows = []
    for field in chosen:
        about = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        ucd = f"`{about['ucd']}`" if "ucd" in about else ""
        rows.append([f"`{field.name}`", str(field.type), about.get("unit", ""), ucd, about["description"]])
    return _table(["column", "type", "unit", "UCD", "meaning"], rows)


def settings(config: type[Any]) -> str:
    """The keys of the event's config."""

    def default(value: object) -> str:
        if isinstance(value, bool) or value is None:
            return {True: "true", False: "false", None: "null"}[value]
        return str(list(value)) if isinstance(value, tuple) else str(value)

    def bounds(check: object) -> str:
        return " to ".join(f"{value:.7g}" for value in check) if isinstance(check, tuple) else ""

    return _table(
        ["key", "default", "values", "meaning"],
        [
            [f"`{f.name}`", f"`{default(f.default)}`", bounds(f.metadata["check"]), f.metadata["meaning"]]
            for f in fields(config)
        ],
    )


def good_bits() -> str:
    """The DQ bits by instrument."""
    names = [(row.name or "any other", row) for row in instruments.table()]
    return _table(
        ["telescope, instrument, detector", "good bits", "saturation", "source"],
        [[name, str(row.good), str(row.saturated), row.source] for name, row in names],
    )


def bits(meaning: Mapping[IntFlag, str]) -> str:
    """The bits of QUALITY, CLASS or FLAGS."""
    return _table(
        ["bit", "name", "meaning"], [[str(int(bit)), str(bit.name), text] for bit, text in meaning.items()]
    )


def steps() -> str:
    """The ladder of retries."""
    return _table(
        ["EXTRACT_STEP", "detection ran"], [[str(int(step)), text] for step, text in MEANING.items()]
    )


_HELP = {RETRY: "yes", LARGER: "with more memory or time", NEVER: "no"}


def error_names(*modules: ModuleType) -> str:
    """The errors of some modules that are raised: the leaves of the tree, and what they mean."""
    kinds = dict.fromkeys(k for module in modules for k in vars(module).values() if isinstance(k, type))
    bases = {errors.InputError, *(base for kind in kinds for base in kind.__bases__)}
    rows = [
        [f"`{kind.__name__}`", (kind.__doc__ or "").strip(), _HELP[kind.cure]]
        for kind in kinds
        if issubclass(kind, errors.FunctionError) and kind not in bases
    ]
    return _table(["errorType", "meaning", "can a retry help"], rows)


def command_errors() -> str:
    """The errors that commands and skyfan.api raise."""
    kinds = [kind for kind in vars(skyfan_errors).values() if isinstance(kind, type)]
    rows = [
        [f"`{kind.__name__}`", (kind.__doc__ or "").strip().splitlines()[0]]
        for kind in kinds
        if kind.__module__ == skyfan_errors.__name__
    ]
    return _table(["exception", "meaning"], rows)


def answers() -> str:
    """What errors of AWS mean, from errors.toml."""
    rows = []
    for row in tomllib.loads((ROOT / "invoke/skyfan/errors.toml").read_text())["answer"]:
        condition = f" (message: `{row['when']}`)" if "when" in row else ""
        advice = row["advice"].format(region="")
        rows.append([", ".join(f"`{code}`" for code in row["codes"]) + condition, advice])
    return _table(["what AWS says", "what it means, and what to do"], rows)


def exit_codes() -> str:
    """The exit codes of every command, from its help."""
    rows = [
        [f"`skyfan {name}`", " ".join(match[1].split())]
        for name, command in main.commands.items()
        if (match := re.search(r"Exit code: (.*?)(?:\n\n|\Z)", command.help or "", re.DOTALL))
    ]
    return _table(["command", "exit code"], rows)


def parameters() -> str:
    """The parameters of the stack, from template.yaml."""
    rows = []
    for name, parameter in template.load((ROOT / "template.yaml").read_text())["Parameters"].items():
        values = ", ".join(f"`{value}`" for value in parameter.get("AllowedValues", []))
        if "MinValue" in parameter:
            values = f"{parameter['MinValue']} to {parameter['MaxValue']}"
        default = f"`{parameter['Default']}`" if parameter["Default"] != "" else "none"
        rows.append([f"`{name}`", default, values, parameter["Description"]])
    return _table(["parameter", "default", "values", "meaning"], rows)


def deployer() -> str:
    """The actions that deploying takes, by service."""
    import permissions  # the SAM transform and cfn-lint are slow to import

    services = permissions.actions(permissions.translated({}))
    return _table(["service", "actions"], [[name, ", ".join(each)] for name, each in services.items()])


def grants() -> str:
    """What people who run skyfan must be allowed."""
    head = ["action", "resources", *access.PEOPLE, "without it"]
    return _table(head, list(access.grant_rows()))


def requests() -> str:
    """Which role may make which request."""
    return _table(["", "request", *access.ROLES], list(access.request_rows()))


def commands() -> str:
    """The commands in one line each."""
    rows = [
        [f"[`skyfan {name}`](docs/commands.md#skyfan-{name})", command.get_short_help_str(limit=200)]
        for name, command in main.commands.items()
    ]
    return _table(["command", "what it does"], rows)


def command_help() -> str:
    """The help text of every command."""
    with main.make_context("skyfan", ["--help"], resilient_parsing=True, terminal_width=100) as context:
        return "\n".join(_helps(main, context))


def _helps(group: click.Group, above: click.Context) -> Iterator[str]:
    for name, command in group.commands.items():
        with click.Context(command, above, info_name=name) as context:
            yield f"## {context.command_path}\n\n```\n{context.get_help()}\n```\n"
            if isinstance(command, click.Group):
                yield from _helps(command, context)


PARTS: dict[str, Callable[[], str]] = {
    "columns": columns,
    "settings": partial(settings, Config),
    "objects": partial(arrow_columns, schema.OBJECT),
    "object-bands": partial(arrow_columns, schema.PER_BAND),
    "links": partial(arrow_columns, schema.LINK),
    "matched-images": partial(arrow_columns, schema.IMAGE),
    "checked-images": partial(arrow_columns, schema.CHECKED),
    "good-bits": good_bits,
    "quality": partial(bits, quality.MEANING),
    "classes": partial(bits, classes.MEANING),
    "steps": steps,
    "errors": partial(error_names, errors, sep_errors),
    "transits-columns": partial(described, transit_columns.COLUMNS),
    "transits-facts": partial(described, transit_columns.FACTS),
    "transits-flags": partial(bits, transit_quality.FLAG_MEANING),
    "transits-quality": partial(bits, transit_quality.MEANING),
    "transits-settings": partial(settings, transit_event.Config),
    "transits-errors": partial(error_names, errors, transit_errors),
    "light-curves": light_curves,
    "shared-errors": partial(error_names, errors),
    "command-errors": command_errors,
    "answers": answers,
    "exit-codes": exit_codes,
    "parameters": parameters,
    "deployer": deployer,
    "grants": grants,
    "requests": requests,
    "commands": commands,
    "help": command_help,
}


def filled(text: str) -> str:
    """The text with its generated parts as they should be. Raises KeyError for a part that nothing makes."""
    return _PART.sub(lambda match: match[1] + PARTS[match[2]]() + match[3], text)


PAGES = (
    "*.md",
    "docs/*.md",
    "docs/*/*.md",
    "functions/*/README.md",
    "layers/*/README.md",
    "tests/data/README.md",
)


def pages() -> list[Path]:
    """All documentation of the repository."""
    return sorted(path for pattern in PAGES for path in ROOT.glob(pattern))


if __name__ == "__main__":
    stale = [page for page in pages() if filled(page.read_text()) != page.read_text()]
    if "--check" in sys.argv[1:]:
        sys.exit("\n".join(f"{page.relative_to(ROOT)} is stale: run make generated" for page in stale) or 0)
    for page in stale:
        page.write_text(filled(page.read_text()))
        print(f"wrote {page.relative_to(ROOT)}")
