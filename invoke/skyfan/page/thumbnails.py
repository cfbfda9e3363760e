"""Small pictures of images with their sources: the run's own previews, else drawn from image and catalog."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from matplotlib.figure import Figure
from PIL import Image, UnidentifiedImageError

from .. import uris
from ..errors import UsageError
from ..pictures import chips, picture, sources
from ..runs.place import Place
from .measured import Picked

MOST = 12
SIDE = 480
"""Longest side in pixels."""
BYTES = 2_500_000
"""All pictures together at most."""
_DPI = 100
# A camera's whole field: drawing it takes some hundred times its size in memory for a moment.
_LARGEST = 300_000_000


@dataclass(frozen=True)
class Thumbnail:
    """A picture, ready to be put into the page."""

    image: Picked
    jpeg: bytes
    width: int
    height: int


def make(place: Place, results: str, picked: Iterable[Picked]) -> Iterator[Thumbnail]:
    """The pictures of those images that have one, until their bytes reach the limit.

    `results` is the key of a result with {key} in it, as run.json has it with {run} filled in. An image
    without a preview is drawn only where it lies on this machine.
    """
    head, tail = results.split("{key}", 1)
    used = 0
    for image in picked:
        key = head + image.catalog
        drawn = _preview(place, key.removesuffix(tail) + ".preview.png") or _drawn(place, key, image.uri)
        if drawn is None:
            continue
        made = _encoded(drawn)
        used += len(made)
        if used > BYTES:
            return
        yield Thumbnail(image, made, *drawn.size)


def _preview(place: Place, key: str) -> Image.Image | None:
    body = place.get(key)
    if body is None:
        return None
    try:
        with Image.open(io.BytesIO(body)) as there:
            return _reduced(there.convert("RGB"))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return None  # damaged: the page is about the run, and its catalogs are whole


def _drawn(place: Place, catalog: str, uri: str) -> Image.Image | None:
    """The largest chip with its sources, as skyfan show draws it, without axes."""
    path = uris.local_path(uri)
    try:
        if path is None or place.folder is None or path.stat().st_size > _LARGEST:
            return None
        planes, _ = chips.read(str(path))
        found = sources.read(str(place.folder / catalog))
    except (UsageError, OSError):
        return None  # taken away since, or altered
    plane = max(planes, key=lambda chip: chip.data.size)
    ny, nx = plane.data.shape
    scale = SIDE / max(ny, nx) / _DPI
    figure = Figure(figsize=(max(nx * scale, 0.1), max(ny * scale, 0.1)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    # Without a WCS nothing but pixels and sources is drawn.
    bare = chips.Chip(plane.ext, plane.version, plane.data, None)
    picture.draw(axes, bare, found.get(plane.ext, found.get(None)), picture.Look())
    body = io.BytesIO()
    figure.savefig(body, format="png", dpi=_DPI)
    with Image.open(body) as there:
        return there.convert("RGB")


def _reduced(there: Image.Image) -> Image.Image:
    there.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return there


def _encoded(drawn: Image.Image) -> bytes:
    body = io.BytesIO()
    # Colour is not halved: the thin outlines of sources would fade.
    drawn.save(body, "JPEG", quality=84, subsampling=0, optimize=True)
    return body.getvalue()
