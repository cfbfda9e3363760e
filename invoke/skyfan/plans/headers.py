"""FITS headers of files to be planned: what they say of the observation, and the largest plane's size."""

import asyncio
import gzip
import re
import zlib
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import obstore

from ..errors import InputError
from ..storage import s3
from . import hdus
from .hdus import Cards
from .limits import ArchiveLimits

Reading = Generator[tuple[int, int], bytes, "Header | None"]
"""Yields (offset, length) of the bytes that it needs, and is sent them, or fewer at the end of the file."""

_GZIPPED = 1 << 18
"""Bytes of a remote gzipped file that are read: its first headers."""
_CLEAR = re.compile("CLEAR|BLANK|N/A", re.IGNORECASE)


@dataclass
class Header:
    """What the headers of a file say."""

    columns: dict[str, Any] = field(default_factory=dict)
    """Values of columns of plan.SCHEMA, without unknown ones."""
    pixels: int | None = None
    """Pixels of the largest plane."""


def local(path: Path) -> Header | None:
    """The headers of a local file; None if it is no FITS file that can be read."""
    try:
        return _local(path)
    except InputError:
        return None


def check(path: Path) -> None:
    """Raises InputError for a local file that astropy would read or wait for without an end, or fail on.

    That is what is no regular file, and a header without an end or with sizes that are none.
    """
    if _local(path) is None:
        raise InputError(f"{path} is not a FITS file: it does not begin with a whole header")


def _local(path: Path) -> Header | None:
    is_gzipped = path.name.lower().endswith(".gz")
    try:
        if path.exists() and not path.is_file():  # to open a FIFO waits for a writer
            raise InputError(f"{path} is not a FITS file: it is no regular file")
        with gzip.open(path) if is_gzipped else path.open("rb") as file:
            # All headers of a gzipped file would take decompressing all of it.
            reading = read(first_plane_only=is_gzipped)
            request = next(reading)
            while True:
                file.seek(request[0])
                request = reading.send(file.read(request[1]))
    except StopIteration as end:
        found: Header | None = end.value
        return found
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except (OSError, EOFError, ValueError, OverflowError, zlib.error) as error:
        raise InputError(f"{path} is not a FITS file: {error}") from error


