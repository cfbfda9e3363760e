"""SExtractor's FLAGS, the bits that this function sets."""

from __future__ import annotations

from enum import IntFlag


class Flag(IntFlag):
    """A source's FLAGS. SExtractor's 32 and 128, data lost for want of memory, cannot happen here.

    Not SExtractor's: SECOND, found by the second detection (the setting faint_size); UNWINDOWED, the window
    lost the source, and the barycentre stands in for its windowed position; OUTSIDE, the source of a
    detection image lies outside the measured one.
    """

    CROWDED = 1
    BLENDED = 2
    SATURATED = 4
    TRUNCATED = 8
    APERTURE = 16
    OVERFLOW = 64
    SECOND = 256
    UNWINDOWED = 512
    OUTSIDE = 1024
