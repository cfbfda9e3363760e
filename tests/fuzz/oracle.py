"""What is wrong with the handler's answer to a mutant: nothing, or faults, each with its kind first."""

from __future__ import annotations

import io
import json
import math
import warnings
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

import sep_extract.errors  # noqa: F401  the tree is complete with those of the function
from sep_extract.columns import COLUMNS
from sep_extract.errors import ExtractionError
from sep_extract.flags import Flag
from sep_extract.quality import Quality, doubts
from skyfan_function.errors import InputError
from skyfan_function.structure import spans

from .mutations import HARMLESS, Mutation

CATALOG = "catalog"
# Neither flags nor the quality of an image excuse these.
_FINITE = (
    *("X_IMAGE", "Y_IMAGE", "ERRX2_IMAGE", "ERRY2_IMAGE", "ERRXY_IMAGE", "XWIN_IMAGE", "YWIN_IMAGE"),
    *("A_IMAGE", "B_IMAGE", "THETA_IMAGE", "ELONGATION", "FWHM_IMAGE", "FLUX_ISO", "FLUXERR_ISO"),
    *("FLUX_AUTO", "FLUXERR_AUTO", "SNR_AUTO", "KRON_RADIUS", "BACKGROUND", "BACKGROUND_RMS"),
)
_POSITIVE = (
    *("A_IMAGE", "B_IMAGE", "FWHM_IMAGE", "KRON_RADIUS", "FLUXERR_ISO", "FLUXERR_AUTO", "BACKGROUND_RMS"),
    *("ISOAREAF_IMAGE", "NUMBER", "EXPOSURE"),
)
# Catalogs of mutants whose size is a multiple of this are read by astropy too.
_THOROUGH = 23 * 80
# Magnitudes that some instrument may have, in whatever system.
_MAGNITUDES = (-60.0, 115.0)


@dataclass(frozen=True)
class Answer:
    """What the handler did with a mutant, and what was printed on stdout and on stderr."""

    result: dict[str, Any] | None
    error: BaseException | None
    output: bytes
    complaints: bytes
    catalog: Path
    record: Path


@cache
def names() -> frozenset[str]:
    """The errors that a file may end in, whatever is in it."""

    def below(kind: type[Exception]) -> Iterator[str]:
        yield kind.__name__
        for other in kind.__subclasses__():
            yield from below(other)

    return frozenset((*below(InputError), ExtractionError.__name__)) - {InputError.__name__}


def outcome(answer: Answer) -> str:
    """How the table calls it: the name of an error, or a catalog."""
    if answer.error is not None:
        return type(answer.error).__name__
    assert answer.result is not None
    return str(answer.result.get("errorType", CATALOG))


def faults(answer: Answer, raw: bytes, seed: int | None, mutations: list[Mutation]) -> Iterator[str]:
    """Judge an answer; ``seed`` is the number of sources that the file had before the ``mutations``."""
    ended = outcome(answer)
    yield from _log(answer)
    if answer.error is not None:
        yield f"raised: {ended}: {answer.error}"
    elif ended != CATALOG:
        yield from _refusal(answer, ended)
    elif not answer.catalog.is_file():
        yield "missing: a result and no catalog"
    else:
        assert answer.result is not None
        yield from _catalog(answer.result, answer.catalog, raw)
    if seed is None:
        return
    same = {mutation[-1] for mutation in mutations if mutation[0] == "card"} if mutations else set()
    if all(mutation[0] == "card" for mutation in mutations) and (same <= {*HARMLESS} or same == {"unit"}):
        found = answer.result.get("sources") if answer.result else None
        if ended != CATALOG:
            yield f"refused: cards that no measurement needs ({', '.join(same)}): {ended}"
        elif found != seed:
            yield f"count: {found} sources where {seed} are, after a change of {', '.join(same)}"


