"""Catalogs into the two streams of a collection: rows of sources to disk, rows of images to memory."""

from dataclasses import dataclass, field

import pyarrow as pa

from ..runs import digests
from ..runs.place import Object
from . import fitstable, images, schema
from .fitstable import DamagedCatalogError, Layout
from .rows import Spill

_HELD = 1000


@dataclass
class Intake:
    """Takes the catalogs that are read now."""

    spill: Spill
    there: set[str]
    """Images that have a catalog already."""
    known: pa.Schema | None
    """The columns that there are."""
    rows: list[pa.RecordBatch] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)
    """Names of catalogs, and what is wrong with them."""
    schemas: dict[tuple[Layout, str], pa.Schema] = field(default_factory=dict)
    _held: list[images.Row] = field(default_factory=list)

    def add(self, name: str, item: Object, body: bytes) -> None:
        """Takes one catalog; one that cannot be read is kept in `damaged`."""
        try:
            catalog = fitstable.read(body)
            row = images.row(catalog)
            if row["uri"] in self.there:
                raise DamagedCatalogError(f"another catalog is of the same image, {row['uri']}")
            self._check(catalog.layout, row["flux_unit"])
        except DamagedCatalogError as error:
            self.damaged.append((name, str(error)))
            return
        self.there.add(row["uri"])
        self.spill.add(catalog.layout, catalog.rows, digests.digest(row["uri"]))
        row |= {"catalog": name, "catalog_size": item.size, "catalog_modified": item.modified}
        self._held.append(row)
        if len(self._held) == _HELD:
            self._put()

    def flush(self) -> None:
        """Puts what is held into `rows` and on disk."""
        self.spill.flush()
        self._put()

    def _put(self) -> None:
        if self._held:
            self.rows.append(pa.RecordBatch.from_pylist(self._held, images.SCHEMA))
        self._held = []

    def _check(self, layout: Layout, flux_unit: str) -> None:
        key = (layout, flux_unit)
        if key in self.schemas:
            return
        new = schema.of_layout(layout, flux_unit)
        if self.known and (name := schema.conflict(self.known, new)):
            raise DamagedCatalogError(f"its column {name} is of another type than that of other catalogs")
        self.known = schema.merged([self.known, new] if self.known else [new])
        self.schemas[key] = new
