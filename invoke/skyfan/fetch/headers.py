"""Headers of files that hold a part of another file: what their cards must say then."""

import warnings
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from astropy.io import fits

from skyfan_contract.hdus import Hdu

TABLES = ("WCSDVARR", "D2IMARR")
"""HDUs with lookup tables of distortion (FITS distortion paper, as Hubble uses it)."""
_DATA_ONLY = ("BSCALE", "BZERO", "BLANK", "GROUPS", "PCOUNT", "GCOUNT", "DATASUM", "CHECKSUM")


def parse(raw: bytes) -> fits.Header:
    """A header from its bytes. Cards that are not changed keep theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy warns of bytes that are not ASCII
        return fits.Header.fromstring(raw)


def to_bytes(header: fits.Header) -> bytes:
    """The bytes of a header, whole blocks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bytes(header.tostring().encode("ascii", "replace"))


def label(hdu: Hdu) -> str:
    """PRIMARY, SCI 1, "without a name"."""
    return f"{hdu.name} {hdu.version}" if hdu.start and hdu.name else hdu.name or "one without a name"


def labels(hdus: Iterable[Hdu]) -> str:
    """SCI 1, DQ 1."""
    return ", ".join(map(label, hdus))


def say(header: fits.Header, texts: Iterable[str]) -> None:
    """Adds HISTORY cards, in ASCII."""
    for text in texts:
        header.add_history(text.encode("ascii", "backslashreplace").decode())


def origin(uri: str, etag: str) -> str:
    """The HISTORY of a file that was cut from another."""
    return f"skyfan fetch: a part of {quote(uri, safe=':/')} (ETag {etag})"


def without_data(header: fits.Header) -> None:
    """Makes a primary header one without data."""
    for axis in range(header.get("NAXIS", 0)):
        header.remove(f"NAXIS{axis + 1}", ignore_missing=True)
    header["NAXIS"], header["BITPIX"] = 0, 8
    for name in _DATA_ONLY:
        header.remove(name, ignore_missing=True)


def drop_sums(header: fits.Header, *, data: bool) -> None:
    """Removes checksums that no longer hold: of the HDU, and with `data` of its data."""
    header.remove("CHECKSUM", ignore_missing=True)
    if data:
        header.remove("DATASUM", ignore_missing=True)


def tables_of(header: fits.Header) -> Iterator[tuple[str, str, int]]:
    """The lookup tables of an image's WCS: card that names it (DP1.EXTVER), EXTNAME and EXTVER."""
    for axis in (1, 2):
        for kind, distortion, name in (
            ("CPDIS", "DP", "WCSDVARR"),
            ("D2IMDIS", "D2IM", "D2IMARR"),
        ):
            card = f"{distortion}{axis}.EXTVER"
            if str(header.get(f"{kind}{axis}", "")).strip().lower() == "lookup" and card in header:
                yield card, name, int(header[card])
