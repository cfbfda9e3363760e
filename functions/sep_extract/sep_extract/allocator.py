"""What becomes of memory that is freed: kept for the next array."""

from __future__ import annotations

import ctypes
from contextlib import suppress

# Of malloc.h of glibc.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# Bytes of the largest arrays that come from the heap, the most that glibc allows; larger ones would tear
# holes into it. Bytes of its end that are kept.
_HEAP, _KEPT = 32 << 20, 256 << 20


def keep_freed() -> None:
    """Let this process use memory again that it has freed; without effect where there is no glibc.

    Else the kernel gets the end of the heap back after each image, and clears its pages one by one for the
    next: a tenth of the time that an image takes.
    """
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _HEAP)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)
