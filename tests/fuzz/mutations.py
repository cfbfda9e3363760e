"""Changes of a FITS file: each a name and numbers or text, in JSON, that always do the same.

Places are taken modulo what there is, so that a mutation still means something when others are left out.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from typing import Any

from .files import BLOCK, File, Hdu, as_card
from .seeds import packed

Mutation = list[Any]
"""A name from APPLY, and its arguments."""

# What no measurement needs: with such cards alone the same sources must be found.
HARMLESS = ("WCS", "about")


def apply(file: File, mutations: list[Mutation]) -> bytes:
    """The bytes of a seed after these mutations."""
    for name, *arguments in mutations:
        APPLY[name](file, *arguments)
    return bytes(file.raw)


def _hdu(file: File, index: int) -> Hdu:
    return file.hdus[index % len(file.hdus)]


def _card(file: File, hdu: int, key: str, text: str, _: str = "") -> None:
    _hdu(file, hdu).put(key, text)


def _line(file: File, hdu: int, at: int, text: str, times: int = 1) -> None:
    cards = _hdu(file, hdu).cards
    at %= len(cards) + 1
    cards[at:at] = [as_card(text)] * times


def _drop(file: File, hdu: int, key: str) -> None:
    found = _hdu(file, hdu)
    if (at := found.find(key)) is not None and len(found.cards) > 1:
        del found.cards[at]


def _shift(file: File, hdu: int, key: str, to: int) -> None:
    found = _hdu(file, hdu)
    if (at := found.find(key)) is not None:
        found.cards.insert(to % len(found.cards), found.cards.pop(at))


def _write(file: File, hdu: int, at: int, hexed: str, times: int) -> None:
    data, body = _hdu(file, hdu).data, bytes.fromhex(hexed) * times
    if data:
        at %= len(data)
        data[at : at + len(body)] = body[: len(data) - at]


def _flip(file: File, hdu: int, seed: int, number: int) -> None:
    data, rng = _hdu(file, hdu).data, random.Random(seed)
    for _ in range(number if data else 0):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _length(file: File, hdu: int, size: int) -> None:
    data = _hdu(file, hdu).data
    del data[size:]
    data.extend(bytes(size - len(data)))


def _repeat(file: File, hdu: int, to: int, times: int = 1) -> None:
    found = _hdu(file, hdu)
    at = to % (len(file.hdus) + 1)
    file.hdus[at:at] = [Hdu(list(found.cards), bytearray(found.data)) for _ in range(times)]


def _remove(file: File, hdu: int) -> None:
    if len(file.hdus) > 1:
        del file.hdus[hdu % len(file.hdus)]


def _move(file: File, hdu: int, to: int) -> None:
    file.hdus.insert(to % len(file.hdus), file.hdus.pop(hdu % len(file.hdus)))


def _extension(file: File, to: int, name: str, bits: int, sides: list[int], fill: str) -> None:
    """A further image."""
    size = abs(bits) // 8
    for side in sides:
        size *= side
    cards = ["XTENSION= 'IMAGE   '", f"BITPIX  = {bits:20}", f"NAXIS   = {len(sides):20}"]
    cards += [f"NAXIS{i}  = {side:20}" for i, side in enumerate(sides, start=1)]
    cards += [f"PCOUNT  = {0:20}", f"GCOUNT  = {1:20}", f"EXTNAME = '{name:8}'"]
    body = bytes.fromhex(fill)
    hdu = Hdu([as_card(card) for card in cards], bytearray((body * (size // len(body) + 1))[:size]))
    file.hdus.insert(1 + to % len(file.hdus), hdu)


def _cut(file: File, at: int) -> None:
    file.raw = file.raw[: at % (len(file.raw) + 1)]


def _pad(file: File, byte: int, number: int) -> None:
    file.raw = file.raw + bytes([byte]) * number


def _noise(file: File, seed: int, number: int) -> None:
    rng = random.Random(seed)
    for _ in range(number if file.raw else 0):
        file.raw[rng.randrange(len(file.raw))] ^= 1 << rng.randrange(8)


def _swap(file: File, one: int, other: int) -> None:
    blocks = max(len(file.raw) // BLOCK, 1)
    a, b = (slice(i % blocks * BLOCK, i % blocks * BLOCK + BLOCK) for i in (one, other))
    file.raw[a], file.raw[b] = file.raw[b], file.raw[a]


def _erase(file: File, at: int, number: int, byte: int) -> None:
    at %= len(file.raw) + 1
    file.raw[at : at + number] = bytes([byte]) * len(file.raw[at : at + number])


def _gzip(file: File, level: int) -> None:
    file.raw = packed(bytes(file.raw), level)


def _member(file: File, size: int, byte: int) -> None:
    """A further gzip member, of ``size`` equal bytes."""
    file.raw = file.raw + gzip.compress(bytes([byte]) * size, 1, mtime=0)


APPLY: dict[str, Callable[..., None]] = {
    "card": _card, "line": _line, "drop": _drop, "shift": _shift, "write": _write, "flip": _flip,
    "length": _length, "repeat": _repeat, "remove": _remove, "move": _move, "extension": _extension,
    "cut": _cut, "pad": _pad, "noise": _noise, "swap": _swap, "erase": _erase, "gzip": _gzip,
    "member": _member,
}  # fmt: skip
