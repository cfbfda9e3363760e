"""Pixel values as brightness and colours, and pictures without axes: pixels and ellipses, by Pillow."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from astropy.stats import mad_std
from astropy.visualization import (
    AsinhStretch,
    BaseStretch,
    LinearStretch,
    LogStretch,
    ZScaleInterval,
    make_lupton_rgb,
)
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..errors import UsageError
from .images import NO_SOURCES, Chip, Ellipses, Exposure, blocks_any, reduced

GOOD, FLAGGED = "#5ef2c2", "#ffa94d"
"""Colours of sources without and with flags."""
NO_DATA, HATCH = "#27324a", "#5d6f96"
SATURATED = "#ff4f7b"
CMAPS = ("gray", "gray_r")
STRETCHES = ("asinh", "log", "linear", "zscale")
_SAMPLE = 500_000
_GAP = 6
_FINE = 4  # ellipses are drawn this many times as large and reduced, which smooths their edges
_POINTS = 90
_COARSE = 16
# Of Lupton et al. (2004), in units of the noise.
_LUPTON = {"minimum": -1.0, "stretch": 12.0, "Q": 8.0}


@dataclass(frozen=True)
class Look:
    """How an image is drawn."""

    stretch: str = "asinh"
    """One of STRETCHES."""
    cmap: str = "gray"
    """A colour map of matplotlib; without matplotlib, gray or gray_r."""


DEFAULT_LOOK = Look()


@dataclass(frozen=True)
class Stretch:
    """From pixel values to brightness: 0 at `low`, 1 at `high`."""

    low: float
    high: float
    curve: BaseStretch

    def __call__(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        """Brightness of pixels, of the same shape, in [0, 1]; NaN where the data are NaN."""
        share = (data.astype(np.float64) - self.low) / (self.high - self.low)
        return np.asarray(self.curve(np.clip(share, 0, 1), clip=False), np.float32)


def stretch(data: NDArray[np.float32], name: str) -> Stretch:
    """The stretch of an image (ny, nx), by name.

    zscale is IRAF's linear stretch. All others begin just below the background, in its noise; asinh and log
    end at the brightest core, so that nuclei keep their shape, and linear ends at the 99.8th percentile.
    """
    values = data[np.isfinite(data)]
    if not values.size:
        return Stretch(0.0, 1.0, LinearStretch())
    values = values[:: values.size // _SAMPLE + 1].astype(np.float64)
    if name == "zscale":
        low, high = ZScaleInterval().get_limits(values)
        return Stretch(low, max(high, float(np.nextafter(low, np.inf))), LinearStretch())
    level, sigma = float(np.median(values)), float(mad_std(values)) or float(values.std()) or 1.0
    low = level - 1.5 * sigma
    brightest = np.percentile(values, 99.8) if name == "linear" else _brightest(data)
    high = max(float(brightest), level + 20 * sigma)
    curve = {
        "asinh": AsinhStretch(min(0.5, 2.5 * sigma / (high - low))),
        "log": LogStretch(min(1e4, max(10.0, (high - low) / sigma))),
        "linear": LinearStretch(),
    }[name]
    return Stretch(low, high, curve)


def _brightest(data: NDArray[np.float32]) -> float:
    """The faintest pixel of the brightest 2 by 2 block: hot pixels and thin cosmic rays do not count."""
    if min(data.shape) < 2:
        return float(np.nanmax(data))
    rows = np.minimum(data[1:], data[:-1])
    blocks = np.minimum(rows[:, 1:], rows[:, :-1])
    return float(np.nanmax(blocks)) if np.isfinite(blocks).any() else float(np.nanmax(data))


def combined(red: Exposure, green: Exposure, blue: Exposure) -> Exposure:
    """The exposure `red` in colours; `green` and `blue` are put on its pixels by the nearest of theirs.

    Each plane is taken relative to its noise, so that the sky is grey. Pixels without data in one of them
    have none. Raises UsageError if an image has no sky coordinates or does not overlap with `red`.
    """
    chips = []
    for chip in red.chips:
        planes = [chip.data, _on_grid(chip, green), _on_grid(chip, blue)]
        empty = ~np.isfinite(planes).all(axis=0)
        if empty.all():
            titles = ", ".join(each.title for each in (red, green, blue))
            raise UsageError(f"the images have no pixels with data in common: {titles}")
        levels = [float(np.median(plane[~empty])) for plane in planes]
        noise = [float(mad_std(plane[~empty])) or 1.0 for plane in planes]
        scaled = [
            np.where(empty, 0, (plane - level) / sigma)
            for plane, level, sigma in zip(planes, levels, noise, strict=True)
        ]
        colours = make_lupton_rgb(*scaled, **_LUPTON).astype(np.float32) / 255
        chips.append(replace(chip, data=np.where(empty, np.float32(np.nan), chip.data), colours=colours))
    names = {"red": red, "green": green, "blue": blue}
    title = "\n".join(f"{name}: {each.title}" for name, each in names.items())
    return replace(red, title=title, chips=chips)


def _on_grid(chip: Chip, other: Exposure) -> NDArray[np.float32]:
    """The nearest pixels of another exposure at those of a chip, (ny, nx); NaN where it has none."""
    ny, nx = chip.data.shape
    found = np.full((ny, nx), np.nan, np.float32)
    if chip.wcs is None and len(other.chips) == 1 and other.chips[0].data.shape == (ny, nx):
        return other.chips[0].data
    for source in other.chips:
        if chip.wcs is None or source.wcs is None:
            raise UsageError(f"{other.title}: colours need sky coordinates, or images of the same shape")
        # Coordinates of a coarse grid, and straight lines between them: distortions are smooth.
        rows, columns = (np.append(np.arange(0, size - 1, _COARSE), size - 1) for size in (ny, nx))
        sky = chip.wcs.all_pix2world(np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2), 0)
        places = source.wcs.all_world2pix(sky, 0, quiet=True).reshape(len(rows), len(columns), 2)
        across = [
            np.array([np.interp(np.arange(nx), columns, line) for line in places[..., axis]])
            for axis in (0, 1)
        ]
        x, y = (np.array([np.interp(np.arange(ny), rows, line) for line in part.T]).T for part in across)
        height, width = source.data.shape
        inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5) & np.isnan(found)
        found[inside] = source.data[np.rint(y[inside]).astype(int), np.rint(x[inside]).astype(int)]
    return found


def picture(chips: Sequence[Chip], side: int, look: Look = DEFAULT_LOOK) -> Image.Image:
    """An RGB picture of chips that stand on one another, the first at the bottom, as on the detector.

    Each is at most `side` pixels high and wide; images of less than half of that are enlarged by a whole
    number. Pixels without data are hatched. `look.cmap` is gray or gray_r.
    """
    drawn = [_chip(chip, side, look) for chip in chips]
    width = max(each.width for each in drawn)
    height = sum(each.height for each in drawn) + _GAP * (len(drawn) - 1)
    canvas = Image.new("RGB", (width, height), "white")
    top = height
    for each in drawn:
        top -= each.height
        canvas.paste(each, (0, top))
        top -= _GAP
    return canvas


def layers(chip: Chip, side: int) -> tuple[Image.Image, tuple[Image.Image, Image.Image]]:
    """A chip without sources, and the coverage (8 bits) of the outlines of sources without and with flags.

    All have the same size, as in picture().
    """
    base = _chip(replace(chip, sources=None), side, DEFAULT_LOOK)
    sources = NO_SOURCES if chip.sources is None else chip.sources
    zoom = base.width / chip.data.shape[1]
    good, flagged = (
        _outlines(sources, chosen, zoom, base.size) for chosen in (~sources.flagged, sources.flagged)
    )
    return base, (good, flagged)


def _chip(chip: Chip, side: int, look: Look) -> Image.Image:
    # Blocks are averaged before the stretch, so that faint sources rise above the noise as they should.
    step = max(1, max(chip.data.shape) // side)
    data = reduced(chip.data, step)
    zoom = side / max(data.shape)
    zoom = zoom if zoom < 1 else float(int(zoom))
    size = max(1, round(data.shape[1] * zoom)), max(1, round(data.shape[0] * zoom))
    filter_ = Image.Resampling.LANCZOS if zoom < 1 else Image.Resampling.NEAREST
    brightness = np.nan_to_num(stretch(data, look.stretch)(data))
    if chip.colours is not None:
        rows = chip.colours[: data.shape[0] * step : step, : data.shape[1] * step : step][::-1]
        canvas = Image.fromarray(np.rint(rows * np.float32(255)).astype(np.uint8)).resize(size, filter_)
    else:
        canvas = _grey(1 - brightness if look.cmap == "gray_r" else brightness).resize(size, filter_)
        canvas = canvas.convert("RGB")
    empty = np.isnan(data)
    if empty.any():
        canvas.paste(_hatched(size), mask=_grey(empty).resize(size, Image.Resampling.NEAREST))
    if chip.saturated is not None and chip.saturated.any():
        full = blocks_any(chip.saturated, step)
        canvas.paste(SATURATED, mask=_grey(full).resize(size, Image.Resampling.NEAREST))
    if (sources := chip.sources) is not None:  # all of them: no legend could say that some are left out
        moved = replace(sources, x=sources.x - chip.corner[0], y=sources.y - chip.corner[1])
        for colour, chosen in ((GOOD, ~sources.flagged), (FLAGGED, sources.flagged)):
            if chosen.any():
                canvas.paste(colour, mask=_outlines(moved, chosen, zoom / step, size))
    return canvas


def _grey(values: NDArray[np.float32] | NDArray[np.bool_]) -> Image.Image:
    """Rows from the bottom, in [0, 1], as an 8-bit image."""
    return Image.fromarray(np.ascontiguousarray(np.rint(values[::-1] * np.float32(255)).astype(np.uint8)))


def _hatched(size: tuple[int, int]) -> Image.Image:
    columns, rows = np.arange(size[0]), np.arange(size[1])[:, None]
    hatched = Image.new("RGB", size, NO_DATA)
    hatched.paste(HATCH, mask=Image.fromarray((((columns + rows) % 8 < 2) * 255).astype(np.uint8)))
    return hatched


def _outlines(
    sources: Ellipses, chosen: NDArray[np.bool_], scale: float, size: tuple[int, int]
) -> Image.Image:
    """Coverage (8 bits) of the outlines of the chosen ellipses; `scale` is in picture pixels per pixel."""
    turn = np.linspace(0, 2 * np.pi, _POINTS)
    x, y, a, b, theta = (
        values[chosen, None] for values in (sources.x, sources.y, sources.a, sources.b, sources.theta)
    )
    cos, sin = np.cos(np.radians(theta)), np.sin(np.radians(theta))
    right = x + a * np.cos(turn) * cos - b * np.sin(turn) * sin
    up = y + a * np.cos(turn) * sin + b * np.sin(turn) * cos
    points = _FINE * np.stack([(right + 0.5) * scale, size[1] - (up + 0.5) * scale], axis=-1)
    large = Image.new("L", (size[0] * _FINE, size[1] * _FINE))
    draw = ImageDraw.Draw(large)
    width = max(_FINE, round(_FINE * max(size) / 600))
    for outline in points:
        draw.line([tuple(point) for point in outline.tolist()], fill=255, width=width, joint="curve")
    return large.reduce(_FINE)
