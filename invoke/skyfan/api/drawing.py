"""skyfan show: the picture of an image with its sources."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..formatting import printable
from ..pictures import show as pictures
from ..pictures.plain import DEFAULT_LOOK, Look
from ..sky import angles
from . import datasets
from .engines import Where

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity


@dataclass(frozen=True, repr=False)
class Picture:
    """A picture in a file, which notebooks show."""

    path: Path
    image: str
    """Path or URI."""
    catalog: str | None
    """Likewise; None if no sources are drawn."""

    def __repr__(self) -> str:
        return f"<Picture: {printable(str(self.path))}>"

    def _repr_png_(self) -> bytes:
        return self.path.read_bytes()


def show(  # noqa: PLR0913
    image: str | Path,
    run: str | None = None,
    where: Where | None = None,
    *,
    catalog: str | Path | None = None,
    to: str | Path | None = None,
    around: "str | tuple[float, float] | SkyCoord | None" = None,
    radius: "str | Quantity | None" = None,
    rgb: tuple[str | Path, str | Path] | None = None,
    chip: int | None = None,
    sources: bool = True,
    look: Look = DEFAULT_LOOK,
    access: str = "anonymous",
) -> Picture:
    """Draws an image with its sources as a PNG, which a notebook shows.

    The sources are those of `catalog`, or of a run in the place `where`, in which `image` may be the name of
    a file; none without both, and none if `sources` is false. The PNG is written to `to` (default: the name
    of the image, in the working folder). `around` and `radius` cut out what is near a position; `rgb` are the
    green and the blue image of a picture in colours, whose red one is `image`. `chip` is the EXTVER of the
    only one to draw. `access` is how S3 is read. Raises UsageError for whatever cannot be read, drawn or
    written.

    >>> show("abell2744_f105w_drz.fits", "first", "out", around=(3.594, -30.392), radius="5s")
    <Picture: abell2744_f105w_drz.png>
    """
    if (around is None) != (radius is None):
        raise UsageError("around and radius belong together: give both")
    if (run is None) != (where is None) or (run is not None and catalog is not None):
        raise UsageError("the sources are those of a run in the place `where`, or of a catalog: give one")
    name, found = str(image), None if catalog is None else str(catalog)
    if run is not None and where is not None:
        name, found = datasets.find_catalog(run, name, where)
    circle = None
    if around is not None and radius is not None:
        circle = (*angles.position(around), angles.radius(radius))
    found = found if sources else None
    path = pictures.show(
        name,
        found,
        to,
        chip=chip,
        look=look,
        access=(access, access if run is None else "signed"),
        circle=circle,
        rgb=(str(rgb[0]), str(rgb[1])) if rgb else None,
    )
    return Picture(path, name, found)
