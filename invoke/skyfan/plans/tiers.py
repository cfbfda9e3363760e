"""The memory tier of each file: which function it is sent to, by what its pixels take. No I/O."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from math import isqrt
from typing import NamedTuple

from skyfan_contract import (
    BYTES_BASE,
    BYTES_PER_LABEL,
    BYTES_PER_PIXEL,
    TILED_ABOVE,
    memory_of,
    memory_of_outputs,
)
from skyfan_contract.products import product_type

from .plan import LARGE, STANDARD, Item

# MB, for plans that are made without a stack: MemorySize of template.yaml, and the most that LargeMemorySize
# can be, so that no file is dropped that some stack can process.
MEMORY_MB: Mapping[str, int] = {STANDARD: 512, LARGE: 10240}
_ROOM = 1.2  # sources take memory too


class Layout(NamedTuple):
    """What a product holds for each pixel of its largest plane."""

    least: int
    """Bytes of the file, at least."""
    most: int
    planes: tuple[str, ...]
    """What SepExtract reads of it, by the names in skyfan_contract.BYTES_PER_PIXEL."""


# DRZ: SCI, WHT (float32) and CTX (int32, one plane or several). FLT: SCI, ERR (float32), DQ (int16), for IR
# also SAMP and TIME; one or two chips. CAL: SCI, ERR, DQ, three variances, and AREA, which some modes lack,
# four bytes each. I2D: SCI, ERR, WHT, three variances, and CON, a plane for each 32 exposures. FFIC: two.
# TP: five planes or more of each of 500 to 120,000 cadences, in up to 99 stacks.
LAYOUTS: Mapping[str, Layout] = {
    **dict.fromkeys(("DRZ", "DRC"), Layout(12, 16, ("science", "weight"))),
    **dict.fromkeys(("FLT", "FLC"), Layout(10, 20, ("science", "error", "dq"))),
    "CAL": Layout(24, 28, ("science", "error", "dq", "area")),
    "I2D": Layout(28, 40, ("science", "error", "weight")),
    "FFIC": Layout(8, 9, ("science", "error")),
    "TP": Layout(10_000, 3_000_000, ("science", "error")),
}
# Of files of one size, one that holds the image alone has the most pixels.
_UNKNOWN = Layout(4, 20, ("science",))
# A plane of more pixels takes the smaller function more than half of its time, and one of more than the most
# takes more than Lambda has, if its field is crowded (benchmarks/tiles --large).
_SLOW, _MOST = 100_000_000, 1_000_000_000
# Sides of a mosaic may be so unequal.
_WIDE = 1.5
# Typical factor of Rice and gzip.
_COMPRESSION = 4


def tier(
    name: str,
    size: int | None,
    memory_mb: Mapping[str, int] = MEMORY_MB,
    *,
    pixels: int | None = None,
    outputs: Sequence[str] = (),
    detect: tuple[str, int | None] | None = None,
) -> str | None:
    """STANDARD, LARGE, or None if no function can process the file. LARGE in case of doubt.

    `memory_mb` has the memory size of each tier, `pixels` those of the largest plane, if they are known.
    `outputs` are the further results of each file, `detect` are name and size of its detection image.
    """
    if size is None and pixels is None:
        return STANDARD
    least, most = _memory(name, size or 0, pixels, outputs)
    if detect and detect[1] is not None:
        least, most = _with_detection(least, most, detect[0], detect[1])
    if most.bytes * _ROOM <= memory_mb[STANDARD] << 20 and most.pixels <= _SLOW:
        return STANDARD
    return LARGE if least.bytes <= memory_mb[LARGE] << 20 and least.pixels <= _MOST else None


def sending_tier(item: Item, memory_mb: Mapping[str, int], outputs: Sequence[str] = ()) -> str:
    """The tier whose function an item is sent to, by the memory that is deployed and that `outputs` take.

    The plan's own tier counts only if the size is unknown. A file that no function can process goes to the
    largest, which records a failure that says so.
    """
    if item.size is None and item.pixels is None:
        return item.tier
    detect = (item.detect, item.detect_size) if item.detect else None
    found = tier(item.uri, item.size, memory_mb, pixels=item.pixels, outputs=outputs, detect=detect)
    return found or LARGE


def graded(
    items: Iterable[Item], memory_mb: Mapping[str, int], outputs: Sequence[str] = ()
) -> Iterator[Item]:
    """The items with their sending_tier()."""
    for item in items:
        yield replace(item, tier=sending_tier(item, memory_mb, outputs))


class _Need(NamedTuple):
    pixels: int
    """Of the largest plane."""
    bytes: int
    """Of memory."""


def _with_detection(least: _Need, most: _Need, name: str, size: int) -> tuple[_Need, _Need]:
    """The same if another image is measured first, whose segments are kept."""
    few, many = _memory(name, size, None, ())
    return (
        _Need(max(least.pixels, few.pixels), max(few.bytes, least.bytes + BYTES_PER_LABEL * few.pixels)),
        _Need(max(most.pixels, many.pixels), max(many.bytes, most.bytes + BYTES_PER_LABEL * many.pixels)),
    )


def _memory(name: str, size: int, pixels: int | None, outputs: Sequence[str]) -> tuple[_Need, _Need]:
    """What a file of `size` bytes takes with its further `outputs`, at least and at most.

    `pixels` are those of its largest plane, if they are known; of an unknown product, its planes are not.
    """
    layout = LAYOUTS.get(product_type(name) or "", _UNKNOWN)
    ending = name[-3:].lower()
    # SepExtract keeps all that a gzipped file holds in memory.
    unzipped = size if ending == ".gz" else 0
    packed = _COMPRESSION if ending in (".gz", ".fz") else 1
    if pixels is None:
        least, most, planes = size // layout.most, packed * size // layout.least, layout.planes
    else:
        least = most = pixels
        planes = tuple(BYTES_PER_PIXEL) if layout is _UNKNOWN else layout.planes
    # Of all planes, for the outputs are of all.
    fewest, every = max(least, size // layout.most), max(most, packed * size // layout.least)
    return (
        _Need(least, _bytes(least, layout.planes, 1.0) + unzipped + memory_of_outputs(fewest, outputs)),
        _Need(most, _bytes(most, planes, _WIDE) + packed * unzipped + memory_of_outputs(every, outputs)),
    )


def _bytes(pixels: int, planes: tuple[str, ...], wide: float) -> int:
    """As memory_of(), which adds them up again for each file."""
    if pixels <= TILED_ABOVE:
        return pixels * _per_pixel(planes) + BYTES_BASE
    return memory_of(pixels, planes, int(wide * isqrt(pixels)))


@cache
def _per_pixel(planes: tuple[str, ...]) -> int:
    return sum(BYTES_PER_PIXEL[plane] for plane in planes)
