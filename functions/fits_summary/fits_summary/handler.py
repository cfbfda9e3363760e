"""Lambda's entry: one FITS file in, one JSON summary of its extensions and main header cards out."""

import gzip
import json
import os
import re
import time
import warnings
import zlib
from typing import IO, Any

from astropy.io import fits

from .errors import EventError, NotFitsError, TruncatedError
from .storage import ACCESS, key_of, open_input, write_output

FIELDS = ("ext", "name", "ver", "type", "cards", "shape", "format")
CARDS = (
    *("TELESCOP", "INSTRUME", "DETECTOR", "FILTER", "FILTER1", "FILTER2", "ROOTNAME", "PROPOSID", "TARGNAME"),
    *("RA_TARG", "DEC_TARG", "DATE-OBS", "TIME-OBS", "EXPSTART", "EXPTIME", "BUNIT", "PHOTFLAM", "PHOTPLAM"),
)


def process(file: IO[bytes], uri: str) -> dict[str, Any]:
    """The function's work, and all you change for your own: an open file in, a dict for JSON out."""
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    source: IO[bytes] = gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[assignment]
    notes: list[str] = []
    try:
        with warnings.catch_warnings(action="ignore"), fits.open(source) as hdus:
            places = [hdus.fileinfo(number) for number in range(len(hdus))]
            end = max(place["datLoc"] + place["datSpan"] for place in places)
            _check_end(source, end, uri, notes)
            found = [dict(zip(FIELDS, row, strict=False)) for row in hdus.info(output=False)]
            # Older products keep some of these in the first extension only.
            headers = [hdu.header for hdu in hdus[:2]]
            header = {card: _first(card, headers) for card in CARDS if any(card in one for one in headers)}
    except (EOFError, zlib.error) as error:
        raise TruncatedError(f"{uri} is a gzip file that breaks off: download it again") from error
    except (OSError, gzip.BadGzipFile) as error:
        raise NotFitsError(f"{uri} is not a FITS file: {error}") from error
    return {"hdus": found, "header": header, "notes": notes}


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Summarises event["input"], writes the summary to SKYFAN_OUTPUT's place and returns it."""
    started = time.perf_counter()
    uri, run, access = parse(event)
    with open_input(uri, access) as file:
        summary = {"input": uri, **process(file, uri)}
    body = json.dumps(summary, indent=1, default=str).encode()
    output = write_output(os.environ["SKYFAN_OUTPUT"], run=run, key=key_of(uri), body=body)
    result = {**summary, "output": output, "seconds": round(time.perf_counter() - started, 3)}
    print(json.dumps({key: value for key, value in result.items() if key not in {"hdus", "header"}}))
    return result


def parse(event: dict[str, Any]) -> tuple[str, str, str]:
    """The event's input URI, run name and access, or an EventError that says which key is wrong."""
    if unknown := sorted(set(event) - {"input", "run", "access"}):
        raise EventError(f"unknown key {unknown[0]!r} in the event: FitsSummary takes input, run and access")
    uri, run, access = event.get("input"), event.get("run", "default"), event.get("access", "anonymous")
    if not isinstance(uri, str) or not re.fullmatch(r"s3://[^/]+/.+|file:///.+", uri):
        raise EventError(f"input must be s3://bucket/key or file:///absolute/path, not {uri!r}")
    if not isinstance(run, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", run):
        raise EventError(f"run must be a name of at most 64 letters, digits, '.', '_' or '-', not {run!r}")
    if access not in ACCESS:
        raise EventError(f"access must be one of {', '.join(ACCESS)}, not {access!r}")
    return uri, run, access


def _check_end(source: IO[bytes], end: int, uri: str, notes: list[str]) -> None:
    # astropy stops quietly at the damage; a summary of half a file must not look like one of a whole file.
    source.seek(max(end - 1, 0))
    if end and not source.read(1):
        raise TruncatedError(f"{uri} ends before its headers say it should ({end} bytes): download it again")
    if rest := source.read(8):
        if b"XTENSION".startswith(rest):
            raise TruncatedError(f"{uri} breaks off inside a header after {end} bytes: download it again")
        notes.append(f"bytes after the last extension, from {end} on, are not FITS and were left out")


def _first(card: str, headers: list[fits.Header]) -> Any:
    value = next((header[card] for header in headers if card in header), None)
    return None if isinstance(value, fits.card.Undefined) else value
