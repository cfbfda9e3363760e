"""Which extensions of a FITS file are science images, and which hold their errors, flags and weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from astropy.io import fits

from .cards import Cards
from .errors import NoScienceDataError, NotAnImageError, ShapeMismatchError

SCIENCE = "SCI"
# Names of extensions by what they hold. JWST, TESS, drizzlepac and the HLSP collections use these.
COMPANIONS = {
    "error": ("ERR", "ERROR", "UNCERT", "SIGMA", "RMS", "STDEV"),
    "dq": ("DQ",),
    "weight": ("WHT", "WEIGHT", "WGT", "IVM"),
    "area": ("AREA",),
}
# What counts exposures or reads per pixel, of whatever number of axes. Read at the sources alone.
COUNTS = {"context": ("CTX", "CON"), "samples": ("SAMP",)}
# Names of extensions that hold neither an image of the sky nor one of the above.
IGNORED = (
    *("CTX", "CON", "SAMP", "TIME", "EXP", "NCOMBINE", "PIXELDQ", "GROUPDQ", "MASK", "BPM"),
    *("HDRLET", "D2IMARR", "WCSDVARR", "WCSCORR", "HDRTAB", "ASDF"),
    *("VAR_POISSON", "VAR_RNOISE", "VAR_FLAT", "WMAP", "BACKGROUND", "BKG"),
    *("WAVELENGTH", "PATHLOSS", "BARSHADOW", "FLATFIELD", "SEGMAP", "SEGMENTATION"),
    *("PSF", "MODEL", "APERTURE", "COSMIC_RAYS"),
)
_KIND = {name: kind for kind, names in COMPANIONS.items() for name in names}
_COUNT = {name: kind for kind, names in COUNTS.items() for name in names}


@dataclass(frozen=True)
class Plane:
    """One science image and its companions: indices of extensions, None for what there is none of."""

    science: int
    error: int | None = None
    dq: int | None = None
    weight: int | None = None
    area: int | None = None
    """Areas of the pixels on the sky, relative to one another."""
    context: int | None = None
    samples: int | None = None

    @property
    def kinds(self) -> list[str]:
        """The names of the fields that there are, of those whose pixels are measured."""
        return [name for name, index in vars(self).items() if index is not None and name not in COUNTS]

    @property
    def in_order(self) -> list[int]:
        """The extensions in the order in which their pixels are read."""
        order = (self.science, self.dq, self.weight, self.error, self.area, self.context, self.samples)
        return [index for index in order if index is not None]


def name_of(hdu: Any) -> str:
    """The last word of EXTNAME in capitals, which says what it is: UNCERT of TESS's CAMERA.CCD 4.3 uncert."""
    return str((hdu.name.upper().split() or [""])[-1])


def kind_of(hdu: Any) -> str | None:
    """What a companion holds; None for any other extension."""
    return _KIND.get(name_of(hdu))


def is_read(hdu: Any) -> bool:
    """Whether, to judge by its name, pixels of an extension will be read."""
    return name_of(hdu) in (SCIENCE, *_KIND, *_COUNT)


def is_image(hdu: Any) -> bool:
    """Whether an extension holds an array, compressed or not."""
    return isinstance(hdu, fits.PrimaryHDU | fits.ImageHDU | fits.CompImageHDU)


def shape_of(hdu: Any) -> tuple[int, ...]:
    """The (ny, nx) of an image without its axes of length 1 in front; empty if it has no pixels."""
    shape = tuple(hdu.shape) if is_image(hdu) else ()
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    return () if 0 in shape else shape


def version_of(hdu: Any) -> int:
    """EXTVER, 1 if it is absent or no number."""
    return int(Cards(hdu.header).number("EXTVER") or 1)


def has_science(hdus: fits.HDUList) -> bool:
    """Whether an extension is named SCI."""
    return any(name_of(hdu) == SCIENCE for hdu in hdus)


