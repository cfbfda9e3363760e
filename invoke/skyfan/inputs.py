"""Expands the PATHS of a command to URIs: files, folders, patterns, S3 objects and prefixes, lists."""

import codecs
import fnmatch
import glob
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from skyfan_contract import quoted

from .errors import InputError, UsageError
from .storage import listing, uris

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_COLUMN_NAMES = ("colnames", "column_names", "columns")
"""Where tables of astropy, Arrow and pandas have the names of their columns."""
_UNKNOWN = ("None", "nan", "<NA>", "--")
"""What they have for an unknown value, as text."""
SUFFIXES = (".fits", ".fit", ".fits.gz", ".fit.gz", ".fits.fz", ".fz")


class Columns(Protocol):
    """A table of astropy, pandas or Arrow."""

    def __getitem__(self, name: str, /) -> Any: ...

    def __len__(self) -> int: ...


Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | Columns
"""One path or several, as expand() takes them, or a table with a column `uri`."""


def as_paths(paths: Paths) -> list[str]:
    """The paths as text. Of a table the column `uri`, without the rows that a plan has dropped.

    A Path is the file of this name, never a list or a pattern. Raises UsageError for other values, for empty
    text, and for a row without a URI that is not dropped.
    """
    if isinstance(paths, str | os.PathLike):
        return [_as_path(paths)]
    for name in _COLUMN_NAMES:
        if (names := getattr(paths, name, None)) is not None:
            return _of_table(cast("Columns", paths), list(names))
    try:
        if isinstance(paths, bytes | bytearray | Mapping):
            raise TypeError
        each = iter(cast("Iterable[Any]", paths))
    except TypeError:  # of an array without dimensions, too
        raise UsageError(f"{quoted(paths)} is no path, list of paths, plan or table") from None
    return [_as_path(path) for path in each]


def _as_path(path: Any) -> str:
    path = _plain(path)
    if isinstance(path, str) and path:
        return str(path)  # numpy's strings, too
    if isinstance(path, os.PathLike):
        return str(Path(path).absolute())
    raise UsageError(f"{quoted(path)} is no path: give text or a Path")


def _of_table(table: Columns, names: list[str]) -> list[str]:
    if names.count("uri") != 1:
        raise UsageError(f"the table must have one column uri, and has {', '.join(map(str, names))}")
    dropped = table["dropped"] if "dropped" in names else [None] * len(table)
    found = []
    for row, (uri, reason) in enumerate(zip(table["uri"], dropped, strict=True), start=1):
        try:
            if not _is_dropped(_plain(reason)):
                found.append(_as_path(uri))
        except UsageError as error:
            raise UsageError(f"row {row} of the table: {error}") from None
    return found


def _is_dropped(reason: Any) -> bool:
    word = str(reason)
    if isinstance(reason, str) or word in ("True", "False"):
        return word not in ("", "False")
    if word in _UNKNOWN:
        return False
    raise UsageError(f"dropped is {quoted(reason)}, and must be a reason, true or false")


def _plain(value: Any) -> Any:
    """A cell or element without the wrapping of Arrow."""
    return value.as_py() if hasattr(value, "as_py") else value


def expand(paths: Iterable[str], *, access: str = "anonymous", checked: bool = True) -> list[str]:
    """URIs of all inputs that `paths` name, in order and without duplicates.

    Folders of runs are not searched, because catalogs are FITS files too.
    Raises InputError for a path without any input, and if `checked` for an object that no client can read or
    whose key cannot be part of a result's, or is that of another input. A list may name missing files: each
    of them then fails alone when it is processed.
    """
    found: dict[str, None] = {}
    keys: dict[str, str] = {}
    for path in paths:
        is_list = path == "-" or path.startswith("@")
        is_empty = True
        for uri in _listed(path, access) if is_list else _expanded(path, access):
            if checked:
                _check(uri, keys)
            is_empty = False
            found[uri] = None
        if is_empty:
            raise InputError(_no_input(path))
    return list(found)


def _check(uri: str, keys: dict[str, str]) -> None:
    """Raises an error now rather than when the result is written. `keys` are those of the inputs before."""
    try:
        if (other := keys.setdefault(uris.key(uri), uri)) != uri:
            raise InputError(same_key(uri, other))
    except InputError as error:
        raise InputError(f"{error}; `skyfan plan` leaves it out and plans all others") from error


