"""Runs made by hand in a folder with the layout of the bucket."""

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyfan.runs import receipts
from skyfan.runs import run as runs
from skyfan.storage import uris
from skyfan.storage.place import Place
from skyfan.task import Task
from skyfan_contract import mark_key

RESULTS = "s3://results/runs/{run}/catalogs/{key}.cat.fits"


def iso(time: float) -> str:
    """Unix seconds in the format of failure records."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Handmade:
    """A run in a folder, with a second folder as the bucket of Lambda's failure records."""

    place: Place
    lambdas: Place
    name: str = "r"

    def plan(self, files: Iterable[str]) -> None:
        with TemporaryDirectory() as folder:
            runs.add_plan(self.place, self.name, runs.of_uris(files, Path(folder) / "plan.parquet"))

    def done(self, uri: str) -> None:
        self.place.put(f"runs/{self.name}/catalogs/{uris.key(uri)}.cat.fits", b"catalog")

    def mark(self, uri: str, doubts: str, ago: float = 0.0) -> None:
        """Marks the result of a file as the functions do, so many seconds ago."""
        key = f"runs/{self.name}/doubtful/{mark_key(doubts, uris.key(uri))}"
        self.place.put(key, b"")
        then = time.time() - ago
        os.utime(Path(self.place.name) / key, (then, then))

    def receipt(self, *rows: tuple[str, str, float], name: str = "") -> None:
        """Rows of URI, request ID and Unix time, in one chunk."""
        table = pa.table(
            {
                "uri": [uri for uri, _, _ in rows],
                "request_id": [request for _, request, _ in rows],
                "sent": pa.array([round(sent * 1000) for _, _, sent in rows], pa.timestamp("ms", "UTC")),
                "function": ["skyfan-SepExtract"] * len(rows),
                "batch": pa.array([1] * len(rows), pa.int32()),
            }
        ).cast(receipts.SCHEMA)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        count = len(receipts.chunks(self.place, self.name))
        key = name or f"{count:04}"
        self.place.put(f"runs/{self.name}/receipts/{key}.parquet", sink.getvalue().to_pybytes())

    def record(self, *files: str, request: str, time: float, name: str = "", **more: Any) -> str:
        """A record in Lambda's bucket, under a key like Lambda's."""
        stamp = datetime.fromtimestamp(time, UTC)
        key = (
            f"aws/lambda/async/skyfan-SepExtract/{stamp:%Y/%m/%d}/{stamp:%Y-%m-%dT%H.%M.%S}-{name or request}"
        )
        self.lambdas.put(key, json.dumps(document(*files, request=request, time=time, **more)).encode())
        return key

    def own(self, uri: str, *, request: str, time: float, **more: Any) -> None:
        """A record of one file, beside the results."""
        body = json.dumps(document(uri, request=request, time=time, **more)).encode()
        self.place.put(f"runs/{self.name}/failures/{uris.key(uri)}.json", body)


def document(
    *files: str,
    request: str,
    time: float,
    run: str = "r",
    error: str = "StorageError",
    message: str = "it broke",
    condition: str = "RetriesExhausted",
    function: str = "skyfan-SepExtract",
    cure: str | None = None,
) -> dict[str, Any]:
    """An on-failure record as Lambda writes it; without a response if `error` is empty."""
    response = {"errorType": error, "errorMessage": message, **({"cure": cure} if cure else {})}
    inputs = {"input": files[0]} if len(files) == 1 else {"inputs": list(files)}
    return {
        "version": "1.0",
        "timestamp": iso(time),
        "requestContext": {
            "requestId": request,
            "functionArn": f"arn:aws:lambda:us-east-1:000000000000:function:{function}:$LATEST",
            "condition": condition,
            "approximateInvokeCount": 3 if error else 0,
        },
        "requestPayload": {**inputs, "run": run},
        "responseContext": {"statusCode": 200} if error else None,
        "responsePayload": response if error else None,
    }


@pytest.fixture
def handmade(tmp_path: Path) -> Handmade:
    """A run with a run.json and nothing else."""
    run = Handmade(Place.at(tmp_path / "results", make=True), Place.at(tmp_path / "failures", make=True))
    runs.begin(run.place, Task("r"), RESULTS, marks=True)
    return run
