"""The rows of a plan for a query of the archive: observations, product lists, keys in the bucket, sizes."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

import pyarrow as pa
from astropy.coordinates import SkyCoord

from .. import concurrency
from ..concurrency import chunks
from ..errors import InputError, UsageError
from ..events import OnProgress, ignore
from ..sky import angles
from . import bucket, lookup, select
from .cache import DAY, Cache
from .criteria import Criteria
from .limits import ArchiveLimits, CircuitBreaker, UnansweredError
from .mast import MastClient, decode, encode
from .select import Product, Wanted

MAX_OBSERVATIONS = 50_000
"""Larger queries need `huge`."""
OBSERVATIONS_PER_REQUEST = 500
"""Observations per request for product lists: MAST times out on requests for thousands."""
OBSERVATIONS_PER_RETRY = 25
"""If such a request fails, it is repeated in requests of this size."""
_MAX_RADIUS = 30.0

ProductList = tuple[str, list[Product], list[str], str | None]
"""obsid, products of wanted types, all product types, and the error message if there is no list."""


def rows(
    criteria: Criteria,
    limits: ArchiveLimits,
    cache: Cache,
    *,
    limit: int | None = None,
    huge: bool = False,
    proprietary: bool = False,
    progress: OnProgress = ignore,
) -> pa.Table:
    """The rows of a plan, with the columns of plan.SCHEMA.

    `limit` is the maximum number of observations; `huge` allows more than MAX_OBSERVATIONS; `proprietary`
    keeps files that MAST does not call public, if the bucket serves them. Files for which the archive does
    not answer are dropped as unresolved. Raises UsageError for criteria that MAST does not know or that match
    nothing, UnansweredError if the observations are not available.
    """
    observations = _observations(criteria, limits, cache, limit, huge, progress)
    wanted = Wanted(criteria.product_types, criteria.provenance, proprietary)
    files, without_list = select.candidates(observations, wanted, needs_lists=criteria.needs_lists)
    files += _listed(observations, without_list, wanted, limits, cache, progress)
    return _completed(files, observations, (), limits, cache, progress)


def resumed(
    unresolved: pa.Table,
    planned: Iterable[str],
    wanted: Wanted,
    limits: ArchiveLimits,
    cache: Cache,
    progress: OnProgress = ignore,
) -> pa.Table:
    """New rows for the unresolved rows of a plan, which has the URIs `planned` already."""
    files: list[select.File] = []
    without_list: list[int] = []
    columns = (unresolved[name].to_pylist() for name in ("obsid", "dataURI", "product", "size", "detail"))
    for row, (obsid, uri, product, size, detail) in enumerate(zip(*columns, strict=True)):
        if uri is None and obsid is not None:
            without_list.append(row)
        elif uri is None:
            files.append(select.File(row, dropped="unresolved", detail=detail))
        else:
            files.append(select.File(row, uri, product, size))
    files += _listed(unresolved, without_list, wanted, limits, cache, progress)
    return _completed(files, unresolved, planned, limits, cache, progress)


def _listed(
    observations: pa.Table,
    rows: list[int],
    wanted: Wanted,
    limits: ArchiveLimits,
    cache: Cache,
    progress: OnProgress,
) -> list[select.File]:
    """The files of these rows of `observations`, from their product lists."""
    files: list[select.File] = []
    obsids = observations["obsid"].to_pylist()
    row_of = {obsids[row]: row for row in rows}
    lists = _product_lists(list(row_of), wanted.product_types, limits, cache)
    for done, (obsid, products, types, error) in enumerate(lists, 1):
        if error is None:
            files += select.from_product_list(row_of[obsid], products, types, wanted)
        else:
            files.append(select.File(row_of[obsid], dropped="unresolved", detail=error))
        progress("product lists", done, len(row_of))
    return files


def _completed(
    files: list[select.File],
    observations: pa.Table,
    planned: Iterable[str],
    limits: ArchiveLimits,
    cache: Cache,
    progress: OnProgress,
) -> pa.Table:
    """The rows of a plan for files that may be anywhere; those with URIs in `planned` are duplicates."""
    files.sort(key=lambda file: file.row)
    select.drop_duplicates(files)
    concurrency.run(_locate(files, limits, cache, progress, frozenset(planned)))
    select.set_tiers(files)
    return select.table(files, observations)


def _observations(
    criteria: Criteria,
    limits: ArchiveLimits,
    cache: Cache,
    limit: int | None,
    huge: bool,
    progress: OnProgress,
) -> pa.Table:
    client = MastClient(limits)
    arguments = criteria.arguments()
    cone: dict[str, Any] = {}
    circle: list[float] = []
    if criteria.around:
        ra, dec = angles.position(criteria.around, client.position)
        radius = angles.radius(criteria.radius)
        if radius > _MAX_RADIUS:
            raise UsageError(f"--radius {criteria.radius}: MAST takes at most {_MAX_RADIUS:g} degrees")
        cone = {"coordinates": SkyCoord(ra, dec, unit="deg"), "radius": radius}
        circle = [ra, dec, radius]
    query = json.dumps([limits.server, arguments, circle, limit], sort_keys=True)
    key = hashlib.sha256(query.encode()).hexdigest()
    if cached := cache.get("observations", [key]):
        observations = decode(cached[key])
        progress("observations", len(observations), len(observations))
        return observations
    count = client.count(**arguments, **cone)
    progress("observations", 0, count)
    if count == 0:
        raise InputError(
            "no observation in MAST matches: try fewer criteria, or wildcards such as --target 'NGC*'"
        )
    if count > MAX_OBSERVATIONS and limit is None and not huge:
        raise UsageError(
            f"{count:,} observations match, more than {MAX_OBSERVATIONS:,}: plan them all with --yes, only "
            "some with --limit N, or add criteria"
        )
    observations = client.observations(limit, **arguments, **cone)
    if len(observations) < min(count, limit or count):
        raise UnansweredError(f"MAST counted {count:,} observations but sent {len(observations):,}")
    cache.put("observations", {key: encode(observations)}, DAY)
    progress("observations", len(observations), len(observations))
    return observations


def _product_lists(
    obsids: list[str], product_types: frozenset[str], limits: ArchiveLimits, cache: Cache
) -> Iterator[ProductList]:
    """The product list of each observation, in any order."""
    kind = f"product list {limits.server} {','.join(sorted(product_types))}"
    cached = cache.get(kind, obsids)
    for obsid, value in cached.items():
        products, types = json.loads(value)
        yield obsid, [Product(*product) for product in products], types, None
    unknown = [obsid for obsid in obsids if obsid not in cached]
    request = _ProductRequest(product_types, limits)
    for chunk, answer in _answers(request, chunks(unknown, OBSERVATIONS_PER_REQUEST), limits.queries):
        if isinstance(answer, UnansweredError):
            yield from ((obsid, [], [], str(answer)) for obsid in chunk)
            continue
        table, types = answer
        by_obsid: dict[str, list[Product]] = {obsid: [] for obsid in chunk}
        for row in table.to_pylist():
            by_obsid[row.pop("obsid")].append(Product(*row.values()))
        # Lists without any product are not cached: MAST may only be behind.
        listed = {obsid: json.dumps([by_obsid[obsid], types[obsid]]) for obsid in chunk if types[obsid]}
        cache.put(kind, listed, 7 * DAY)
        yield from ((obsid, by_obsid[obsid], types[obsid], None) for obsid in chunk)


class _ProductRequest:
    """Requests product lists, with one client per thread. Raises UnansweredError."""

    def __init__(self, product_types: frozenset[str], limits: ArchiveLimits) -> None:
        self._product_types, self._limits = product_types, limits
        self._local = threading.local()
        self._breaker = CircuitBreaker()

    def __call__(self, obsids: list[str]) -> tuple[pa.Table, dict[str, list[str]]]:
        if self._breaker.is_open:
            raise UnansweredError(f"not requested: {self._limits.server} is down")
        if not hasattr(self._local, "client"):
            self._local.client = MastClient(self._limits)
        client: MastClient = self._local.client
        try:
            answer = client.products(obsids, self._product_types)
        except UnansweredError:
            self._breaker.record_failure()
            raise
        self._breaker.record_success()
        return answer


def _answers(
    request: Callable[[list[str]], Any], queue: Iterable[list[str]], workers: int
) -> Iterator[tuple[list[str], Any]]:
    """Chunks with their answers or UnansweredError, as they complete. A failed chunk is split once."""
    threads = ThreadPoolExecutor(workers)
    waiting = iter(queue)
    running: dict[Future[Any], list[str]] = {}

    def start(chunk: list[str]) -> None:
        running[threads.submit(request, chunk)] = chunk

    try:
        for chunk in islice(waiting, 2 * workers):
            start(chunk)
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                chunk = running.pop(future)
                error = future.exception()
                if isinstance(error, UnansweredError) and len(chunk) > OBSERVATIONS_PER_RETRY:
                    for smaller in chunks(chunk, OBSERVATIONS_PER_RETRY):
                        start(smaller)
                    continue
                yield chunk, error if isinstance(error, UnansweredError) else future.result()
                if (following := next(waiting, None)) is not None:
                    start(following)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)  # a request may take minutes, also after Ctrl-C


async def _locate(
    files: list[select.File],
    limits: ArchiveLimits,
    cache: Cache,
    progress: OnProgress,
    planned: frozenset[str],
) -> None:
    """Sets URIs and sizes of files; drops those that the bucket does not serve."""
    data_uris = [file.data_uri for file in select.kept(files) if file.data_uri]
    paths, errors = await lookup.paths(
        data_uris, limits, cache, lambda done: progress("places", done, len(data_uris))
    )
    select.set_uris(files, paths, errors, limits.bucket)
    select.drop_duplicates(files, planned)
    located = select.kept(files)
    start = len(f"s3://{limits.bucket}/")
    keys = [str(file.uri)[start:] for file in located]
    not_public = frozenset(
        key for key, file in zip(keys, located, strict=True) if (file.rights or "").upper() != select.PUBLIC
    )
    statuses, errors = await bucket.objects(
        keys, limits, cache, lambda done: progress("sizes", done, len(keys)), never_listed=not_public
    )
    select.set_sizes(files, statuses, errors, limits.bucket)
