"""The place of runs, a bucket or a folder, behind one interface: obstore's S3Store or LocalStore.

    runs/<run>/run.json                     function, config, outputs, access; places of results and failures
    runs/<run>/plans/<digest>.parquet       the files to process; several plans if the run was extended
    runs/<run>/receipts/<time>-<id>.parquet invocations that Lambda accepted
    runs/<run>/{plans,receipts}/<version>.* the same of single files, if the run is that of a watch
    runs/<run>/lease.json                   who sends the files to Lambda
    runs/<run>/catalogs/<key>.cat.fits      results, where SKYFAN_OUTPUT says so (see storage/uris.py)
    runs/<run>/failures/<key>.json          failure records of the local engine, and of files in a batch
    runs/<run>/doubtful/<doubts>/<key>      marks of doubtful results, empty objects (see runs/doubts.py)
    runs/<run>/cancel.json                  the cancels of the run, with their times (see runs/cancels.py)
    runs/<run>/logs/                        logs of the local engine
    runs/<run>/collected/                   the data set made by skyfan collect
    watches/<name>/                         a standing query, whose run has its name (see skyfan_watch)

Lambda's own failure records are in a separate bucket: aws/lambda/async/<function>/<y>/<m>/<d>/<time>-<id>.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, NotFoundError, PreconditionError
from obstore.store import LocalStore, ObjectStore

from skyfan_contract import is_digest
from skyfan_watch.definition import PLANNED, SENT

from .. import files
from ..concurrency import require_threads
from ..errors import InputError
from . import listing, s3
from .listing import Listing, Object
from .s3 import ERRORS, storage_error

T = TypeVar("T")
CONCURRENT_GETS = 32
"""Enough to hide the latency of S3, few enough for a laptop's sockets."""
READ_AHEAD = 64 << 20
"""Maximum bytes that `Place.fetch` holds; a larger object is fetched alone."""


