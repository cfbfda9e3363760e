"""Catalogs of a run, many at once, in order."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from ..runs.place import Object, Place

CONCURRENT = 32
"""GETs in flight."""
AHEAD = 64 << 20
"""Bytes that are read ahead; a catalog that is larger is read alone."""


def bodies(place: Place, found: Iterable[Object]) -> Iterator[tuple[Object, bytes | None]]:
    """Each object with its bytes, None for one that has gone, in the order given."""
    waiting: deque[tuple[Object, Future[bytes | None]]] = deque()
    held = 0
    with ThreadPoolExecutor(CONCURRENT, "skyfan-get") as threads:
        try:
            for item in found:
                while waiting and (len(waiting) >= CONCURRENT or held + item.size > AHEAD):
                    first, future = waiting.popleft()
                    held -= first.size
                    yield first, future.result()
                waiting.append((item, threads.submit(place.get, item.key)))
                held += item.size
            for first, future in waiting:
                yield first, future.result()
        finally:
            threads.shutdown(cancel_futures=True)
