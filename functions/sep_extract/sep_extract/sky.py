"""Pixels to the sky: the full WCS, its local scale and orientation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from . import plain_wcs, wcs_cards
from .planes import is_image, name_of

Floats = NDArray[np.float64]

# Side of a pixel in arcsec, from the sharpest interferometer's images to those of cameras for the whole sky.
PLAUSIBLE_SCALE = (0.001, 60.0)
# Extensions with lookup tables of distortions, and values in one that are never too many.
_TABLES = ("WCSDVARR", "D2IMARR")
_TABLE = 1 << 22
# Steps from sky to pixels, and the last one's length in pixels; no image is as large as the farthest.
_NEWTON, _CLOSE, _FARTHEST = 20, 1e-6, 1e6


@dataclass(frozen=True)
class Sky:
    """The WCS of one chip, distortions included, or None with a note that says why.

    ``scale`` is the side of a pixel at the centre of the chip, in arcsec. ``fallback`` says that a card was
    read otherwise than it stands, or left out; ``lost`` that the header speaks of the sky and is unusable.
    ``cards`` are those that were read, and ``tables`` the extensions with lookup tables that they refer to.
    """

    wcs: Any | None
    scale: float | None
    notes: tuple[str, ...] = ()
    fallback: bool = False
    lost: bool = False
    cards: fits.Header | None = None
    tables: tuple[Any, ...] = ()

    @classmethod
    def read(cls, header: fits.Header, hdus: fits.HDUList, shape: tuple[int, ...]) -> Sky:
        """Read the WCS of an extension; ``hdus`` holds the lookup tables that it refers to.

        The full WCS is tried, then the one without lookup tables.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                cards = wcs_cards.read(header)
                if cards is None:
                    return cls(
                        None, None, ("no celestial WCS: no sky coordinates and no apertures in arcsec",)
                    )
                try:
                    wcs, scale = _validated(cards.header, hdus, shape)
                    notes, own = tuple(cards.notes), cards.has_lookup_tables
                    tables = tuple(hdu for hdu in hdus if own and name_of(hdu) in _TABLES)
                    return cls(wcs, scale, notes, cards.mended, cards=cards.header, tables=tables)
                except Exception as exc:
                    if not cards.has_lookup_tables:
                        raise
                    note = f"the WCS is used without its lookup tables ({_reason(exc)})"
                plain = cards.without_lookup_tables()
                wcs, scale = _validated(plain, None, shape)
                return cls(wcs, scale, (*cards.notes, note), True, cards=plain)
            except Exception as exc:  # wcslib raises a dozen kinds, and none of them is worth an image
                note = f"the WCS cannot be used ({_reason(exc)}): no sky coordinates"
                return cls(None, None, (note,), lost=True)

    def world(self, x: Floats, y: Floats) -> Floats:
        """ICRS right ascension and declination in degrees, (n, 2), of 0-based pixel positions, (n,)."""
        if self.wcs is None or not len(x):
            return np.full((len(x), 2), np.nan)
        with np.errstate(invalid="ignore"):
            native: Floats = np.column_stack(self.wcs.all_pix2world(x, y, 0))
        return _to_icrs(self.wcs, native)

    def pixel(self, world: Floats, start: tuple[float, float]) -> Floats:
        """0-based pixel positions (n, 2) of ICRS positions (n, 2) in degrees, by Newton's method; NaN where
        it does not get to within 1e-6 pixels, or the place is farther from ``start`` than the WCS reaches.
        """
        found = np.tile(np.asarray(start, np.float64), (len(world), 1))
        todo = np.flatnonzero(np.isfinite(world).all(axis=1)) if self.wcs is not None else np.zeros(0, int)
        done = np.zeros(len(world), dtype=bool)
        for _ in range(_NEWTON):
            if not len(todo):
                break
            here = found[todo]
            offset = _tangent(self.world(here[:, 0], here[:, 1]), world[todo])
            jacobian = self.jacobian(here[:, 0], here[:, 1])
            jacobian[~np.isfinite(jacobian).all(axis=(1, 2))] = 0
            usable = np.flatnonzero(np.isfinite(offset).all(axis=1) & (np.linalg.det(jacobian) != 0))
            todo, offset, jacobian = todo[usable], offset[usable], jacobian[usable]
            step = np.linalg.solve(jacobian, offset[..., None])[..., 0]
            found[todo] += step
            near = np.abs(step).max(axis=1, initial=0) < _CLOSE
            done[todo[near]] = True
            todo = todo[~near & (np.abs(found[todo]).max(axis=1, initial=0) < _FARTHEST)]
        found[~done] = np.nan
        return found

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