def _log(answer: Answer) -> Iterator[str]:
    if answer.complaints and "crashed" not in str(
        answer.result
    ):  # glibc's last words, in a decoder's process
        yield f"output: on stderr: {answer.complaints[-300:].decode('utf-8', 'replace')!r}"
    lines = answer.output.decode("utf-8", "replace").splitlines()
    for line in lines:
        try:
            json.loads(line, parse_constant=_refuse)
        except ValueError:
            yield f"output: {line[:200]!r}"
    if len(lines) != 1:
        yield f"output: {len(lines)} lines"
    if len(answer.output) > 20_000:
        yield f"output: {len(answer.output)} bytes of log"


def _refuse(text: str) -> None:
    raise ValueError(text)


def _refusal(answer: Answer, ended: str) -> Iterator[str]:
    assert answer.result is not None
    if ended not in names():
        yield f"unnamed: {ended}: {answer.result['errorMessage']}"
    if "mutant" not in answer.result["errorMessage"] and ended != ExtractionError.__name__:
        yield f"message: {ended} names no file: {answer.result['errorMessage']}"
    if answer.catalog.exists():
        yield f"missing: a catalog beside {ended}"
    if not answer.record.is_file():
        yield f"missing: no record of {ended}"


def _catalog(result: dict[str, Any], path: Path, raw: bytes) -> Iterator[str]:
    body = path.read_bytes()
    header, rows = _read(body)
    if len(raw) % _THOROUGH == 0:
        yield from _standard(body, rows)
    quality = Quality(header["QUALITY"])
    history = [str(line).removeprefix("note: ") for line in header.get("HISTORY", [])]
    if not len(rows) == header["NSOURCES"] == result["sources"] == sum(c["sources"] for c in result["chips"]):
        yield f"count: {len(rows)} rows, NSOURCES is {header['NSOURCES']}, the result has {result['sources']}"
    if (int(quality), doubts(quality)) != (result["quality"], header["DOUBTS"]):
        yield "quality: the result and the header differ"
    if not history and result["notes"]:
        yield "quality: notes are not in the header"
    for chip in result["chips"]:
        for key in ("background", "rms", "depth"):
            if chip[key] is not None and not math.isfinite(chip[key]):
                yield f"finite: {key} of HDU {chip['ext']} is {chip[key]}"
    if len(rows):
        yield from _rows(rows, header, quality, raw)


def _read(body: bytes) -> tuple[fits.Header, NDArray[Any]]:
    """The primary header and the rows; astropy's own reader takes longer than the handler."""
    primary, table = spans("catalog", io.BytesIO(body), len(body))
    header = fits.Header.fromstring(body[: primary.start])
    circles = len(header["PHOTAP*"])
    kinds = {"J": ">i4", "I": ">i2", "D": ">f8", "E": ">f4"}
    dtype = np.dtype([(c.name, kinds[c.kind], (circles,) if c.per_aperture else ()) for c in COLUMNS])
    return header, np.frombuffer(body[table.start : table.end], dtype)


def _standard(body: bytes, rows: NDArray[Any]) -> Iterator[str]:
    """Read with astropy, warnings and sums included."""
    try:
        with warnings.catch_warnings(), fits.open(io.BytesIO(body), checksum=True) as hdus:
            warnings.simplefilter("error")
            hdus.verify("exception")
            if hdus["SOURCES"].data.tobytes() != rows.tobytes():
                yield "standard: astropy reads other rows"
    except Exception as exc:
        yield f"standard: {exc!r}"


