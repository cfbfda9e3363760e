"""The files of a run that its data set does not hold, and why."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..runs import state
from ..runs.judge import STATES
from ..runs.place import Place

NAME = "missing.csv"


def tell(place: Place, run: str, damaged: Iterable[tuple[str, str]], folder: Path) -> dict[str, int]:
    """Writes the list whole or not at all, and counts it by state. `damaged` are catalogs, and why."""
    counts: Counter[str] = Counter()
    part = folder / f".{NAME}.part"
    with part.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "state", "error", "message"])
        for row in _rows(place, run, damaged):
            rows.writerow(row)
            counts[row[1]] += 1
    part.replace(folder / NAME)
    return dict(counts)


def _rows(place: Place, run: str, damaged: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str, str, str]]:
    for name, why in damaged:
        yield name, "damaged", "DamagedCatalogError", why
    for file in state.read(place, run).files(*(name for name in STATES if name != "done")):
        error = (file.failure.error_type, file.failure.message) if file.failure else ("", "")
        yield file.uri, file.state, *error