def _validated(cards: fits.Header, hdus: fits.HDUList | None, shape: tuple[int, ...]) -> tuple[Any, float]:
    """The WCS and its scale at the centre, in arcsec. Raises if it gives no place, or no plausible scale."""
    wcs: Any = plain_wcs.read(cards)
    if wcs is None:
        from astropy import log
        from astropy.wcs import WCS

        # wcs_cards has seen to it that SIP is in force; astropy asks other axes, too, and prints.
        log.setLevel("WARNING")
        _refuse_large_tables(hdus or (), math.prod(shape))
        wcs = WCS(cards, fobj=hdus, naxis=2)
    if not wcs.has_celestial:
        raise ValueError("it has no celestial axes")
    sky = Sky(wcs, None)
    x, y = (np.array([(side - 1) / 2]) for side in (shape[1], shape[0]))
    if not np.isfinite(sky.world(x, y)).all():
        raise ValueError("it gives no coordinates at the centre of the image")
    jacobian = sky.jacobian(x, y)[0]
    longer, shorter = np.linalg.svd(jacobian, compute_uv=False) * 3600
    if not PLAUSIBLE_SCALE[0] <= shorter <= longer <= PLAUSIBLE_SCALE[1]:
        raise ValueError(f"a pixel would be {longer:.3g} by {shorter:.3g} arcsec large")
    return wcs, float(np.sqrt(abs(np.linalg.det(jacobian)))) * 3600


def _refuse_large_tables(hdus: Iterable[Any], pixels: int) -> None:
    """Refuse lookup tables that may take more memory than the image: WCS reads them whole, as doubles."""
    for hdu in hdus:
        size = math.prod(hdu.shape) if name_of(hdu) in _TABLES and is_image(hdu) else 0
        if size > max(pixels, _TABLE):
            raise ValueError(f"{hdu.name} has {size} values, more than the image has pixels")


def _reason(exc: Exception) -> str:
    """What wcslib says, without the places in its source."""
    lines = [line for line in str(exc).splitlines() if line.strip() and not line.startswith("ERROR")]
    return lines[0].strip() if lines else type(exc).__name__


def _tangent(here: Floats, there: Floats) -> Floats:
    """Offsets (n, 2) to the east and north in degrees on the tangent plane (gnomonic); NaN beyond it."""
    one, other = _unit_vectors(here), _unit_vectors(there)
    alpha = np.radians(here[:, 0])
    east = np.stack([-np.sin(alpha), np.cos(alpha), np.zeros(len(alpha))], axis=-1)
    north = np.cross(one, east)
    along = np.einsum("ni,ni->n", one, other)
    with np.errstate(divide="ignore", invalid="ignore"):
        plane = np.stack([np.einsum("ni,ni->n", axis, other) / along for axis in (east, north)], axis=-1)
    plane[~(along > 0)] = np.nan
    offsets: Floats = np.degrees(plane)
    return offsets


def _unit_vectors(world: Floats) -> Floats:
    """Directions (n, 3) of right ascensions and declinations (n, 2) in degrees."""
    alpha, delta = np.radians(world).T
    return np.stack([np.cos(delta) * np.cos(alpha), np.cos(delta) * np.sin(alpha), np.sin(delta)], axis=-1)


def _to_icrs(wcs: Any, native: Floats) -> Floats:
    """ICRS and FK5 J2000 pass as they are (they differ by 0.03 arcsec at most); others are transformed."""
    frame, equinox = wcs.wcs.radesys.strip(), wcs.wcs.equinox
    j2000 = np.isnan(equinox) or equinox in (0, 2000)
    kind, longitude, latitude = wcs.wcs.lngtyp.strip(), native[:, wcs.wcs.lng], native[:, wcs.wcs.lat]
    if kind == "RA" and j2000 and frame in ("", "ICRS", "FK5"):
        # A CRVAL below 0 makes wcslib count right ascension from -360.
        return np.column_stack([longitude % 360, latitude])
    from astropy import coordinates
    from astropy.wcs.utils import wcs_to_celestial_frame

    if kind == "ELON":
        # Mean ecliptic and equinox, of J2000 unless said otherwise (Calabretta & Greisen 2002, section 3.1).
        equinox = "J2000" if j2000 else f"J{equinox}"
        known = coordinates.BarycentricMeanEcliptic(equinox=equinox)
    elif kind == "SLON":
        known = coordinates.Supergalactic()
    else:
        known = wcs_to_celestial_frame(wcs)
    icrs = coordinates.SkyCoord(longitude, latitude, unit="deg", frame=known).icrs
    return np.column_stack([icrs.ra.deg, icrs.dec.deg])
