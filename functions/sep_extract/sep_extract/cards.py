"""Header cards that never raise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from astropy.io import fits


class Cards:
    """Cards of an extension's header, then of the primary one, that never raise: a malformed one is noted."""

    def __init__(self, *headers: fits.Header) -> None:
        self._headers = headers
        self.notes: list[str] = []

    def text(self, key: str) -> str:
        """The card as stripped text; empty if absent."""
        return next((str(value).strip() for value in self._values(key)), "")

    def number(self, key: str) -> float | None:
        """The card as a finite float; None if absent or not a number."""
        return next(self._numbers(key), None)

    def positive(self, key: str) -> float | None:
        """The card as a finite float above 0, of the first header that has one; None if none has."""
        return next((value for value in self._numbers(key) if value > 0), None)

    def within(self, key: str, bounds: tuple[float, float]) -> float | None:
        """The card as a float within ``bounds``, of the first header that has one; None if none has.

        A value above 0 that is not within them is noted; 0 and less mean that nothing is known.
        """
        least, most = bounds
        for value in self._numbers(key):
            if least <= value <= most:
                return value
            if value > 0:
                self._note(f"{key} is {value:g}, not from {least:g} to {most:g}: ignored")
        return None

    def _numbers(self, key: str) -> Iterator[float]:
        for value in self._values(key):
            try:
                number = math.nan if isinstance(value, bool) else float(value)
            except (TypeError, ValueError):
                number = math.nan
            if math.isfinite(number):
                yield number
            else:
                self._note(f"{key} is {str(value)!r}, not a number: ignored")

    def _values(self, key: str) -> Iterator[Any]:
        for header in self._headers:
            try:
                value = header.get(key)
            except (fits.VerifyError, ValueError):
                self._note(f"{key} is a malformed header card: ignored")
                continue
            if value is not None and not isinstance(value, fits.card.Undefined) and str(value).strip():
                yield value

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
