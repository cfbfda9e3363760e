"""The page of a folder of objects."""

import base64
import math
import time as clock
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa

from .. import files, formatting
from ..objects.images import USED
from ..sky.footprints import NO_FOOTPRINTS, fields, vectors
from . import page
from .charts import Chart
from .curves import light_curve
from .html import Content, Markup, cards, facts, figure, notice, section, table, tag, text
from .images import date
from .maps import circles, density_map, field_map, whole_sky
from .objects import CHANCE, CUT_ARCSEC, MAX_CURVES, MAX_LISTED, Band, ObjectStory, Picture, Variable
from .projections import Gnomonic
from .section_sky import density, density_summary

_MAX_BANDS, _MAX_IMAGES = 40, 300
_MAX_CHARTS = 6
_BANDS = [
    "Band", "Objects", "Two epochs or more", "Variable", "Only a limit", "Brightest", "Median",
    "Faintest",
]  # fmt: skip
_VARIABLES = [
    "Object", "RA", "Dec", "Band", "Epochs", "Magnitude", "Scatter", "χ²/ν", "log chance", "η",
]  # fmt: skip
_IMAGES = [
    "Image", "Data set", "Band", "Day", "State", "Offset", "East, mas", "North, mas", "Error, mas",
]  # fmt: skip
_SMALLEST = -323
"""Decimal logarithm of the smallest number: stands for all smaller ones."""
_SUSPECT = 0.05
"""Share of variable objects beyond which errors are likely to be too small."""


def write(path: Path, story: ObjectStory) -> Path:
    """Writes the page, whole or not at all."""
    with files.replace(path) as part:
        part.write_text(render(story), encoding="utf-8")
    return path


def render(story: ObjectStory) -> str:
    """The page as HTML; it needs no other file."""
    contents = {
        "outcome": ("Outcome", _outcome(story)),
        "sky": ("Sky", _sky(story)),
        "colours": ("Colours", _colours(story)),
        "variability": ("Variability", _variability(story)),
        "variables": ("Variables", _variables(story)),
        "images": ("Images", _images(story.images)),
    }
    made = clock.time()
    folder = str(story.matched.folder.resolve())
    return page.document(
        title=f"Objects {story.matched.folder.resolve().name}: skyfan report",
        banner=_banner(story, folder),
        contents=contents,
        made=f"Made by skyfan {version('skyfan')}, {formatting.timestamp(made)}, from {folder}.",
    )


def _banner(story: ObjectStory, folder: str) -> Markup:
    matched = story.matched
    figures = [
        ("objects", f"{matched.objects:,}"),
        ("detections", f"{matched.links:,}"),
        ("images used", f"{matched.images.get(USED, 0):,}"),
        ("bands", f"{len(matched.bands):,}"),
        ("variable objects", f"{story.variable:,}"),
    ]
    return text(
        [
            tag("p", "skyfan report", class_="eyebrow"),
            tag("h1", "Objects ", tag("span", matched.folder.resolve().name)),
            tag("p", tag("code", folder)),
            facts(figures, "figures"),
        ]
    )


def _outcome(story: ObjectStory) -> Markup:
    matched = story.matched
    doubts = list(matched.doubts)
    if story.repeated and story.variable > _SUSPECT * story.repeated:
        doubts.append(
            f"{story.variable / story.repeated:.0%} of the objects with several epochs vary beyond errors: "
            "these errors are too small, or zero points of images differ"
        )
    states = [(state, f"{number:,}") for state, number in matched.images.items()]
    offsets = [(state, f"{number:,}") for state, number in matched.offsets.items()]
    rows = [_band_row(band) for band in story.bands[:_MAX_BANDS]]
    caption = f"Bands: objects, and magnitudes ({matched.magnitude}, AB)"
    caption += _omitted(len(story.bands), _MAX_BANDS)
    return section(
        "outcome",
        "Outcome",
        facts([("Runs", ", ".join(matched.runs)), ("Magnitude", tag("code", matched.magnitude))]),
        tag("ul", [tag("li", doubt) for doubt in doubts]) if doubts else tag("p", "Nothing is doubtful."),
        table("bands", caption, _BANDS, rows, numbers=range(1, 8), sortable=True) if rows else None,
        table("states", "Images by what the match did with them", ["State", "Images"], states, numbers=(1,)),
        table("offsets", "Images by their offsets", ["Offset", "Images"], offsets, numbers=(1,)),
    )


