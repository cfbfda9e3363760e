"""A FITS file as mutations see it: HDUs of cards and data, then bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

from astropy.io import fits

BLOCK, CARD = 2880, 80


@dataclass
class Hdu:
    """Cards of 80 bytes without END, and data without what pads them."""

    cards: list[bytes]
    data: bytearray

    def find(self, key: str) -> int | None:
        """The place of the first card with this keyword."""
        name = key.encode("latin-1").ljust(8)
        return next((i for i, card in enumerate(self.cards) if card[:8] == name), None)

    def value(self, key: str) -> str:
        """What a card holds, as it stands in the file, without its comment; empty without the card."""
        at = self.find(key)
        return "" if at is None else self.cards[at][10:].decode("latin-1").split(" /")[0].strip()

    def put(self, key: str, text: str) -> None:
        """Change the value of a card, or add one."""
        card = as_card(f"{key:8}= {text:>20}")
        if (at := self.find(key)) is None:
            self.cards.append(card)
        else:
            self.cards[at] = card

    def raw(self) -> bytes:
        header = b"".join([*self.cards, b"END".ljust(CARD)])
        return header + b" " * (-len(header) % BLOCK) + self.data + bytes(-len(self.data) % BLOCK)


@dataclass
class File:
    """HDUs until a mutation of bytes asks for the ``raw`` file."""

    hdus: list[Hdu]
    _raw: bytearray | None = field(default=None)

    @classmethod
    def parse(cls, raw: bytes) -> File:
        """A file that is in order."""
        found = []
        with fits.open(io.BytesIO(raw), disable_image_compression=True) as hdus:
            for hdu in hdus:
                place, header = hdu.fileinfo(), hdu.header.tostring(padding=False).encode()
                cards = [header[i : i + CARD] for i in range(0, len(header) - CARD, CARD)]
                found.append(Hdu(cards, bytearray(raw[place["datLoc"] :][: hdu.size])))
        return cls(found)

    def copy(self) -> File:
        return File([Hdu(list(hdu.cards), bytearray(hdu.data)) for hdu in self.hdus])

    @property
    def raw(self) -> bytearray:
        """The bytes. What is done to the HDUs from here on is in vain."""
        if self._raw is None:
            self._raw = bytearray(b"".join(hdu.raw() for hdu in self.hdus))
        return self._raw

    @raw.setter
    def raw(self, value: bytes) -> None:
        self._raw = bytearray(value)


def as_card(text: str) -> bytes:
    return text.encode("latin-1", "replace")[:CARD].ljust(CARD)
