"""Settings of a function as a person gives them: KEY=VALUE words and TOML files, merged into one dict."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .errors import UsageError


def read(pairs: Iterable[str], file: Path | None = None) -> dict[str, Any]:
    """The settings of `file` with those of `pairs` over them. A dotted key sets a key of an inner table.

    Which keys there are is not known here: the function checks them.
    """
    settings = _file(file) if file else {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--config takes KEY=VALUE, such as thresh=3; {pair!r} is not that")
        *tables, key = name.strip().split(".")
        place = settings
        for table in tables:
            place = place.setdefault(table, {})
            if not isinstance(place, dict):
                raise UsageError(f"--config {pair}: {table!r} is a value already, it cannot hold {key!r}")
        place[key] = value(text.strip())
    return settings


def value(text: str) -> Any:
    """A TOML value where `text` is one (3, 1.5, true, [0.1, 0.2]), else the text itself."""
    if text.startswith(("'", '"', "[", "{")) or not set(text) & set("\"'\n#"):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            pass
    return text


def _file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"the settings file {path} does not exist") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"the settings file {path} cannot be read: {error}") from error
