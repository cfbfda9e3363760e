"""What skyfan collect returns: the data set of a run, what is in it, and what is not."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from .. import plots
from ..errors import UsageError
from ..formatting import count, reasons
from ..tables import SHOWN_ROWS, Tabular
from . import dataset, images, kinds
from .kinds import SOURCES

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, repr=False)
class Collected(Tabular):
    """Contents of a data set, and what this call has changed."""

    folder: Path
    run: str
    images: int
    sources: int
    """Sources with a position."""
    unplaced: int
    """Sources without a position, in unplaced.parquet."""
    partitions: int
    read: int
    """Images whose catalogs were read by this call; all others were in the data set already."""
    removed: int
    """Images whose catalogs no longer exist, so that their sources were removed."""
    doubtful: int
    """Images in the data set that their catalogs call doubtful."""
    doubts: dict[str, int]
    """Why, each with its number of images; an image can have several."""
    left_out: dict[str, int]
    """Files of the run that are not in the data set, by state: damaged, doubtful, failed, late…"""
    damaged: dict[str, str]
    """Catalogs, below the run's, that are not those that the run made, and why."""

    @property
    def missing_file(self) -> Path:
        """The list of those files, with reasons."""
        return self.folder / dataset.MISSING

    def image_table(self) -> pa.Table:
        """Its table of images, one row per image."""
        return self._existing().images

    @property
    def kind(self) -> kinds.Kind:
        """What its rows and inputs are: sources and images, or rows and inputs."""
        return self._existing().kind

    def moc(self) -> Any:
        """The sky that its images cover, as a mocpy.MOC. Raises UsageError if no image has an outline."""
        return images.coverage(self.image_table())

    def _table(self) -> pa.Table:
        return self._existing().read()

    def _head(self) -> tuple[pa.Table, int]:
        """What people look for first comes first."""
        head = self._existing().read(SHOWN_ROWS)
        first = kinds.shown(head.schema)
        return head.select(list(dict.fromkeys([*first, *head.column_names]))), self.sources

    def _existing(self) -> dataset.DataSet:
        if existing := dataset.find(self.folder):
            return existing
        raise UsageError(f"the data set {self.folder} no longer exists: collect the run {self.run} again")

    def _summary(self) -> str:
        kind = self.kind
        rows, inputs = count(self.sources + self.unplaced, kind.row), count(self.images, kind.input)
        if kind is SOURCES:
            rows = count(self.sources, kind.row)
        parts = [rows, f"{inputs} in {self.folder}"]
        if self.doubtful:
            parts.append(f"{self.doubtful:,} doubtful ({reasons(self.doubts)})")
        if self.left_out:
            parts.append(f"not in it: {reasons(self.left_out)}")
        return f"run {self.run}: {', '.join(parts)}"

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Number counts: sources by magnitude, per filter; of other tables a histogram of the first number
        that people see. Raises UsageError if there is none.
        """
        if self.kind is not SOURCES:
            return self._histogram(axes)
        table = self._existing().read(columns=("FILTER", "MAG_AUTO"))
        filters = pc.unique(table["FILTER"]).to_pylist()
        magnitudes = {name: table.filter(pc.field("FILTER") == name)["MAG_AUTO"] for name in filters if name}
        if None in filters or "" in filters:
            unnamed = pc.field("FILTER").is_null() | (pc.field("FILTER") == "")
            magnitudes[""] = table.filter(unnamed)["MAG_AUTO"]
        return plots.number_counts(axes, dict(sorted(magnitudes.items())), title=f"run {self.run}")

    def _histogram(self, axes: "Axes | None") -> "Axes":
        existing = self._existing()
        if not (numbers := kinds.numbers(existing.schema)):
            raise UsageError("nothing to plot: no column that people see first has numbers")
        field = numbers[0]
        unit = (field.metadata or {}).get(b"unit", b"").decode()
        label = f"{field.name} ({unit})" if unit else field.name
        values = existing.read(columns=[field.name])[field.name].to_numpy()
        return plots.histogram(axes, values, label, title=f"run {self.run}")
