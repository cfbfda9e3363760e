"""skyfan.toml: defaults for options.

    output = "results"            # for every command that has the option
    [run]                         # for one command
    engine = "local"
    jobs = 4

The nearest file is read, from the working folder upwards. The command line overrides the environment
(SKYFAN_RUN_JOBS), and the environment overrides this file. Paths are relative to the file's folder.
"""

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from ..errors import UsageError

NAME = "skyfan.toml"


def refuse_empty(words: list[str]) -> None:
    """Raises UsageError for an argument without any character: it would be taken for the default, or for the
    working folder.
    """
    for before, word in zip(["", *words], words, strict=False):
        name, equals, value = word.partition("=")
        if not word or (word.startswith("--") and equals and not value):
            where = f" after {before}" if not word and before else f" of {name}" if name else ""
            raise UsageError(f"the value{where} is empty: is a variable of the shell not set?")


def read(group: click.Group, start: Path | None = None) -> dict[str, dict[str, Any]]:
    """Values of options by command and parameter, as click's default_map has them.

    Raises UsageError for a key that is no option, with the one that was probably meant.
    """
    path = _find(start or Path.cwd())
    if path is None:
        return {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    options = {name: _options(command) for name, command in group.commands.items()}
    found: dict[str, dict[str, Any]] = {name: {} for name in options}
    for key, value in document.items():
        if not isinstance(value, dict):
            commands = [name for name in options if key in options[name]]
            if not commands:
                raise _unknown(path, key, "", {option for names in options.values() for option in names})
            for name in commands:
                _put(found[name], options[name][key], value, path)
        elif key not in options:
            raise _unknown(path, key, "", set(options))
    for name, table in document.items():
        if isinstance(table, dict):
            for key, value in table.items():
                if key not in options[name]:
                    raise _unknown(path, key, name, set(options[name]))
                _put(found[name], options[name][key], value, path)
    return found


def _find(start: Path) -> Path | None:
    found = (folder / NAME for folder in (start, *start.parents))
    return next((path for path in found if path.is_file()), None)


def long_name(option: click.Option) -> str:
    """The option as it is typed, without its dashes."""
    return max(option.opts, key=len).lstrip("-")


def _options(command: click.Command) -> dict[str, click.Option]:
    options = [option for option in command.params if isinstance(option, click.Option)]
    return {name: option for option in options for name in {long_name(option), _plain(long_name(option))}}


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _put(values: dict[str, Any], option: click.Option, value: Any, path: Path) -> None:
    if isinstance(value, list) != bool(option.multiple):
        kind = "a list, such as [1, 2]" if option.multiple else "one value, not a list"
        raise UsageError(f"{path}: {long_name(option)} takes {kind}")
    is_path = isinstance(option.type, click.Path) or long_name(option) == "output"
    if is_path and isinstance(value, str) and "://" not in value:
        value = str(path.parent / value)
    values[option.name or ""] = value


def _unknown(path: Path, key: str, command: str, known: set[str]) -> UsageError:
    of = f"option of skyfan {command}" if command else "command, nor an option of any"
    close = get_close_matches(key, known, 1)
    hint = f": is {close[0]} meant?" if close else ""
    return UsageError(f"{path}: {key!r} is no {of}{hint}")
