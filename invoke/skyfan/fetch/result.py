"""What became of the files of one call."""

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa

from .. import formatting
from ..tables import Tabular
from .limits import Egress
from .wanted import NotFetched

FETCHED, UPDATED, REPAIRED, UNCHANGED = "fetched", "updated", "repaired", "unchanged"
OUTSIDE, FAILED, NOT_BEGUN, NOT_FETCHED = "outside", "failed", "not begun", "not fetched"
STATES = {
    FETCHED: "new at the destination",
    UPDATED: "another version at the source than before",
    REPAIRED: "fetched again, for its bytes were not those of the manifest",
    UNCHANGED: "as fetched before; nothing was transferred",
    OUTSIDE: "the image does not contain the position",
    FAILED: "see the reason",
    NOT_BEGUN: "the command stopped before",
    NOT_FETCHED: "not public, or not in the cloud; see the reason",
}
_GOOD = (FETCHED, UPDATED, REPAIRED, UNCHANGED, OUTSIDE)


@dataclass(frozen=True)
class File:
    """What became of one file."""

    name: str
    """Its path below the destination; empty if it has none."""
    source: str
    """URI."""
    state: str
    """One of STATES."""
    size: int = 0
    """Bytes at the destination."""
    reason: str = ""
    notes: tuple[str, ...] = ()


@dataclass(repr=False)
class Result(Tabular):
    """What became of all files; a table with a row per file."""

    destination: str
    files: list[File] = field(default_factory=list)
    egress: Egress | None = None
    """Of what was to be transferred; None if nothing was."""
    received: int = 0
    """Bytes of content that arrived, those of headers included."""
    whole: int = 0
    """Bytes of the whole files behind what was transferred."""
    requests: int = 0
    """For content."""
    retries: int = 0
    unwanted: dict[str, int] = field(default_factory=dict)
    """Rows that the plan left out on purpose, by reason."""
    stopped: str = ""
    """Why no more files were begun; empty if all were."""
    interrupted: bool = False

    def refuse(self, refused: list[NotFetched]) -> None:
        """Adds files that cannot be fetched."""
        self.files += [File("", one.source, NOT_FETCHED, reason=one.reason) for one in refused]

    @property
    def counts(self) -> dict[str, int]:
        """Number of files by state, in the order of STATES."""
        counts = Counter(file.state for file in self.files)
        return {state: counts[state] for state in STATES if counts[state]}

    @property
    def is_complete(self) -> bool:
        """Whether every file is at the destination, or has nothing for it."""
        return not self.interrupted and all(file.state in _GOOD for file in self.files)

    def _table(self) -> pa.Table:
        files = self.files
        return pa.table(
            {
                "name": pa.array([file.name or None for file in files], pa.string()),
                "state": pa.array([file.state for file in files], pa.string()),
                "size": pa.array([file.size for file in files], pa.int64()),
                "source": pa.array([file.source for file in files], pa.string()),
                "reason": pa.array([file.reason or None for file in files], pa.string()),
                "notes": pa.array(["; ".join(file.notes) or None for file in files], pa.string()),
            },
            schema=pa.schema(
                [
                    pa.field("name", pa.string()),
                    pa.field("state", pa.string()),
                    pa.field("size", pa.int64(), metadata={"unit": "byte"}),
                    *(pa.field(name, pa.string()) for name in ("source", "reason", "notes")),
                ]
            ),
        )

    def _summary(self) -> str:
        counts = ", ".join(f"{number:,} {state}" for state, number in self.counts.items())
        return f"{self.destination}: {counts or 'no files'}; {formatting.size(self.received)} transferred"
