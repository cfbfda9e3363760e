"""Sources of a catalog as ellipses on an image."""

from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ..errors import InputError
from . import chips

NEEDED = ("X_IMAGE", "Y_IMAGE", "A_IMAGE", "B_IMAGE", "THETA_IMAGE")


@dataclass(frozen=True)
class Ellipses:
    """Kron ellipses, one an element; 0-based pixels, as arrays and matplotlib count."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    a: NDArray[np.float64]
    """Semi-axes in pixels."""
    b: NDArray[np.float64]
    theta: NDArray[np.float64]
    """Degrees from x towards y."""
    flagged: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.x)


def read(uri: str, access: str = "anonymous") -> dict[int | None, Ellipses]:
    """The ellipses of a catalog by EXT_NUMBER; all under None where the catalog has no such column.

    Raises InputError for a file without SExtractor's columns.
    """
    with chips.opened(uri, access) as hdus:
        for hdu in hdus:
            if isinstance(hdu, fits.BinTableHDU) and set(NEEDED) <= set(hdu.columns.names):
                return _by_chip(hdu)
    raise InputError(f"{uri} is no catalog: it has no table with {', '.join(NEEDED)}")


def _by_chip(hdu: fits.BinTableHDU) -> dict[int | None, Ellipses]:
    table, names = hdu.data, hdu.columns.names
    x, y, a, b, theta = (np.array(table[name], np.float64) for name in NEEDED)
    # Without a Kron radius: three times the rms, SExtractor's isophotal limit by rule of thumb.
    kron = np.array(table["KRON_RADIUS"], np.float64) if "KRON_RADIUS" in names else np.full(len(x), 3.0)
    kron[~(kron > 0)] = 3.0
    flagged = np.array(table["FLAGS"]) != 0 if "FLAGS" in names else np.zeros(len(x), bool)
    fine = np.isfinite(x + y + a + b + theta)
    ext = np.array(table["EXT_NUMBER"]) if "EXT_NUMBER" in names else None
    found: dict[int | None, Ellipses] = {}
    for number in [None] if ext is None else np.unique(ext):
        rows = fine if number is None else fine & (ext == number)
        shape = (x[rows] - 1, y[rows] - 1, (a * kron)[rows], (b * kron)[rows], theta[rows], flagged[rows])
        found[None if number is None else int(number)] = Ellipses(*shape)
    return found
