"""One file to fetch, with all that is known of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..errors import InputError
from . import checks
from .manifest import Row
from .recipe import PIECE, Copy, Piece, Recipe, Span
from .source import Version

ABSENT, UNCHANGED, CHANGED, DAMAGED = "absent", "unchanged", "changed", "damaged"
"""States of a file at the destination: missing; as fetched; older than the source; not as fetched."""


class BlockedError(Exception):
    """A file at the destination is not ours to replace; the message says which and what to do."""


class DamagedError(Exception):
    """What came has another checksum than the source states."""


class OutsideError(InputError):
    """The image does not contain the position."""


@dataclass
class Job:
    """One file to fetch."""

    uri: str
    name: str
    """Its path below the destination."""
    version: Version
    recipe: Recipe
    selection: str = ""
    """What of the source it holds; empty for all."""
    notes: tuple[str, ...] = ()
    received: int = field(default=0, compare=False)
    """Bytes of the source that came for it."""
    longest: int = field(default=PIECE, compare=False)
    """Bytes of a request."""

    def pieces(self, present: list[Span]) -> Iterable[Piece]:
        """What to request if some of the file is present: all of it from a source without ranges."""
        if self.version.ranges:
            return self.recipe.pieces(present, self.longest)
        return [Piece(0, Copy(0, self.version.size))] if self.version.size else []

    def stated(self, access: str) -> dict[str, str]:
        """What the source says of its checksums beside the ETag."""
        return checks.stated(self.uri, access) if self.uri.startswith("s3://") else {}

    def row(self, size: int, stamp: str, checked: checks.Checked, received: int = 0) -> Row:
        """Its row in the manifest, now that it is there."""
        return Row(
            name=self.name,
            source=self.uri,
            size=size,
            algorithm=checked.algorithm,
            checksum=checked.checksum,
            etag=self.version.etag,
            source_size=self.version.size,
            selection=self.selection,
            verified=checked.verified,
            bytes_read=received,
            fetched=datetime.now(UTC).isoformat(timespec="seconds"),
            stamp=stamp,
            notes=self.notes,
        )