def planes(name: str, hdus: fits.HDUList) -> list[Plane]:
    """The science images of a file, in its order.

    Those named SCI; without any, all two-dimensional images that no table here calls something else. Raises
    NotAnImageError, NoScienceDataError or ShapeMismatchError.
    """
    science = _science(name, hdus)
    found: dict[str, dict[int, int]] = {}
    for kind in COMPANIONS:
        others = [i for i, hdu in enumerate(hdus) if kind_of(hdu) == kind and shape_of(hdu)]
        found[kind] = _pairs(hdus, science, others)
    for kind in COUNTS:
        others = [
            i
            for i, hdu in enumerate(hdus)
            if _COUNT.get(name_of(hdu)) == kind and is_image(hdu) and hdu.shape
        ]
        found[kind] = _pairs(hdus, science, others)
    result = [Plane(i, **{kind: pairs.get(i) for kind, pairs in found.items()}) for i in science]
    for plane in result:
        for other in (getattr(plane, kind) for kind in plane.kinds):
            if shape_of(hdus[other]) != shape_of(hdus[plane.science]):
                theirs, ours = (_sides(hdus[i]) for i in (other, plane.science))
                raise ShapeMismatchError(
                    f"{name} HDU {plane.science}: {hdus[other].name} is {theirs} pixels but the image is "
                    f"{ours}; the file is damaged"
                )
    return result


def passed_over(hdus: fits.HDUList, found: list[Plane]) -> list[int]:
    """Unnamed images of two axes, the primary one among them, that are not among the planes found."""
    science = {plane.science for plane in found}
    return [
        i
        for i, hdu in enumerate(hdus)
        if hdu.name in ("", "PRIMARY") and len(shape_of(hdu)) == 2 and i not in science
    ]


def _science(name: str, hdus: fits.HDUList) -> list[int]:
    named = [i for i, hdu in enumerate(hdus) if name_of(hdu) == SCIENCE]
    if named:
        images = [i for i in named if is_image(hdus[i])]
        if not images:
            raise NotAnImageError(f"{name}: its SCI extension is a table, not an image")
        full = [i for i in images if shape_of(hdus[i])]
        if not full:
            raise NoScienceDataError(f"{name}: its SCI extension holds no pixels")
        flat = [i for i in full if len(shape_of(hdus[i])) == 2]
        if not flat:
            raise NotAnImageError(
                f"{name}: its SCI extension has the shape {_sides(hdus[full[0]])}; "
                "a spectrum or a cube is not an image"
            )
        return flat
    others = [i for i, hdu in enumerate(hdus) if not kind_of(hdu) and name_of(hdu) not in IGNORED]
    flat = [i for i in others if len(shape_of(hdus[i])) == 2]
    # A file with a table is about the table, unless an image has errors: others only illustrate it.
    if any(not is_image(hdus[i]) for i in others):
        errors = {shape_of(hdu) for hdu in hdus if kind_of(hdu) == "error"}
        flat = [i for i in flat if i == 0 or shape_of(hdus[i]) in errors]
    if flat:
        return flat
    full = [i for i in others if shape_of(hdus[i])]
    if any(len(shape_of(hdus[i])) == 4 for i in full):
        raise NotAnImageError(
            f"{name} is a cube of frames, as astrocut makes of full-frame images: cut a piece out of it with "
            "astrocut or TESSCut, and give that"
        )
    if full and all(is_image(hdu) for hdu in hdus):
        raise NotAnImageError(
            f"{name} has the shape {_sides(hdus[full[0]])}; a spectrum or a cube is not an image"
        )
    if not all(is_image(hdu) for hdu in hdus):
        raise NotAnImageError(f"{name} holds tables and no SCI extension: it is not an image")
    raise NoScienceDataError(f"{name} holds no image: no SCI extension and no other with two axes")


def _pairs(hdus: fits.HDUList, science: list[int], others: list[int]) -> dict[int, int]:
    """The companion of each science image, of one kind.

    By EXTVER where that tells the images apart; else the first of one for each image, by rank where there are
    as many, otherwise the one that follows its image before the next.
    """
    versions = [version_of(hdus[i]) for i in science]
    by_version: dict[int, int] = {}
    for i in others:
        by_version.setdefault(version_of(hdus[i]), i)
    distinct = len(set(versions)) == len(versions) and len(by_version) == len(others)
    if distinct and (len(science) == 1 or set(by_version) <= set(versions)):
        if len(science) == 1 and len(others) == 1:
            return {science[0]: others[0]}
        return {
            i: by_version[version]
            for i, version in zip(science, versions, strict=True)
            if version in by_version
        }
    if len(others) == len(science):
        return dict(zip(science, others, strict=True))
    ends = [*science[1:], len(hdus)]
    following = {i: [o for o in others if i < o < end] for i, end in zip(science, ends, strict=True)}
    return {i: some[0] for i, some in following.items() if some}


def _sides(hdu: Any) -> str:
    return " x ".join(map(str, reversed(shape_of(hdu))))
