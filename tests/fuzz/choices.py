"""Which mutations a mutant gets: chosen by a seeded generator, from what the file is made of."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from . import words
from .files import File, Hdu
from .mutations import HARMLESS, Mutation
from .seeds import OFTEN, SIDE, seed

_VALUES = (
    "nan",
    "inf",
    "-inf",
    "1e30",
    "-1e30",
    "3.4e38",
    "1e15",
    "-1e15",
    "1e-30",
    "0",
    "-1",
    "1",
    "1e5",
    "7.25",
)


def mutant(rng: random.Random) -> tuple[str, list[Mutation]]:
    """The name of a seed, and mutations for it: of cards and data, then of bytes, then of gzip."""
    name = rng.choices(list(OFTEN), list(OFTEN.values()))[0]
    file, kind = seed(name), rng.random()
    if kind < 0.12:
        return name, [_harmless(rng, file) for _ in range(rng.randint(1, 6))]
    if kind < 0.17:
        return name, _rescaled(rng, file)
    mutations = []
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        choose = rng.choices(list(_STRUCTURE), list(_STRUCTURE.values()))[0]
        mutations.append(choose(rng, file))
    if rng.random() < 0.15:
        mutations.append(rng.choice(_BYTES)(rng, len(file.raw)))
    if rng.random() < 0.1:
        mutations.append(["gzip", rng.choice((1, 9))])
        if rng.random() < 0.7:
            mutations.append(rng.choice((*_BYTES, _member))(rng, len(file.raw) // 3))
    return name, mutations


def _some(rng: random.Random, file: File) -> tuple[int, Hdu]:
    index = rng.randrange(len(file.hdus))
    return index, file.hdus[index]


def _set(rng: random.Random, file: File, group: str) -> Mutation:
    index, hdu = _some(rng, file)
    key = rng.choice(words.GROUPS[group])
    return ["card", index, key, words.value(rng, hdu.value(key)), group]


def _card(rng: random.Random, file: File) -> Mutation:
    present = b"".join(card[:8] for hdu in file.hdus for card in hdu.cards)
    groups = [group for group in words.GROUPS if group != "tile" or b"ZIMAGE" in present]
    return _set(rng, file, rng.choice(groups))


def _present(rng: random.Random, file: File) -> Mutation:
    """Another value for a card that there is."""
    index, hdu = _some(rng, file)
    key = rng.choice(hdu.cards)[:8].decode("latin-1").rstrip()
    return ["card", index, key, words.value(rng, hdu.value(key)), "present"]


def _harmless(rng: random.Random, file: File) -> Mutation:
    return _set(rng, file, rng.choice(HARMLESS))


def _line(rng: random.Random, file: File) -> Mutation:
    index, hdu = _some(rng, file)
    key = rng.choice(hdu.cards)[:8].decode("latin-1").rstrip()
    text = rng.choice(
        (
            f"{key:8}= {words.value(rng, hdu.value(key)):>20}",
            f"HISTORY {rng.choice(('x', chr(233), chr(27) + '[2J', chr(0)))}",
            "CONTINUE  'x&'",
            f"{key:8}= 'x&'",
            f"{key:8}=1",
            "END",
            "END     x",
            "end",
            "= ",
            f"HIERARCH {key} {key} = 5",
            f"{key.lower():8}= 1",
            "".join(chr(rng.randrange(256)) for _ in range(80)),
            f"DP1.EXTVER= {rng.randrange(9)}.",
            "RECORD-VALUED = 'A.B: 1.0'",
            f"{key:8}  no value",
            " " * 80,
        )
    )
    return ["line", index, rng.randrange(len(hdu.cards) + 1), text, rng.choice((1, 1, 1, 2, 40, 300))]


def _drop(rng: random.Random, file: File) -> Mutation:
    index, hdu = _some(rng, file)
    return ["drop", index, rng.choice(hdu.cards)[:8].decode("latin-1").rstrip()]


def _shift(rng: random.Random, file: File) -> Mutation:
    index, hdu = _some(rng, file)
    key = rng.choice(hdu.cards)[:8].decode("latin-1").rstrip()
    return ["shift", index, key, rng.randrange(len(hdu.cards))]


def _flip(rng: random.Random, file: File) -> Mutation:
    return ["flip", rng.randrange(len(file.hdus)), rng.randrange(1 << 30), rng.choice((1, 3, 20, 200, 5000))]


def _pixels(rng: random.Random, file: File) -> Mutation:
    """A run of pixels of one value, in the type of the image."""
    index, hdu = _some(rng, file)
    bits = hdu.value("BITPIX")
    code = {"8": "B", "16": ">h", "32": ">i", "64": ">q", "-32": ">f", "-64": ">d"}.get(bits, "B")
    value: float = float(rng.choice(_VALUES))
    if bits.startswith("-"):
        body = struct.pack(code, value)
    else:
        body = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80", b"\x01", b"")) * struct.calcsize(code) or b"\x7f"
    size = max(len(hdu.data) // len(body), 1)
    number = rng.choice((1, 2, 9, SIDE, SIDE * 8, size // 2, size))
    return ["write", index, rng.choice((0, rng.randrange(size))) * len(body), body.hex(), number]


def _bytes(rng: random.Random, file: File) -> Mutation:
    index, hdu = _some(rng, file)
    body = rng.randbytes(rng.choice((1, 2, 4, 8, 40)))
    return ["write", index, rng.randrange(len(hdu.data) + 1), body.hex(), rng.choice((1, 1, 1, 30, 5000))]


def _length(rng: random.Random, file: File) -> Mutation:
    index, hdu = _some(rng, file)
    return [
        "length",
        index,
        rng.choice((0, 1, len(hdu.data) // 2, len(hdu.data) + 2880, rng.randrange(30_000))),
    ]


def _order(rng: random.Random, file: File) -> Mutation:
    index, to = rng.randrange(len(file.hdus)), rng.randrange(len(file.hdus) + 1)
    return rng.choice(
        (["remove", index], ["move", index, to], ["repeat", index, to, rng.choice((1, 1, 2, 40))])
    )


def _extension(rng: random.Random, file: File) -> Mutation:
    name = rng.choice(
        ("ERR", "DQ", "WHT", "AREA", "SAMP", "CON", "CTX", "SCI", "MASK", "", "WCSDVARR", "UNCERT")
    )
    bits = rng.choice((8, 16, 32, 64, -32, -64))
    sides = rng.choice(
        ([SIDE, SIDE], [SIDE, SIDE, 1], [SIDE, SIDE, 3], [9, 9], [SIDE], [], [0, SIDE], [1, 1, 1, 1])
    )
    fill = rng.choice(("00", "3f800000", "7fc00000", "ff", "7f800000", "0001", "42c80000", "bf800000"))
    return ["extension", rng.randrange(len(file.hdus) + 1), name, bits, sides, fill]


_STRUCTURE: dict[Callable[[random.Random, File], Mutation], int] = {
    _card: 12, _present: 6, _line: 3, _drop: 3, _shift: 1, _flip: 4, _pixels: 6, _bytes: 3, _length: 1,
    _order: 3, _extension: 3,
}  # fmt: skip


def _rescaled(rng: random.Random, file: File) -> list[Mutation]:
    """The image in another unit, a power of two times its own, with its errors."""
    factor = 2.0 ** rng.randint(-40, 40)
    planes = [i for i, hdu in enumerate(file.hdus) if hdu.value("BITPIX") in ("-32", "-64") and hdu.data]
    if any(hdu.value("BSOFTEN") for hdu in file.hdus):
        return [_harmless(rng, file)]
    named = [i for i in planes if file.hdus[i].value("EXTNAME").strip("' ") in ("", "SCI", "ERR", "PRIMARY")]
    return [["card", i, "BSCALE", f"{factor:.20G}", "unit"] for i in named]


_BYTES: tuple[Callable[[random.Random, int], Mutation], ...] = (
    lambda rng, size: ["cut", rng.choice((rng.randrange(size + 1), max(size - rng.randrange(9000), 0)))],
    lambda rng, size: ["pad", rng.choice((0, 32, 255)), rng.choice((1, 80, 2880, 2881, 300_000))],
    lambda rng, size: ["noise", rng.randrange(1 << 30), rng.choice((1, 1, 4, 50))],
    lambda rng, size: ["swap", rng.randrange(size // 2880 + 1), rng.randrange(size // 2880 + 1)],
    lambda rng, size: [
        "erase",
        rng.randrange(size + 1),
        rng.choice((1, 80, 2880, 9000)),
        rng.choice((0, 32, 255)),
    ],
)


def _member(rng: random.Random, size: int) -> Mutation:
    return ["member", rng.choice((0, 1, 2880, size, 30 << 20)), rng.choice((0, 32, 255))]
