"""Many small objects at once."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from .place import Place

# GETs in flight: enough to hide latency, few enough for a laptop's sockets.
CONCURRENT = 32


def fetch(place: Place, keys: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Key and bytes of each object, in the order of the keys; one that has gone is left out.

    No more than a few hundred bodies are held at a time.
    """
    keys = iter(keys)
    with ThreadPoolExecutor(CONCURRENT, "skyfan-get") as threads:
        while some := list(islice(keys, 8 * CONCURRENT)):
            for key, body in zip(some, threads.map(place.get, some), strict=True):
                if body is not None:
                    yield key, body
