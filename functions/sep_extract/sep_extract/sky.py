"""Pixels to the sky: the full WCS, its local scale and orientation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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
                wcs = WCS(header, fobj=hdus, naxis=2)
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
                reason = (str(exc).strip() or type(exc).__name__).splitlines()[0]
                return cls(None, None, (f"the WCS cannot be used ({reason}): no sky coordinates",))
        return cls(wcs, scale)

    def world(self, x: Floats, y: Floats) -> Floats:
        """ICRS right ascension and declination in degrees, (n, 2), of 0-based pixel positions, (n,)."""
        if self.wcs is None or not len(x):
            return np.full((len(x), 2), np.nan)
        with np.errstate(invalid="ignore"):
            native = np.column_stack(self.wcs.all_pix2world(x, y, 0))
        return _to_icrs(self.wcs, native)

    def jacobian(self, x: Floats, y: Floats) -> Floats:
        """d(east, north)/d(x, y) in degrees a pixel, (n, 2, 2), by central differences over one pixel."""
        if self.wcs is None or not len(x):
            return np.full((len(x), 2, 2), np.nan)
        n, half = len(x), 0.5
        shifted = self.world(
            np.concatenate([x + half, x - half, x, x]), np.concatenate([y, y, y + half, y - half])
        )
        right, left, up, down = shifted.reshape(4, n, 2)
        along_x, along_y = _offset(right, left), _offset(up, down)
        return np.stack([along_x, along_y], axis=-1)


def _offset(to: Floats, origin: Floats) -> Floats:
    """Small offsets (east, north) in degrees between two arrays of positions of shape (n, 2)."""
    east = (to[:, 0] - origin[:, 0] + 180) % 360 - 180
    middle = np.radians((to[:, 1] + origin[:, 1]) / 2)
    return np.stack([east * np.cos(middle), to[:, 1] - origin[:, 1]], axis=-1)


def _to_icrs(wcs: Any, native: Floats) -> Floats:
    """ICRS and FK5 J2000 pass as they are (they differ by 0.02 arcsec at most); others are transformed."""
    if (
        wcs.wcs.lngtyp == "RA"
        and wcs.wcs.radesys.strip() in ("", "ICRS", "FK5")
        and wcs.wcs.equinox in (0, 2000)
    ):
        return native if wcs.wcs.lng < wcs.wcs.lat else native[:, ::-1]
    if wcs.wcs.lngtyp == "RA" and np.isnan(wcs.wcs.equinox):
        return native if wcs.wcs.lng < wcs.wcs.lat else native[:, ::-1]
    from astropy.coordinates import SkyCoord
    from astropy.wcs.utils import wcs_to_celestial_frame

    icrs = SkyCoord(
        native[:, wcs.wcs.lng], native[:, wcs.wcs.lat], unit="deg", frame=wcs_to_celestial_frame(wcs)
    ).icrs
    return np.column_stack([icrs.ra.deg, icrs.dec.deg])
