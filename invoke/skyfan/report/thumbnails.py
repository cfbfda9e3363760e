"""Pictures of images, and apart from them the outlines of their sources; and the section that shows them."""

import base64
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, UnidentifiedImageError

from .. import formatting
from ..catalogs.kinds import SOURCES, Kind
from ..errors import UsageError
from ..pictures import images, plain
from ..storage import uris
from ..storage.place import Place
from ..storage.uris import Results
from .html import Markup, figure, notice, section, tag, text
from .measured import Example

MAX_PICTURES = 12
SIDE, LARGE = 360, 1024
"""Longest side in pixels, at most, of small and of large pictures."""
MAX_BYTES = 750_000
"""Size of all small pictures together, at most: they are in the page, and a third larger there."""
# An image file that is larger than a camera's whole field is not drawn.
_LARGEST = 300_000_000
# The colours of previews, from sep_extract/png.py, for sources without and with flags.
_PREVIEW = ((90, 220, 120), (255, 150, 60))
_LEVELS = 7
Masks = tuple[Image.Image, Image.Image]
"""Coverage (8 bits) of the outlines of sources without and with flags."""


@dataclass(frozen=True)
class Layers:
    """An encoded picture, and its outlines to lay over it; None if they cannot be told from the picture."""

    base: bytes
    """JPEG."""
    outlines: bytes | None
    """PNG, transparent where there is no outline."""


@dataclass(frozen=True)
class Thumbnail:
    """The pictures of one image."""

    image: Example
    small: Layers
    large: Layers
    width: int
    """Of the small picture in pixels."""
    height: int


def make(
    place: Place, results: Results, examples: Iterable[Example], *, draw: bool = True
) -> Iterator[Thumbnail]:
    """The pictures of those examples that have one, up to MAX_BYTES.

    An image on this machine is drawn, if `draw`; of others the run's previews are taken.
    """
    used = 0
    for image in examples:
        key = results.head + image.catalog
        preview = key.removesuffix(results.tail) + ".preview.png"
        found = (_drawn(place, key, image.uri) if draw else None) or _preview(place, preview)
        if found is None:
            continue
        small, large, (width, height) = found
        used += len(small.base) + len(small.outlines or b"")
        if used > MAX_BYTES:
            return
        yield Thumbnail(image, small, large, width, height)


_Found = tuple[Layers, Layers, tuple[int, int]]


def _drawn(place: Place, catalog: str, uri: str) -> _Found | None:
    """The largest chip with its sources."""
    path = uris.local_path(uri)
    try:
        if path is None or place.folder is None or path.stat().st_size > _LARGEST:
            return None
        exposure = images.load(str(path), str(place.folder / catalog))
    except (UsageError, OSError):
        return None  # removed or changed since
    chip = max(exposure.chips, key=lambda chip: chip.data.size)
    (small, lines), (large, fine) = (plain.layers(chip, side) for side in (SIDE, LARGE))
    return _encoded(small, lines), _encoded(large, fine), small.size


def _preview(place: Place, key: str) -> _Found | None:
    """A preview, its outlines taken out: they are drawn in two colours into a grey picture."""
    body = place.get(key)
    if body is None:
        return None
    try:
        with Image.open(io.BytesIO(body)) as preview:
            picture = preview.convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return None  # a damaged preview says nothing about the run: its catalogs are whole
    pixels = np.asarray(picture)
    marked = [(pixels == colour).all(axis=-1) for colour in _PREVIEW]
    rest = ~(marked[0] | marked[1])
    is_grey = bool((np.ptp(pixels, axis=-1) == 0)[rest].all())
    masks: Masks | None = None
    if is_grey:
        picture = Image.fromarray(filled(pixels[..., 0], rest))
        good, flagged = (Image.fromarray(mask.astype(np.uint8) * 255) for mask in marked)
        masks = good, flagged
    large, small = picture.copy(), picture
    large.thumbnail((LARGE, LARGE), Image.Resampling.LANCZOS)
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    lines = [None if masks is None else _reduced(masks, size) for size in (small.size, large.size)]
    return _encoded(small, lines[0]), _encoded(large, lines[1]), small.size


def filled(values: NDArray[np.uint8], known: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A picture (ny, nx) whose unknown pixels are means of their known neighbours, from the edge inwards."""
    result, have = values.astype(np.float32) * known, known.astype(np.float32)
    while not have.all() and have.any():
        sums, counts = _around(result), _around(have)
        new = (have == 0) & (counts > 0)
        result[new] = sums[new] / counts[new]
        have[new] = 1
    return np.asarray(np.rint(result), np.uint8)


def _around(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums over the 3 by 3 pixels around each."""
    padded = np.pad(values, 1)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray(rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:], np.float32)


def _reduced(masks: Masks, size: tuple[int, int]) -> Masks:
    """Outlines at another size. Thin lines are kept visible: the mean over a block would fade them."""

    def line(mask: Image.Image) -> Image.Image:
        gain = max(1.0, mask.width / size[0])
        return mask.resize(size, Image.Resampling.BOX).point(lambda value: min(255, int(value * gain)))

    return line(masks[0]), line(masks[1])


