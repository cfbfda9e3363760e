"""Where the bucket has MAST's files: path_lookup asked in bulk, several requests at once."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version

import aiohttp

from .cache import DAY, Cache
from .limits import RETRIED, Breaker, Limits, UnansweredError

CHUNK = 50
"""URIs a request, as many as astroquery 0.4.11 asks for at a time…"""
QUERY_BYTES = 6000
"""…and no longer a query than this: servers refuse URLs of 8 kB."""
_KIND = "path"
_KNOWN, _UNKNOWN = 30 * DAY, 1 * DAY


async def paths(
    uris: Iterable[str], limits: Limits, cache: Cache, progress: Callable[[int], None] = lambda done: None
) -> tuple[dict[str, str | None], dict[str, str]]:
    """Keys in the bucket of dataURIs, None where MAST knows none, and why some could not be found out.

    Each URI comes back in one of the two. A request that fails for good is halved until the URI is found that
    it fails on; when the service is down the rest is left unanswered. Answers are kept for 30 days, None for
    one.
    """
    wanted = list(dict.fromkeys(uris))
    known = cache.get(f"{_KIND} {limits.server}", wanted)
    found: dict[str, str | None] = {uri: value or None for uri, value in known.items()}
    failed: dict[str, str] = {}
    progress(len(found))
    breaker = Breaker()
    chunks = _chunks([uri for uri in wanted if uri not in found])

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=limits.lookups),
        timeout=aiohttp.ClientTimeout(total=limits.lookup_seconds),
        headers={"User-Agent": f"skyfan/{version('skyfan')}"},
        trust_env=True,
    ) as session:

        async def answer(chunk: list[str]) -> None:
            if breaker.is_open:
                failed.update(dict.fromkeys(chunk, f"not asked: {limits.server} is down"))
                return
            try:
                there = await _ask(session, chunk, limits)
            except UnansweredError as error:
                breaker.failed()
                if len(chunk) == 1:
                    failed[chunk[0]] = str(error)
                    return
                for half in (chunk[: len(chunk) // 2], chunk[len(chunk) // 2 :]):
                    await answer(half)
                return
            breaker.answered()
            found.update(there)
            _keep(cache, limits.server, there)
            progress(len(found))

        async def work() -> None:
            for chunk in chunks:  # one iterator for all workers
                await answer(chunk)

        async with asyncio.TaskGroup() as group:
            for _ in range(limits.lookups):
                group.create_task(work())
    return found, failed


def _keep(cache: Cache, server: str, there: dict[str, str | None]) -> None:
    kind = f"{_KIND} {server}"
    cache.put(kind, {uri: path for uri, path in there.items() if path}, _KNOWN)
    if missing := [uri for uri, path in there.items() if not path]:
        cache.put(kind, dict.fromkeys(missing, ""), _UNKNOWN)


def _chunks(uris: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    room = QUERY_BYTES
    for uri in uris:
        needs = len(uri.encode()) + 20  # "&uri=", and a few letters that become %XX
        if chunk and (len(chunk) == CHUNK or needs > room):
            yield chunk
            chunk, room = [], QUERY_BYTES
        chunk.append(uri)
        room -= needs
    if chunk:
        yield chunk


async def _ask(session: aiohttp.ClientSession, chunk: list[str], limits: Limits) -> dict[str, str | None]:
    """One request, tried again while that can help."""
    for tried in range(1, limits.tries + 1):
        told = None
        try:
            async with session.get(
                f"{limits.server}/api/v0.1/path_lookup/", params=[("uri", uri) for uri in chunk]
            ) as response:
                if response.status == 200:
                    return _read(await response.json(content_type=None), chunk)
                failure = f"path_lookup: {response.status} {response.reason}"
                if response.status not in RETRIED:
                    break
                after = response.headers.get("Retry-After", "")
                told = float(after) if after.isdecimal() else None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            failure = f"path_lookup: {type(error).__name__} {error}".strip()
        if tried < limits.tries:
            await asyncio.sleep(limits.wait(tried, told))
    raise UnansweredError(failure)


def _read(answer: object, chunk: list[str]) -> dict[str, str | None]:
    """Keys, without the leading slash, of {uri: {"path": "/hst/public/…"}}; ValueError for anything else."""
    if not isinstance(answer, dict):
        raise ValueError("no JSON object")
    paths: dict[str, str | None] = {}
    for uri in chunk:
        entry = answer.get(uri)
        path = entry.get("path") if isinstance(entry, dict) else None
        paths[uri] = str(path).lstrip("/") if path else None
    return paths