@dataclass(frozen=True)
class Place:
    """A bucket or a folder that holds runs. Methods raise InputError for errors of the storage."""

    name: str
    """s3://bucket, or the folder's absolute path."""
    store: ObjectStore

    @classmethod
    def at(cls, name: str | Path, *, make: bool = False) -> Self:
        """The place with this name: s3://bucket or a folder, which `make` creates if it is missing."""
        require_threads()
        text = str(name)
        if text.startswith("s3://"):
            bucket = text.removeprefix("s3://").rstrip("/")
            if not bucket or "/" in bucket:
                raise InputError(f"{text} is not s3://bucket: runs are at the top level of a bucket")
            return cls(f"s3://{bucket}", s3.client(bucket, "signed"))
        folder = files.resolved(text)
        if not folder.is_dir() and (folder.exists() or not make):
            reason = "is a file, not a folder" if folder.exists() else "does not exist"
            raise InputError(f"the folder {text} {reason}")
        return cls(str(folder), LocalStore(folder, mkdir=make))

    @property
    def folder(self) -> Path | None:
        """The folder; None for a bucket."""
        return None if self.name.startswith("s3://") else Path(self.name)

    def list(self, prefix: str, after: str | None = None) -> Iterator[Object]:
        """All objects under a prefix that ends with a slash, a page at a time.

        A bucket lists in the order of keys, without those up to and including `after`; a folder does neither.
        """
        if self.folder:
            for _, files in Listing(self.folder, prefix).changes():
                yield from files
            return
        found = listing.paths(self.store, self.name.removeprefix("s3://"), prefix, after)
        yield from (item for item in found if not item.key.endswith(".part"))

    def tables(self, prefix: str) -> tuple[Object, ...]:
        """The tables directly under a prefix that ends with a slash: nobody but skyfan writes there.

        They are Parquet files, and rows that a watch has added. The permission of a function to write
        runs/*/failures/* reaches deeper into any folder of a run.
        """
        own = re.compile(re.escape(prefix) + rf"[^/]+(\.parquet|{PLANNED}|{SENT})")
        return tuple(item for item in self.list(prefix) if own.fullmatch(item.key))

    def watch(self, prefix: str) -> Callable[[], Iterator[tuple[int, Iterable[Object]]]]:
        """A function that lists the objects under a prefix in numbered groups: at first all, later those in
        which objects may have come or gone since its last call that came to its end. A bucket is one group.
        """
        if self.folder:
            return Listing(self.folder, prefix).changes
        return lambda: iter([(0, self.list(prefix))])

    def prefixes(self, prefix: str) -> tuple[str, ...]:
        """The folders directly under a prefix that ends with a slash, without a slash at their end."""
        if not self.folder:
            return tuple(listing.folders(self.name.removeprefix("s3://"), prefix))
        try:
            return tuple(sorted(obstore.list_with_delimiter(self.store, prefix)["common_prefixes"]))
        except (FileNotFoundError, NotFoundError):
            return ()
        except ERRORS as error:
            raise storage_error(f"{self.name}/{prefix}", error) from error

    def modified(self, key: str) -> float:
        """Unix time in seconds at which an object was written; 0 if it does not exist."""
        if self.folder:
            return self._of_file(key, lambda path: path.stat().st_mtime_ns // 1000 / 1_000_000) or 0.0
        try:
            return float(obstore.head(self.store, key)["last_modified"].timestamp())
        except (FileNotFoundError, NotFoundError) as error:
            self._require_bucket(error)
            return 0.0
        except ERRORS as error:
            raise storage_error(f"{self.name}/{key}", error) from error

    def get(self, key: str) -> bytes | None:
        """All bytes of one object; None if it does not exist."""
        if self.folder:
            return self._of_file(key, Path.read_bytes)
        try:
            return bytes(obstore.get(self.store, key).bytes())
        except (FileNotFoundError, NotFoundError) as error:
            self._require_bucket(error)
            return None
        except ERRORS as error:
            raise storage_error(f"{self.name}/{key}", error) from error

    def _of_file(self, key: str, read: Callable[[Path], T]) -> T | None:
        """What `read` makes of an object of a folder; None if it does not exist.

        Not by obstore: it refuses control characters, which names of files may have, and so of their results.
        """
        try:
            return read(Path(self.name, key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise InputError(f"{self.name}/{key}: {error.strerror or error}") from error

    def get_range(self, key: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (exclusive) of one object, which must exist."""
        if self.folder:
            if (body := self._of_file(key, lambda path: _slice(path, start, end))) is None:
                raise InputError(f"{self.name}/{key} does not exist")
            return body
        try:
            return bytes(obstore.get_range(self.store, key, start=start, end=end))
        except ERRORS as error:
            raise storage_error(f"{self.name}/{key}", error) from error

    def fetch(self, objects: Iterable[Object], head: int | None = None) -> Iterator[tuple[Object, bytes]]:
        """Each object with its bytes, or with at most `head` of the first, in the order of `objects`, several
        at once.

        Skips objects that were deleted since they were listed.
        """
        get = self.get if head is None else partial(self._head, count=head)
        waiting: deque[tuple[Object, Future[bytes | None]]] = deque()
        held = 0
        with ThreadPoolExecutor(CONCURRENT_GETS, "skyfan-get") as threads:
            try:
                for item in objects:
                    size = item.size if head is None else 0
                    while waiting and (len(waiting) >= CONCURRENT_GETS or held + size > READ_AHEAD):
                        first, future = waiting.popleft()
                        held -= first.size if head is None else 0
                        if (body := future.result()) is not None:
                            yield first, body
                    waiting.append((item, threads.submit(get, item.key)))
                    held += size
                for first, future in waiting:
                    if (body := future.result()) is not None:
                        yield first, body
            finally:
                threads.shutdown(cancel_futures=True)

    def _head(self, key: str, count: int) -> bytes | None:
        """The first bytes of one object that is not empty; None if it does not exist."""
        if self.folder:
            return self._of_file(key, lambda path: _slice(path, 0, count))
        try:
            return bytes(obstore.get(self.store, key, options={"range": (0, count)}).bytes())
        except (FileNotFoundError, NotFoundError) as error:
            self._require_bucket(error)
            return None
        except ERRORS as error:
            raise storage_error(f"{self.name}/{key}", error) from error

    def put(self, key: str, body: bytes) -> None:
        """Writes or replaces one object in one step."""
        if self.folder:
            self._of_file(key, lambda path: _write(path, body))
            return
        try:
            etag = obstore.put(self.store, key, body)["e_tag"]
        except ERRORS as error:
            raise storage_error(f"{self.name}/{key}", error) from error
        self._compare(key, body, etag)

    def _compare(self, key: str, body: bytes, etag: str | None) -> None:
        """Raises InputError if what is stored is not what was sent; reads it where the ETag cannot tell."""
        if self.folder is None and not is_digest(etag, body) and self.get(key) != body:
            raise InputError(f"{self.name}/{key}: what is stored is not what was sent; try again")

    def get_tagged(self, key: str) -> tuple[bytes, str] | None:
        """All bytes of one object and its ETag, for put_if(); None if it does not exist."""
        try:
            found = obstore.get(self.store, key)
            return bytes(found.bytes()), found.meta["e_tag"] or ""
        except (FileNotFoundError, NotFoundError) as error:
            self._require_bucket(error)
            return None
        except ERRORS as error:
            raise storage_error(f"{self.name}/{key}", error) from error

    def put_if(self, key: str, body: bytes, etag: str | None) -> str | None:
        """Writes one object only if it still has this ETag; with None, only if it does not exist.

        Returns the new ETag, or None if another writer was first. After a response that was lost, a retry may
        find this call's own object: read it again before you conclude that the writer was another.
        """
        mode: Any = "create" if etag is None else {"e_tag": etag}
        if etag is not None and isinstance(self.store, LocalStore):
            # A folder cannot compare and write in one step.
            found, mode = self.get_tagged(key), "overwrite"
            if found is None or found[1] != etag:
                return None
        try:
            etag = obstore.put(self.store, key, body, mode=mode, use_multipart=False)["e_tag"] or ""
        except (AlreadyExistsError, PreconditionError):
            return None
        except ERRORS as error:
            if self.folder and etag is None:
                return self._create(key, body)
            raise storage_error(f"{self.name}/{key}", error) from error
        self._compare(key, body, etag)
        return etag

    def _create(self, key: str, body: bytes) -> str | None:
        """Creates a file where obstore could not: it needs hard links, which exFAT does not have."""
        try:
            with Path(self.name, key).open("xb") as file:
                file.write(body)
        except FileExistsError:
            return None
        except OSError as error:
            raise InputError(f"{self.name}/{key}: cannot be written: {error.strerror}") from error
        return (self.get_tagged(key) or (b"", ""))[1]

    def _require_bucket(self, error: Exception) -> None:
        """Raises InputError if what does not exist is the bucket itself."""
        if "NoSuchBucket" in str(error):
            raise storage_error(self.name, error) from error

    def uri(self, key: str) -> str:
        """The object's URI: s3:// or file://."""
        return f"{self.name}/{key}" if self.folder is None else (self.folder / key).as_uri()


def _slice(path: Path, start: int, end: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(end - start)


def _write(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replace(path) as part:
        part.write_bytes(body)
