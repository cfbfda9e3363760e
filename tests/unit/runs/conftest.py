"""Runs made by hand in a folder, which is laid out as the bucket is."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyfan import uris
from skyfan.runs import given, receipts
from skyfan.runs import run as runs
from skyfan.runs.place import Place
from skyfan.task import Task

RESULTS = "s3://results/runs/{run}/catalogs/{key}.cat.fits"


def iso(time: float) -> str:
    """Unix seconds as a record tells them."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Handmade:
    """A run in a folder, and the folder that stands for the bucket of Lambda's failure records."""

    place: Place
    lambdas: Place
    name: str = "r"

    def plan(self, files: Iterable[str]) -> None:
        given.keep(self.place, self.name, list(files))

    def done(self, uri: str) -> None:
        self.place.put(f"runs/{self.name}/catalogs/{uris.key(uri)}.cat.fits", b"catalog")

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
        count = len(receipts.keys(self.place, self.name))
        key = name or f"{count:04}"
        self.place.put(f"runs/{self.name}/receipts/{key}.parquet", sink.getvalue().to_pybytes())

    def record(self, *files: str, request: str, time: float, name: str = "", **more: Any) -> str:
        """A record in Lambda's bucket, named as Lambda does."""
        stamp = datetime.fromtimestamp(time, UTC)
        key = (
            f"aws/lambda/async/skyfan-SepExtract/{stamp:%Y/%m/%d}/{stamp:%Y-%m-%dT%H.%M.%S}-{name or request}"
        )
        self.lambdas.put(key, json.dumps(document(*files, request=request, time=time, **more)).encode())
        return key

    def own(self, uri: str, *, request: str, time: float, **more: Any) -> None:
        """A record of one file beside the results."""
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
) -> dict[str, Any]:
    """An on-failure record as Lambda writes it; `error` empty leaves the answer out."""
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
        "responsePayload": {"errorType": error, "errorMessage": message} if error else None,
    }


@pytest.fixture
def handmade(tmp_path: Path) -> Handmade:
    """A run that has begun and has nothing yet."""
    made = Handmade(Place.at(tmp_path / "results", make=True), Place.at(tmp_path / "failures", make=True))
    runs.begin(made.place, Task("r"), "SepExtract", RESULTS)
    return made


Make = Callable[..., Handmade]
