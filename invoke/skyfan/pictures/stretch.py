"""How pixel values become brightness. It needs no matplotlib."""

from dataclasses import dataclass

import numpy as np
from astropy.stats import mad_std
from astropy.visualization import AsinhStretch, BaseStretch, LinearStretch, LogStretch, ZScaleInterval
from numpy.typing import NDArray

STRETCHES = ("asinh", "log", "linear", "zscale")
_SAMPLE = 500_000


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
