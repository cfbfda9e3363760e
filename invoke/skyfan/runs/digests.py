"""Files of a run as 64-bit numbers, so that a set of a million of them takes 8 MB."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from .. import uris

Digests = NDArray[np.uint64]
"""(n,) uint64, sorted, each once."""


def digest(key: str) -> int:
    """BLAKE2b of an input's key (uris.key), 64 bits: among a million files two collide once in 4e7 runs."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "little")


def each(keys: Iterable[str]) -> NDArray[np.uint64]:
    """The digest of every key, in the order of the keys."""
    return np.frombuffer(b"".join([blake2b(key.encode(), digest_size=8).digest() for key in keys]), "<u8")


def of_uris(names: Iterable[str]) -> NDArray[np.uint64]:
    """The digest of every URI's key, in the order of the URIs, which were checked when they were planned."""
    return each([uri[5:] if uri.startswith("s3://") else uris.key(uri) for uri in names])


def digests(keys: Iterable[str]) -> Digests:
    """The digests of many keys, sorted, each once."""
    return np.unique(np.fromiter((digest(key) for key in keys), np.uint64))


def contains(there: Digests, key: str) -> bool:
    """Whether a key is among them."""
    wanted = np.uint64(digest(key))
    at = int(np.searchsorted(there, wanted))
    return at < len(there) and bool(there[at] == wanted)


def find(there: Digests, wanted: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Where each of `wanted` lies in `there`; -1 for those that are not in it."""
    if not len(there):
        return np.full(len(wanted), -1, np.intp)
    at = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
    return np.where(there[at] == wanted, at, -1)
