"""Sections on the sky: maps, pictures, depth and sources."""

import base64
import math
from datetime import UTC, datetime, timedelta

from .. import formatting
from ..sky.footprints import NO_FOOTPRINTS
from . import charts, distribution
from .html import Content, Markup, cards, facts, figure, notice, section, table, tag, text
from .maps import sky_charts
from .measured import Group, Measured
from .story import Story
from .thumbnails import Thumbnail

_MAX_GROUPS = 40
_MJD_ZERO = datetime(1858, 11, 17, tzinfo=UTC)
_KEY = {
    "planned": "dashed: the edge of a planned image, from MAST",
    "measured": "solid: the edge of a measured image, or a line around its sources",
}
_DEPTHS = ["Minimum depth", "Median depth", "Maximum depth"]


def maps(story: Story) -> Markup:
    """The whole sky, and the fields with the most images."""
    planned = story.request.footprints
    measured = story.measured.footprints if story.measured else NO_FOOTPRINTS
    if not len(planned) and not len(measured):
        sentence = (
            "No position is known. Plans from MAST have positions, and so has what `skyfan collect` makes."
        )
        return section("sky", "Positions on the sky", notice(sentence))
    whole, *fields = sky_charts(planned, measured)
    kinds = [kind for kind, images in (("planned", planned), ("measured", measured)) if len(images)]
    key = [tag("li", tag("span", class_=f"key {kind}", aria_hidden="true"), _KEY[kind]) for kind in kinds]
    return section(
        "sky",
        "Positions on the sky",
        whole.figure(class_="all-sky"),
        tag("ul", key, class_="legend"),
        cards(field.figure() for field in fields),
    )


def pictures(story: Story) -> Markup:
    """Some images with the outlines of their sources."""
    title = "Images and their sources"
    if not story.thumbnails:
        sentence = "The run has no previews (`--outputs preview`), and its images are not on this machine."
        return section("pictures", title, notice(sentence))
    done = story.state.counts["done"]
    sentence = f"{formatting.count(len(story.thumbnails), 'image')} of {done:,} that are done"
    if story.measured:
        sentence += ": those with the most sources for each instrument and filter"
    sentence += ". Outlines are the Kron ellipses of sources; orange ones have flags."
    items = [tag("li", _thumbnail(picture)) for picture in story.thumbnails]
    return section("pictures", title, tag("p", sentence), tag("ul", items, class_="gallery"))


def measured(story: Story) -> Markup:
    """Depth, number of sources and magnitudes."""
    title, found = "Depth and sources", story.measured
    if found is None:
        return section("measured", title, notice(story.absent["measured"]))
    aperture = f" in {found.depth_aperture:g}″ apertures" if math.isfinite(found.depth_aperture) else ""
    caption = f"Images by instrument and filter; depth is 5σ{aperture}, AB magnitudes"
    omitted = len(found.groups) - _MAX_GROUPS
    if omitted > 0:
        caption += f"; {omitted:,} smaller groups are left out"
    head = ["Instrument", "Filter", "Images", "Sources", "Exposure", *_DEPTHS]
    rows = [_row(group) for group in found.groups[:_MAX_GROUPS]]
    return section(
        "measured",
        title,
        facts(_facts(found)),
        table("depths", caption, head, rows, numbers=range(2, 8)),
        cards(
            _histogram("magnitudes", found.magnitudes, "sources"),
            _histogram("depth", found.depth, "images"),
            _histogram("per-image", found.per_image, "images"),
        ),
    )


def _thumbnail(picture: Thumbnail) -> Markup:
    image = picture.image
    parts = [image.kind] if image.kind else []
    if image.sources >= 0:
        parts.append(formatting.count(image.sources, "source"))
    if math.isfinite(image.depth):
        parts.append(f"5σ depth {image.depth:.2f} AB mag")
    description = ", ".join(parts)
    name = formatting.file_name(image.uri)
    encoded = base64.b64encode(picture.jpeg).decode("ascii")
    content = tag(
        "img",
        src=f"data:image/jpeg;base64,{encoded}",
        width=picture.width,
        height=picture.height,
        alt=f"{name} with its sources outlined" + (f": {description}" if parts else ""),
    )
    return figure(content, text([tag("strong", name), tag("br") if parts else None, description]))


def _facts(found: Measured) -> list[tuple[str, Content]]:
    pairs: list[tuple[str, Content]] = [
        ("Images", f"{found.images:,}"),
        ("Sources", f"{found.sources + found.unplaced:,}"),
    ]
    if found.unplaced:
        pairs.append(("Of them without a position", f"{found.unplaced:,}"))
    if math.isfinite(found.began):
        pairs.append(("Exposures", f"{_date(found.began)} to {_date(found.ended)}"))
    if simplified := sum(number for step, number in found.steps.items() if step >= 3):
        label = "Deblended less than requested (EXTRACT_STEP 3 or 4)"
        pairs.append((label, formatting.count(simplified, "image")))
    if found.doubtful:
        pairs.append(("Doubtful, see Outcome", formatting.count(found.doubtful, "image")))
    return pairs


def _date(mjd: float) -> str:
    try:
        return f"{_MJD_ZERO + timedelta(days=mjd):%Y-%m-%d}"
    except OverflowError:
        return f"MJD {mjd:g}"


def _row(group: Group) -> list[str]:
    depths = [f"{depth:.2f}" if math.isfinite(depth) else "–" for depth in group.depth]
    exposure = formatting.duration(group.exposure_s) if group.exposure_s else "–"
    instrument = group.instrument or "unknown"
    return [instrument, group.filter or "–", f"{group.images:,}", f"{group.sources:,}", exposure, *depths]


def _histogram(name: str, values: distribution.Distribution | None, noun: str) -> Markup | None:
    return charts.histogram(name, values, noun).figure() if values else None
