"""What a picture shows: the planes of an image with their sky coordinates, and the sources of its catalog."""

import math
import warnings
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning, NoConvergence
from numpy.typing import NDArray

from ..errors import InputError, UsageError
from . import frames
from .fits_file import opened

ELLIPSE_COLUMNS = ("X_IMAGE", "Y_IMAGE", "A_IMAGE", "B_IMAGE", "THETA_IMAGE")
# SExtractor's rule of thumb for the isophotal limit, in units of the rms axes.
_KRON_RADIUS = 3.0
# Marks may cover this share of a plane, and the brightest sources are marked in any case.
_MARKED_SHARE, _MARKS = 0.2, 150
# Pixels of all images of a file, of which a picture shows far fewer.
_PIXELS = 1 << 29
_SIDES = (1e-9, 1.0)
"""Sides of pixels in degrees."""


@dataclass(frozen=True)
class Ellipses:
    """Kron ellipses of sources, (n,) each, brightest first; pixel centres are whole numbers from 0."""

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

    def take(self, chosen: NDArray[np.bool_]) -> "Ellipses":
        """Those where `chosen` (n,) is true."""
        return Ellipses(*(getattr(self, column.name)[chosen] for column in fields(self)))


_NONE = np.empty(0)
NO_SOURCES = Ellipses(_NONE, _NONE, _NONE, _NONE, _NONE, np.empty(0, np.bool_))


@dataclass(frozen=True)
class Chip:
    """One science plane."""

    ext: int
    """Index of its HDU in the file, which is the catalog's EXT_NUMBER."""
    version: int
    """EXTVER, or its place among the file's images, from 1."""
    data: NDArray[np.float32]
    """Shape (ny, nx); NaN where there is no data."""
    wcs: WCS | None
    """None if the header has no usable celestial coordinates."""
    sources: Ellipses | None = None
    """None if no catalog was read."""
    saturated: NDArray[np.bool_] | None = None
    """Pixels that the file's DQ calls saturated, of the shape of `data`; None without DQ."""
    corner: tuple[int, int] = (0, 0)
    """x and y of the first pixel of `data` in the plane, where `wcs` and `sources` count from."""
    colours: NDArray[np.float32] | None = None
    """Red, green and blue, (ny, nx, 3) in [0, 1], instead of the stretched `data`."""

    @property
    def marked(self) -> Ellipses | None:
        """The sources to mark: in a crowded field only the brightest, for marks would hide the field."""
        if self.sources is None:
            return None
        covered = np.cumsum(np.pi * self.sources.a * self.sources.b)
        number = int(np.searchsorted(covered, _MARKED_SHARE * self.data.size))
        return self.sources.take(np.arange(len(self.sources)) < max(number, _MARKS))


@dataclass(frozen=True)
class Exposure:
    """The planes of one file, in the order of EXTVER."""

    title: str
    chips: list[Chip]

    @property
    def sources(self) -> tuple[int, int] | None:
        """Numbers of sources without and with flags; None if no catalog was read."""
        found = [chip.sources.flagged for chip in self.chips if chip.sources is not None]
        flagged = sum(int(flags.sum()) for flags in found)
        return (sum(map(len, found)) - flagged, flagged) if found else None


def load(
    image: str,
    catalog: str | None = None,
    *,
    chip: int | None = None,
    access: tuple[str, str] = ("anonymous", "anonymous"),
) -> Exposure:
    """Reads `image` and the sources of `catalog`, each a path or an s3:// URI with its own access.

    Planes are the SCI extensions; in a file without any, the stacks of a table of frames with the settings of
    the catalog, or else the first two-dimensional image. `chip` is the
    EXTVER of the only plane to read. Raises InputError for a file that cannot be read, an image without
    planes or without that chip, and a catalog with sources on an HDU that is no plane of the image.
    """
    config = _config(catalog, access[1])
    with opened(image, access[0]) as found:
        pixels = sum(math.prod(hdu.shape) for hdu in found if hdu.is_image)
        if pixels > _PIXELS:
            raise InputError(f"{image} has {pixels:,} pixels, more than the {_PIXELS:,} that can be drawn")
        hdus = frames.as_images(found, config)
        chips = _chips(hdus)
        if not chips:
            raise InputError(f"{image} holds no two-dimensional image")
        chosen = [plane for plane in chips if chip in {None, plane.version}]
        if not chosen:
            versions = ", ".join(str(plane.version) for plane in chips)
            raise InputError(f"{image} has no chip {chip}; it has: {versions}")
        described = title(hdus[0].header, hdus[chosen[0].ext].header) or stem(image)
    if catalog is None:
        return Exposure(described, chosen)
    by_ext = read_ellipses(catalog, access[1])
    if unknown := set(by_ext) - {None} - {plane.ext for plane in chips}:
        ext = min(map(str, unknown))
        raise InputError(f"{catalog} has sources on HDU {ext}, where {image} has no image")
    nothing = by_ext.get(None) or NO_SOURCES
    return Exposure(described, [replace(plane, sources=by_ext.get(plane.ext, nothing)) for plane in chosen])


