"""Size and statistics of each image in a FITS file, as JSON. Replace process() by your own."""

from typing import Any

import numpy as np
from astropy.io import fits

from skyfan_function.event import Request
from skyfan_function.fits_input import open_fits
from skyfan_function.handler import Job, lambda_handler


def process(job: Job[Request]) -> dict[str, Any]:
    """The work on one file. What is returned becomes the result; an error becomes a failure record."""
    with open_fits(job.source) as hdus:
        return {"images": [_statistics(hdu) for hdu in hdus if hdu.is_image and hdu.shape]}


def _statistics(hdu: fits.ImageHDU) -> dict[str, Any]:
    pixels = hdu.data[np.isfinite(hdu.data)]
    return {
        "name": hdu.name,
        "shape": list(hdu.shape),
        "finite": int(pixels.size),
        "median": float(np.median(pixels)) if pixels.size else None,
        "deviation": float(np.std(pixels, dtype=float)) if pixels.size else None,
    }


handler = lambda_handler(process)
