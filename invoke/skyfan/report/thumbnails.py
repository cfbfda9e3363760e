"""Small pictures of images with their sources: the run's previews, or drawn from image and catalog."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from ..errors import UsageError
from ..pictures import images, plain
from ..storage import uris
from ..storage.place import Place
from ..storage.uris import Results
from .measured import Example

MAX_PICTURES = 12
SIDE = 480
"""Longest side in pixels, at most."""
MAX_BYTES = 2_500_000
"""Size of all pictures together, at most."""
# An image file that is larger than a camera's whole field is not drawn.
_LARGEST = 300_000_000


@dataclass(frozen=True)
class Thumbnail:
    """A picture, ready to be embedded in the page."""

    image: Example
    jpeg: bytes
    width: int
    height: int


def make(place: Place, results: Results, examples: Iterable[Example]) -> Iterator[Thumbnail]:
    """The pictures of those examples that have one, up to MAX_BYTES.

    An image without a preview is drawn if it is on this machine.
    """
    used = 0
    for image in examples:
        key = results.head + image.catalog
        preview = key.removesuffix(results.tail) + ".preview.png"
        picture = _preview(place, preview) or _drawn(place, key, image.uri)
        if picture is None:
            continue
        jpeg = _encoded(picture)
        used += len(jpeg)
        if used > MAX_BYTES:
            return
        yield Thumbnail(image, jpeg, *picture.size)


def _preview(place: Place, key: str) -> Image.Image | None:
    body = place.get(key)
    if body is None:
        return None
    try:
        with Image.open(io.BytesIO(body)) as preview:
            picture = preview.convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return None  # a damaged preview says nothing about the run: its catalogs are whole
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return picture


def _drawn(place: Place, catalog: str, uri: str) -> Image.Image | None:
    """The largest chip with its sources."""
    path = uris.local_path(uri)
    try:
        if path is None or place.folder is None or path.stat().st_size > _LARGEST:
            return None
        exposure = images.load(str(path), str(place.folder / catalog))
    except (UsageError, OSError):
        return None  # removed or changed since
    return plain.picture([max(exposure.chips, key=lambda chip: chip.data.size)], SIDE)


def _encoded(picture: Image.Image) -> bytes:
    body = io.BytesIO()
    # Colour at full resolution: the thin outlines of sources would fade otherwise. Not optimized: Pillow then
    # allows a byte per pixel for the whole picture, and fails on one with more noise.
    picture.save(body, "JPEG", quality=84, subsampling=0)
    return body.getvalue()