def _encoded(base: Image.Image, masks: Masks | None) -> Layers:
    body = io.BytesIO()
    # Not optimized: Pillow then allows a byte per pixel for the whole picture, and fails on noise.
    base.save(body, "JPEG", quality=82)
    return Layers(body.getvalue(), None if masks is None else _overlay(masks))


def _overlay(masks: Masks) -> bytes:
    """A PNG of outlines in two colours, each with a few steps of transparency: 4 bits per pixel."""
    steps = [np.rint(np.asarray(mask, np.float32) * (_LEVELS / 255)).astype(np.uint8) for mask in masks]
    places = np.where(steps[1] > 0, steps[1] + _LEVELS, steps[0])
    picture = Image.fromarray(places.astype(np.uint8), "P")
    good, flagged = map(ImageColor.getrgb, (plain.GOOD, plain.FLAGGED))
    picture.putpalette([0, 0, 0, *(good * _LEVELS), *(flagged * _LEVELS)])
    alpha = [round(255 * step / _LEVELS) for step in range(1, _LEVELS + 1)]
    body = io.BytesIO()
    picture.save(body, "PNG", bits=4, transparency=bytes([0, *alpha, *alpha]))
    return body.getvalue()


def section_of(
    pictures: list[Thumbnail], done: int, chosen: str, folder: str, kind: Kind = SOURCES
) -> Markup:
    """Some of the `done` images, and how they were `chosen`; large ones are in `folder` beside the page."""
    is_sources = kind is SOURCES
    title = "Images and their sources" if is_sources else "Pictures"
    if not pictures:
        sentence = "The run has no previews (`--outputs preview`), and its images are not on this machine."
        if not is_sources:
            sentence = "The function made no pictures: files that end in .preview.png, beside its tables."
        return section("pictures", title, notice(sentence))
    sentence = f"{formatting.count(len(pictures), kind.input)} of {done:,} that are done"
    if chosen:
        sentence += f": {chosen}"
    sentence += ". Outlines are the Kron ellipses of sources; orange ones have flags." if is_sources else "."
    can_hide = any(picture.small.outlines for picture in pictures)
    items = [tag("li", _figure(number, picture, folder, kind)) for number, picture in enumerate(pictures)]
    return section(
        "pictures",
        title,
        tag("p", sentence),
        _switch() if can_hide else None,
        tag("ul", items, class_="gallery", id="gallery"),
        _viewer(can_hide),
    )


def files(pictures: list[Thumbnail]) -> dict[str, bytes]:
    """The large pictures by their names."""
    found = {}
    for number, picture in enumerate(pictures):
        found[f"picture-{number:02}.jpg"] = picture.large.base
        if picture.large.outlines:
            found[f"outlines-{number:02}.png"] = picture.large.outlines
    return found


def _switch() -> Markup:
    box = tag("input", type="checkbox", checked=True, class_="outlines-switch")
    return tag("label", box, "Outlines", class_="check scripted")


def _viewer(can_hide: bool) -> Markup:
    buttons = [
        tag("button", label, type="button", id=f"viewer-{name}")
        for name, label in (("previous", "← Previous"), ("next", "Next →"), ("close", "Close"))
    ]
    layers = tag(
        "div", tag("img", alt="", class_="sky"), tag("img", alt="", class_="outlines"), class_="picture"
    )
    keys = "Keys: ← and → for the next image, O for outlines, Esc to close." if can_hide else "Keys: ← → Esc."
    return tag(
        "dialog",
        tag("div", _switch() if can_hide else None, buttons, class_="tools"),
        layers,
        tag("p", id="viewer-caption", role="status"),
        tag("p", keys, class_="keys"),
        id="viewer",
        aria_label="Enlarged image",
    )


def _figure(number: int, picture: Thumbnail, folder: str, kind: Kind) -> Markup:
    image, size = picture.image, {"width": picture.width, "height": picture.height}
    parts = [image.kind] if image.kind else []
    if image.sources >= 0:
        parts.append(formatting.count(image.sources, kind.row))
    if math.isfinite(image.depth):
        parts.append(f"5σ depth {image.depth:.2f} AB mag")
    description = ", ".join(parts)
    name = formatting.file_name(image.uri)
    shown = "with its sources outlined" if kind is SOURCES else "as its function drew it"
    alternative = f"{name} {shown}" + (f": {description}" if parts else "")
    layers = tag("img", src=_embedded("jpeg", picture.small.base), **size, alt=alternative, class_="sky")
    if picture.small.outlines:
        outlines = _embedded("png", picture.small.outlines)
        layers = text([layers, tag("img", src=outlines, **size, alt="", class_="outlines")])
    button = tag(
        "button",
        layers,
        type="button",
        class_="picture",
        title="Enlarge",
        data_name=str(number),
        data_folder=folder,
        data_caption=f"{name}: {description}" if description else name,
        data_base=f"picture-{number:02}.jpg",
        data_over=_over(number, picture.large),
    )
    return figure(button, text([tag("strong", name), tag("br") if parts else None, description]))


def _over(number: int, large: Layers) -> str | None:
    return f"outlines-{number:02}.png" if large.outlines else None


def _embedded(kind: str, body: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(body).decode('ascii')}"