def cut(exposure: Exposure, ra: float, dec: float, radius: float) -> Exposure:
    """The part of an exposure within `radius` of a position, in degrees, as squares of its chips.

    Raises UsageError if no chip has sky coordinates or the position is on none.
    """
    if not any(chip.wcs for chip in exposure.chips):
        raise UsageError("the image has no sky coordinates: --around needs them")
    parts = [part for chip in exposure.chips if (part := _part(chip, ra, dec, radius))]
    if not parts:
        raise UsageError(f"{ra:.6f} {dec:+.6f} is not on the image, nor within the radius of it")
    return replace(exposure, chips=parts)


def _part(chip: Chip, ra: float, dec: float, radius: float) -> Chip | None:
    if chip.wcs is None:
        return None
    try:
        (x, y), scale = chip.wcs.all_world2pix([[ra, dec]], 0)[0], _degrees(chip.wcs)
        back = chip.wcs.all_pix2world([[x, y]], 0)[0]
    except (ValueError, NoConvergence):  # on the other side of the sky
        return None
    # Distortions that are extended far beyond the chip come back elsewhere.
    if not np.isfinite([x, y]).all() or np.abs(back[1] - dec) > radius:
        return None
    ny, nx = chip.data.shape
    half = max(radius / scale, 4.0)
    left, right = max(0, round(x - half)), min(nx, round(x + half) + 1)
    bottom, top = max(0, round(y - half)), min(ny, round(y + half) + 1)
    if right - left < 2 or top - bottom < 2:
        return None
    inside = (slice(bottom, top), slice(left, right))
    sources = chip.sources
    if sources is not None:
        reach = sources.a
        near = (sources.x > left - reach) & (sources.x < right + reach)
        sources = sources.take(near & (sources.y > bottom - reach) & (sources.y < top + reach))
    return replace(
        chip,
        data=chip.data[inside],
        sources=sources,
        saturated=None if chip.saturated is None else chip.saturated[inside],
        colours=None if chip.colours is None else chip.colours[inside],
        corner=(chip.corner[0] + left, chip.corner[1] + bottom),
    )


def _degrees(wcs: WCS) -> float:
    """Side of a pixel."""
    return float(np.abs(np.linalg.det(wcs.pixel_scale_matrix)) ** 0.5)


def title(primary: fits.Header, plane: fits.Header) -> str:
    """Target, instrument, filter and exposure time, as far as the primary or the plane's header has them."""

    def card(name: str) -> Any:
        return primary[name] if name in primary else plane.get(name)

    instrument = "/".join(str(card(name)) for name in ("INSTRUME", "DETECTOR") if card(name))
    names = [str(card(name) or "") for name in ("FILTER", "FILTER1", "FILTER2")]
    filters = "+".join(name for name in names if name and not name.startswith(("CLEAR", "N/A")))
    exposure = card("EXPTIME")
    seconds = f"{exposure:,.0f} s" if isinstance(exposure, int | float) and exposure > 0 else ""
    target = str(card("TARGNAME") or card("OBJECT") or "")
    parts = [target, " ".join(part for part in (instrument, filters) if part), seconds]
    return "  ·  ".join(part for part in parts if part)


def read_ellipses(uri: str, access: str = "anonymous") -> dict[int | None, Ellipses]:
    """The ellipses of a catalog by EXT_NUMBER; all of them under None if the catalog has no such column.

    Raises InputError for a file without SExtractor's columns.
    """
    with opened(uri, access) as hdus:
        for hdu in hdus:
            if isinstance(hdu, fits.BinTableHDU) and set(ELLIPSE_COLUMNS) <= set(hdu.columns.names):
                return _ellipses(hdu)
    raise InputError(f"{uri} is not a catalog: it has no table with {', '.join(ELLIPSE_COLUMNS)}")


def _config(catalog: str | None, access: str) -> str:
    """The settings that a catalog was made with, as JSON; empty without any."""
    if catalog is None:
        return ""
    with opened(catalog, access) as hdus:
        return str(hdus[0].header.get("CONFIG", ""))


