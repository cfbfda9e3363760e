"""64-bit digests of a run's files, so that a set of a million files takes 8 MB."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from ..storage import uris

Digests = NDArray[np.uint64]
"""(n,) uint64, sorted, without duplicates."""


def digest(key: str) -> int:
    """BLAKE2b of an input's key (uris.key), 64 bits: two of a million files collide with probability 3e-8."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "little")


def each(keys: Iterable[str]) -> NDArray[np.uint64]:
    """The digest of every key, in the order of the keys."""
    return np.frombuffer(b"".join([blake2b(key.encode(), digest_size=8).digest() for key in keys]), "<u8")


def of_uris(names: Iterable[str]) -> NDArray[np.uint64]:
    """The digest of every URI's key, in the order of the URIs. The URIs of a plan are known to be valid."""
    return each([uri[5:] if uri.startswith("s3://") else uris.key(uri) for uri in names])


def digests(keys: Iterable[str]) -> Digests:
    """The digests of many keys, sorted, without duplicates."""
    return np.unique(np.fromiter((digest(key) for key in keys), np.uint64))


def contains(existing: Digests, key: str) -> bool:
    """Whether `existing` contains the digest of `key`."""
    wanted = np.uint64(digest(key))
    at = int(np.searchsorted(existing, wanted))
    return at < len(existing) and bool(existing[at] == wanted)


def find(existing: Digests, wanted: NDArray[np.uint64]) -> NDArray[np.intp]:
    """The index in `existing` of each of `wanted`; -1 for those that it does not contain."""
    if not len(existing):
        return np.full(len(wanted), -1, np.intp)
    at = np.minimum(np.searchsorted(existing, wanted), len(existing) - 1)
    return np.where(existing[at] == wanted, at, -1)
