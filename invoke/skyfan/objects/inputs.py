"""The data sets that are matched: what they must have, and what they must not have in common."""

import hashlib
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from .. import files
from ..catalogs import dataset
from ..catalogs.dataset import DataSet
from ..errors import UsageError
from .detections import COLUMNS, error_of
from .images import Images


@dataclass(frozen=True)
class Input:
    """A data set, by the name that the user gave."""

    name: str
    existing: DataSet

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self.existing.folder.absolute()

    @cached_property
    def images(self) -> pa.Table:
        """Its table of images."""
        return self.existing.images

    @cached_property
    def digest(self) -> str:
        """Of the catalogs that are in it: their names, versions and settings are in the table of images."""
        whole = hashlib.sha256()
        for name in ("skyfan.json", "partition_info.csv", "images.parquet"):
            whole.update((self.folder / name).read_bytes())
        return whole.hexdigest()[:16]


def open_input(folder: Path, name: str) -> Input:
    """The data set in a folder. Raises UsageError if it has none, or one of another version of skyfan."""
    files.recover_folder(folder)
    existing = dataset.find(folder)
    if existing is None:
        raise UsageError(f"{folder} is not a data set: skyfan collect makes one")
    if existing.about.get("format") != dataset.FORMAT:
        raise UsageError(f"{folder} has the format of another version of skyfan: collect its run again")
    return Input(name, existing)


def check(data_sets: list[Input], magnitude: str) -> None:
    """Raises UsageError if a data set has not the columns to match, or two are the same folder."""
    seen: dict[Path, str] = {}
    for each in data_sets:
        if (place := each.folder.resolve()) in seen:
            raise UsageError(f"{each.name} and {seen[place]} are the same data set, {place}: name it once")
        seen[place] = each.name
        names = each.existing.schema.names
        scalars = [
            field.name
            for field in each.existing.schema
            if field.name.startswith("MAG_")
            and error_of(field.name) in names
            and pa.types.is_floating(field.type)
        ]
        if missing := [name for name in COLUMNS if name not in names]:
            raise UsageError(
                f"{each.name}: the data set {each.folder} has no column {', '.join(missing)}, so its "
                "detections cannot be matched: it must be of sep_extract's catalogs"
            )
        if magnitude not in scalars:
            close = get_close_matches(magnitude.upper(), scalars, 1)
            hint = f"is {close[0]} meant?" if close else f"choose one of {', '.join(scalars)}"
            raise UsageError(f"{each.name}: no magnitude {magnitude} with an error in {each.folder}: {hint}")


def check_ids(found: Images, table: pa.Table, data_sets: list[Input]) -> None:
    """Raises UsageError if images of different runs that are used have SOURCE_IDs in common."""
    used = np.flatnonzero(found.is_used)
    base = table["source_id"].to_numpy()[used]
    count = table["sources"].to_numpy()[used]
    order = np.argsort(base)
    stop = base[order] + count[order]
    clash = np.flatnonzero(base[order][1:] < stop[:-1])
    if len(clash):
        a, b = used[order][clash[0]], used[order][clash[0] + 1]
        names = [f"{found.uri[int(n)].as_py()} of {data_sets[int(found.run[n])].name}" for n in (a, b)]
        raise UsageError(
            f"{' and '.join(names)} have SOURCE_IDs in common, by a chance of 1 in 50,000: collect both "
            "images in one run, or match without one of them"
        )
