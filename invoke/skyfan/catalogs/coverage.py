"""The sky that the images of a data set cover, as a MOC (IVOA Multi-Order Coverage map), made by mocpy."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from .. import extras, files
from ..errors import UsageError
from ..sky import footprints

ORDER = 17
"""HEALPix order of the finest cells: 1.6 arcsec, a hundredth of a detector of Hubble."""


def of_images(images: pa.Table) -> Any:
    """The mocpy.MOC of the outlines in `s_region` of a table of images.

    Raises UsageError if no image has an outline, MissingExtraError without mocpy.
    """
    MOC = _mocpy().MOC  # noqa: N806  (the class)
    outlines = [corners for region in images["s_region"].to_pylist() for corners in footprints.parse(region)]
    if not outlines:
        raise UsageError("no image has an outline on the sky, so there is no coverage to write")
    axes = [axis for corners in outlines for axis in (corners[:, 0] % 360, corners[:, 1])]
    parts = MOC.from_polygons(axes, max_depth=ORDER)
    return parts[0].union(*parts[1:]) if len(parts) > 1 else parts[0]


def check(path: Path) -> None:
    """Raises UsageError for a file that write() cannot write, and without mocpy."""
    _mocpy()
    if path.suffix != ".fits":
        raise UsageError(f"{path}: a MOC is a FITS file, so its name must end in .fits")
    files.require_folder(path)


def write(images: pa.Table, path: Path) -> None:
    """Writes the MOC as FITS. Raises UsageError as of_images() and check()."""
    check(path)
    with files.replace(path) as part:
        of_images(images).save(part, format="fits", overwrite=True)


def _mocpy() -> Any:
    with extras.needed("vo"):
        import mocpy
    return mocpy
