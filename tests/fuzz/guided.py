"""Readers of foreign text, driven towards lines that no input has reached: `make fuzz-guided SECONDS=1800`.

Hypothesis makes and changes the inputs, and its target() climbs to those that run more lines of the reader.
What a reader raises must have a name, and no input may take long.
"""

from __future__ import annotations

import io
import json
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, Phase, given, seed, settings, target
from hypothesis import strategies as st

from sep_extract.errors import InputError as FitsError
from sep_extract.event import Request
from sep_extract.planes import is_read, planes
from skyfan.bill import logs
from skyfan.bill.collector import Collector
from skyfan.errors import SkyfanError
from skyfan.runs import failures, local_receipts, receipts
from skyfan_function import batch
from skyfan_function.errors import EventError
from skyfan_function.fits_input import open_fits
from skyfan_function.storage import Source

from . import seeds
from .files import BLOCK
from .words import GROUPS, value

_SECONDS = 5.0
Inputs = tuple[st.SearchStrategy[Any], ...]

Text = st.text(st.characters(codec="utf-8"), max_size=40)
Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | Text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(Text, inner, max_size=4),
    max_leaves=12,
)


def mixed(words: Sequence[str]) -> st.SearchStrategy[str]:
    """Text of these words, and of anything between them."""
    return st.lists(st.sampled_from(words) | Text | st.integers().map(str), max_size=40).map("".join)


# The header reader: cards of a small file


def _cards() -> st.SearchStrategy[list[tuple[int, int, str]]]:
    keys = st.sampled_from([key for group in GROUPS.values() for key in group])
    values = st.integers(0, 1 << 30).map(lambda number: value(random.Random(number), "64"))
    card = st.builds("{:8}= {:>20}".format, keys, values) | st.text(
        st.characters(max_codepoint=255), max_size=80
    )
    return st.lists(st.tuples(st.integers(0, 9), st.integers(-1, 60), card), max_size=12)


