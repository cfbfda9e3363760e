"""What comes of each fault of S3, once and always: python benchmarks/faults [--write docs/faults.md]

Each row is run over HTTP: an image through the handler of SepExtract, a list through plan, status and runs.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import os
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(ROOT / name) for name in ("benchmarks", "functions/runtime", "functions/sep_extract", "invoke")
]

import botocore.endpoint  # noqa: E402
import botocore.retries.bucket  # noqa: E402
import numpy as np  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from astropy.io import fits  # noqa: E402
from click.testing import CliRunner  # noqa: E402
from standins.bucket import Bucket, Request, serving  # noqa: E402
from standins.faults import LISTS, READS, VERSIONS, WRITES, Fault, error, page, rate  # noqa: E402

from sep_extract.handler import handler  # noqa: E402
from skyfan.cli import main as skyfan  # noqa: E402
from skyfan.runs import run as runs  # noqa: E402
from skyfan.storage import listing, s3  # noqa: E402
from skyfan.storage.place import Place  # noqa: E402
from skyfan.task import Task  # noqa: E402
from skyfan_function import patience, s3_client, storage  # noqa: E402
from skyfan_function.errors import cure_of  # noqa: E402

IMAGE, CATALOG = "sky/a.fits", "runs/r/catalogs/b/sky/a.fits.cat.fits"
_RETRIES = {
    "max_retries": 5,
    "backoff": {
        "init_backoff": timedelta(milliseconds=1),
        "max_backoff": timedelta(milliseconds=5),
        "base": 2,
    },
}
_PATIENCE_S = 0.5
UNCHANGED, WRONG = "as without", "WRONG"
OTHER_VERSION = "as without, but for the version"
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "b",
    "AWS_EC2_METADATA_DISABLED": "true",
    "SKYFAN_OUTPUT": "s3://b/runs/{run}/catalogs/{key}.cat.fits",
    "SKYFAN_FAILURES": "s3://b/runs/{run}/failures/{key}.json",
}
_CANCELS = (
    error(0),
    error(403, "AccessDenied"),
    error(500, "InternalError"),
    page(),
    rate("a stall in the body", 0),
)


@dataclass(frozen=True)
class Outcome:
    """What came of one fault: `result` is "as without", or the name of an error and its cure."""

    result: str
    tries: int
    """Requests of the method for the key; two fetch the image."""
    written: int | None = None
    """Bytes of the catalog that is there afterwards; None for a list."""
    seconds: float = 0.0

    def __str__(self) -> str:
        tries = f"{self.tries} request{'s' if self.tries != 1 else ''}"
        return ", ".join(filter(None, (self.result, tries, self.written is not None and f"{self.written} B")))


@dataclass(frozen=True)
class Row:
    """One fault of one request."""

    request: str
    fault: str
    once: Outcome
    always: Outcome


@contextlib.contextmanager
def prepared() -> Iterator[Bucket]:
    """A bucket with an image and a run, and clients that wait milliseconds before they retry."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.ExitStack() as stack,
        serving(bucket := Bucket(Path(folder), keeps=True)) as url,
    ):
        stack.enter_context(patch.dict(os.environ, {**_ENVIRONMENT, "AWS_ENDPOINT_URL_S3": url}))
        stack.enter_context(patch.object(s3_client, "RETRIES", _RETRIES))
        stack.enter_context(patch.object(s3, "RETRIES", _RETRIES))
        stack.enter_context(patch.object(s3, "client", functools.cache(s3.client)))
        stack.enter_context(patch.object(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _: None)))
        stack.enter_context(patch.object(botocore.retries.bucket.Clock, "sleep", lambda *_: None))
        (bucket.folder / "sky").mkdir()
        for name in (IMAGE, "sky/b.fits"):
            _image(bucket.folder / name)
        place = Place.at("s3://b")
        runs.begin(place, Task("r"), _ENVIRONMENT["SKYFAN_OUTPUT"], "s3://b")
        uris = [f"s3://b/{name}" for name in (IMAGE, "sky/b.fits")]
        runs.add_plan(place, "r", runs.of_uris(uris, Path(folder) / "plan.parquet"))
        (bucket.folder / "plan.parquet").unlink(missing_ok=True)
        yield bucket


def _image(path: Path) -> None:
    """Larger than what the first request fetches."""
    y, x = np.indices((320, 320))
    light = 90 * np.exp(-((y % 40 - 20) ** 2 + (x % 40 - 20) ** 2) / 6)
    pixels = (np.random.default_rng(1).normal(5, 1, x.shape) + light).astype(np.float32)
    fits.PrimaryHDU(pixels).writeto(path, checksum=True)


def matrix(bucket: Bucket) -> Iterator[Row]:
    """All faults."""
    measured = _Measured(bucket)
    yield from measured.rows("GET of an image, first range", READS, "GET", IMAGE, lambda start: start == 0)
    yield from measured.rows("GET of an image, later range", READS, "GET", IMAGE, lambda start: start > 0)
    yield from measured.rows("GET of an image, every range", VERSIONS, "GET", IMAGE)
    yield from measured.rows("GET of cancel.json", _CANCELS, "GET", "runs/r/cancel.json")
    yield from measured.rows("PUT of a catalog", WRITES, "PUT", CATALOG)
    bucket.stored = dict(measured.kept)
    bucket.put(CATALOG, measured.reference, {})
    for command, prefix, answer in (
        ("plan", "sky/", _plan),
        ("status", "runs/r/catalogs/", _status),
        ("runs", "runs/", _runs),
    ):
        yield from _Listed(bucket, answer).rows(f"LIST by {command}", LISTS, "LIST", prefix)


