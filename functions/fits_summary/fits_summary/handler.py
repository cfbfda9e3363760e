"""What is in one FITS file: its extensions and main header cards, as JSON."""

from typing import Any

from astropy.io import fits

from skyfan_function.event import Request
from skyfan_function.fits_input import open_fits
from skyfan_function.handler import Job, lambda_handler

FIELDS = ("ext", "name", "ver", "type", "cards", "shape", "format")
CARDS = (
    *("TELESCOP", "INSTRUME", "DETECTOR", "FILTER", "FILTER1", "FILTER2", "ROOTNAME", "PROPOSID", "TARGNAME"),
    *("RA_TARG", "DEC_TARG", "DATE-OBS", "TIME-OBS", "EXPSTART", "EXPTIME", "BUNIT", "PHOTFLAM", "PHOTPLAM"),
)


def process(job: Job[Request]) -> dict[str, Any]:
    """List the extensions of a FITS file, as astropy's info() does, and its main header cards."""
    with open_fits(job.source) as hdus:
        # Older products have some of these cards in the first extension only.
        headers = [hdu.header for hdu in hdus[:2]]
        return {
            "hdus": [dict(zip(FIELDS, row, strict=False)) for row in hdus.info(output=False)],
            "header": {card: _first(card, headers) for card in CARDS if any(card in one for one in headers)},
        }


def _first(card: str, headers: list[fits.Header]) -> Any:
    value = next(header[card] for header in headers if card in header)
    return None if isinstance(value, fits.card.Undefined) else value


handler = lambda_handler(process)