def same_key(uri: str, other: str) -> str:
    """Why two inputs cannot be in one run: a bucket may have the name of a folder."""
    return f"{uri}: its result would have the name of that of {other}"


def is_image(name: str) -> bool:
    """Whether a file in a folder or under a prefix is an input, by its suffix in upper or lower case."""
    return name.lower().endswith(SUFFIXES)


def _listed(path: str, access: str) -> Iterator[str]:
    if path == "-":
        yield from _lines(sys.stdin, access)
        return
    try:
        content = Path(path[1:]).read_bytes()
        # Editors and shells on Windows write byte order marks.
        text = content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"the list {path[1:]} does not exist") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the list {path[1:]} is no text in utf-8, or in utf-16 with a mark") from error
    except OSError as error:
        raise InputError(f"the list {path[1:]} cannot be read: {error}") from error
    yield from _lines(io.StringIO(text), access)


def _lines(lines: Iterable[str], access: str) -> Iterator[str]:
    for line in lines:
        name = line.removeprefix("\ufeff").strip()
        if not name or name.startswith("#"):
            continue
        is_missing = True
        for uri in _expanded(name, access):
            is_missing = False
            yield uri
        if is_missing and name.startswith("s3://"):  # a prefix or a pattern: there is no file to fail alone
            raise InputError(_no_input(name))
        if is_missing:
            yield uris.from_path(name)


def _expanded(path: str, access: str) -> Iterator[str]:
    """URIs of the inputs that one path names; none if it is missing."""
    if path.startswith("s3://"):
        if path.endswith("/") or "/" not in path.removeprefix("s3://"):
            yield from (uri for uri in listing.listing(path, access) if is_image(uri))
        elif glob.has_magic(path):
            yield from _matching(path, access)
        else:
            yield path
    elif path.startswith("file://"):
        if (local := uris.local_path(path)) is None or not local.is_absolute():
            raise InputError(f"{path} is not file:///absolute/path")
        yield from _local(local)
    elif path.startswith("mast:"):
        yield path
    elif "://" in path:
        raise InputError(f"{path} cannot be read: inputs are s3:// and file:// URIs and local paths")
    elif Path(path).exists():  # before patterns: a file name may contain [, ] or *
        yield from _local(Path(path))
    elif glob.has_magic(path):
        for match in sorted(glob.glob(path, recursive=True)):  # noqa: PTH207  (Path.glob takes no absolute pattern)
            # `**` matches each folder and each file in it: skip the folders.
            if not ("**" in path and Path(match).is_dir()):
                yield from _local(Path(match))


def _matching(pattern: str, access: str) -> list[str]:
    """URIs of the objects that a pattern matches: * stands for folders, too, as a prefix holds all below it.

    An object whose key is the pattern itself is the one that is meant.
    """
    literal = re.split(r"[*?[]", pattern, maxsplit=1)[0].rpartition("/")[0] + "/"
    if literal == "s3://":
        raise InputError(f"{pattern}: the name of a bucket cannot be a pattern")
    matches = re.compile(fnmatch.translate(pattern)).match
    found = [uri for uri in listing.listing(literal, access) if uri == pattern or matches(uri)]
    return [pattern] if pattern in found else found


def _local(path: Path) -> Iterator[str]:
    if not path.is_dir():
        if path.exists():
            yield uris.from_path(path)
        return
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = sorted(name for name in subfolders if not _holds_runs(Path(folder, name)))
        yield from (uris.from_path(Path(folder, name)) for name in sorted(names) if is_image(name))


def _holds_runs(folder: Path) -> bool:
    return folder.name == "runs" and any(folder.glob("*/run.json"))


def _no_input(path: str) -> str:
    if path == "-":
        return "the list on standard input is empty"
    if path.startswith("@"):
        return f"the list {path[1:]} is empty"
    if path.startswith("s3://"):
        return f"no object matches {path}" if glob.has_magic(path) else f"no FITS file under {path}"
    if Path(path).is_dir():
        return f"no FITS file in {path}: their names end in {', '.join(SUFFIXES)}"
    if glob.has_magic(path):
        return f"no file matches {path}"
    return f"{path} does not exist"
