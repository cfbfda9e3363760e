"""URIs of inputs and results: the output key mirrors the input key."""

import os
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from .errors import InputError


def from_path(path: str | os.PathLike[str]) -> str:
    """The file:// URI of a local path, made absolute; links are kept: the key is the path that was given."""
    return Path(os.path.abspath(path)).as_uri()  # noqa: PTH100  (Path.absolute() leaves ".." in)


def local_path(uri: str) -> Path | None:
    """The local path of a file:// URI, None for any other."""
    return Path(unquote(urlsplit(uri).path)) if uri.startswith("file://") else None


def key(uri: str) -> str:
    """The {key} of a result: bucket/key for s3://, the absolute path without its leading slash for file://.

    Raises InputError for what is neither, and for keys that would leave the run's folder.
    """
    if uri.startswith("s3://"):
        name = uri.removeprefix("s3://")
        bucket, _, rest = name.partition("/")
        if not bucket or not rest:
            raise InputError(f"{uri} is not s3://bucket/key")
    elif uri.startswith("file:///"):
        name = unquote(urlsplit(uri).path).lstrip("/")
    else:
        raise InputError(f"{uri} is neither s3://bucket/key nor file:///absolute/path")
    if {"", ".", ".."} & set(name.split("/")):
        raise InputError(f"{uri} has an empty, '.' or '..' part, which no output key can mirror")
    return name


def localise(template: str, output: Path) -> str:
    """SKYFAN_OUTPUT with `file://<output>` in the place of `s3://<anything up to the next slash>`.

    A URI, so the folder is percent-encoded, and a function encodes the {key} that it fills in.
    """
    return f"file://{quote(str(output))}/{_below(template)}"


def result_path(template: str, output: Path, run: str, key: str) -> Path:
    """The local file that the localised SKYFAN_OUTPUT stands for when {run} and {key} are filled in."""
    return output / _below(template).replace("{run}", run).replace("{key}", key)


def _below(template: str) -> str:
    return template.removeprefix("s3://").partition("/")[2]
