"""What lies below a folder or in a bucket.

A folder is listed folder by folder; one that has not changed is listed only once.

A bucket is listed page by page, and each page is checked: a listing cannot say what it leaves out.
obstore lists, ten times as fast as boto3. It takes any page of XML for a listing, refuses pages with a key
that it cannot read, and follows a token for ever. So boto3, which shows what the server said, lists the rest
from such a key on, and confirms an end that something else could have made: one after full pages, or none.
"""

import os
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import obstore
from obstore.store import ObjectStore, S3Store

from skyfan_contract import quoted

from .. import concurrency, extras
from ..errors import InputError
from . import s3

_SETTLED_NS = 2_000_000_000
"""No file system has coarser times: a folder that changed before may change again without a sign of it."""
_STAGED = re.compile(r"#\d+\Z")
"""What obstore adds to the name of a file that it is writing."""

KEYS_PER_PAGE = 1000
"""Maximum of S3. A listing that ends with a shorter page has come to its end."""
_PATIENCE_S = 120.0
"""For a page with all retries."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NAMED = 3
_REPEATS = "the server lists the same objects again and again, without an end"


class Object(NamedTuple):
    """One object of a listing."""

    key: str
    size: int
    modified: float
    """Unix time in seconds."""
    etag: str = ""
    """Differs between versions of an object, also if size and time do not."""


class Listing:
    """The files below a folder, listed again and again."""

    def __init__(self, root: Path, prefix: str) -> None:
        """`prefix` is the path of the folder below `root` and ends with a slash; it need not exist."""
        self._root = f"{root}/"
        self._paths = [prefix]
        self._numbers = {prefix: 0}
        self._stamps = [0]
        """What stat() says of each folder when all of it was listed; 0 if it must be listed again."""

    def changes(self) -> Iterator[tuple[int, list[Object]]]:
        """The number of each folder that may have changed since the last call that came to its end, at first
        of all folders, with the files that are directly in it now: none if it was removed.

        The time of a folder changes with its entries, so what is not yielded has the same files as before,
        although one may have been overwritten in place. Follows links. Raises InputError for a folder that
        cannot be read.
        """
        settled = time.time_ns() - _SETTLED_NS
        listed: dict[int, int] = {}
        for number, path in enumerate(self._paths):  # which grows while folders are found
            try:
                changed, stamp = self._stamp(path)
                if stamp and stamp == self._stamps[number]:
                    continue
                files, is_plain = self._files(path)
            except (FileNotFoundError, NotADirectoryError):
                files, is_plain, changed, stamp = [], False, 0, 0
            except (OSError, UnicodeEncodeError) as error:
                reason = getattr(error, "strerror", None) or "a name in it is not UTF-8"
                raise InputError(f"the folder {self._root}{path} cannot be listed: {reason}") from error
            listed[number] = stamp if is_plain and changed < settled else 0
            yield number, files
        for number, stamp in listed.items():
            self._stamps[number] = stamp

    def _stamp(self, path: str) -> tuple[int, int]:
        """When a folder changed, in ns, and a number that says which folder it is and when it changed."""
        found = os.stat(self._root + path)  # noqa: PTH116  (Path takes twice the time)
        if os.name != "posix":  # elsewhere it is the time of creation
            return found.st_ctime_ns, 0
        return found.st_ctime_ns, (found.st_ctime_ns << 64 | found.st_ino) << 64 | found.st_dev

    def _files(self, path: str) -> tuple[list[Object], bool]:
        """The files in a folder, and whether none of them is a link, behind which a file may come and go."""
        files, is_plain = [], True
        with os.scandir(self._root + path) as entries:
            for entry in entries:
                key = path + entry.name
                if is_link := entry.is_symlink():
                    self._refuse_loop(entry.path, path)
                if entry.is_dir():
                    self._add(key + "/")
                    continue
                is_plain = is_plain and not is_link
                if entry.is_file() and not key.endswith(".part") and not _STAGED.search(key):
                    key.encode()
                    with suppress(FileNotFoundError):  # removed since
                        files.append(_object(key, entry.stat()))
        return files, is_plain

    def _add(self, path: str) -> None:
        if path not in self._numbers:
            self._numbers[path] = len(self._paths)
            self._paths.append(path)
            self._stamps.append(0)

    def _refuse_loop(self, link: str, path: str) -> None:
        target, folder = os.path.realpath(link), Path(self._root, path)
        if any(os.path.realpath(above) == target for above in (folder, *folder.parents)):
            raise InputError(f"{link} is a link to a folder above it")


def _object(key: str, found: os.stat_result) -> Object:
    """As obstore describes the file."""
    moment = found.st_mtime_ns // 1000
    etag = f'"{found.st_ino:x}-{moment:x}-{found.st_size:x}"'
    return Object(key, found.st_size, moment / 1_000_000, etag)


def objects(
    store: ObjectStore, bucket: str, prefix: str, access: str, after: str | None = None
) -> Iterator[Object]:
    """All objects under a prefix, in the order of their keys, without those up to and including `after`.

    Raises InputError, also if pages repeat or are no listing.
    """
    uri, count, last = f"s3://{bucket}/{prefix}", 0, after or ""
    pages = iter(obstore.list(store, prefix or None, offset=after, chunk_size=KEYS_PER_PAGE))
    page: Any = ()
    previous: set[str] = set()
    try:
        while page := concurrency.within(_PATIENCE_S, lambda: next(pages, ())):
            keys = {item["path"] for item in page}
            if len(keys) < len(page) or keys & previous:
                raise InputError(f"{uri}: {_REPEATS}")
            previous, last, count = keys, page[-1]["path"], count + len(page)
            for item in page:
                modified = item["last_modified"].timestamp()
                yield Object(item["path"], item["size"], modified, item["e_tag"] or "")
    except TimeoutError as error:
        raise _late(uri) from error
    except s3.ERRORS as error:
        if not s3.is_bad_key(error) or not find_spec("boto3"):
            raise s3.storage_error(uri, error, access) from error
    else:
        if count % KEYS_PER_PAGE or not isinstance(store, S3Store) or not find_spec("boto3"):
            return
    for page in _pages(bucket, access, Prefix=prefix, StartAfter=last):
        for item in page.get("Contents", ()):
            if item["Key"].rstrip("/") not in previous:
                yield Object(item["Key"], item["Size"], item["LastModified"].timestamp(), item["ETag"])


def listing(uri: str, access: str = "anonymous") -> Iterator[str]:
    """URIs of all objects under s3://bucket/prefix/, in the order of their keys, unreadable ones included."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    found = objects(s3.client(bucket, access), bucket, prefix, access)
    for item in _filtered(found, uri, lambda key: key.startswith(prefix)):
        yield f"s3://{bucket}/{item.key}"


