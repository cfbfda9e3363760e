"""Takes the tables of a run one by one: their rows, the row of each input, and the columns of all."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..storage.listing import Object
from . import facts, images, kinds, schema
from .check import Check
from .fitstable import Catalog, DamagedCatalogError, Layout
from .ids import Ids
from .kinds import SOURCES, Kind
from .spill import Spill

_IMAGES_PER_BATCH = 1000


@dataclass
class Intake:
    """Takes catalogs one by one; keeps their rows in `spill` and the table of images."""

    spill: Spill
    check: Check
    columns: pa.Schema | None
    """All columns so far, of the existing data set too; None before the first catalog."""
    ids: Ids
    """Those of images that have a catalog already."""
    good: bool
    """Whether doubtful images are left out."""
    left_out: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Catalogs that cannot be used: file, state, error and message."""
    kind: Kind | None = None
    """None before the first catalog."""
    known: facts.Fields = field(default_factory=dict)
    """Those of all inputs so far."""
    _batches: list[pa.Table] = field(default_factory=list)
    _layouts: set[tuple[Layout, str, frozenset[str]]] = field(default_factory=set)
    _batch: list[images.Row] = field(default_factory=list)

    def add(self, name: str, key: str, item: Object, body: bytes) -> None:
        """Takes the catalog of the input with this key, or adds it to `left_out`."""
        try:
            catalog, row = self.check.read(key, body)
            if self.good and row["doubts"]:
                self.left_out.append((row["uri"], "doubtful", "", row["doubts"]))
                return
            self._merge(catalog, row)
        except DamagedCatalogError as error:
            self.left_out.append((name, "damaged", type(error).__name__, str(error)))
            return
        row["source_id"] = self.ids.assign(row["uri"], row["sources"])
        self.spill.add(catalog.layout, catalog.rows, row["source_id"])
        row |= {"catalog": name, "catalog_size": item.size}
        row |= {"catalog_modified": item.modified, "catalog_etag": item.etag}
        self._batch.append(row)
        if len(self._batch) == _IMAGES_PER_BATCH:
            self._flush_images()

    def flush(self) -> None:
        """Must be called after the last catalog."""
        self.spill.flush()
        self._flush_images()

    def _flush_images(self) -> None:
        if self._batch:
            columns = images.schema(self.kind or SOURCES, facts.known(self.known))
            self._batches.append(pa.Table.from_pylist(self._batch, columns))
        self._batch = []

    @property
    def has_images(self) -> bool:
        """Whether any catalog was taken."""
        return bool(self._batches)

    def table(self, columns: pa.Schema) -> pa.Table:
        """The table of images that were read."""
        return pa.concat_tables([columns.empty_table(), *(facts.fitted(b, columns) for b in self._batches)])

    def _merge(self, catalog: Catalog, row: images.Row) -> None:
        """Takes columns and facts of a catalog. Raises DamagedCatalogError if they do not fit others'."""
        kind, layout = kinds.of_header(catalog.header), catalog.layout
        if self.kind not in (None, kind):
            raise DamagedCatalogError("it is of another function than other tables")
        merged = facts.merged(self.known, facts.fields(catalog.header))
        variant = layout, row.get("flux_unit", ""), _observed(row)
        if variant not in self._layouts:
            new = schema.of_layout(layout, kind, *variant[1:])
            if self.columns and (name := schema.conflict(self.columns, new)):
                raise DamagedCatalogError(f"its column {name} has another type than in other {kind.result}s")
            self.columns = schema.merged([self.columns, new] if self.columns else [new])
            self._layouts.add(variant)
        self.kind, self.known = kind, merged


def _observed(row: images.Row) -> frozenset[str]:
    """The columns of schema.from_input() that an input has a value for."""
    found = {name.upper() for name in ("instrument", "filter") if row[name]}
    has_time = row["t_min"] is not None and row["t_max"] is not None
    return frozenset(found | {"INPUT"} | ({"MJD"} if has_time else set()))


def input_columns(table: pa.Table, kind: Kind) -> pa.Table:
    """The columns of schema.from_input(), which are copied to every row of an input."""
    middle = pc.divide(pc.add(table["t_min"], table["t_max"]), 2)
    observed = [table["instrument"], table["filter"]]
    if kind is SOURCES:
        columns = [table["uri"], *observed, middle, table["flux_unit"]]
    else:  # null, as in the rows of inputs that were collected before any had one
        nulls = [
            pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column) for column in observed
        ]
        columns = [table["uri"], *nulls, middle]
    return pa.table(columns, names=[field.name for field in schema.from_input(kind)]).combine_chunks()


def string_lengths(table: pa.Table) -> dict[str, int]:
    """Upper limits of the lengths of strings, by column; in steps, so that they rarely change."""
    names = {"INSTRUMENT": "instrument", "FILTER": "filter"}
    is_sources = "flux_unit" in table.schema.names
    names = {"IMAGE": "uri", **names, "FLUX_UNIT": "flux_unit"} if is_sources else {"INPUT": "uri", **names}
    longest = {name: pc.max(pc.utf8_length(table[of])).as_py() or 0 for name, of in names.items()}
    return {name: int(np.ceil((length + 1) / 32)) * 32 for name, length in longest.items()}