async def remote(
    uris: Iterable[str],
    limits: ArchiveLimits,
    access: str,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[dict[str, Header | None], dict[str, str]]:
    """The headers of s3:// objects by URI, from ranges of bytes; and error messages by URI."""
    slots = asyncio.Semaphore(limits.objects)
    found: dict[str, Header | None] = {}
    errors: dict[str, str] = {}
    stores: dict[str, Any] = {}

    async def one(uri: str) -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if bucket not in stores:
            stores[bucket] = s3.client(bucket, access)
        try:
            async with slots:
                found[uri] = await _remote(stores[bucket], key)
        except ValueError:
            found[uri] = None
        except s3.ERRORS as error:
            errors[uri] = f"its header: {s3.storage_error(uri, error, access)}"
        progress(len(found) + len(errors))

    async with asyncio.TaskGroup() as group:
        for uri in uris:
            group.create_task(one(uri))
    return found, errors


async def _remote(store: Any, key: str) -> Header | None:
    if key.lower().endswith(".gz"):
        start = bytes(await obstore.get_range_async(store, key, start=0, length=_GZIPPED))
        try:
            start = zlib.decompressobj(31).decompress(start)
        except zlib.error:
            return None
        return _run(read(first_plane_only=True), start)
    size: int | None = None
    reading = read()
    try:
        request = next(reading)
        while True:
            piece = b""
            if size is None or request[0] < size:
                options: Any = {"range": (request[0], request[0] + request[1])}
                answer = await obstore.get_async(store, key, options=options)
                size = answer.meta["size"]
                piece = bytes(await answer.bytes_async())
            request = reading.send(piece)
    except StopIteration as end:
        found: Header | None = end.value
        return found


def _run(reading: Reading, content: bytes) -> Header | None:
    try:
        request = next(reading)
        while True:
            request = reading.send(content[request[0] : sum(request)])
    except StopIteration as end:
        found: Header | None = end.value
        return found


def read(*, first_plane_only: bool = False) -> Reading:
    """Reads headers one after the other, and no pixels. Returns None if the first is no header."""
    headers: list[Cards] = []
    pixels: list[int] = []
    offset = 0
    while len(headers) < hdus.MOST_HDUS:
        cards, raw = yield from hdus.header(offset)
        if cards is None or ("XTENSION" if headers else "SIMPLE") not in cards:
            break
        headers.append(cards)
        if plane := _plane(cards):
            pixels.append(plane)
            if first_plane_only:
                break
        offset += len(raw) + hdus.data_bytes(cards)
    return Header(_columns(headers), max(pixels, default=None)) if headers else None


def _plane(cards: Cards) -> int:
    """Pixels of one plane of the HDU; 0 if it is no image."""
    prefix = "Z" if cards.get("ZIMAGE") is True else ""
    if not prefix and cards.get("XTENSION", "IMAGE") != "IMAGE":
        return 0
    if hdus.integer(cards, f"{prefix}NAXIS") < 2:
        return 0
    return max(0, hdus.integer(cards, f"{prefix}NAXIS1") * hdus.integer(cards, f"{prefix}NAXIS2"))


def _columns(headers: list[Cards]) -> dict[str, Any]:
    """Columns of a plan, from the primary header and, for older products, the first extension."""
    cards: Mapping[str, Any] = {
        name: value for one in reversed(headers[:2]) for name, value in one.items() if value not in {None, ""}
    }

    def first(*names: str, kind: type) -> Any:
        return next((cards[name] for name in names if isinstance(cards.get(name), kind)), None)

    telescope = first("TELESCOP", kind=str)
    exposure = first("EXPTIME", "TEXPTIME", "XPOSURE", "EFFEXPTM", kind=float)
    if telescope == "TESS" and exposure is None and (days := first("EXPOSURE", kind=float)) is not None:
        exposure = days * 86_400
    proposal = cards.get("PROPOSID", cards.get("PROGRAM"))
    columns = {
        "obs_collection": telescope,
        "instrument_name": _instrument(cards, telescope),
        "filters": _filters(cards, telescope),
        "proposal_id": f"{proposal:.0f}" if isinstance(proposal, float) else proposal,
        "target_name": first("TARGNAME", "TARGPROP", "OBJECT", kind=str),
        "t_exptime": exposure,
        "t_min": first("EXPSTART", kind=float),
        "t_max": first("EXPEND", kind=float),
        "s_ra": first("RA_TARG", "TARG_RA", kind=float),
        "s_dec": first("DEC_TARG", "TARG_DEC", kind=float),
    }
    return {name: value for name, value in columns.items() if value is not None}


def _instrument(cards: Mapping[str, Any], telescope: str | None) -> str | None:
    """The instrument as MAST calls it: WFC3/IR, NIRCAM/IMAGE, Photometer."""
    name = cards.get("INSTRUME")
    if not isinstance(name, str):
        return None
    if telescope == "TESS":
        return name.removeprefix("TESS ")
    if telescope == "JWST":
        return f"{name}/IMAGE" if str(cards.get("EXP_TYPE", "")).endswith("_IMAGE") else name
    detector = cards.get("DETECTOR")
    return f"{name}/{detector}" if telescope == "HST" and isinstance(detector, str) else name


def _filters(cards: Mapping[str, Any], telescope: str | None) -> str | None:
    """The filters as MAST writes them, F150W2;F162M, without empty places."""
    if telescope == "TESS":
        return "TESS"
    names = [cards.get(name) for name in ("FILTER", "FILTER1", "FILTER2", "PUPIL")]
    used = [name for name in names if isinstance(name, str) and not _CLEAR.match(name)]
    return ";".join(used) or None