def _rows(rows: Any, header: Any, quality: Quality, raw: bytes) -> Iterator[str]:
    columns = {name: np.asarray(rows[name]) for name in rows.dtype.names}
    for name, column in columns.items():
        if column.dtype.kind == "f" and np.isinf(column).any():
            yield f"infinite: {name}"
    for name in _FINITE:
        if not np.isfinite(columns[name]).all():
            yield f"finite: {name} is NaN"
    for name in _POSITIVE:
        if (columns[name] <= 0).any():
            yield f"size: {name} is {columns[name].min()}"
    if (columns["B_IMAGE"] > columns["A_IMAGE"] * 1.001).any():
        yield "size: B_IMAGE is larger than A_IMAGE"
    for name in ("ERRX2_IMAGE", "ERRY2_IMAGE", "ERRX2WIN_IMAGE", "ERRY2WIN_IMAGE", "FLUX_RADIUS"):
        if (columns[name] < 0).any():
            yield f"size: {name} is negative"
    for name in (name for name in columns if name.startswith(("MAG_", "MU_"))):
        known = columns[name][np.isfinite(columns[name])]
        if len(known) and not (_MAGNITUDES[0] < known.min() and known.max() < _MAGNITUDES[1]):
            yield f"magnitude: {name} is {known[np.argmax(np.abs(known))]:g}"
    yield from _sky(columns, quality)
    odd = ~np.isfinite(columns["FLUX_APER"]) & ((columns["FLAGS"] & Flag.APERTURE) == 0)[:, None]
    scales = len(header["SCALE[0-9]*"]) == header["NCHIPS"]
    if odd.any() and scales and not any("smaller than a pixel" in str(c) for c in header["HISTORY"]):
        yield "finite: FLUX_APER is NaN, and FLAGS does not say why"
    if not np.array_equal(columns["NUMBER"], np.arange(1, len(rows) + 1)):
        yield "count: NUMBER"
    yield from _places(columns, raw)


def _sky(columns: dict[str, Any], quality: Quality) -> Iterator[str]:
    ra, dec = columns["ALPHA_J2000"], columns["DELTA_J2000"]
    known = np.isfinite(ra)
    if (known != np.isfinite(dec)).any():
        yield "sky: a position with one coordinate"
    if ((ra[known] < 0) | (ra[known] >= 360)).any() or (np.abs(dec[known]) > 90).any():
        yield "sky: coordinates that no sky has"
    if not known.any() and not quality & (Quality.NO_SKY | Quality.SKY_LOST):
        yield "sky: no coordinates, and QUALITY does not say why"


def _places(columns: dict[str, Any], raw: bytes) -> Iterator[str]:
    """Sources outside of their image, or where it has no pixel."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hdus = fits.open(io.BytesIO(_plain(raw)), memmap=False)
            images = {int(i): _image(hdus, int(i)) for i in np.unique(columns["EXT_NUMBER"])}
    except Exception as exc:
        yield f"read: astropy cannot read what was measured: {exc!r}"
        return
    for index, cube in images.items():
        image = cube.reshape(cube.shape[-2:])
        here = columns["EXT_NUMBER"] == index
        for x, y in (("X_IMAGE", "Y_IMAGE"), ("XWIN_IMAGE", "YWIN_IMAGE")):
            xs, ys = columns[x][here], columns[y][here]
            if not _inside(xs, image.shape[1]) or not _inside(ys, image.shape[0]):
                yield f"outside: {x} {xs.min():g} to {xs.max():g}, {y} {ys.min():g} to {ys.max():g}"
                return
        for x, y in zip(columns["X_IMAGE"][here], columns["Y_IMAGE"][here], strict=True):
            column, row = round(x) - 1, round(y) - 1
            if not np.isfinite(image[max(row - 4, 0) : row + 5, max(column - 4, 0) : column + 5]).any():
                yield f"nothing: a source at {x:g}, {y:g}, where no pixel has a value"
                return


def _image(hdus: fits.HDUList, index: int) -> Any:
    """The pixels of an extension; of a table of frames, stack 1 of which has its index, the brightest."""
    tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU) and "FLUX" in hdu.columns.names]
    if tables and not any(hdu.name == "SCI" for hdu in hdus):
        return np.fmax.reduce(np.asarray(tables[0].data["FLUX"], float), axis=0)
    return np.asarray(hdus[index].data)


def _plain(raw: bytes) -> bytes:
    """The file without layers of gzip, of each as much as is whole."""
    while raw.startswith(b"\x1f\x8b"):
        rest, found = raw, b""
        while rest.startswith(b"\x1f\x8b"):
            layer = zlib.decompressobj(31)
            found += layer.decompress(rest)
            rest = layer.unused_data
        raw = found
    return raw


def _inside(values: Iterable[float], side: int) -> bool:
    return all(0.5 <= value <= side + 0.5 for value in values)