def reduced(data: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Means of blocks of `step` by `step` pixels, of those with data; NaN for a block without any."""
    if step == 1:
        return data
    ny, nx = data.shape
    padded = np.pad(data, ((0, -ny % step), (0, -nx % step)), constant_values=np.nan)
    blocks = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step)
    with warnings.catch_warnings(action="ignore"):  # numpy warns of a block without data
        means: NDArray[np.float32] = np.nanmean(blocks, axis=(1, 3))
    return means


def blocks_any(flags: NDArray[np.bool_], step: int) -> NDArray[np.bool_]:
    """Whether a block of `step` by `step` pixels has a true one; blocks as in reduced()."""
    ny, nx = flags.shape
    padded = np.pad(flags, ((0, -ny % step), (0, -nx % step)))
    shape = padded.shape[0] // step, step, padded.shape[1] // step, step
    found: NDArray[np.bool_] = np.asarray(padded.reshape(shape).any(axis=(1, 3)))
    return found


def stem(uri: str) -> str:
    """The name of an image file without its suffixes."""
    name = uri.rpartition("/")[2]
    for suffix in (".gz", ".fz", ".fits", ".fit"):
        name = name.removesuffix(suffix)
    return name


def _chips(hdus: fits.HDUList) -> list[Chip]:
    images = [
        ext
        for ext, hdu in enumerate(hdus)
        if isinstance(hdu, fits.PrimaryHDU | fits.ImageHDU | fits.CompImageHDU)
        and len(hdu.shape) == 2
        and min(hdu.shape) > 0
    ]
    science = [ext for ext in images if hdus[ext].name == "SCI"]
    chips = []
    for number, ext in enumerate(science or images[:1], 1):
        data = np.array(hdus[ext].data, np.float32)
        masked, saturated = _flagged(hdus, ext, data.shape)
        data[_uncovered(hdus, ext, data) | masked] = np.nan
        version = hdus[ext].ver if science else number
        chips.append(Chip(ext, version, data, _wcs(hdus, ext), saturated=saturated))
    return sorted(chips, key=lambda chip: chip.version)


def _uncovered(hdus: fits.HDUList, ext: int, data: NDArray[np.float32]) -> NDArray[np.bool_]:
    bad: NDArray[np.bool_] = ~np.isfinite(data)
    for hdu in hdus:
        if hdu.name == "WHT" and hdu.ver == hdus[ext].ver and getattr(hdu, "shape", None) == data.shape:
            bad |= hdu.data == 0
    return bad


def _flagged(
    hdus: fits.HDUList, ext: int, shape: tuple[int, ...]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
    """Pixels that SepExtract masks for their DQ bits, and saturated ones; none, and None, without DQ."""
    for hdu in hdus:
        if hdu.name == "DQ" and hdu.ver == hdus[ext].ver and getattr(hdu, "shape", None) == shape:
            bits = np.asarray(hdu.data).astype(np.int64) & 0xFFFFFFFF
            good, full = _good_bits(hdus[0].header)
            masked: NDArray[np.bool_] = (bits & ~(good | full)) != 0
            return masked, (bits & full) != 0
    return np.zeros(shape, bool), None


def _good_bits(primary: fits.Header) -> tuple[int, int]:
    """DQ bits of pixels that are used, and of saturated ones, from the table of instruments."""
    row = frames.instrument(primary)
    return int(row.get("good", 0)), int(row.get("saturated", 0))


def _wcs(hdus: fits.HDUList, ext: int) -> WCS | None:
    # Wrong cards break WCS in ways of all kinds; a picture without coordinates is better than none.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            # The list itself, for distortions that are kept in lookup tables.
            wcs = WCS(hdus[ext].header, hdus)
            if not wcs.has_celestial or wcs.pixel_n_dim != 2:
                return None
            ny, nx = hdus[ext].shape
            corners = wcs.all_pix2world([[0, 0], [nx - 1, 0], [0, ny - 1], [(nx - 1) / 2, (ny - 1) / 2]], 0)
            # Of a pixel along x, along y, and of the root of its area: no sky has others.
            sides = np.array([*np.hypot(*wcs.pixel_scale_matrix), _degrees(wcs)])
    except Exception:
        return None
    return wcs if np.isfinite(corners).all() and sides.min() > _SIDES[0] and sides.max() < _SIDES[1] else None


def _ellipses(hdu: fits.BinTableHDU) -> dict[int | None, Ellipses]:
    table, names = hdu.data, hdu.columns.names
    x, y, a, b, theta = (np.array(table[name], np.float64) for name in ELLIPSE_COLUMNS)
    kron = np.array(table["KRON_RADIUS"], np.float64) if "KRON_RADIUS" in names else np.full(len(x), np.nan)
    kron[~(kron > 0)] = _KRON_RADIUS
    flagged = np.array(table["FLAGS"]) != 0 if "FLAGS" in names else np.zeros(len(x), bool)
    finite = np.isfinite(x + y + a + b + theta)
    flux = np.array(table["FLUX_AUTO"], np.float64) if "FLUX_AUTO" in names else np.zeros(len(x))
    brightest = np.argsort(-np.nan_to_num(flux), kind="stable")
    ext = np.array(table["EXT_NUMBER"]) if "EXT_NUMBER" in names else None
    by_ext: dict[int | None, Ellipses] = {}
    for number in [None] if ext is None else np.unique(ext):
        rows = brightest[(finite if number is None else finite & (ext == number))[brightest]]
        shape = (x[rows] - 1, y[rows] - 1, (a * kron)[rows], (b * kron)[rows], theta[rows], flagged[rows])
        by_ext[None if number is None else int(number)] = Ellipses(*shape)
    return by_ext
