"""Which images are of the same exposure, so that no photon counts twice.

Two images of a telescope and instrument through one filter are of the same exposure if they have the same
ROOTNAME, or if they began and ended within SECONDS of each other and overlap: a detector takes one exposure
at a time. An image of one exposure that lies within the time of a combined one, and on it, is part of that
one.

Kept is the combined image, then the product that comes first in products.toml, then the one with fewer
doubts, then that of the run named first, then the first name.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .groups import Floats, Indices

SECONDS = 1.0
_DAY = 86400.0
_SUFFIX = re.compile(r"_([a-z0-9]+)\.fits(?:\.[a-z]+)?\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Image:
    """What says of which exposure an image is."""

    uri: str
    run: int
    """Number of the run, in the order in which they were named."""
    channel: tuple[str, str, str]
    """Telescope, instrument, and filter."""
    rootname: str
    start: float
    """MJD; NaN if unknown."""
    stop: float
    doubts: int
    centre: Floats
    """(3,) unit vector."""
    radius: float
    """To its corners, in radians."""

    @property
    def product(self) -> str:
        """The end of its name: flt, drz…; empty if it has none."""
        found = _SUFFIX.search(self.uri)
        return found[1].lower() if found else ""

    @property
    def is_combined(self) -> bool:
        """Whether its product is of several exposures."""
        return self.product in _products()["combined"]

    @property
    def is_identified(self) -> bool:
        """Whether anything says of which exposure it is."""
        return bool(self.rootname) or (np.isfinite(self.start) and np.isfinite(self.stop))

    @property
    def rank(self) -> tuple[int, int, int, str]:
        """The smaller, the rather it is kept, of two that are both combined or both not."""
        order = _products()["combined" if self.is_combined else "single"]
        at = order.index(self.product) if self.product in order else len(order)
        return at, self.doubts, self.run, self.uri


@cache
def _products() -> dict[str, list[str]]:
    table: dict[str, list[str]] = tomllib.loads(Path(__file__).with_name("products.toml").read_text("utf-8"))
    return table


def kept(images: Sequence[Image]) -> Indices:
    """For each image the index of the one that is kept for its exposure: its own if it is kept itself."""
    best = np.arange(len(images))
    for numbers in _by_channel(images):
        combined = [n for n in numbers if images[n].is_combined]
        single = [n for n in numbers if not images[n].is_combined]
        for some in (combined, single):
            for same in _same(images, some):
                best[same] = min(same, key=lambda n: images[n].rank)
        wholes = [n for n in combined if best[n] == n]
        for n in single:
            if around := [whole for whole in wholes if _contains(images[whole], images[n])]:
                best[n] = min(around, key=lambda whole: images[whole].rank)
    # The one that an image gave way to may have given way itself.
    return best[best]


def _by_channel(images: Sequence[Image]) -> list[list[int]]:
    order = sorted(range(len(images)), key=lambda n: (images[n].channel, images[n].uri, images[n].run))
    return [list(group) for _, group in groupby(order, key=lambda n: images[n].channel)]


def _same(images: Sequence[Image], numbers: list[int]) -> list[list[int]]:
    """Groups of the numbers whose images are of the same exposure."""
    leader = {n: n for n in numbers}

    def root(n: int) -> int:
        while leader[n] != n:
            n = leader[n]
        return n

    first: dict[str, int] = {}
    for n in numbers:
        for name in (images[n].rootname.lower(), f"{images[n].uri}\n"):
            if name:
                leader[root(n)] = root(first.setdefault(name, n))
    timed = sorted((images[n].start, n) for n in numbers if np.isfinite(images[n].stop - images[n].start))
    for at, (start, n) in enumerate(timed):
        for later, other in timed[at + 1 :]:
            if (later - start) * _DAY > SECONDS:
                break
            if abs(images[n].stop - images[other].stop) * _DAY <= SECONDS and _overlap(
                images[n], images[other]
            ):
                leader[root(other)] = root(n)
    groups: dict[int, list[int]] = {}
    for n in numbers:
        groups.setdefault(root(n), []).append(n)
    return list(groups.values())


def _contains(whole: Image, part: Image) -> bool:
    slack = SECONDS / _DAY
    is_within = whole.start - slack <= part.start and part.stop <= whole.stop + slack
    return is_within and _overlap(whole, part)


def _overlap(a: Image, b: Image) -> bool:
    """Whether the centre of one lies on the other."""
    d: NDArray[np.float64] = a.centre - b.centre
    return bool(np.sqrt((d**2).sum()) < max(a.radius, b.radius))
