"""Writes the picture of an image with its sources as PNG, as good as what is installed can draw it."""

import importlib.util
from io import BytesIO
from pathlib import Path

from .. import extras, files
from ..errors import UsageError
from . import images, plain
from .plain import DEFAULT_LOOK, STRETCHES, Look

SIDE = 1600
"""Longest side of a chip in a picture without axes, in pixels."""


def has_axes() -> bool:
    """Whether pictures get axes, grid, scale bar and legend: matplotlib draws those."""
    return importlib.util.find_spec("matplotlib") is not None


def show(  # noqa: PLR0913
    image: str,
    catalog: str | None = None,
    to: str | Path | None = None,
    *,
    chip: int | None = None,
    look: Look = DEFAULT_LOOK,
    access: tuple[str, str] = ("anonymous", "anonymous"),
    circle: tuple[float, float, float] | None = None,
    rgb: tuple[str, str] | None = None,
) -> Path:
    """Writes a PNG of `image` with the sources of `catalog`; returns its path.

    `chip` is the EXTVER of the only chip to draw (default: all of them). `to` defaults to the image's name in
    the working folder. `access` is how image and catalog are read from S3. `circle` is a position and a
    radius in degrees, of which only the surroundings are drawn. With `rgb`, the image is the red of a picture
    in colours, and these are its green and blue. Raises UsageError for whatever cannot be read, drawn or
    written.
    """
    if look.stretch not in STRETCHES:
        raise UsageError(f"unknown stretch {look.stretch!r}; choose one of {', '.join(STRETCHES)}")
    exposure = images.load(image, catalog, chip=chip, access=access)
    if rgb:
        green, blue = (images.load(name, access=access) for name in rgb)
        exposure = plain.combined(exposure, green, blue)
    if circle:
        exposure = images.cut(exposure, *circle)
    path = Path(to) if to else Path(f"{images.stem(image)}.png")
    body = BytesIO()
    if has_axes():
        from . import draw

        draw.figure(exposure, look).savefig(body, format="png", dpi=draw.DPI)
    elif look.cmap in plain.CMAPS:
        plain.picture(exposure.chips, SIDE, look).save(body, "PNG")
    else:
        raise UsageError(
            f"the colour map {look.cmap!r} needs matplotlib: {extras.command('plot')}; "
            "without it use gray or gray_r"
        )
    with files.replace(path) as part:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(body.getvalue())
    return path
