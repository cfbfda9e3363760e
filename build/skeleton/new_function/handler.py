"""Size and statistics of each image in a FITS file, as a table. Replace COLUMNS and process() by your own."""

from typing import Any

import numpy as np
from astropy.io import fits

from skyfan_function.event import Request
from skyfan_function.fits_input import open_fits
from skyfan_function.handler import Job, lambda_handler
from skyfan_function.table import Column, Fact, Table, observed

# Name, FITS type, unit, IVOA UCD and meaning. `shown` columns are those that people see first.
COLUMNS = (
    Column("EXT", "I", "", "meta.id;instr.det", "Index of the extension (0 is the primary HDU)", shown=True),
    Column("EXTNAME", "68A", "", "meta.id", "Name of the extension", shown=True),
    Column("FINITE", "K", "", "meta.number", "Pixels that have a value", shown=True),
    Column("MEDIAN", "D", "", "phot.count;stat.median", "Median of their values", shown=True),
    Column("DEVIATION", "D", "", "stat.stdev;phot.count", "Standard deviation of their values", shown=True),
)


def process(job: Job[Request]) -> Table:
    """The work on one file. The table becomes the result; an error becomes a failure record."""
    with open_fits(job.source) as hdus:
        rows = [_statistics(ext, hdu) for ext, hdu in enumerate(hdus) if hdu.is_image and hdu.shape]
        facts = [Fact("NHDU", len(hdus), "", "meta.number", "Extensions of the file, with the primary HDU")]
        return Table.of_rows(
            COLUMNS, rows, facts=facts, observation=observed(*(hdu.header for hdu in hdus[:2]))
        )


def _statistics(ext: int, hdu: fits.ImageHDU) -> dict[str, Any]:
    pixels = hdu.data[np.isfinite(hdu.data)]
    return {
        "EXT": ext,
        "EXTNAME": hdu.name,
        "FINITE": pixels.size,
        "MEDIAN": np.median(pixels) if pixels.size else None,
        "DEVIATION": np.std(pixels, dtype=float) if pixels.size else None,
    }


handler = lambda_handler(process)
