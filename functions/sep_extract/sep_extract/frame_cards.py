"""Header cards of stacked frames: where they are on the sky and on the detector, when they were taken."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from .cards import Cards
from .instruments import Instrument

if TYPE_CHECKING:
    from .frames import Stack

# FITS standard, table 22: keywords of the pixels in column n, and those of an image.
_OF_COLUMN = {
    "CTYPE1": "1CTYP{}", "CTYPE2": "2CTYP{}", "CUNIT1": "1CUNI{}", "CUNIT2": "2CUNI{}",
    "CRPIX1": "1CRPX{}", "CRPIX2": "2CRPX{}", "CRVAL1": "1CRVL{}", "CRVAL2": "2CRVL{}",
    "CDELT1": "1CDLT{}", "CDELT2": "2CDLT{}",
    "PC1_1": "11PC{}", "PC1_2": "12PC{}", "PC2_1": "21PC{}", "PC2_2": "22PC{}",
}  # fmt: skip
_WCS = re.compile(
    r"WCSAXES|(CTYPE|CUNIT|CRVAL|CRPIX|CDELT)[12]|(PC|CD)[12]_[12]|(LON|LAT)POLE|RADESYS|EQUINOX|[AB]P?_\w+"
)
_NOT_COPIED = re.compile(r"NEXTEND|CHECKSUM|DATASUM|EXTNAME|EXTVER|INHERIT")
_KEYWORD = re.compile(r"[A-Z0-9_-]{1,8}")
_MJD = 2400000.5
_DAY = 86400.0
# A shorter INT_TIME is in days, as that of some headers, not in seconds.
_LEAST_FRAME = 1e-3


def primary(header: fits.Header) -> fits.Header:
    """The primary header for the stacks: that of the file, without cards about its bytes."""
    return fits.Header(card for card in _sound(header.copy(strip=True)) if not _NOT_COPIED.fullmatch(card[0]))


def of(
    hdus: fits.HDUList, index: int, column: int, row: Instrument, shape: tuple[int, int]
) -> tuple[fits.Header, list[str]]:
    """Cards of all stacks of the table ``index``: unit, WCS and science pixels; and notes.

    ``column`` is the index of FLUX, ``shape`` (ny, nx). The WCS is that of the column; if it has none, that
    of an image of the same size, APERTURE. One that puts the target elsewhere is not used.
    """
    table, notes, number = hdus[index].header, list[str](), column + 1
    cards = Cards(table, hdus[0].header)
    made = fits.Header()
    unit = Cards(table).text(f"TUNIT{number}")
    if unit and unit.isascii() and unit.isprintable():
        made["BUNIT"] = unit
    found = _of_column(table, number) or _of_image(hdus, shape)
    if found is None:
        notes.append("neither the column FLUX nor an image of its size has a WCS")
    elif (away := _distance(found, cards, shape)) > max(shape):
        notes.append(
            f"the WCS puts RA_OBJ, DEC_OBJ {away:.0f} pixels from the centre of {shape[1]} x {shape[0]}: "
            "not used"
        )
    else:
        made.update(found)
    corner = [Cards(table).number(f"{axis}CRV{number}P") for axis in (1, 2)]
    if len(row.science) == 4 and None not in corner:
        low = [math.floor(value or 0) for value in corner]
        if all(1 <= value <= row.science[2 * axis + 1] + 64 for axis, value in enumerate(low)):
            for key, edge, start in zip(row.box, row.science, (low[0], low[0], low[1], low[1]), strict=True):
                made[key] = edge - start + 1
    return made, notes


def of_stack(shared: fits.Header, cards: Cards, stack: Stack) -> fits.Header:
    """The cards of one stack: its exposure time in the unit of the instrument's card, and its times."""
    made = shared.copy()
    if stack.used:
        reference = (cards.number("BJDREFI") or 0.0) + (cards.number("BJDREFF") or 0.0)
        frame = _frame(cards)
        half = (cards.positive("FRAMETIM") or 0.0) * (cards.positive("NUM_FRM") or 0.0) / _DAY / 2
        if reference:
            made["EXPSTART"] = stack.first - half + reference - _MJD
            made["EXPEND"] = stack.last + half + reference - _MJD
        if frame is not None:
            made["EXPOSURE"] = stack.used * frame / _DAY
    return made


