"""Cut symbols for debuggers off shared libraries, for any processor and with nothing but Python.

The strip command of the machine knows one processor, and its versions differ in what they write. All that the
loader reads of a library is in its segments; section headers, symbol tables and debugging data come after.
"""

from __future__ import annotations

import struct
from pathlib import Path

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")


def strip(tree: Path) -> None:
    """Cut every 64-bit ELF file of ``tree`` down to what the loader reads."""
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink() and ".so" in path.name:
            data = path.read_bytes()
            if (short := stripped(data)) != data:
                path.write_bytes(short)


def stripped(data: bytes) -> bytes:
    """The ELF file without what follows its last segment; unchanged if it is no 64-bit little-endian one."""
    if data[:6] != b"\x7fELF\x02\x01" or len(data) < _HEADER.size:
        return data
    header = list(_HEADER.unpack_from(data))
    offset, size, count = header[5], header[9], header[10]
    end = offset + size * count
    for i in range(count):
        segment = _SEGMENT.unpack_from(data, offset + i * size)
        end = max(end, segment[2] + segment[5])
    # no section headers any more: their offset, number and the index of their names
    header[6] = header[12] = header[13] = 0
    return _HEADER.pack(*header) + data[_HEADER.size : end]
