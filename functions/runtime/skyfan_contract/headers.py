"""What the headers of a FITS file say: columns of a plan, and the size of the largest plane.

Reads nothing itself: a reader yields the ranges of bytes that it needs, whatever they are fetched from.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import hdus
from .hdus import Cards

Reading = Generator[tuple[int, int], bytes, "Header | None"]
"""Yields (offset, length) of the bytes that it needs, and is sent them, or fewer at the end of the file."""

GZIPPED = 1 << 18
"""Bytes of a remote gzipped file that are read: its first headers."""
_CLEAR = re.compile("CLEAR|BLANK|N/A", re.IGNORECASE)


@dataclass
class Header:
    """What the headers of a file say."""

    columns: dict[str, Any] = field(default_factory=dict)
    """Values of columns of plan.SCHEMA, without unknown ones."""
    pixels: int | None = None
    """Pixels of the largest plane."""


def of_bytes(content: bytes, *, is_gzipped: bool = False) -> Header | None:
    """The headers in the first bytes of a file, which may be gzipped; None if there is no whole header."""
    if is_gzipped:
        try:
            content = zlib.decompressobj(31).decompress(content)
        except zlib.error:
            return None
    reading = read(first_plane_only=is_gzipped)
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
