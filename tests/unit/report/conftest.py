"""A run in a folder, written by hand; each of its texts tries to be markup."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyfan.catalogs import dataset, images, schema
from skyfan.plans import plan
from skyfan.runs import run as runs
from skyfan.storage.place import Place
from skyfan.task import Task

EVIL = "<script>alert('x')</script>\"&amp;</title><img src=//e.x onerror=1>"
RUN = "night"
FILES = [f"s3://bucket/{name}_flt.fits" for name in ("a", "b", "c", "d<b>e")]


class RunFolder:
    """The folder of a run, to which a test adds what it needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = Place.at(folder, make=True)
        task = Task(RUN, config={"thresh": EVIL}, outputs=("preview",))
        runs.begin(self.place, task, "s3://r/runs/{run}/catalogs/{key}.cat.fits", marks=True)

    def plan(self, **more: Any) -> None:
        """Four files to do at 10 h, +20 degrees, and one that was dropped."""
        table = {
            "uri": [*FILES, None],
            "size": [1_000_000] * 5,
            "tier": ["standard"] * 5,
            "dropped": [None] * 4 + ["proprietary"],
            "instrument_name": [EVIL] * 5,
            "filters": ["F160W"] * 5,
            "s_ra": [150.0, 150.01, 150.0, 149.99, 0.0],
            "s_dec": [20.0, 20.01, 20.02, 20.0, 0.0],
            "s_region": ["POLYGON ICRS 149.98 19.98 150.02 19.98 150.02 20.02 149.98 20.02"] * 4 + [None],
            **more,
        }
        path = self.folder / "plan.parquet"
        made = plan.write(path, pa.table(table), {"query": {"target": EVIL}, "made": EVIL})
        runs.add_plan(self.place, RUN, made)
        path.unlink()

    def done(self, *uris: str) -> None:
        for uri in uris:
            self.place.put(f"runs/{RUN}/catalogs/{uri.removeprefix('s3://')}.cat.fits", b"catalog")

    def failed(self, uri: str, error_type: str = EVIL) -> None:
        record = {
            "timestamp": "2026-11-22T10:00:00.000Z",
            "requestContext": {"requestId": "r", "functionArn": "f", "condition": "RetriesExhausted"},
            "requestPayload": {"input": uri, "run": RUN},
            "responsePayload": {"errorType": error_type, "errorMessage": EVIL},
        }
        key = f"runs/{RUN}/failures/{uri.removeprefix('s3://')}.json"
        self.place.put(key, json.dumps(record).encode())

    def log(self, number: int = 20) -> None:
        """Invocations a second apart, each 2 s long; every fifth one fails."""
        lines = [
            f"REPORT RequestId: r{n}\tDuration: 2000.00 ms\tBilled Duration: 2000 ms\tMemory Size: 1024 MB\t"
            f"Max Memory Used: {100 + n} MB"
            + ("\tStatus: error\tError Type: <b>Bad</b>" if n % 5 == 4 else "")
            + f"\tStart Time: 2026-11-22T10:00:{n:02}.000Z\n"
            for n in range(number)
        ]
        self.place.put(f"runs/{RUN}/logs/a.log", "".join(lines).encode())

    def collected(self, depths: tuple[float | None, ...] = (25.0, 26.0, None)) -> None:
        """A data set of three images with 10, 20 and 30 sources."""
        folder = self.folder / "runs" / RUN / "collected"
        (folder / "dataset").mkdir(parents=True)
        alike = dict.fromkeys(images.SCHEMA.names) | {
            "instrument": EVIL, "filter": "F160W", "depth_aperture": 0.8, "t_min": 59000.0, "t_max": 59000.5,
            "t_exptime": 100.0, "s_ra": 150.0, "s_dec": 20.0, "step": 0, "skyfan": EVIL, "config": "c0ffee",
        }  # fmt: skip
        rows = [
            {**alike, "uri": uri, "catalog": f"{uri.removeprefix('s3://')}.cat.fits"}
            | {
                "sources": 10 * n,
                "depth": depth,
                "doubts": "MASKED NO_SKY" if n == 2 else "",
                "notes": "half of it is masked",
            }
            for n, (uri, depth) in enumerate(zip(FILES, depths, strict=False), 1)
        ]
        pq.write_table(pa.Table.from_pylist(rows, images.SCHEMA), folder / "images.parquet")
        columns = schema.described(pa.schema([(schema.HEALPIX, pa.int64()), ("MAG_AUTO", pa.float32())]), {})
        pixel = dataset.Partition(0, 4, 60)
        magnitudes = np.append(np.linspace(20, 27, 55), [np.nan] * 5).astype("f4")
        arrays = [pa.array(np.arange(60)), schema.array(magnitudes, pa.float32())]
        table = pa.Table.from_arrays(arrays, schema=columns)
        dataset.write_partition(table, folder / pixel.path)
        about = {"run": RUN, "place": self.place.name, "limit": 99, "images": 3, "sources": 60, "unplaced": 0}
        dataset.write_metadata(folder, [pixel], columns, about | {"partitions": 1})


@pytest.fixture
def begun(tmp_path: Path) -> RunFolder:
    """A run that has only begun, without plans or results."""
    return RunFolder(tmp_path / "out")


@pytest.fixture
def whole(begun: RunFolder) -> RunFolder:
    """A run with everything that a report shows: two files done, one failed, one not started."""
    begun.plan()
    begun.done(*FILES[:2])
    begun.failed(FILES[2])
    begun.log()
    begun.collected()
    return begun
