"""URIs of inputs, and the keys of results, which mirror them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, unquote

from skyfan_contract import key_of

from ..errors import InputError

if TYPE_CHECKING:
    from .listing import Object
    from .place import Place


def from_path(path: str | os.PathLike[str]) -> str:
    """The file:// URI of a local path. Makes it absolute without following links, so that names stay."""
    return Path(os.path.abspath(path)).as_uri()  # noqa: PTH100  (Path.absolute() leaves ".." in)


def local_path(uri: str) -> Path | None:
    """The local path of a file:// URI; None for any other URI."""
    # urlsplit would cut at '#' and '?', which may be part of a file name.
    # A name may be any bytes, which Python's paths hold as surrogates.
    path = unquote(uri.removeprefix("file://"), errors="surrogateescape")
    return Path(path) if uri.startswith("file://") else None


def key(uri: str) -> str:
    """The key of an input: bucket/key of s3://, the absolute path without its leading slash of file:///.

    Raises InputError for any other URI, and for keys that would not stay inside the folder of the run.
    """
    try:
        return key_of(uri)
    except ValueError as error:
        raise InputError(str(error)) from error


@dataclass(frozen=True)
class Results:
    """The object keys of one run's results: `head`, the key of the input (see key()), `tail`."""

    head: str
    tail: str

    @classmethod
    def of(cls, template: str, run: str) -> Self:
        """The results of a run. `template` is SKYFAN_OUTPUT without its bucket, as in run.json."""
        head, tail = template.replace("{run}", run).split("{key}", 1)
        return cls(head, tail)

    @property
    def prefix(self) -> str:
        """The prefix to list for all results; ends with a slash."""
        return self.head[: self.head.rfind("/") + 1]

    def object_key(self, key: str) -> str:
        """The object key of the result of the input with this key."""
        return f"{self.head}{key}{self.tail}"

    def key(self, object_key: str) -> str | None:
        """The key of the input whose result this object is; None for any other object."""
        if len(object_key) <= len(self.head) + len(self.tail):
            return None
        if not (object_key.startswith(self.head) and object_key.endswith(self.tail)):
            return None
        return object_key[len(self.head) : len(object_key) - len(self.tail)]

    def key_of(self, item: "Object") -> str | None:
        """As key(), and None for an empty result, which a crash of the system may leave: it is missing."""
        return self.key(item.key) if item.size else None

    def list(self, place: "Place") -> Iterator[tuple[str, "Object"]]:
        """Key of the input and object of each result, in the order of `Place.list`."""
        for item in place.list(self.prefix):
            if (key := self.key_of(item)) is not None:
                yield key, item


def below_bucket(template: str) -> str:
    """SKYFAN_OUTPUT without s3://bucket/, which is how run.json holds it."""
    return template.removeprefix("s3://").partition("/")[2]


def localise(template: str, folder: Path) -> str:
    """SKYFAN_OUTPUT with the folder instead of the bucket, for a function that runs on this machine.

    It is a URI, so the folder is percent-encoded; the function encodes the {key} that it fills in.
    """
    return f"file://{quote(os.fsencode(folder))}/{below_bucket(template)}"
