"""Which keys the bucket has, and how large: listings where wanted keys lie close, else one HEAD each."""

import asyncio
import bisect
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from .. import s3
from .cache import DAY, Cache
from .chunks import chunks
from .limits import Breaker, Limits

PAGE = 1000
"""Keys that one LIST answers."""
WORTH = 13
"""Wanted keys that a LIST must find: it costs the bucket's owner 12.5 times as much as a HEAD."""
HEADS = 50
_KIND = "object"
_KNOWN, _UNKNOWN = 7 * DAY, 1 * DAY
_FOLDERS = 3
"""Keys with this many folders in common are listed together: hst/public/jbev/, jwst/public/jw02282/."""


@dataclass(frozen=True)
class Found:
    """What the bucket says of one key."""

    size: int | None
    """Bytes; None where there is no such object, or it may not be read."""
    refused: bool = False
    """It may not be read: 403, which is what files that are not public yet answer."""


async def objects(
    keys: Iterable[str],
    limits: Limits,
    cache: Cache | None = None,
    progress: Callable[[int], None] = lambda done: None,
    *,
    bucket: str | None = None,
    access: str = "anonymous",
    each: frozenset[str] = frozenset(),
) -> tuple[dict[str, Found], dict[str, str]]:
    """What the bucket has of `keys`, and why some could not be found out: each key is in one of the two.

    A listing tells that an object is there, not that it may be read; `each` are keys of which that is in
    doubt, they are asked by HEAD. `bucket` is MAST's if not given. With a cache, sizes are kept for 7 days,
    absence for one.
    """
    wanted = sorted(set(keys))
    store = s3.store(bucket or limits.bucket, access)
    kind = f"{_KIND} {store.config.get('endpoint', '')} {bucket or limits.bucket}"
    known = cache.get(kind, wanted) if cache else {}
    found = {key: Found(*json.loads(value)) for key, value in known.items()}
    progress(len(found))
    asking = _Asking(store, limits, cache, kind, found, progress)
    left = [key for key in wanted if key not in found]
    near = itertools.groupby((key for key in left if key not in each), _group)
    jobs: Iterator[tuple[str, list[str]]] = itertools.chain(
        ((group, list(inside)) for group, inside in near),
        (("", part) for part in chunks(sorted(each.intersection(left)), HEADS)),
    )

    async def work() -> None:
        for group, inside in jobs:  # one iterator for all workers
            if not group or len(inside) < WORTH:
                await asking.heads(inside)
            else:
                await asking.listing(group, inside)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(limits.objects):
            tasks.create_task(work())
    return found, asking.failed


def _group(key: str) -> str:
    return "/".join(key.split("/")[:-1][:_FOLDERS])


class _Asking:
    """The state that all workers of one call share."""

    def __init__(
        self,
        store: S3Store,
        limits: Limits,
        cache: Cache | None,
        kind: str,
        found: dict[str, Found],
        progress: Callable[[int], None],
    ) -> None:
        self.failed: dict[str, str] = {}
        self._store = store
        self._cache, self._kind, self._found, self._progress = cache, kind, found, progress
        self._gate = asyncio.Semaphore(limits.objects)
        self._breaker = Breaker()
        self._may_list = True

    async def listing(self, group: str, keys: list[str]) -> None:
        """Answers sorted keys below one prefix, a LIST at a time from the first that is still wanted."""
        at = 0
        while at < len(keys) and self._may_list and len(keys) - at >= WORTH:
            try:
                page = await self._page(group, keys[at])
            except (PermissionDeniedError, UnauthenticatedError):
                self._may_list = False  # some buckets only answer for single objects
                break
            except BaseError:
                break
            last = max(page) if len(page) >= PAGE else keys[-1]
            told = keys[at : bisect.bisect_right(keys, last, at)]
            self._keep({key: Found(page.get(key)) for key in told})
            at += len(told)
            if len(told) < WORTH:
                break
        await self.heads(keys[at:])

    async def heads(self, keys: list[str]) -> None:
        """Answers keys one by one, at most as many at once as the limit says."""
        for part in chunks(keys, HEADS):
            told = await asyncio.gather(*(self._head(key) for key in part))
            self._keep({key: answer for key, answer in zip(part, told, strict=True) if answer})

    async def _page(self, group: str, first: str) -> dict[str, int]:
        async with self._gate:
            # start-after leaves its own key out, so it is given one that sorts just before.
            pages = obstore.list(self._store, group, offset=first[:-1], chunk_size=PAGE)
            async for page in pages:
                return {item["path"]: item["size"] for item in page}
        return {}

    async def _head(self, key: str) -> Found | None:
        async with self._gate:
            if self._breaker.is_open:
                self.failed[key] = "not asked: the bucket does not answer"
                return None
            try:
                there = Found((await obstore.head_async(self._store, key))["size"])
            except (NotFoundError, FileNotFoundError):
                there = Found(None)
            except (PermissionDeniedError, UnauthenticatedError):
                there = Found(None, refused=True)
            except BaseError as error:
                self._breaker.failed()
                self.failed[key] = f"the bucket: {str(error).strip().splitlines()[0][:200]}"
                return None
        self._breaker.answered()
        return there

    def _keep(self, told: dict[str, Found]) -> None:
        for known, seconds in ((True, _KNOWN), (False, _UNKNOWN)):
            answers = {
                key: json.dumps([there.size, there.refused])
                for key, there in told.items()
                if (there.size is not None) == known
            }
            if answers and self._cache:
                self._cache.put(self._kind, answers, seconds)
        self._found.update(told)
        self._progress(len(self._found))
