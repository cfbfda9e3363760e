"""From criteria to a plan's rows: observations, product lists, places in the bucket, sizes."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import pyarrow as pa
from astropy.coordinates import SkyCoord

from ..errors import InputError, UsageError
from . import bucket, lookup, loop, select
from .cache import DAY, Cache
from .chunks import chunks
from .criteria import Criteria
from .limits import Breaker, Limits, UnansweredError
from .service import Service, decode, encode
from .sky import position, radius_degrees
from .stages import Watch

HUGE = 50_000
"""Observations beyond which a query is only fetched when somebody says yes."""
LIST_OF = 500
"""Observations a product list is asked for; MAST times out on lists of thousands…"""
FEWER = 25
"""…and where it does so sooner, or fails on one of them, this many at a time."""


def rows(
    criteria: Criteria,
    limits: Limits,
    cache: Cache,
    *,
    limit: int | None = None,
    huge: bool = False,
    proprietary: bool = False,
    progress: Watch = lambda what, done, total: None,
) -> pa.Table:
    """The rows of a plan for what `criteria` find, with plan.SCHEMA's columns.

    `limit` takes the first so many observations; `huge` says that more than HUGE are meant; `proprietary`
    keeps files that MAST says are not public, if the bucket shows them. What the archive would not answer,
    however often it was asked, is dropped as unresolved. Raises UsageError for criteria that MAST does not
    know or that find nothing, UnansweredError when the observations themselves cannot be had.
    """
    observations = _observations(criteria, limits, cache, limit, huge, progress)
    files, ask = select.candidates(observations, criteria.wanted, proprietary=proprietary)
    obsids = observations["obsid"].to_pylist()
    by_obsid = {obsids[row]: row for row in ask}
    lists = _product_lists(list(by_obsid), criteria.wanted, limits, cache)
    for done, (obsid, listed, types, why) in enumerate(lists, 1):
        row = by_obsid[obsid]
        if why is None:
            files += select.of_product_list(row, listed, types, proprietary=proprietary)
        else:
            files.append(select.File(row, dropped="unresolved", detail=why))
        progress("product lists", done, len(ask))
    files.sort(key=lambda file: file.row)
    select.drop_duplicates(files)
    loop.run(_places(files, limits, cache, progress))
    select.grade(files)
    return select.table(files, observations)


async def _places(files: list[select.File], limits: Limits, cache: Cache, progress: Watch) -> None:
    wanted = [file.data_uri for file in select.kept(files) if file.data_uri]
    paths, failed = await lookup.paths(
        wanted, limits, cache, lambda done: progress("places", done, len(wanted))
    )
    select.locate(files, paths, failed, limits.bucket)
    select.drop_duplicates(files)
    start = len(f"s3://{limits.bucket}/")
    there = select.kept(files)
    keys = [str(file.uri)[start:] for file in there]
    doubtful = frozenset(
        key for key, file in zip(keys, there, strict=True) if (file.rights or "").upper() != select.PUBLIC
    )
    objects, failed = await bucket.objects(
        keys, limits, cache, lambda done: progress("sizes", done, len(keys)), each=doubtful
    )
    select.measure(files, objects, failed, limits.bucket)


def _observations(
    criteria: Criteria, limits: Limits, cache: Cache, limit: int | None, huge: bool, progress: Watch
) -> pa.Table:
    service = Service(limits)
    arguments = criteria.arguments()
    around: dict[str, Any] = {}
    where: list[float] = []
    if criteria.around:
        ra, dec = position(criteria.around) or service.position(criteria.around)
        around = {"coordinates": SkyCoord(ra, dec, unit="deg"), "radius": radius_degrees(criteria.radius)}
        where = [ra, dec, around["radius"]]
    asked = json.dumps([limits.server, arguments, where, limit], sort_keys=True)
    key = hashlib.sha256(asked.encode()).hexdigest()
    if known := cache.get("observations", [key]):
        observations = decode(known[key])
        progress("observations", len(observations), len(observations))
        return observations
    count = service.count(**arguments, **around)
    progress("observations", 0, count)
    if count == 0:
        raise InputError(
            "no observation in MAST matches: try fewer criteria, or wildcards such as --target 'NGC*'"
        )
    if count > HUGE and limit is None and not huge:
        raise UsageError(
            f"{count:,} observations match, which is a lot: say --yes to plan them all, --limit N for some, "
            "or add criteria"
        )
    observations = service.observations(limit, **arguments, **around)
    if len(observations) < min(count, limit or count):
        raise UnansweredError(f"MAST counted {count:,} observations and sent {len(observations):,}")
    cache.put("observations", {key: encode(observations)}, DAY)
    progress("observations", len(observations), len(observations))
    return observations


Listed = tuple[str, list[tuple[str, str, int | None, str | None]], list[str], str | None]


def _product_lists(
    obsids: list[str], wanted: frozenset[str], limits: Limits, cache: Cache
) -> Iterator[Listed]:
    """For each observation its files of wanted types, all its types, and why there is no list, if so."""
    kind = f"products {limits.server} {','.join(sorted(wanted))}"
    known = cache.get(kind, obsids)
    for obsid, value in known.items():
        listed, types = json.loads(value)
        yield obsid, [tuple(file) for file in listed], types, None
    local = threading.local()
    breaker = Breaker()

    def ask(part: list[str]) -> tuple[pa.Table, dict[str, list[str]]]:
        if breaker.is_open:
            raise UnansweredError(f"not asked: {limits.server} is down")
        if not hasattr(local, "service"):
            local.service = Service(limits)
        try:
            answer: tuple[pa.Table, dict[str, list[str]]] = local.service.products(part, wanted)
        except UnansweredError:
            breaker.failed()
            raise
        breaker.answered()
        return answer

    left = [obsid for obsid in obsids if obsid not in known]
    pool = ThreadPoolExecutor(limits.queries)
    try:
        for part, answer in _each(pool, ask, chunks(left, LIST_OF)):
            if isinstance(answer, UnansweredError):
                yield from ((obsid, [], [], str(answer)) for obsid in part)
                continue
            products, types = answer
            by_obsid: dict[str, list[tuple[str, str, int | None, str | None]]] = {obsid: [] for obsid in part}
            for file in products.to_pylist():
                if file["obsid"] in by_obsid:
                    values = (file["dataURI"], file["product"], file["size"], file["dataRights"])
                    by_obsid[file["obsid"]].append(values)
            answers = {obsid: json.dumps([by_obsid[obsid], types[obsid]]) for obsid in part}
            cache.put(kind, answers, 7 * DAY)
            yield from ((obsid, by_obsid[obsid], types[obsid], None) for obsid in part)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _each(
    pool: ThreadPoolExecutor, ask: Callable[[list[str]], Any], parts: Iterable[list[str]]
) -> Iterator[tuple[list[str], Any]]:
    """Parts with their answers as they come; a part that fails is asked again in smaller ones, once."""
    todo = iter(parts)
    running: dict[Future[Any], list[str]] = {}

    def start(part: list[str]) -> None:
        running[pool.submit(ask, part)] = part

    for part in (part for _, part in zip(range(2 * pool._max_workers), todo, strict=False)):
        start(part)
    while running:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            part = running.pop(future)
            error = future.exception()
            if isinstance(error, UnansweredError) and len(part) > FEWER:
                for fewer in chunks(part, FEWER):
                    start(fewer)
                continue
            yield part, error if isinstance(error, UnansweredError) else future.result()
            if (more := next(todo, None)) is not None:
                start(more)
