"""The WCS of plain headers by astropy's compiled core alone.

`import astropy.wcs` brings coordinates, tables, times and YAML with it, a quarter of a cold start. A plain
header, TAN or TAN-SIP in ICRS or FK5 J2000 without lookup tables, needs none of it: here wcslib gets the
cards that astropy.wcs.WCS would give it. All others are for that class; tests compare both to the last bit.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import astropy
import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_CORE = "astropy.wcs._wcs"
# A header with any other card is not plain, nor one in which these have another value.
_KEYS = re.compile(
    r"NAXIS[12]?|WCSAXES|WCSNAME|(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA)[12]|(CD|PC)[12]_[12]|"
    r"LONPOLE|LATPOLE|RADESYS|EQUINOX|MJD-OBS|DATE-OBS|(A|B|AP|BP)_(ORDER|\d_\d)"
)
_TYPES = {("RA---TAN", "DEC--TAN"): False, ("RA---TAN-SIP", "DEC--TAN-SIP"): True}
_ORDERS = range(2, 10)
_VALUES: dict[str, Collection[object]] = {
    "NAXIS": (2,),
    "WCSAXES": (2,),
    "RADESYS": ("ICRS", "FK5"),
    "EQUINOX": (2000.0,),
    **dict.fromkeys(("A_ORDER", "B_ORDER", "AP_ORDER", "BP_ORDER"), _ORDERS),
}
_SIP = re.compile(r"(A|B|AP|BP)_(ORDER|\d_\d)")


class PlainWcs:
    """What sky.Sky uses of astropy.wcs.WCS."""

    has_celestial = True

    def __init__(self, core: Any, wcs: Any) -> None:
        self._core = core
        self.wcs = wcs
        """The astropy.wcs.Wcsprm."""

    def all_pix2world(self, x: Floats, y: Floats, origin: int) -> tuple[Floats, Floats]:
        """Right ascensions and declinations (n,) in degrees of positions (n,) that count from ``origin``."""
        world = self._core._all_pix2world(np.column_stack([x, y]), origin)
        return world[:, 0], world[:, 1]


def read(header: fits.Header) -> PlainWcs | None:
    """The WCS of cards that wcs_cards.read() returned; None if they are not plain or wcslib refuses them."""
    if not is_plain(header):
        return None
    try:
        module = core()
        cards = fits.Header([card for card in header.cards if not _SIP.fullmatch(card.keyword)])
        text = cards.tostring(endcard=False, padding=False).encode("ascii")
        wcs = module.Wcsprm(header=text, key=" ", relax=True).sub(2)
        whole = module._Wcs(_sip(module, header), (None, None), wcs, (None, None))
        whole.wcs.fix("", None)
        whole.wcs.set()
        if (whole.wcs.lng, whole.wcs.lat) != (0, 1):
            return None
    except Exception:  # whatever it is, the public class meets it too, and says it
        return None
    return PlainWcs(whole, whole.wcs)


def is_plain(header: fits.Header) -> bool:
    """Whether wcslib and a SIP polynomial are all that this header needs."""
    keys = set(header)
    sip = _TYPES.get((header.get("CTYPE1"), header.get("CTYPE2")))
    return (
        all(_KEYS.fullmatch(key) for key in keys)
        and all(header[key] in known for key, known in _VALUES.items() if key in keys)
        and sip == ("A_ORDER" in keys) == ("B_ORDER" in keys)
        and ("AP_ORDER" in keys) == ("BP_ORDER" in keys)
    )


def _sip(module: ModuleType, header: fits.Header) -> Any:
    """The polynomial from detector to sky; the inverse one is of no use here."""
    if "A_ORDER" not in header:
        return None
    tables = []
    for axis in ("A", "B"):
        order = int(header[f"{axis}_ORDER"])
        table = np.zeros((order + 1, order + 1))
        for i in range(order + 1):
            for j in range(order + 1 - i):
                table[i, j] = header.get(f"{axis}_{i}_{j}", 0.0)
        tables.append(table)
    return module.Sip(*tables, None, None, (header["CRPIX1"], header["CRPIX2"]))


def core() -> ModuleType:
    """astropy.wcs._wcs, imported without the package around it, which would import all of itself."""
    if _CORE not in sys.modules:
        spec = PathFinder.find_spec(_CORE, [str(Path(folder) / "wcs") for folder in astropy.__path__])
        if spec is None or spec.loader is None:
            raise ImportError(f"there is no {_CORE}")
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[_CORE] = module  # for the public class, when it is needed
    return sys.modules[_CORE]