def header(name: str, changes: list[tuple[int, int, str]], end: int) -> None:
    """Headers checked and read, and the science planes chosen."""
    file = seeds.seed(name)
    for index, at, text in changes:
        hdu = file.hdus[index % len(file.hdus)]
        card = text.encode("latin-1", "replace")[:80].ljust(80)
        hdu.cards[at % len(hdu.cards) : at % len(hdu.cards) + (at >= 0)] = [card]
    raw = bytes(file.raw)
    raw = raw[: len(raw) - end * BLOCK // 3]
    source = Source("file:///x/a.fits", io.BytesIO(raw), len(raw), "1")
    with suppress(FitsError), open_fits(source, is_read) as hdus:
        planes("a.fits", hdus)


# The event parser


def event(document: Any, changes: dict[str, Any]) -> None:
    """An event of one input, and of a batch."""
    document = {**document, **changes} if isinstance(document, dict) else document
    with suppress(EventError):
        Request.parse(document)
    if isinstance(document, dict) and "inputs" in document:
        with suppress(EventError):
            batch._split(document)


_EVENT_KEYS = ["input", "inputs", "run", "access", "config", "outputs"]
_SETTINGS = ["detect_thresh", "phot_apertures", "good_bits", "filter", "phot_autoparams", "faint_size", "x"]
_URIS = st.lists(
    st.sampled_from(["s3://", "file://", "/", "bucket", "a.fits", "..", "%", "#", "?", "\n"]) | Text
).map("".join)
_CONFIG = st.dictionaries(st.sampled_from(_SETTINGS), Json, max_size=3)
_EVENTS = st.dictionaries(st.sampled_from(_EVENT_KEYS), Json | _URIS | _CONFIG | st.lists(_URIS), max_size=6)


# The log reader

_LOG = [
    "REPORT RequestId: ", "3c1b8a2e-0000-4000-8000-0123456789ab", "\tDuration: ", " ms\t",
    "Billed Duration: ", "Memory Size: 512 MB\t", "Max Memory Used: 99 MB\t", "Init Duration: 5.1 ms",
    "\n", "\r\n", "{", "}", "[", "]", '"message":', '"', "\\", "\\n", '"timestamp":', ",", "\t", "|",
    "2026-01-01T00:00:00.000Z ", "@message", "\x1b[0m",
    '{"level": "INFO", "run": "r", "input": "s3://b/k", "sources": 3, "seconds": 1.5}', "XRAY TraceId: ",
    "  ", "- ",
    '{"type": "platform.report", "record": {"requestId": "a", "metrics": {"durationMs": 1}}}',
    "H4sIAAAAAAAA", "null", "Status: timeout", "Runtime exited with error: signal: killed",
    "time,message\n", "\x00", "\ufeff",
]  # fmt: skip


def log(text: str, encoding: str) -> None:
    """Events of a log file, and the reports in them."""
    collector = Collector()
    with suppress(SkyfanError, OSError, EOFError):
        collector.add(logs.text(io.BytesIO(text.encode(encoding, "replace"))))
    collector.finish()


# The receipt reader

_RECORD = [
    *("requestContext", "requestPayload", "responsePayload", "responseContext", "timestamp", "condition"),
    *("errorType", "errorMessage", "functionArn", "requestId", "input", "inputs", "run", "cure"),
]
_RECORDS = st.recursive(
    Json, lambda inner: st.dictionaries(st.sampled_from(_RECORD), inner, max_size=6), max_leaves=8
)


def record(document: Any, nested: int, cut: int, flips: list[int]) -> None:
    """Failure records, versions of inputs, and chunks of receipts, whole and damaged."""
    body = b"[" * nested + json.dumps(document).encode()[: cut or None] + b"]" * nested
    failures.parse("runs/r/failures/k.json", body, 1.0)
    kept = dict(local_receipts.parse([body, b'["k", 1, 2, 3, "d"]\n']))
    assert kept["k"] == local_receipts.Receipt((1, 2), 3, "d")
    written = io.BytesIO()
    pq.write_table(pa.table({name: pa.array([None], kind) for name, kind in _columns()}), written)
    chunk = bytearray(written.getvalue())
    for at in flips:
        chunk[at % len(chunk)] ^= 1 << at % 8
    with suppress(SkyfanError):
        receipts.read(_Place(bytes(chunk)), [])  # type: ignore[arg-type]


def _columns() -> Iterable[tuple[str, pa.DataType]]:
    return zip(receipts.SCHEMA.names, receipts.SCHEMA.types, strict=True)


class _Place:
    """Holds one object."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def fetch(self, _: Any) -> Iterator[tuple[Any, bytes]]:
        yield type("Object", (), {"key": "runs/r/receipts/1.parquet"})(), self._body

    def uri(self, key: str) -> str:
        return key


READERS: dict[str, tuple[Callable[..., None], Inputs, tuple[str, ...]]] = {
    "header": (
        header,
        (st.sampled_from(["flt", "rice", "tables", "planes"]), _cards(), st.integers(0, 9)),
        ("structure.py", "fits_input.py", "planes.py", "cards.py"),
    ),
    "event": (event, (Json | _EVENTS, _EVENTS), ("event.py", "batch.py", "__init__.py")),
    "log": (
        log,
        (mixed(_LOG), st.sampled_from(["utf-8", "utf-16", "utf-8-sig", "utf-16-be"])),
        ("logs.py", "objects.py", "report_lines.py", "collector.py", "records.py"),
    ),
    "receipt": (
        record,
        (
            _RECORDS,
            st.sampled_from([0, 0, 0, 1, 50, 100_000]),
            st.integers(0, 60),
            st.lists(st.integers(0, 9999)),
        ),
        ("receipts.py", "failures.py", "local_receipts.py", "digests.py"),
    ),
}


@contextmanager
def lines_of(files: tuple[str, ...]) -> Iterator[set[tuple[str, int]]]:
    """The lines of skyfan's files with such names that are run meanwhile."""
    seen: set[tuple[str, int]] = set()

    def inside(frame: FrameType, kind: str, _: Any) -> Any:
        if kind == "line":
            seen.add((frame.f_code.co_filename, frame.f_lineno))
        return inside

    def calls(frame: FrameType, _: str, __: Any) -> Any:
        name = frame.f_code.co_filename
        return inside if name.endswith(files) and "site-packages" not in name else None

    before = sys.gettrace()
    sys.settrace(calls)
    try:
        yield seen
    finally:
        sys.settrace(before)


def drive(name: str, seconds: float, number: int) -> tuple[int, int]:
    """Run a reader for so long; how many inputs, and lines that they reached. Raises what it raises."""
    reader, inputs, files = READERS[name]
    reached: set[tuple[str, int]] = set()
    done, end, failed = 0, time.monotonic() + seconds, False

    def one(arguments: tuple[Any, ...]) -> None:
        nonlocal done, failed
        if done and time.monotonic() > end and not failed:  # a failure is run again, and made smaller
            return
        start, failed = time.process_time(), True
        with warnings.catch_warnings(), lines_of(files) as seen:
            warnings.simplefilter("ignore")
            reader(*arguments)
        failed = False
        took = time.process_time() - start
        assert took < _SECONDS, f"{took:.1f} s"
        done += 1
        # What is new counts most; hypothesis goes on from the inputs with the highest.
        target(float(len(seen) + 100 * len(seen - reached)), label="lines")
        reached.update(seen)

    phases = (Phase.generate, Phase.target, Phase.shrink)
    while not done or time.monotonic() < end:
        run = settings(
            max_examples=300,
            deadline=None,
            database=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        )(seed(number)(given(st.tuples(*inputs))(one)))
        run()
        number += 1
    return done, len(reached)


def main() -> int:
    seconds, number = float(sys.argv[1]), int(sys.argv[2])
    failed = False
    for name in READERS:
        try:
            done, lines = drive(name, seconds / len(READERS), number)
        except Exception as error:
            failed = True
            notes = getattr(error, "__notes__", [])
            print(f"{name:10} failed, SEED={number}: {error!r}", *notes, sep="\n")
        else:
            print(f"{name:10}{done:9} inputs{lines:7} lines", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
