"""64-bit digests of a run's files, so that a set of a million files takes 8 MB."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..concurrency import chunks
from ..storage import uris

if TYPE_CHECKING:
    from ..storage.listing import Object
    from ..storage.place import Place

Digests = NDArray[np.uint64]
"""(n,) uint64, sorted, without duplicates."""
Replaced = Mapping[str, float]
"""Keys of inputs whose result does not count while it has this Unix time: a new one shall replace it."""
_CHUNK = 1 << 16


def digest(key: str) -> int:
    """BLAKE2b of an input's key (uris.key), 64 bits: two of a million files collide with probability 3e-8."""
    return int.from_bytes(blake2b(_encode(key), digest_size=8).digest(), "little")


def each(keys: Iterable[str]) -> NDArray[np.uint64]:
    """The digest of every key, in the order of the keys."""
    return np.frombuffer(b"".join([blake2b(_encode(key), digest_size=8).digest() for key in keys]), "<u8")


def of_uris(names: Iterable[str]) -> NDArray[np.uint64]:
    """The digest of every URI's key, in the order of the URIs. The URIs of a plan are known to be valid."""
    return each([uri[5:] if uri.startswith("s3://") else uris.key(uri) for uri in names])


def _encode(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")  # records name anything, halves of characters too


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


class Watched:
    """The digests of a listing's keys: only groups of it that may have changed are read again."""

    def __init__(
        self,
        place: "Place",
        prefix: str,
        key: Callable[["Object"], str | None],
        replaced: Replaced | None = None,
    ) -> None:
        """`key` gives the key of an input, or None for an object that does not count; nor do those in
        `replaced`.
        """
        self._changes, self._key, self._replaced = place.watch(prefix), key, replaced or {}
        self._group = np.empty(0, np.int64)
        self.digests = np.empty(0, np.uint64)
        """(n,), in no particular order."""
        self.modified = np.empty(0)
        """(n,) Unix times in seconds."""
        self.size = np.empty(0, np.int64)
        """(n,) bytes."""

    def update(self) -> None:
        """Reads what has changed; if that fails, all is as before."""
        changed: list[int] = []
        groups, names = [self._group[:0]], [self.digests[:0]]
        times, sizes = [self.modified[:0]], [self.size[:0]]
        for chunk in chunks(self._rows(changed), _CHUNK):
            numbers, keys, modified, size = zip(*chunk, strict=True)
            groups.append(np.array(numbers))
            names.append(each(keys).astype(np.uint64))
            times.append(np.array(modified))
            sizes.append(np.array(size))
        if not changed:
            return
        kept = ~np.isin(self._group, changed)
        self._group = np.concatenate([self._group[kept], *groups])
        self.digests = np.concatenate([self.digests[kept], *names])
        self.modified = np.concatenate([self.modified[kept], *times])
        self.size = np.concatenate([self.size[kept], *sizes])

    def times(self, keys: Iterable[str]) -> dict[str, float]:
        """The times of those of these keys that exist."""
        order, keys = np.argsort(self.digests, kind="stable"), list(keys)
        at = find(self.digests[order], each(keys).astype(np.uint64))
        return {key: float(self.modified[order[row]]) for key, row in zip(keys, at, strict=True) if row >= 0}

    def _rows(self, changed: list[int]) -> Iterator[tuple[int, str, float, int]]:
        """Group, key, time and size of each object in a group that may have changed; notes these groups."""
        for number, objects in self._changes():
            changed.append(number)
            for item in objects:
                if (key := self._key(item)) is not None and self._replaced.get(key) != item.modified:
                    yield number, key, item.modified, item.size
