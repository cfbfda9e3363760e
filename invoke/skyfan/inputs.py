"""What a person types after `skyfan run`, as URIs: files, folders, globs, S3 objects and prefixes, lists."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from . import s3, uris
from .errors import InputError

SUFFIXES = (".fits", ".fit", ".fits.gz", ".fit.gz", ".fits.fz", ".fz")


def expand(paths: Iterable[str], *, access: str = "anonymous", skip: Path | None = None) -> list[str]:
    """URIs of all inputs that `paths` name, in order, each once.

    `skip` is a folder that no search goes into: the one of the runs, whose catalogs are FITS files too.
    Raises InputError for a path that names nothing; a line of a list may name a missing file, which then
    fails alone when its turn comes.
    """
    skipped = Path(os.path.realpath(skip)) if skip else None
    found: dict[str, None] = {}
    for path in paths:
        listed = path == "-" or path.startswith("@")
        anything = False
        for uri in _listed(path, access, skipped) if listed else _one(path, access, skipped):
            uris.key(uri)  # refuse what cannot be mirrored before anything runs
            anything = True
            found[uri] = None
        if not anything:
            raise InputError(_nothing(path))
    return list(found)


def is_image(name: str) -> bool:
    """Whether a file found in a folder or under a prefix is taken: by its suffix, in any case."""
    return name.lower().endswith(SUFFIXES)


def _listed(path: str, access: str, skipped: Path | None) -> Iterator[str]:
    if path == "-":
        yield from _lines(sys.stdin, access, skipped)
        return
    try:
        with Path(path[1:]).open(encoding="utf-8") as lines:
            yield from _lines(lines, access, skipped)
    except FileNotFoundError as error:
        raise InputError(f"the list {path[1:]} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the list {path[1:]} cannot be read: {error}") from error


def _lines(lines: Iterable[str], access: str, skipped: Path | None) -> Iterator[str]:
    for line in lines:
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        matched = False
        for uri in _one(name, access, skipped):
            matched = True
            yield uri
        if not matched and not name.startswith("s3://"):
            yield uris.from_path(name)


def _one(path: str, access: str, skipped: Path | None) -> Iterator[str]:
    if path.startswith("s3://"):
        if path.endswith("/") or "/" not in path.removeprefix("s3://"):
            yield from (uri for uri in s3.listing(path, access) if is_image(uri))
        else:
            yield path
    elif path.startswith("file://"):
        if (local := uris.local_path(path)) is None or not local.is_absolute():
            raise InputError(f"{path} is not file:///absolute/path")
        yield from _local(local, skipped)
    elif "://" in path:
        raise InputError(f"{path}: only s3:// and file:// URIs and local paths can be read")
    elif Path(path).exists():  # first: a name may hold the letters of a pattern
        yield from _local(Path(path), skipped)
    elif glob.has_magic(path):
        for match in sorted(glob.glob(path, recursive=True)):  # noqa: PTH207  (Path.glob takes no absolute pattern)
            # `**` names each folder and each file in it: take the files alone.
            if not ("**" in path and Path(match).is_dir()):
                yield from _local(Path(match), skipped)


def _local(path: Path, skipped: Path | None) -> Iterator[str]:
    if not path.is_dir():
        if path.exists():
            yield uris.from_path(path)
        return
    for folder, inside, names in os.walk(path):
        inside[:] = sorted(name for name in inside if Path(os.path.realpath(Path(folder, name))) != skipped)
        yield from (uris.from_path(Path(folder, name)) for name in sorted(names) if is_image(name))


def _nothing(path: str) -> str:
    if path == "-":
        return "the list on standard input is empty"
    if path.startswith("@"):
        return f"the list {path[1:]} is empty"
    if path.startswith("s3://"):
        return f"no FITS file under {path}"
    if Path(path).is_dir():
        return f"no FITS file in {path} (looked for {', '.join(SUFFIXES)})"
    if glob.has_magic(path):
        return f"nothing matches {path}"
    return f"{path} does not exist"
