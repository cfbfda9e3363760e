"""Sizes of objects in the archive's bucket: one LIST where many wanted keys are close, otherwise HEADs."""

import asyncio
import bisect
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from skyfan_contract import shortened, without_passwords

from ..concurrency import chunks
from ..storage import s3
from .cache import DAY, Cache
from .limits import ArchiveLimits, CircuitBreaker, UnansweredError

if TYPE_CHECKING:
    from obstore import ObjectMeta

KEYS_PER_LIST = 1000
MIN_LISTED = 13
"""Wanted keys that make a LIST worthwhile: it costs the owner of the bucket as much as 12.5 HEADs."""
HEADS_PER_TASK = 50
_EXPLAINED = 20
"""Denied objects of a bucket for which S3 is asked why."""
_PATIENCE_S = 120.0
"""For a LIST with all retries: a server that repeats an empty page would be asked for ever."""
_KIND = "size"
_EXPIRY = 7 * DAY
_GROUP_FOLDERS = 3
"""Keys with this many folders in common are listed together: hst/public/jbev/, jwst/public/jw02282/."""


@dataclass(frozen=True)
class ObjectStatus:
    """Whether an object can be read, and its size."""

    size: int | None
    """Bytes; None if it does not exist or cannot be read."""
    is_denied: bool = False
    """403: the object is not public yet."""
    etag: str = ""
    """Without quotes; empty if it is not known, as for a size from the cache."""
    modified: float = 0.0
    """Unix time in seconds, likewise."""


async def objects(  # noqa: PLR0913
    keys: Iterable[str],
    limits: ArchiveLimits,
    cache: Cache | None = None,
    progress: Callable[[int], None] = lambda done: None,
    *,
    bucket: str | None = None,
    access: str = "anonymous",
    never_listed: frozenset[str] = frozenset(),
    requests: Counter[str] | None = None,
) -> tuple[dict[str, ObjectStatus], dict[str, str]]:
    """Status of each object by key, and error messages by key; each key is in one of the two.

    A LIST shows that an object exists, not that it can be read: keys in `never_listed` get a HEAD instead.
    `bucket` defaults to MAST's. Sizes are cached for 7 days; that an object is missing or denied is not.
    `requests` counts LISTs and HEADs.
    """
    wanted = sorted(set(keys))
    store = s3.client(bucket or limits.bucket, access)
    kind = f"{_KIND} {store.config.get('endpoint', '')} {bucket or limits.bucket}"
    cached = cache.get(kind, wanted) if cache else {}
    found = {key: ObjectStatus(int(value)) for key, value in cached.items()}
    progress(len(found))
    sender = _Requests(store, limits, cache, kind, found, progress)
    sender.counts = Counter() if requests is None else requests
    unknown = [key for key in wanted if key not in found]
    groups = itertools.groupby((key for key in unknown if key not in never_listed), _group)
    tasks: Iterator[tuple[str, list[str]]] = itertools.chain(
        ((prefix, list(members)) for prefix, members in groups),
        (("", chunk) for chunk in chunks(sorted(never_listed.intersection(unknown)), HEADS_PER_TASK)),
    )

    async def work() -> None:
        for prefix, members in tasks:  # all workers share one iterator
            if not prefix or len(members) < MIN_LISTED:
                await sender.heads(members)
            else:
                await sender.lists(prefix, members)

    async with asyncio.TaskGroup() as group:
        for _ in range(limits.objects):
            group.create_task(work())
    return found, sender.errors


async def statuses(
    uris: Iterable[str],
    limits: ArchiveLimits,
    progress: Callable[[int], None] = lambda done: None,
    *,
    access: str = "anonymous",
    requests: Counter[str] | None = None,
) -> tuple[dict[str, ObjectStatus], dict[str, str]]:
    """Status of each s3:// URI, and error messages by URI, denied access included; each is in one of the two.

    `requests` counts LISTs and HEADs.
    Raises InputError if S3 refuses the credentials, the region or the time of this machine rather than an
    object.
    """
    keys: defaultdict[str, list[str]] = defaultdict(list)
    for uri in uris:
        name, _, key = uri.removeprefix("s3://").partition("/")
        keys[name].append(key)
    found: dict[str, ObjectStatus] = {}
    failed: dict[str, str] = {}
    for name, members in keys.items():

        def more(done: int, before: int = len(found) + len(failed)) -> None:
            progress(before + done)

        statuses, errors = await objects(
            members, limits, None, more, bucket=name, access=access, requests=requests
        )
        for key, text in errors.items():
            if s3.REDIRECT in text:
                raise s3.storage_error(f"s3://{name}/{key}", OSError(text), access)
        denied = [f"s3://{name}/{key}" for key, status in statuses.items() if status.is_denied]
        failed |= dict.fromkeys(denied, s3.DENIED)
        failed |= {uri: s3.refusal(uri, access) for uri in denied[:_EXPLAINED]}
        failed |= {f"s3://{name}/{key}": error for key, error in errors.items()}
        found |= {f"s3://{name}/{key}": status for key, status in statuses.items() if not status.is_denied}
    return found, failed


