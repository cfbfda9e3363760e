"""Names of files at the destination: none leaves it, none is that of two files on any file system."""

from collections.abc import Iterable, Iterator
from itertools import islice

from skyfan_contract import quoted

from .. import files
from ..errors import InputError, UsageError
from ..formatting import file_name
from ..storage import uris
from . import manifest

_LONGEST = 255
"""Bytes of a name on most file systems."""
_NAMED = 5
_SUFFIXES = (".fits", ".fit", ".fts")
_PACKED = (".gz", ".fz")


def of(uri: str, *, keep_paths: bool) -> str:
    """The path of a file below the destination: its name, or with `keep_paths` bucket and key.

    Raises InputError for a URI whose name would leave the destination or be too long.
    """
    if uri.startswith("s3://"):
        path = uris.key(uri)
    else:
        path = uri.removeprefix("mast:").strip("/")
        if {"", ".", ".."} & set(path.split("/")):
            raise InputError(f"{quoted(uri)} is no URI of MAST: they are mast:HST/product/NAME")
    name = path if keep_paths else file_name(path)
    if any(len(part.encode()) > _LONGEST for part in name.split("/")):
        raise InputError(f"{uri}: its name has more than {_LONGEST} bytes, which file systems refuse")
    return name


def selected(name: str, word: str) -> str:
    """The name of a part of a file: `word` before its suffix, without that of a compressed file."""
    for packed in _PACKED:
        if name.lower().endswith(packed):
            name = name[: -len(packed)]
    for suffix in _SUFFIXES:
        if name.lower().endswith(suffix):
            return f"{name[: -len(suffix)]}_{word}{name[-len(suffix) :]}"
    return f"{name}_{word}.fits"


def check(named: Iterable[tuple[str, str]]) -> None:
    """Raises UsageError if two sources have one name, or one has that of a folder or of the manifest's.

    `named` are pairs of name and URI; one source may come twice.
    """
    own = (manifest.NAME, *manifest.SUMS.values())
    taken = {files.folded(name): (name, "the list of what was fetched") for name in own}
    folders: dict[str, tuple[str, str]] = {}
    clashes: dict[str, None] = {}
    for name, uri in named:
        key = files.folded(name)
        other = taken.setdefault(key, (name, uri))
        if other[1] == uri:
            parts = key.split("/")
            folders.update({"/".join(parts[:end]): (name, uri) for end in range(1, len(parts))})
        else:
            clashes[f"{other[1]} and {uri} would both be {name}"] = None
    for folder in folders.keys() & taken.keys():
        clashes[f"{taken[folder][1]} would be a file where {folders[folder][1]} needs a folder"] = None
    if clashes:
        raise UsageError("; ".join(_first(clashes)) + ": --keep-paths keeps bucket and key as folders")


def _first(clashes: dict[str, None]) -> Iterator[str]:
    yield from islice(clashes, _NAMED)
    if len(clashes) > _NAMED:
        yield f"and {len(clashes) - _NAMED:,} more"
