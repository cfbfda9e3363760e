"""The manifest: what was fetched, one JSON object per line; and checksums for `sha256sum --check`.

A line is added before a file gets its final name, so that no file under its name is unknown. The last line
about a name counts, and a line that was not written whole does not.
"""

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass

from .. import files

NAME = "manifest.jsonl"
SUMS = {"md5": "MD5SUMS", "sha256": "SHA256SUMS"}
"""Files with checksums, by algorithm: as md5sum and sha256sum read them."""


@dataclass(frozen=True)
class Row:
    """A file at the destination."""

    name: str
    """Its path below the destination."""
    source: str
    """URI."""
    size: int
    """Bytes, as `source_size`."""
    algorithm: str | None
    """Of the checksum: md5 where the ETag is one, else sha256; None for an object that S3 copied."""
    checksum: str | None
    """Of all bytes, in hexadecimal digits."""
    etag: str
    """Of the source."""
    source_size: int
    selection: str
    """What of the source it holds; empty for all."""
    verified: str
    """What the bytes were compared with: md5, md5 of parts, sha256, sha1, crc32; else size."""
    bytes_read: int
    """Bytes of the source that were transferred for it."""
    fetched: str
    """Time in UTC, ISO 8601."""
    stamp: str
    """Tells whether the file has been changed here: modification time in ns, or ETag of the copy."""
    notes: tuple[str, ...] = ()
    """What a reader of the file should know."""

    def line(self) -> str:
        """Its line in the manifest."""
        return json.dumps(dataclasses.asdict(self)) + "\n"


def parse(text: str) -> dict[str, Row]:
    """The last row about each name; lines that are damaged are skipped."""
    rows = {}
    fields = {field.name for field in dataclasses.fields(Row)}
    for line in text.split("\n"):
        try:
            values = files.from_json(line)
            row = Row(**{name: value for name, value in values.items() if name in fields})
            rows[row.name] = dataclasses.replace(row, notes=tuple(row.notes))
        except (ValueError, TypeError, AttributeError):
            continue
    return rows


def text(rows: Iterable[Row]) -> str:
    """A manifest of these rows, sorted by name."""
    return "".join(row.line() for row in sorted(rows, key=lambda row: row.name))


def sums(rows: Iterable[Row], algorithm: str) -> str:
    """Lines for `md5sum --check` or `sha256sum --check`; they escape names with backslashes and line ends."""
    lines = []
    for row in sorted(rows, key=lambda row: row.name):
        if row.algorithm == algorithm:
            escaped = row.name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
            mark = "\\" if escaped != row.name else ""
            lines.append(f"{mark}{row.checksum}  {escaped}\n")
    return "".join(lines)
