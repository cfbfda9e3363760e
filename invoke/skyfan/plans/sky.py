"""Positions on the sky and angles as people write them."""

import re

from astropy.coordinates import Angle, SkyCoord

from ..errors import UsageError

_DEGREES = re.compile(r"([+-]?[\d.]+)[\s,]+([+-]?[\d.]+)")


def position(text: str) -> tuple[float, float] | None:
    """Right ascension and declination in degrees (ICRS) of 'RA DEC'; None for what must be a name.

    Two plain numbers are degrees; with h, m, s or colons the first is in hours.
    """
    if found := _DEGREES.fullmatch(text.strip()):
        ra, dec = float(found[1]), float(found[2])
        if not (0 <= ra < 360 and -90 <= dec <= 90):
            raise UsageError(f"--around {text!r}: RA is 0 to 360 and DEC -90 to 90 degrees")
        return ra, dec
    try:
        there = SkyCoord(text, unit=("hourangle", "deg"))
    except (ValueError, TypeError):
        return None
    return float(there.ra.deg), float(there.dec.deg)


def radius_degrees(text: str) -> float:
    """Degrees of 0.2d, 5m (arcminutes), 30s (arcseconds); a plain number is in degrees."""
    try:
        radius = float(Angle(text, unit="deg").deg)
    except (ValueError, TypeError) as error:
        raise UsageError(f"--radius takes 0.2d, 5m or 30s, not {text!r}") from error
    if not 0 < radius <= 30:
        raise UsageError(f"--radius {text}: more than nothing and at most 30 degrees")
    return radius
