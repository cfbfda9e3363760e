"""What skyfan match returns: the objects, what they were made of, and what is doubtful about them."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..catalogs.dataset import DataSet
from ..formatting import count, reasons
from ..tables import SHOWN_ROWS, Tabular


@dataclass(frozen=True, repr=False)
class Matched(Tabular):
    """A folder of objects."""

    folder: Path
    runs: list[str]
    objects: int
    links: int
    """Detections of the objects."""
    unmeasured: int
    """Those of them without a magnitude."""
    magnitude: str
    """The column that means are of."""
    partitions: int
    images: dict[str, int]
    """Images by what was done with them: used, repeated, doubtful, no sky."""
    bands: list[str]
    """Instruments with filters, as in names of columns."""
    offsets: dict[str, int]
    """Images that are used, by their offsets: solved, held, alone, unsolved."""
    reference: str | None
    """The catalog that positions are tied to."""
    tied: dict[str, int]
    """Images that are used, by how they are tied to it: tied, by overlaps, not tied."""
    notes: list[str]
    """What is to be known of it."""
    unknown_bands: list[str]
    """Bands without a filter or an instrument."""
    unidentified: int
    """Images that are used and do not say of which exposure they are."""
    settings: dict[str, list[str]]
    """Digests of the settings of the catalogs, per run."""
    is_new: bool
    """False if the folder had the objects of the same inputs and settings already."""

    @property
    def doubts(self) -> list[str]:
        """What a reader of the objects should know, one sentence each."""
        said = []
        if number := self.images.get("no sky"):
            said.append(f"{count(number, 'image')} without sky coordinates: not used")
        if number := self.images.get("doubtful"):
            said.append(f"{count(number, 'doubtful image')}: not used")
        if number := self.offsets.get("unsolved"):
            said.append(f"{count(number, 'image')} with overlaps but without a shift that fits: not moved")
        if number := self.tied.get("not tied"):
            said.append(
                f"{count(number, 'image')} not tied to {self.reference}: without a shift on which enough "
                "stars agree, and without an overlap with one that has it"
            )
        if self.unknown_bands:
            said.append(f"unknown instrument or filter: {', '.join(self.unknown_bands)}")
        if self.unidentified:
            said.append(
                f"{count(self.unidentified, 'image')} without rootname and times: a second file of the same "
                "exposure would count twice"
            )
        if self.unmeasured:
            said.append(
                f"{count(self.unmeasured, 'detection')} of {self.links:,} without {self.magnitude}: they "
                "count in positions only; --magnitude chooses another"
            )
        if len({digest for digests in self.settings.values() for digest in digests}) > 1:
            said.append(f"the runs were made with different settings: {', '.join(sorted(self.settings))}")
        return said

    def image_table(self) -> pa.Table:
        """All images of the runs, with state and offset."""
        return pq.read_table(self.folder / "images.parquet")

    def link_table(self) -> pa.Table:
        """All links from objects to detections."""
        return DataSet(self.folder / "links", {}).read()

    def _table(self) -> pa.Table:
        return DataSet(self.folder / "objects", {}).read()

    def _head(self) -> tuple[pa.Table, int]:
        return DataSet(self.folder / "objects", {}).read(SHOWN_ROWS), self.objects

    def _summary(self) -> str:
        used = self.images.get("used", 0)
        others = {state: number for state, number in self.images.items() if state != "used"}
        rest = f", not used: {reasons(others)}" if others else ""
        return f"{count(self.objects, 'object')} of {count(used, 'image')} in {self.folder}{rest}"
