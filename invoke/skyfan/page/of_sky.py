"""Sections on the sky: maps, pictures, depth and sources."""

import base64
import math
from datetime import UTC, datetime, timedelta

from .. import words
from . import field as field_map
from . import sky
from .elements import absent, cards, chart, facts, figure, section, table
from .footprints import NOWHERE, Footprints, fields
from .markup import Content, Markup, tag, text
from .measured import Group, Measured
from .story import Story
from .thumbnails import Thumbnail

_GROUPS = 40
_MJD_ZERO = datetime(1858, 11, 17, tzinfo=UTC)
_KEY = {
    kind: text([tag("span", class_=f"key {kind}", aria_hidden="true"), line])
    for kind, line in (
        ("planned", "dashed, planned: the image's edge as MAST tells it"),
        (
            "measured",
            "solid, measured: the image's edge, or a line through its outermost sources",
        ),
    )
}


def maps(story: Story) -> Markup:
    """All the sky, and the fields with the most images."""
    planned = story.asked.footprints
    measured = story.measured.footprints if story.measured else NOWHERE
    if not len(planned) and not len(measured):
        why = "No position is known: plans from MAST hold them, and so does what `skyfan collect` makes."
        return section("sky", "Where on the sky", absent(why))
    close = fields(planned if len(planned) >= len(measured) else measured)
    drawn = [
        figure(
            sky.whole("sky-all", planned, measured),
            f"All the sky; the dashed line is the Milky Way's plane. {_found(planned, measured)}",
            class_="all-sky",
        )
    ]
    for number, field in enumerate(close, 1):
        everything = len(close) == 1 and len(field.images) == max(len(planned), len(measured))
        title = "All images" if everything else f"Field {number}"
        at = f"around right ascension {field.ra:.3f}°, declination {field.dec:.3f}°".replace("-", "−")
        seen = words.files(len(field.images), "image")
        if len(field.images) > field_map.MOST:
            seen += f" (an even sample of {field_map.MOST:,} is drawn)"
        drawn.append(
            figure(field_map.draw(f"sky-{number}", field, planned, measured, title), f"{title}: {seen} {at}.")
        )
    kinds = [line for (_, line), found in zip(_KEY.items(), (planned, measured), strict=True) if len(found)]
    key = tag("ul", [tag("li", line) for line in kinds], class_="legend")
    return section("sky", "Where on the sky", drawn[0], key, cards(drawn[1:]))


def _found(planned: Footprints, measured: Footprints) -> str:
    told = [
        f"{len(found):,} {kind}"
        for kind, found in (("planned", planned), ("measured", measured))
        if len(found)
    ]
    return f"Images with a known position: {', '.join(told)}."


def pictures(story: Story) -> Markup:
    """Some images with the outlines of their sources."""
    if not story.thumbnails:
        why = "The run made no previews (`--outputs preview`), and its images are not on this machine."
        return section("pictures", "Images and their sources", absent(why))
    total = story.state.counts["done"]
    sentence = (
        f"{words.files(len(story.thumbnails), 'image')} of {total:,} that are done"
        + (", of each instrument and filter those with the most sources" if story.measured else "")
        + ". Outlines are the Kron ellipses of sources; orange ones carry flags."
    )
    shown = [tag("li", _thumbnail(picture)) for picture in story.thumbnails]
    return section(
        "pictures", "Images and their sources", tag("p", sentence), tag("ul", shown, class_="gallery")
    )


def _thumbnail(picture: Thumbnail) -> Markup:
    image = picture.image
    found = [image.told or None, words.files(image.sources, "source") if image.sources >= 0 else None]
    if math.isfinite(image.depth):
        found.append(f"5σ depth {image.depth:.2f} AB mag")
    told = ", ".join(filter(None, found))
    name = words.name(image.uri)
    encoded = base64.b64encode(picture.jpeg).decode("ascii")
    drawn = tag(
        "img",
        src=f"data:image/jpeg;base64,{encoded}",
        width=picture.width,
        height=picture.height,
        alt=f"{name} with its sources outlined" + (f": {told}" if told else ""),
    )
    return figure(drawn, [tag("strong", name), tag("br"), told] if told else tag("strong", name))


def measured(story: Story) -> Markup:
    """Depth, counts and magnitudes."""
    found = story.measured
    if found is None:
        return section("measured", "Depth and sources", absent(story.absent["measured"]))
    aperture = f" in {found.depth_aperture:g}″ apertures" if math.isfinite(found.depth_aperture) else ""
    left = len(found.groups) - _GROUPS
    caption = f"Images by instrument and filter; depth is 5σ{aperture}, AB magnitudes" + (
        f"; {left:,} rarer ones are left out" if left > 0 else ""
    )
    head = [
        "Instrument",
        "Filter",
        "Images",
        "Sources",
        "Exposure",
        "Least depth",
        "Median depth",
        "Most depth",
    ]
    return section(
        "measured",
        "Depth and sources",
        facts(_facts(found)),
        table(
            "depths", caption, head, [_row(group) for group in found.groups[:_GROUPS]], numbers=range(2, 8)
        ),
        cards(
            chart("magnitudes", found.magnitudes, "sources"),
            chart("depth", found.depth, "images"),
            chart("per-image", found.per_image, "images"),
        ),
    )


def _facts(found: Measured) -> list[tuple[str, Content]]:
    told: list[tuple[str, Content]] = [
        ("Images", f"{found.images:,}"),
        ("Sources", f"{found.sources + found.unplaced:,}"),
    ]
    if found.unplaced:
        told.append(("Of them without a position", f"{found.unplaced:,}"))
    if math.isfinite(found.began):
        told.append(("Exposures", f"{_date(found.began)} to {_date(found.ended)}"))
    simplified = sum(number for step, number in found.steps.items() if step >= 3)
    if simplified:
        told.append(("Deblended less than asked (EXTRACT_STEP 3 or 4)", words.files(simplified, "image")))
    return told


def _date(mjd: float) -> str:
    try:
        return f"{_MJD_ZERO + timedelta(days=mjd):%Y-%m-%d}"
    except OverflowError:
        return f"MJD {mjd:g}"


def _row(group: Group) -> list[str]:
    depths = [f"{depth:.2f}" if math.isfinite(depth) else "–" for depth in group.depth]
    exposure = words.seconds(group.exposure_s) if group.exposure_s else "–"
    return [
        group.instrument or "unknown",
        group.filter or "–",
        f"{group.images:,}",
        f"{group.sources:,}",
        exposure,
        *depths,
    ]
