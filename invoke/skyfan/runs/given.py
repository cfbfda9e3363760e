"""What a run is given, kept as its plan: a plan file as it is, and mere names as a plan of their own."""

import tempfile
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa

from .. import uris
from ..plans import plan as plans
from ..plans.plan import STANDARD, Plan
from . import run as runs
from .place import Place

_CHUNK = 1 << 14


def keep(place: Place, run: str, inputs: Iterable[str] | Plan) -> tuple[Iterator[str], int]:
    """Keeps what is to be processed with the run; gives the URIs, and how many there are.

    A plan's and a collection's files come in their own order, anything else is read to its end first.
    """
    if isinstance(inputs, Plan):
        runs.add_plan(place, run, inputs)
        return (item.uri for item in inputs), inputs.files
    with tempfile.TemporaryDirectory(prefix="skyfan-") as folder:
        plan = of_names(inputs, Path(folder) / "plan.parquet")
        runs.add_plan(place, run, plan)
        if isinstance(inputs, Collection):
            return iter(inputs), len(inputs)
        names = plan.table()["uri"]
    return (uri for chunk in names.chunks for uri in chunk.to_pylist()), plan.files


def of_names(names: Iterable[str], path: Path) -> Plan:
    """A plan of files alone, each once, with the sizes of local ones. The same files make the same plan."""
    names = iter(names)
    seen: list[pa.Table] = []
    while some := list(islice(names, _CHUNK)):
        sizes = pa.array(map(_size, some), pa.int64())
        seen.append(pa.table({"uri": pa.array(some, pa.string()), "size": sizes}))
    table = pa.concat_tables(seen) if seen else plans.SCHEMA.empty_table().select(["uri", "size"])
    table = table.group_by("uri", use_threads=False).aggregate([("size", "max")])
    table = table.rename_columns(["uri", "size"])
    return plans.write(path, table.append_column("tier", pa.array([STANDARD] * len(table), pa.string())), {})


def _size(uri: str) -> int | None:
    path = uris.local_path(uri)
    try:
        return path.stat().st_size if path else None
    except OSError:
        return None
