"""Pixels to the sky: the full WCS, its local scale and orientation."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from .calibrate import Cards

Floats = NDArray[np.float64]

# All cards of the WCS papers, SIP, and Hubble's lookup tables. Drizzled products carry a thousand others, and
# reading those would take longer than measuring the image.
_CARDS = re.compile(
    r"NAXIS\d*|WCSAXES|WCSNAME|(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA|CNAME|CRDER|CSYER)\d|(CD|PC|PV|PS)\d+_\d+|"
    r"LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|EPOCH|MJD.*|DATE.*|OBSGEO.*|"
    r"(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)|(CPDIS|DP|CPERR|CQDIS|DQ|D2IMDIS|D2IM|D2IMERR)\d.*|AXISCORR|D2IMEXT"
)
_NUMBERS = re.compile(
    r"(CRVAL|CRPIX|CDELT)\d|(CD|PC|PV)\d+_\d+|(A|B)_(ORDER|\d+_\d+)|LONPOLE|LATPOLE|EQUINOX"
)


@dataclass(frozen=True)
class Sky:
    """The WCS of one chip, SIP and lookup tables included, or None with a note that says why.

    ``scale`` is the side of a pixel at the centre of the chip, in arcsec.
    """

    wcs: Any | None
    scale: float | None
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, header: fits.Header, hdus: fits.HDUList, shape: tuple[int, ...]) -> Sky:
        """Read the WCS of an extension; ``hdus`` holds the lookup tables that it refers to."""
        from astropy.wcs import WCS

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                cards = fits.Header(
                    [header.cards[i] for i, key in enumerate(header) if _CARDS.fullmatch(key)]
                )
                _refuse_malformed(cards)
                wcs = WCS(cards, fobj=hdus, naxis=2)
                if not wcs.has_celestial:
                    return cls(
                        None, None, ("no celestial WCS: no sky coordinates and no apertures in arcsec",)
                    )
                sky = cls(wcs, None)
                centre = np.array([(shape[1] - 1) / 2]), np.array([(shape[0] - 1) / 2])
                scale = float(np.sqrt(abs(np.linalg.det(sky.jacobian(*centre)[0])))) * 3600
                if not (np.isfinite(sky.world(*centre)).all() and np.isfinite(scale) and scale > 0):
                    raise ValueError("it gives no coordinates at the centre of the image")
            except Exception as exc:  # wcslib raises a dozen kinds, and none of them is worth an image
                return cls(None, None, (f"the WCS cannot be used ({_reason(exc)}): no sky coordinates",))
        return cls(wcs, scale)

    def world(self, x: Floats, y: Floats) -> Floats:
        """ICRS right ascension and declination in degrees, (n, 2), of 0-based pixel positions, (n,)."""
        if self.wcs is None or not len(x):
            return np.full((len(x), 2), np.nan)
        with np.errstate(invalid="ignore"):
            native: Floats = np.column_stack(self.wcs.all_pix2world(x, y, 0))
        return _to_icrs(self.wcs, native)

    def jacobian(self, x: Floats, y: Floats) -> Floats:
        """d(east, north)/d(x, y) in degrees a pixel, (n, 2, 2), by central differences over one pixel."""
        if self.wcs is None or not len(x):
            return np.full((len(x), 2, 2), np.nan)
        n, half = len(x), 0.5
        shifted = self.world(
            np.concatenate([x + half, x - half, x, x]), np.concatenate([y, y, y + half, y - half])
        )
        # Differences of unit vectors, not of angles: right ascension turns through 360 degrees at a pole.
        right, left, up, down = _unit_vectors(shifted).reshape(4, n, 3)
        middle = right + left + up + down
        alpha = np.arctan2(middle[:, 1], middle[:, 0])
        delta = np.arctan2(middle[:, 2], np.hypot(middle[:, 0], middle[:, 1]))
        east = np.stack([-np.sin(alpha), np.cos(alpha), np.zeros(n)], axis=-1)
        sin_delta = np.sin(delta)
        north = np.stack([-sin_delta * np.cos(alpha), -sin_delta * np.sin(alpha), np.cos(delta)], axis=-1)
        steps = np.stack([right - left, up - down], axis=-1)
        turned: Floats = np.einsum("nki,nij->nkj", np.stack([east, north], axis=1), steps)
        return np.degrees(turned)


def _refuse_malformed(header: fits.Header) -> None:
    """Raise ValueError for a card that wcslib would pass over in silence, and so move the image."""
    cards = Cards(header)
    for key in header:
        if _NUMBERS.fullmatch(key):
            cards.number(key)
    if cards.notes:
        raise ValueError(cards.notes[0].removesuffix(": ignored"))


def _reason(exc: Exception) -> str:
    """What wcslib says, without the places in its source."""
    lines = [line for line in str(exc).splitlines() if line.strip() and not line.startswith("ERROR")]
    return lines[0].strip() if lines else type(exc).__name__


def _unit_vectors(world: Floats) -> Floats:
    """Directions (n, 3) of right ascensions and declinations (n, 2) in degrees."""
    alpha, delta = np.radians(world).T
    return np.stack([np.cos(delta) * np.cos(alpha), np.cos(delta) * np.sin(alpha), np.sin(delta)], axis=-1)


def _to_icrs(wcs: Any, native: Floats) -> Floats:
    """ICRS and FK5 J2000 pass as they are (they differ by 0.03 arcsec at most); others are transformed."""
    frame, equinox = wcs.wcs.radesys.strip(), wcs.wcs.equinox
    j2000 = np.isnan(equinox) or equinox in (0, 2000)
    if wcs.wcs.lngtyp == "RA" and j2000 and frame in ("", "ICRS", "FK5"):
        # A CRVAL below 0 makes wcslib count right ascension from -360.
        return np.column_stack([native[:, wcs.wcs.lng] % 360, native[:, wcs.wcs.lat]])
    from astropy.coordinates import SkyCoord
    from astropy.wcs.utils import wcs_to_celestial_frame

    icrs = SkyCoord(
        native[:, wcs.wcs.lng], native[:, wcs.wcs.lat], unit="deg", frame=wcs_to_celestial_frame(wcs)
    ).icrs
    return np.column_stack([icrs.ra.deg, icrs.dec.deg])