class _Measured:
    """Runs the handler on the image."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.kept = dict(bucket.stored)
        self.reference = b""
        """The catalog without faults."""
        self.outcome()
        self.reference = bucket.stored[CATALOG].body

    def rows(
        self,
        request: str,
        faults: tuple[Fault, ...],
        method: str,
        key: str,
        at: Callable[[int], bool] = lambda _: True,
    ) -> Iterator[Row]:
        """The rows of replies to requests of a method for a key, of ranges that start ``at`` some bytes."""
        for fault in faults:
            once, always = (self._run(fault, (method, key), at, times) for times in (1, 1 << 30))
            yield Row(request, fault.name, once, always)

    def _run(self, fault: Fault, which: tuple[str, str], at: Callable[[int], bool], times: int) -> Outcome:
        tries = spoiled = 0

        def spoil(request: Request, headers: dict[str, str], reply: bytes) -> bytes:
            nonlocal tries, spoiled
            if (request.method, request.key) != which:
                return reply
            tries += 1
            if spoiled == times or not at(request.start):
                return reply
            spoiled += 1
            return fault.spoil(self.bucket, request, headers, reply)

        self.bucket.spoil, began = spoil, time.monotonic()
        slow = fault.name in ("1 kB/s", "a stall in the body")
        with (
            patch.object(patience, "PATIENCE_S", _PATIENCE_S if slow else 30.0),
            patch.object(listing, "_PATIENCE_S", _PATIENCE_S if slow else 30.0),
        ):
            result, written = self.outcome()
        self.bucket.spoil = None
        return Outcome(result, tries, written, time.monotonic() - began)

    def outcome(self) -> tuple[str, int | None]:
        self.bucket.stored = dict(self.kept)
        storage._undigested.clear()
        ends, answer = time.monotonic() + 300, {}
        context = SimpleNamespace(
            memory_limit_in_mb="2048",
            get_remaining_time_in_millis=lambda: 1000 * (ends - time.monotonic()),
        )
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                answer = handler({"input": f"s3://b/{IMAGE}", "run": "r"}, context)
            result = UNCHANGED
            if "errorType" in answer:
                result = f"{answer['errorType']} ({answer['cure']})"
        except Exception as exc:
            result = f"{type(exc).__name__} ({cure_of(exc)})"
        stored = self.bucket.stored.get(CATALOG)
        if result == UNCHANGED and self.reference and (stored is None or stored.body != self.reference):
            result = "doubtful (DATASUM)" if "DATASUM" in str(answer.get("doubts")) else WRONG
            if result == WRONG and stored and _sources(stored.body) == _sources(self.reference):
                result = OTHER_VERSION
        return result, len(stored.body) if stored else 0


def _sources(catalog: bytes) -> bytes:
    with fits.open(io.BytesIO(catalog)) as hdus:
        rows: bytes = hdus["SOURCES"].data.tobytes()
    return rows


class _Listed(_Measured):
    """Runs a command that lists."""

    def __init__(self, bucket: Bucket, answer: Callable[[Path], Any]) -> None:
        self.bucket, self._answer = bucket, answer
        self._expected = answer(bucket.folder)

    def outcome(self) -> tuple[str, int | None]:
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter("always")
            answer = self._answer(self.bucket.folder)
        if answer == self._expected:
            return UNCHANGED + (", with a warning" if noted else ""), None
        return ("refused (exit code 2)" if isinstance(answer, str) else WRONG), None


def _called(*words: str) -> str:
    """What a command prints; after ERROR, the message of one that was refused."""
    found = CliRunner().invoke(skyfan, words)
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    if found.exit_code == 2:
        return f"ERROR {found.stderr}"
    return found.stdout


def _plan(folder: Path) -> Any:
    path = folder / "x.parquet"
    if (said := _called("plan", "s3://b/sky/", "--to", str(path))).startswith("ERROR"):
        return said
    table = pq.read_table(path)
    path.unlink()
    return table.select(
        [name for name in ("uri", "status", "size") if name in table.column_names]
    ).to_pylist()


def _status(_: Path) -> Any:
    said = _called("status", "r", "--output", "s3://b", "--json")
    return said if said.startswith("ERROR") else json.loads(said)["counts"]


def _runs(_: Path) -> Any:
    said = _called("runs", "--output", "s3://b", "--json")
    return (
        said
        if said.startswith("ERROR")
        else [(one["run"], one["files"], one["done"]) for one in json.loads(said)]
    )


def table(rows: list[Row]) -> str:
    """As Markdown, without seconds."""
    lines = [("request", "fault", "once", "always"), ("---",) * 4]
    lines += [(row.request, row.fault, str(row.once), str(row.always)) for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def inserted(text: str, rows: list[Row]) -> str:
    """The page with this table."""
    return re.sub(
        r"(<!-- faults -->\n).*?(<!-- end -->)",
        lambda m: f"{m[1]}\n{table(rows)}\n{m[2]}",
        text,
        flags=re.DOTALL,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this page")
    page_of = parser.parse_args().write
    rows = []
    with prepared() as bucket:
        for row in matrix(bucket):
            rows.append(row)
            print(f"{row.request:30} {row.fault:45} {row.once!s:55} {row.always!s:55}", end=" ")
            print(f"{row.once.seconds:.1f} s {row.always.seconds:.1f} s", flush=True)
    if page_of:
        page_of.write_text(inserted(page_of.read_text(), rows))


if __name__ == "__main__":
    main()