async def full_frames(
    sector: int, chip: Callable[[str], bool], limits: ArchiveLimits, progress: Callable[[int, int], None]
) -> dict[str, int]:
    """Sizes by key of all objects of a TESS sector in the folders of full-frame images, CAMERA-CCD.

    `chip` chooses the folders. Raises UnansweredError if a listing fails in spite of all retries.
    """
    store = s3.client(limits.bucket)
    slots = asyncio.Semaphore(limits.objects)
    found: dict[str, int] = {}
    done = 0

    async def folders(prefix: str) -> list[str]:
        try:
            async with slots:
                return sorted((await obstore.list_with_delimiter_async(store, prefix))["common_prefixes"])
        except s3.ERRORS as error:
            raise UnansweredError(str(s3.storage_error(f"s3://{limits.bucket}/{prefix}", error))) from error

    async def day(prefix: str, days: int) -> None:
        nonlocal done
        for folder in await folders(prefix):
            if not chip(folder.rpartition("/")[2]):
                continue
            uri, frames = f"s3://{limits.bucket}/{folder}", dict[str, int]()
            try:
                async with slots, asyncio.timeout(_PATIENCE_S):
                    async for page in obstore.list(store, folder):
                        frames |= {item["path"]: item["size"] for item in page}
            except (TimeoutError, *s3.ERRORS) as error:
                raise UnansweredError(str(s3.storage_error(uri, error))) from error
            if not frames:  # S3 has no folder without objects
                raise UnansweredError(f"{uri}: {s3.NO_LISTING}")
            found.update(frames)
        done += 1
        progress(done, days)

    years = await folders(f"tess/public/ffi/s{sector:04d}")
    days = [one for year in years for one in await folders(year)]
    tasks = [asyncio.create_task(day(one, len(days))) for one in days]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    return found


def _group(key: str) -> str:
    return "/".join(key.split("/")[:-1][:_GROUP_FOLDERS])


def _status(found: "ObjectMeta") -> ObjectStatus:
    etag, modified = (found["e_tag"] or "").strip('"'), found["last_modified"].timestamp()
    return ObjectStatus(found["size"], etag=etag, modified=modified)


class _Requests:
    """Requests of all workers of one call, with the state that they share."""

    def __init__(
        self,
        store: S3Store,
        limits: ArchiveLimits,
        cache: Cache | None,
        kind: str,
        found: dict[str, ObjectStatus],
        progress: Callable[[int], None],
    ) -> None:
        self.errors: dict[str, str] = {}
        self.counts = Counter[str]()
        """Requests by kind, LIST and HEAD."""
        self._store = store
        self._cache, self._kind, self._found, self._progress = cache, kind, found, progress
        self._slots = asyncio.Semaphore(limits.objects)
        self._breaker = CircuitBreaker()
        self._can_list = True

    async def lists(self, prefix: str, keys: list[str]) -> None:
        """Looks up sorted keys below a prefix with LISTs, each from the first key that is still unknown."""
        at = 0
        while at < len(keys) and self._can_list and len(keys) - at >= MIN_LISTED:
            try:
                page = await self._page(prefix, keys[at])
            except (PermissionDeniedError, UnauthenticatedError):
                self._can_list = False  # some buckets only permit GET and HEAD
                break
            except (BaseError, TimeoutError):
                break
            if not page and (await self._head(keys[at])) != ObjectStatus(None):
                break  # what came was no listing
            last = max(page) if len(page) >= KEYS_PER_LIST else keys[-1]
            covered = keys[at : bisect.bisect_right(keys, last, at)]
            self._record({key: page.get(key, ObjectStatus(None)) for key in covered})
            at += len(covered)
            if len(covered) < MIN_LISTED:
                break
        await self.heads(keys[at:])

    async def heads(self, keys: list[str]) -> None:
        """Looks up keys with one HEAD each."""
        for chunk in chunks(keys, HEADS_PER_TASK):
            statuses = await asyncio.gather(*(self._head(key) for key in chunk))
            self._record({key: status for key, status in zip(chunk, statuses, strict=True) if status})

    async def _page(self, prefix: str, first: str) -> dict[str, ObjectStatus]:
        """The objects by key of one LIST that starts at `first`."""
        self.counts["LIST"] += 1
        async with self._slots:
            # start-after excludes its own key, hence a string that sorts just before the key.
            pages = obstore.list(self._store, prefix, offset=first[:-1], chunk_size=KEYS_PER_LIST)
            async with asyncio.timeout(_PATIENCE_S):
                async for page in pages:
                    return {item["path"]: _status(item) for item in page}
        return {}

    async def _head(self, key: str) -> ObjectStatus | None:
        async with self._slots:
            if self._breaker.is_open:
                self.errors[key] = "not requested: the bucket does not answer"
                return None
            try:
                self.counts["HEAD"] += 1
                status = _status(await obstore.head_async(self._store, key))
            except (NotFoundError, FileNotFoundError):
                status = ObjectStatus(None)
            except (PermissionDeniedError, UnauthenticatedError):
                status = ObjectStatus(None, is_denied=True)
            except BaseError as error:
                self._breaker.record_failure()
                reason = without_passwords(str(error)).strip().splitlines()[0]
                self.errors[key] = f"the bucket: {shortened(reason, 200)}"
                return None
        self._breaker.record_success()
        return status

    def _record(self, statuses: dict[str, ObjectStatus]) -> None:
        values = {key: str(status.size) for key, status in statuses.items() if status.size is not None}
        if values and self._cache:
            self._cache.put(self._kind, values, _EXPIRY)
        self._found.update(statuses)
        self._progress(len(self._found))
