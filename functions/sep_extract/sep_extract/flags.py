"""SExtractor's FLAGS, the bits that this function sets."""

from __future__ import annotations

from enum import IntFlag


class Flag(IntFlag):
    """A source's FLAGS. SExtractor's 32 and 128, data lost for want of memory, cannot happen here."""

    CROWDED = 1
    BLENDED = 2
    SATURATED = 4
    TRUNCATED = 8
    APERTURE = 16
    OVERFLOW = 64