def _omitted(number: int, most: int) -> str:
    return f"; {number - most:,} more are left out" if number > most else ""


def _band_row(band: Band) -> list[str]:
    numbers = (band.measured, band.repeated, band.variable, band.limits)
    mags = (band.brightest, band.median, band.faintest)
    return [band.name, *(f"{number:,}" for number in numbers), *map(_magnitude, mags)]


def _magnitude(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "–"


def _sample(story: ObjectStory) -> str:
    """What is in the charts."""
    if story.sampled >= story.matched.objects:
        return ""
    return f" They are a sample of {story.sampled:,} of {story.matched.objects:,} objects."


def _sky(story: ObjectStory) -> Markup:
    """The whole sky, and the fields with the most images with their objects."""
    if not len(story.footprints):
        return section("sky", "Objects on the sky", notice("No image with a position is used."))
    places = vectors(*story.places)
    marked = [vectors(np.array([one.ra]), np.array([one.dec]))[0] for one in story.variables]
    marks = np.array(marked).reshape(-1, 3)
    found = fields(story.footprints)
    drawn = []
    for number, field in enumerate(found, 1):
        title = "All images" if len(field.images) == len(story.footprints) else f"Field {number}"

        def under(view: Gnomonic) -> Content:
            return [density_map(view, places[view.inside(places)]), circles(view, marks[view.inside(marks)])]

        drawn.append(field_map(f"sky-{number}", title, field, NO_FOOTPRINTS, story.footprints, under))
    words = "the density of objects, circles around variable ones, and the edges of images unless too many."
    return section(
        "sky",
        "Objects on the sky",
        whole_sky("sky-whole", NO_FOOTPRINTS, story.footprints).figure(class_="all-sky"),
        tag("p", f"Below: {words}{_sample(story)}"),
        cards(*(one.figure() for one in drawn), large=True),
    )


def _colours(story: ObjectStory) -> Markup:
    title = "Colour-magnitude diagram"
    colour = story.colour
    if colour is None:
        return section("colours", title, notice("There is a single band, and so no colour."))
    a, b = colour.bands
    how = "chosen with --colour" if colour.chosen else "those with the most objects; --colour takes others"
    if colour.cells is None:
        return section(
            "colours", title, notice(f"Fewer than two objects have magnitudes in {a} and {b} ({how}).")
        )
    summary = f"{density_summary(colour.cells, 'object', 'colour and magnitude')}{_sample(story)}"
    drawn = density(
        "colour",
        f"{b} against {a} − {b}",
        summary,
        colour.cells,
        (f"{a} − {b} (mag)", f"{b} (mag)"),
        down=True,
    )
    return section(
        "colours", title, tag("p", f"Bands: {a} and {b}, {how}."), cards(drawn.figure(), large=True)
    )


def _variability(story: ObjectStory) -> Markup:
    drawn = [_scatter(band, story) for band in story.bands if band.scatter]
    rule = (
        f"An object counts as variable if a constant one had its CHI2 with a probability below {CHANCE:g}, "
        "that of its most variable band times the number of its bands with several epochs. "
        "Errors are those of the catalogs: where they are too small, more objects seem to vary."
    )
    if not drawn:
        return section("variability", "Variability", notice("No band has objects with several epochs."))
    return section(
        "variability",
        "Variability",
        tag("p", rule),
        cards(*(c.figure() for c in drawn[:_MAX_CHARTS]), large=True),
    )


def _scatter(band: Band, story: ObjectStory) -> Chart:
    assert band.scatter is not None
    marks = [
        (one.light["MAG"], 1000 * one.light["MAGRMS"], str(one.ident))
        for one in story.variables
        if one.band == band.name and one.light["MAGRMS"] > 0
    ]
    summary = density_summary(band.scatter, "object", "magnitude and scatter")
    summary += f" Circles are the {formatting.count(len(marks), 'object')} most variable in this band."
    summary += _sample(story)
    labels = f"{band.name} (mag)", "scatter (mmag)"
    name = f"scatter-{band.name}"
    return density(name, f"Scatter in {band.name}", summary, band.scatter, labels, log=True, marks=marks)


def _variables(story: ObjectStory) -> Markup:
    title = "The most variable objects"
    if not story.variables:
        return section("variables", title, notice("No object varies beyond its errors."))
    listed = story.variables[:MAX_LISTED]
    caption = (
        f"Variable objects, the least likely to be constant first; a chance of 10^{_SMALLEST} is that or less"
    )
    caption += _omitted(story.variable, len(listed))
    rows = map(_variable_row, listed)
    numbers = (1, 2, *range(4, 10))
    figures = [_curve_figure(one) for one in listed[:MAX_CURVES]]
    has_pictures = any(one.pictures for one in listed)
    size = f"{2 * CUT_ARCSEC:g}″ wide, where it is brightest and where it is faintest"
    words = (
        f"Pictures are {size}."
        if has_pictures
        else "No image of these is on this machine: there are no pictures."
    )
    return section(
        "variables",
        title,
        tag(
            "div", table("variable", caption, _VARIABLES, rows, numbers=numbers, sortable=True), class_="long"
        ),
        tag("p", f"{formatting.count(len(figures), 'light curve')}, each in the most variable band. {words}"),
        cards(*figures, large=True),
    )


def _variable_row(one: Variable) -> list[str]:
    light = one.light
    chance = f"{math.log10(one.chance):.1f}" if one.chance > 0 else f"{_SMALLEST}"
    return [
        str(one.ident),
        f"{one.ra:.5f}",
        f"{one.dec:.5f}",
        one.band,
        f"{light['N']:.0f}",
        f"{light['MAG']:.3f}",
        f"{light['MAGRMS']:.3f}",
        formatting.number(light["CHI2"] / max(1.0, light["N"] - 1)),
        chance,
        formatting.number(light["ETA"]),
    ]


def _curve_figure(one: Variable) -> Markup:
    assert one.curve is not None
    drawn = light_curve(f"curve-{one.ident}", one)
    shown = [_picture(picture) for picture in one.pictures]
    caption = text([tag("strong", drawn.title), tag("br"), drawn.summary])
    return tag("div", drawn.figure(caption), tag("div", shown, class_="cuts") if shown else None)


def _picture(picture: Picture) -> Markup:
    source = f"data:image/jpeg;base64,{base64.b64encode(picture.jpeg).decode('ascii')}"
    name = formatting.file_name(picture.image)
    words = f"{picture.mag:.2f} mag, {date(picture.mjd)}"
    return figure(tag("img", src=source, alt=f"{name}: {words}"), words)


def _images(images: pa.Table) -> Markup:
    """Images with what the match did with them: those that are not used or not solved first."""
    rows = images.to_pylist()
    rows.sort(
        key=lambda row: (row["match_state"] == USED, row["offset_state"] in {"solved", "held"}, row["uri"])
    )
    cells = [
        [
            formatting.file_name(row["uri"]),
            row["run"],
            row["band"],
            date(row["t_min"]) or "–",
            row["match_state"],
            row["offset_state"] or "–",
            *(_mas(row[f"offset_{name}"]) for name in ("east", "north", "error")),
        ]
        for row in rows[:_MAX_IMAGES]
    ]
    caption = "Images, those that are not used or have no offset first" + _omitted(len(rows), _MAX_IMAGES)
    if len(rows) > _MAX_IMAGES:
        caption += ": images.parquet has all"
    drawn = table("image", caption, _IMAGES, cells, numbers=range(6, 9), sortable=True)
    return section("images", "Images", tag("div", drawn, class_="long"))


def _mas(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}".replace("-", "−")
