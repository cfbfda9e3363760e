"""Keys of MAST's files in the public bucket, from its service path_lookup, many files per request."""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from json import JSONDecodeError

from .. import extras, network
from ..concurrency import retry_after
from .cache import DAY, Cache
from .limits import RETRIABLE, ArchiveLimits, CircuitBreaker, UnansweredError, excerpt

with extras.needed("mast"):
    import aiohttp

URIS_PER_REQUEST = 50
"""As many as in astroquery 0.4.11."""
QUERY_BYTES = 6000
"""Maximum length of a query: servers refuse URLs of 8 kB."""
_KIND = "cloud path"
_EXPIRY = 30 * DAY
_CLOUD_FOLDERS = {
    "hlsp_local/public/": "mast/",
    "ps1/": "panstarrs/ps1/public/",
    "mast/galex/": "galex/",
}
"""Folders of the archive, and of the bucket. As in astroquery 0.4.11."""


async def paths(
    uris: Iterable[str],
    limits: ArchiveLimits,
    cache: Cache,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[dict[str, str | None], dict[str, str]]:
    """Keys in the bucket by dataURI, None if MAST knows none; and error messages by dataURI.

    Each URI is in one of the two. URIs for which an answer says neither where they are nor that they are
    unknown are requested again, alone; those that never get one are errors. A request that fails is repeated
    with half of its URIs until the URI is found that makes it fail. When the service is down, the remaining
    URIs fail without a request. Keys are cached for 30 days; None is not.
    """
    wanted = list(dict.fromkeys(uris))
    cached = cache.get(f"{_KIND} {limits.server}", wanted)
    keys: dict[str, str | None] = dict(cached)
    errors: dict[str, str] = {}
    progress(len(keys))
    breaker = CircuitBreaker()
    chunks = _chunks([uri for uri in wanted if uri not in keys])

    certificates = network.bundle(network.MAST)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=limits.lookups, ssl=network.tls(certificates) if certificates else True
        ),
        timeout=aiohttp.ClientTimeout(total=limits.lookup_seconds),
        headers={"User-Agent": f"skyfan/{version('skyfan')}"},
        trust_env=True,
    ) as session:

        async def look_up(chunk: list[str]) -> None:
            if breaker.is_open:
                errors.update(dict.fromkeys(chunk, f"not requested: {limits.server} is down"))
                return
            try:
                answer, failed = await _request(session, chunk, limits)
            except UnansweredError as error:
                breaker.record_failure()
                if len(chunk) == 1:
                    errors[chunk[0]] = str(error)
                    return
                for half in (chunk[: len(chunk) // 2], chunk[len(chunk) // 2 :]):
                    await look_up(half)
                return
            if answer:
                breaker.record_success()
            else:
                breaker.record_failure()
            keys.update(answer)
            errors.update(failed)
            cache.put(f"{_KIND} {limits.server}", {uri: key for uri, key in answer.items() if key}, _EXPIRY)
            progress(len(keys))

        async def work() -> None:
            for chunk in chunks:  # all workers share one iterator
                await look_up(chunk)

        async with asyncio.TaskGroup() as group:
            for _ in range(limits.lookups):
                group.create_task(work())
    return keys, errors


def _chunks(uris: Iterable[str]) -> Iterator[list[str]]:
    """URIs for one request each, within both limits."""
    chunk: list[str] = []
    room = QUERY_BYTES
    for uri in uris:
        length = len(uri.encode()) + 20  # "&uri=", and a few characters that become %XX
        if chunk and (len(chunk) == URIS_PER_REQUEST or length > room):
            yield chunk
            chunk, room = [], QUERY_BYTES
        chunk.append(uri)
        room -= length
    if chunk:
        yield chunk


async def _request(
    session: aiohttp.ClientSession, chunk: list[str], limits: ArchiveLimits
) -> tuple[dict[str, str | None], dict[str, str]]:
    """Keys and error messages by dataURI, from one request and retries for those that it did not answer.

    Raises UnansweredError if no URI got an answer because the requests failed.
    """
    keys: dict[str, str | None] = {}
    failed = dict.fromkeys(chunk, "")
    for delay in limits.delays():
        wait = 0.0
        try:
            async with session.get(
                f"{limits.server}/api/v0.1/path_lookup/",
                params=[*(("uri", uri) for uri in failed), ("use_cloud_path", "true")],
            ) as response:
                if response.status == 200:
                    answered, failed = _keys(await response.json(content_type=None), failed)
                    keys |= answered
                    if not failed:
                        return keys, {}
                    failure = ""
                else:
                    failure = f"path_lookup: {response.status} {response.reason}"
                    if response.status not in RETRIABLE:
                        break
                    wait = retry_after(response.headers.get("Retry-After"), limits.longest_delay)
        except JSONDecodeError as error:
            failure = f"path_lookup: not JSON but {excerpt(error.doc)!r}"
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            failure = f"path_lookup: {type(error).__name__} {error}".strip()
            if advice := network.advice(failure):
                raise UnansweredError(f"{limits.server}: {advice}") from error
        if delay is not None:
            await asyncio.sleep(wait + delay)
    if failure and not keys:
        raise UnansweredError(failure)
    return keys, {uri: failure or error for uri, error in failed.items()}


def _keys(document: object, chunk: Iterable[str]) -> tuple[dict[str, str | None], dict[str, str]]:
    """Keys by dataURI of {uri: {"status_code": 200, "path": "/hst/public/…"}}, and errors for the others.

    Only 404 without a path says that the archive knows no place. Raises ValueError for all but an object.
    """
    if not isinstance(document, dict):
        raise ValueError(f"not a JSON object but {excerpt(str(document))!r}")
    keys: dict[str, str | None] = {}
    errors: dict[str, str] = {}
    for uri in chunk:
        entry = document.get(uri)
        path = entry.get("path") if isinstance(entry, dict) else None
        if isinstance(path, str) and path.strip("/"):
            keys[uri] = _cloud_key(path)
        elif isinstance(entry, dict) and str(entry.get("status_code")) == "404" and not path:
            keys[uri] = None
        else:
            answer = "nothing" if uri not in document else excerpt(json.dumps(entry))
            errors[uri] = f"path_lookup answered {answer} for this file"
    return keys, errors


def _cloud_key(path: str) -> str:
    """The key in the bucket of a path, also where the service ignores use_cloud_path and gives its own."""
    key = path.lstrip("/")
    own = next(filter(key.startswith, _CLOUD_FOLDERS), "")
    return _CLOUD_FOLDERS[own] + key.removeprefix(own) if own else key