def paths(store: ObjectStore, bucket: str, prefix: str, after: str | None = None) -> Iterator[Object]:
    """The objects() of a bucket of runs whose keys are paths; warns of others. Skips what marks a folder."""
    found = (
        item
        for item in objects(store, bucket, prefix, "signed", after)
        if not item.key.endswith("/") and item.key != prefix.rstrip("/")
    )
    return _filtered(found, f"s3://{bucket}/{prefix}", partial(_is_path, prefix))


def _filtered(found: Iterator[Object], uri: str, is_taken: Callable[[str], bool]) -> Iterator[Object]:
    skipped = []
    for item in found:
        if is_taken(item.key):
            yield item
        else:
            skipped.append(item.key)
    if skipped:
        named = ", ".join(map(quoted, skipped[:_NAMED])) + (", …" if len(skipped) > _NAMED else "")
        number = f"{len(skipped)} keys" if len(skipped) > 1 else "a key"
        warnings.warn(f"{uri}: skipped {number} that cannot be an object there: {named}", stacklevel=2)


def _is_path(prefix: str, key: str) -> bool:
    """Whether a key is a path below the prefix, without empty, '.' and '..' parts and control characters."""
    return key.startswith(prefix) and not ({"", ".", ".."} & set(key.split("/")) or _CONTROL.search(key))


def folders(bucket: str, prefix: str) -> list[str]:
    """The folders directly under a prefix that ends with a slash, without a slash at their end."""
    pages = _pages(bucket, "signed", Prefix=prefix, Delimiter="/")
    found = (
        Object(item["Prefix"].removesuffix("/"), 0, 0.0)
        for page in pages
        for item in page.get("CommonPrefixes", ())
    )
    taken = _filtered(found, f"s3://{bucket}/{prefix}", partial(_is_path, prefix))
    return sorted({item.key for item in taken})


def _pages(bucket: str, access: str, **options: str) -> Iterator[dict[str, Any]]:
    """Pages of a listing by boto3. Raises UsageError, InputError for an answer that is no listing."""
    with extras.needed("aws"):
        from botocore.exceptions import PaginationError
    from .. import session

    uri = f"s3://{bucket}/{options['Prefix']}"
    variables = tuple((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))
    payer = {"RequestPayer": "requester"} if access == "requester-pays" else {}
    with session.aws_errors(uri):
        client = _client(s3.REGIONS.get(bucket), access == "anonymous", variables)
        try:
            pages = iter(client.get_paginator("list_objects_v2").paginate(Bucket=bucket, **options, **payer))
            while (page := concurrency.within(_PATIENCE_S, lambda: next(pages, None))) is not None:
                if "Name" not in page:
                    raise InputError(f"{uri}: {s3.NO_LISTING}")
                yield page
        except PaginationError as error:
            raise InputError(f"{uri}: {_REPEATS}") from error
        except TimeoutError as error:
            raise _late(uri) from error


def _late(uri: str) -> InputError:
    return InputError(f"{uri}: the server did not list a page within {_PATIENCE_S:.0f} s; try again")


@lru_cache(maxsize=8)
def _client(region: str | None, anonymous: bool, variables: tuple[tuple[str, str], ...]) -> Any:
    """A client, kept while the `variables` of the environment stay the same: to make one takes 50 ms."""
    with extras.needed("aws"):
        from botocore.handlers import disable_signing
    from .. import session

    client = session.client("s3", region)
    if anonymous:
        client.meta.events.register("choose-signer.s3.*", disable_signing)
    return client