def _frame(cards: Cards) -> float | None:
    """Seconds of exposure of one frame: its integrations, less those that the spacecraft leaves out.

    TESS leaves out the brightest and the faintest of each CRBLKSZ exposures, against cosmic rays.
    """
    each, number = cards.positive("INT_TIME"), cards.positive("NUM_FRM")
    if each is None or number is None:
        return None
    each *= _DAY if each < _LEAST_FRAME else 1.0
    block = cards.positive("CRBLKSZ")
    is_mitigated = cards.text("CRMITEN").upper() in ("T", "TRUE") and block is not None and block > 2
    return each * number * ((block - 2) / block if is_mitigated and block else 1.0)


def _of_column(table: fits.Header, number: int) -> fits.Header | None:
    """The WCS of the pixels in a column, as that of an image; None if it has none that is valid."""
    made, found = fits.Header(), dict(_sound(table))
    for key, pattern in _OF_COLUMN.items():
        if (name := pattern.format(number)) in found:
            made[key] = found[name]
    return made if _is_celestial(made) else None


def _of_image(hdus: fits.HDUList, shape: tuple[int, int]) -> fits.Header | None:
    for hdu in hdus[1:]:
        if isinstance(hdu, fits.ImageHDU) and tuple(hdu.shape) == shape:
            made = fits.Header(card for card in _sound(hdu.header) if _WCS.fullmatch(card[0]))
            if _is_celestial(made):
                return made
    return None


def _sound(header: fits.Header) -> Iterator[tuple[str, object]]:
    """Keywords and values of the cards that can be written again: a damaged one harms nothing else."""
    for card in header.cards:
        try:
            keyword, value = card.keyword, card.value
        except (fits.VerifyError, ValueError):
            continue
        is_text = isinstance(value, str) and value.isascii() and value.isprintable()
        is_number = isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))
        if _KEYWORD.fullmatch(keyword) and (is_text or is_number):
            yield keyword, value


def _is_celestial(header: fits.Header) -> bool:
    """Whether there is what a WCS needs, and its matrix can be inverted."""
    types = [str(header.get(f"CTYPE{axis}", "")).upper()[:4] for axis in (1, 2)]
    if sorted(types) not in (["DEC-", "RA--"], ["GLAT", "GLON"]):
        return False
    numbers = [header.get(f"{key}{axis}") for key in ("CRPIX", "CRVAL") for axis in (1, 2)]
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in numbers):
        return False
    name = "CD" if any(f"CD{i}_{j}" in header for i in (1, 2) for j in (1, 2)) else "PC"
    one = 0.0 if name == "CD" else 1.0
    matrix = [[header.get(f"{name}{i}_{j}", one if i == j else 0.0) for j in (1, 2)] for i in (1, 2)]
    if name == "PC":
        matrix = [
            [header.get(f"CDELT{i}", 1.0) * value for value in line] for i, line in enumerate(matrix, 1)
        ]
    try:
        return bool(abs(np.linalg.det(np.array(matrix, float))) > 0)
    except (TypeError, ValueError):
        return False


def _distance(header: fits.Header, cards: Cards, shape: tuple[int, int]) -> float:
    """How far the centre is from the target, RA_OBJ and DEC_OBJ, in pixels; 0 if they are not given."""
    target = [cards.number(key) for key in ("RA_OBJ", "DEC_OBJ")]
    if None in target or not str(header["CTYPE1"]).upper().startswith("RA"):
        return 0.0
    from astropy.wcs import WCS
    from astropy.wcs.utils import proj_plane_pixel_scales

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wcs = WCS(header, naxis=2)
            centre = wcs.all_pix2world([[(shape[1] - 1) / 2, (shape[0] - 1) / 2]], 0)[0]
            scale = float(np.mean(proj_plane_pixel_scales(wcs)))
        except Exception:  # the reader of the sky says what is wrong with it
            return 0.0
    (ra, dec), (alpha, delta) = np.radians(centre), np.radians(np.array(target, float))
    cosine = math.sin(dec) * math.sin(delta) + math.cos(dec) * math.cos(delta) * math.cos(ra - alpha)
    return math.degrees(math.acos(max(-1.0, min(1.0, cosine)))) / scale
