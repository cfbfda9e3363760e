"""The doubtful files of a run, from the marks that its functions write: runs/<run>/doubtful/<doubts>/<key>.

One listing, a page per thousand doubtful files, tells all; no catalog is read.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyfan_contract import NO_DOUBTS

from ..concurrency import chunks
from ..storage.place import Place
from . import digests

_CHUNK = 1 << 14


@dataclass(frozen=True)
class Doubts:
    """Which files of a run are doubtful, and why."""

    files: NDArray[np.intp]
    """(n,) indices of the doubtful files in the planned ones."""
    combinations: list[str]
    """Doubts as the marks have them, joined by '-'."""
    which: NDArray[np.intp]
    """(n,) index in `combinations` of each file."""

    def __len__(self) -> int:
        return len(self.files)

    @property
    def reasons(self) -> dict[str, int]:
        """The number of files for each reason, most frequent first; a file can have several."""
        found = Counter[str]()
        for names, count in zip(self.combinations, np.bincount(self.which), strict=False):
            found.update(dict.fromkeys(names.split("-"), int(count)))
        return dict(sorted((+found).items(), key=lambda pair: (-pair[1], pair[0])))


def read(place: Place, run: str, files: digests.Digests, done: NDArray[np.bool_]) -> Doubts:
    """The doubtful ones of those `files` that are `done` (n,).

    List the results first: a mark is older than its result.
    """
    prefix = f"runs/{run}/doubtful/"
    numbers: dict[str, int] = {NO_DOUBTS: 0}
    which, newest = np.zeros(len(files), np.intp), np.full(len(files), -np.inf)
    for chunk in chunks(place.list(prefix), _CHUNK):
        marks = [item.key.removeprefix(prefix).partition("/") for item in chunk]
        rows = digests.find(files, digests.each(key for _, _, key in marks))
        for at, (names, _, _), item in zip(rows.tolist(), marks, chunk, strict=True):
            number = numbers.setdefault(names, len(numbers))
            # Times of S3 are whole seconds: of two marks of one second the doubt counts.
            if at >= 0 and (item.modified, number > 0) > (newest[at], which[at] > 0):
                which[at], newest[at] = number, item.modified
    doubtful = np.flatnonzero(done & (which > 0))
    return Doubts(doubtful, list(numbers), which[doubtful])
