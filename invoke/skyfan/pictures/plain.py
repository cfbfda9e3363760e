"""Pixel values as brightness, and pictures without axes: stretched pixels and ellipses, by Pillow."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from astropy.stats import mad_std
from astropy.visualization import AsinhStretch, BaseStretch, LinearStretch, LogStretch, ZScaleInterval
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .images import NO_SOURCES, Chip, Ellipses, reduced

GOOD, FLAGGED = "#5ef2c2", "#ffa94d"
"""Colours of sources without and with flags."""
NO_DATA, HATCH = "#27324a", "#5d6f96"
CMAPS = ("gray", "gray_r")
STRETCHES = ("asinh", "log", "linear", "zscale")
_SAMPLE = 500_000
_GAP = 6
_FINE = 4  # ellipses are drawn this many times as large and reduced, which smooths their edges
_POINTS = 90


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
    canvas = _grey(1 - brightness if look.cmap == "gray_r" else brightness).resize(size, filter_)
    canvas = canvas.convert("RGB")
    empty = np.isnan(data)
    if empty.any():
        canvas.paste(_hatched(size), mask=_grey(empty).resize(size, Image.Resampling.NEAREST))
    if chip.sources is not None:
        for colour, chosen in ((GOOD, ~chip.sources.flagged), (FLAGGED, chip.sources.flagged)):
            if chosen.any():
                canvas.paste(colour, mask=_outlines(chip.sources, chosen, zoom / step, size))
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
