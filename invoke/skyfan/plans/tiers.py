"""How much memory a file needs, guessed from its size and type: the tier, or too big. No I/O."""

from .plan import LARGE, STANDARD
from .products import kind

# SepExtract's memory, its README and benchmarks/extract: 60 bytes for each pixel of the largest chip, and 200
# MiB.
_PER_PIXEL = 60
_BASE = 200 << 20
# MemorySize and LargeMemorySize of template.yaml, in MB.
MEMORY_MB = {STANDARD: 1769, LARGE: 10240}
# Bytes that a file of the type has for each pixel of its one plane, least and most. DRZ: SCI, WHT (float32)
# and CTX (int32, one plane or several). FLT: SCI, ERR (float32), DQ (int16), for IR also SAMP and TIME, one
# or two chips.
_LAYOUTS = {"DRZ": (12, 16), "DRC": (12, 16), "FLT": (10, 20), "FLC": (10, 20)}
_UNKNOWN = (4, 20)
# Rice and gzip make an image about four times smaller.
_PACKED = 4


def pixels(name: str, size: int) -> tuple[float, float]:
    """The least and most pixels that the largest plane of a file of `size` bytes may have."""
    fewest, most = _LAYOUTS.get(kind(name) or "", _UNKNOWN)
    packed = _PACKED if name.lower().endswith((".gz", ".fz")) else 1
    return size / most, packed * size / fewest


def tier(name: str, size: int | None) -> str | None:
    """STANDARD, LARGE, or None where no function can hold it. Large when in doubt, None only when sure."""
    if size is None:
        return STANDARD
    fewest, most = pixels(name, size)
    if most <= capacity(STANDARD):
        return STANDARD
    return LARGE if fewest <= capacity(LARGE) else None


def capacity(of: str) -> int:
    """Pixels of the largest chip that a tier's function can hold."""
    return ((MEMORY_MB[of] << 20) - _BASE) // _PER_PIXEL
