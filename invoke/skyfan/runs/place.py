"""Where runs lie, a bucket or a folder, behind one interface: obstore's S3Store or LocalStore.

    runs/<run>/run.json                     function, config, outputs, access; places of results and failures
    runs/<run>/plans/<digest>.parquet       what was to be processed; several where a run was added to
    runs/<run>/receipts/<time>-<id>.parquet what Lambda accepted
    runs/<run>/catalogs/<key>.cat.fits      results; their place is SKYFAN_OUTPUT's to say
    runs/<run>/failures/<key>.json          failure records of the local engine, and of files in a batch
    runs/<run>/cancel.json                  what was reserved before a cancel, and when it was
    runs/<run>/logs/                        the local engine's
    runs/<run>/collected/                   what skyfan collect made

Failure records of Lambda lie in a bucket of their own, aws/lambda/async/<function>/<y>/<m>/<d>/<time>-<id>.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore

from .. import s3
from ..errors import InputError


@dataclass(frozen=True)
class Object:
    """One object as a listing tells it."""

    key: str
    size: int
    modified: float
    """Unix time in seconds."""


@dataclass(frozen=True)
class Place:
    """A bucket or a folder that holds runs."""

    name: str
    """s3://bucket, or the folder's absolute path."""
    store: ObjectStore

    @classmethod
    def at(cls, name: str | Path, *, make: bool = False) -> "Place":
        """The place that a person names: s3://bucket or a folder, which is made if `make` says so."""
        text = str(name)
        if text.startswith("s3://"):
            bucket = text.removeprefix("s3://").rstrip("/")
            if not bucket or "/" in bucket:
                raise InputError(f"{text} is not s3://bucket: runs lie at the top of a bucket")
            return cls(f"s3://{bucket}", s3.store(bucket, "signed"))
        folder = Path(text).resolve()
        if not make and not folder.is_dir():
            raise InputError(f"there is no folder {text}")
        return cls(str(folder), LocalStore(folder, mkdir=make))

    @property
    def folder(self) -> Path | None:
        """The folder, None for a bucket."""
        return None if self.name.startswith("s3://") else Path(self.name)

    def list(self, prefix: str, after: str | None = None) -> Iterator[Object]:
        """All objects under a prefix that ends in /, a page at a time; a bucket's come in the order of keys.

        `after` skips keys up to and including it, in a bucket only.
        """
        try:
            for page in obstore.list(self.store, prefix, offset=after, chunk_size=1000):
                for item in page:
                    if not item["path"].endswith(".part"):
                        yield Object(item["path"], item["size"], item["last_modified"].timestamp())
        except BaseError as error:
            raise s3.told(f"{self.name}/{prefix}", error) from error

    def prefixes(self, prefix: str) -> tuple[str, ...]:
        """The folders directly under a prefix that ends in /, none with a slash at its end: one listing."""
        try:
            return tuple(sorted(obstore.list_with_delimiter(self.store, prefix)["common_prefixes"]))
        except (FileNotFoundError, NotFoundError):
            return ()
        except BaseError as error:
            raise s3.told(f"{self.name}/{prefix}", error) from error

    def modified(self, key: str) -> float:
        """When an object was written, Unix time in seconds; 0 where there is none."""
        try:
            return float(obstore.head(self.store, key)["last_modified"].timestamp())
        except (FileNotFoundError, NotFoundError):
            return 0.0
        except BaseError as error:
            raise s3.told(f"{self.name}/{key}", error) from error

    def get(self, key: str) -> bytes | None:
        """All bytes of one object, None where there is none."""
        try:
            return bytes(obstore.get(self.store, key).bytes())
        except (FileNotFoundError, NotFoundError):
            return None
        except BaseError as error:
            raise s3.told(f"{self.name}/{key}", error) from error

    def part(self, key: str, start: int, end: int) -> bytes:
        """Bytes of one object from `start` up to and without `end`. Raises InputError where it is gone."""
        try:
            return bytes(obstore.get_range(self.store, key, start=start, end=end))
        except FileNotFoundError as error:
            raise InputError(f"{self.name}/{key} does not exist") from error
        except BaseError as error:
            raise s3.told(f"{self.name}/{key}", error) from error

    def put(self, key: str, body: bytes) -> None:
        """Writes one object whole or not at all, over what was there."""
        try:
            obstore.put(self.store, key, body)
        except BaseError as error:
            raise s3.told(f"{self.name}/{key}", error) from error

    def uri(self, key: str) -> str:
        """The object's URI, for people and for readers."""
        return f"{self.name}/{key}" if self.folder is None else (self.folder / key).as_uri()
