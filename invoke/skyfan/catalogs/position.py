"""What a person says of a place on the sky: "53.16 -27.78", "3h32m39s -27d46m48s", 5s."""

import math
import re

from ..errors import UsageError

_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_SEXAGESIMAL = re.compile(
    rf"(?P<sign>[+-]?)(?P<whole>\d+)(?P<unit>[hd:\s°])\s*(?P<minutes>{_NUMBER})\s*[m:\s'′]?"
    rf"\s*(?:(?P<seconds>{_NUMBER})\s*[s\"″]?)?"
)
_DEGREES = re.compile(rf"(?P<sign>[+-]?)(?P<whole>{_NUMBER})[d°]?")
_RADIUS = re.compile(rf"({_NUMBER})\s*([smd\"'°])")
_UNITS = {"s": 1 / 3600, '"': 1 / 3600, "m": 1 / 60, "'": 1 / 60, "d": 1.0, "°": 1.0}
_FORMS = 'give "RA DEC" such as "53.162 -27.780", "3h32m39s -27d46m48s" or "03:32:39 -27:46:48"'


def around(text: str) -> tuple[float, float]:
    """RA and Dec in degrees of what a person wrote: degrees, or hours, minutes and seconds for the RA.

    A colon or a blank between the parts of an RA means hours. Raises UsageError that shows the forms.
    """
    words = text.replace(",", " ").split()
    half = len(words) // 2
    if len(words) not in (2, 4, 6):
        raise UsageError(f"{text!r} is no position: {_FORMS}")
    ra = _angle(" ".join(words[:half]), text, hours=True)
    dec = _angle(" ".join(words[half:]), text, hours=False)
    if not 0 <= ra <= 360 or not -90 <= dec <= 90:
        raise UsageError(f"{text!r} is not on the sky: RA goes from 0 to 360 degrees, Dec from -90 to 90")
    return ra % 360, dec


def radius(text: str) -> float:
    """A radius in degrees of 5s, 2m or 1d: arcseconds, arcminutes, degrees. Raises UsageError."""
    match = _RADIUS.fullmatch(text.strip())
    value = float(match[1]) * _UNITS[match[2]] if match else math.nan
    if not 0 < value <= 180:
        raise UsageError(f"{text!r} is no radius: give 5s, 2m or 1d for arcseconds, arcminutes or degrees")
    return value


def _angle(word: str, text: str, *, hours: bool) -> float:
    if match := _DEGREES.fullmatch(word):
        value = float(match["whole"])
    elif match := _SEXAGESIMAL.fullmatch(word):
        minutes, seconds = float(match["minutes"]), float(match["seconds"] or 0)
        if minutes >= 60 or seconds >= 60 or (match["unit"] == "h" and not hours):
            raise UsageError(f"{text!r} is no position: {_FORMS}")
        value = int(match["whole"]) + minutes / 60 + seconds / 3600
        if hours and match["unit"] not in "d°":
            value *= 15
    else:
        raise UsageError(f"{text!r} is no position: {_FORMS}")
    return -value if match["sign"] == "-" else value
