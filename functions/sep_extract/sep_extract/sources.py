"""What is measured of the sources of one plane: one array per quantity, in the arrays' own conventions."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .apertures import Floats

Ints = NDArray[np.int32]
Flags = NDArray[np.int16]


@dataclass(frozen=True)
class Isophotal:
    """What the pixels of each source's own segment say; arrays (n,), lengths in pixels, angles in radians.

    ``x``, ``y``: 0-based barycentre; ``x2``, ``y2``, ``xy`` its covariance; ``x_peak``, ``y_peak``: the
    brightest pixel. ``a``, ``b``, ``theta`` and ``cxx``, ``cyy``, ``cxy``: the ellipse of the second moments.
    ``area``: pixels above the threshold in the image, ``area_filtered`` in the filtered one. ``dq``: DQ bits
    of the pixels, or-ed.
    """

    x: Floats
    y: Floats
    x_peak: Ints
    y_peak: Ints
    x2: Floats
    y2: Floats
    xy: Floats
    a: Floats
    b: Floats
    theta: Floats
    cxx: Floats
    cyy: Floats
    cxy: Floats
    area: Ints
    area_filtered: Ints
    flux: Floats
    flux_error: Floats
    peak: Floats
    flags: Flags
    dq: Ints


@dataclass(frozen=True)
class Photometry:
    """Fluxes in apertures, and windowed positions; arrays (n,), of circles (n, apertures).

    ``flux_pair``: in the two circles of the concentration index, (n, 2). ``sky``: what the background leaves
    per pixel around the source, with its error.
    ``kron_radius`` is in units of a and b; ``blended_share`` is that of neighbours in the light of that
    ellipse; ``half_light_radius``, ``xwin``, ``ywin`` are in 0-based pixels, and ``x2win``, ``y2win``,
    ``xywin`` the covariance of the position. ``flags`` holds bits to add.
    """

    kron_radius: Floats
    blended_share: Floats
    flux_auto: Floats
    flux_error_auto: Floats
    flux_aper: Floats
    flux_error_aper: Floats
    flux_pair: Floats
    flux_error_pair: Floats
    sky: Floats
    sky_error: Floats
    half_light_radius: Floats
    xwin: Floats
    ywin: Floats
    x2win: Floats
    y2win: Floats
    xywin: Floats
    flags: Flags


@dataclass(frozen=True)
class Sources:
    """The sources of one plane. ``background`` and ``rms``: level and one-sigma noise of a pixel there, (n,).

    Fluxes, ``background`` and ``rms`` are in the image's unit; ``flags`` are all of a source's.
    """

    isophotal: Isophotal
    photometry: Photometry
    flags: Flags
    background: Floats
    rms: Floats

    def __len__(self) -> int:
        return len(self.isophotal.x)


def empty(kind: type[Any], apertures: int) -> Any:
    """Isophotal or Photometry of no source, with columns for ``apertures`` circles."""
    dtypes = {"Ints": np.int32, "Flags": np.int16, "Floats": np.float64}
    circles = {"aper": (0, apertures), "pair": (0, 2)}
    return kind(
        **{
            field.name: np.zeros(circles.get(field.name.rpartition("_")[2], 0), dtypes[str(field.type)])
            for field in fields(kind)
        }
    )


def joined(*parts: Any) -> Any:
    """Sources, with all that they are made of, one after another."""
    first = parts[0]
    if not is_dataclass(first):
        return np.concatenate(parts)
    kind: Any = type(first)
    return kind(**{f.name: joined(*(getattr(part, f.name) for part in parts)) for f in fields(first)})


def taken(sources: Any, which: NDArray[np.int64]) -> Any:
    """Those of the sources with such indices, with all that they are made of."""
    if not is_dataclass(sources):
        return sources[which]
    kind: Any = type(sources)
    return kind(**{f.name: taken(getattr(sources, f.name), which) for f in fields(sources)})
