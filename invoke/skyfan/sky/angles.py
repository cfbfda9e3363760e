"""Parses positions and radii, from text or from astropy's SkyCoord and Quantity."""

import math
import re
from collections.abc import Callable
from typing import Any

from ..errors import UsageError

_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_SEXAGESIMAL = re.compile(
    rf"(?P<sign>[+-]?)(?P<whole>\d+)(?P<unit>[hd:\s°])\s*(?P<minutes>{_NUMBER})\s*[m:\s'′]?"
    rf"\s*(?:(?P<seconds>{_NUMBER})\s*[s\"″]?)?"
)
_DEGREES = re.compile(rf"(?P<sign>[+-]?)(?P<whole>{_NUMBER})[d°]?")
_RADIUS = re.compile(rf"({_NUMBER})\s*([smd\"'°])")
_UNITS = {"s": 1 / 3600, '"': 1 / 3600, "m": 1 / 60, "'": 1 / 60, "d": 1.0, "°": 1.0}
# A name begins with a letter, or has letters other than h, m, s and d: m31, 47 Tuc.
_NAME = re.compile(r"\s*[^\W\d_]|.*[^\W\d_hmsd]", re.DOTALL)
_WORD = re.compile(r"[+-]?[\d.][\d.:hdms°'\"]*")
_FORMS = 'give "RA DEC" such as "53.162 -27.780", "3h32m39s -27d46m48s" or "03:32:39 -27:46:48", or a name'

NameResolver = Callable[[str], tuple[float, float]]
"""Returns right ascension and declination in degrees of a name; raises UsageError if it is unknown."""


def by_name(name: str) -> tuple[float, float]:
    """A NameResolver: CDS Sesame, through astropy. Needs the network."""
    from astropy.coordinates import SkyCoord
    from astropy.coordinates.name_resolve import NameResolveError

    try:
        coordinates = SkyCoord.from_name(name)
    except NameResolveError as error:
        reason = " ".join(str(error).split())
        if repr(name) in reason:  # a server answered, and does not know the name
            raise UsageError(f"{name!r} is neither a position nor a name that CDS knows; {_FORMS}") from error
        raise UsageError(f"the name {name!r} could not be looked up at CDS ({reason}); {_FORMS}") from error
    return float(coordinates.ra.deg), float(coordinates.dec.deg)


def position(around: Any, resolve: NameResolver = by_name) -> tuple[float, float]:
    """Right ascension and declination (ICRS, degrees; RA in [0, 360)) of a position or a named object.

    `around` is a pair of numbers in degrees, a scalar SkyCoord, or text: two numbers are degrees; an RA with
    colons or blanks is in hours; anything with other letters is a name for `resolve`. Raises UsageError,
    whose message shows the forms.
    """
    if hasattr(around, "icrs"):
        if not around.isscalar:
            raise UsageError(f"give one position, not {around.size}")
        return float(around.icrs.ra.deg) % 360, float(around.icrs.dec.deg)
    if not isinstance(around, str):
        ra, dec = map(float, around)
    elif _NAME.match(around):
        return resolve(around.strip())
    else:
        ra, dec = _numbers(around)
    if not 0 <= ra <= 360 or not -90 <= dec <= 90:
        raise UsageError(f"{around!r} is not on the sky: RA is 0 to 360 degrees, Dec -90 to 90")
    return ra % 360, dec


def join_words(words: list[str]) -> list[str]:
    """The words of a command, with each position as one word: a negative declination is no option.

    --around 6.03 -72.08 is --around "6.03 -72.08".
    """
    found: list[str] = []
    rest = iter(range(len(words)))
    for at in rest:
        found.append(words[at])
        if words[at] == "--":
            return [*found, *words[at + 1 :]]
        option, equals, value = words[at].partition("=")
        start = at if equals else at + 1
        if option not in ("--around", "--cutout") or not _WORD.fullmatch(
            value if equals else "".join(words[start : start + 1])
        ):
            continue
        end = start + 1
        while end < min(len(words), start + 6) and _WORD.fullmatch(words[end]):
            end += 1
        found.append(" ".join([*([value] if equals else []), *words[start + bool(equals) : end]]))
        found[-2] = option
        for _ in range(end - at - 1):
            next(rest)
    return found


def _numbers(text: str) -> tuple[float, float]:
    words = text.replace(",", " ").split()
    half = len(words) // 2
    if len(words) not in (2, 4, 6):
        raise UsageError(f"{text!r} is not a position: {_FORMS}")
    return _angle(" ".join(words[:half]), text, hours=True), _angle(" ".join(words[half:]), text, hours=False)


def _angle(word: str, text: str, *, hours: bool) -> float:
    if match := _DEGREES.fullmatch(word):
        value = float(match["whole"])
    elif match := _SEXAGESIMAL.fullmatch(word):
        minutes, seconds = float(match["minutes"]), float(match["seconds"] or 0)
        if minutes >= 60 or seconds >= 60 or (match["unit"] == "h" and not hours):
            raise UsageError(f"{text!r} is not a position: {_FORMS}")
        value = int(match["whole"]) + minutes / 60 + seconds / 3600
        if hours and match["unit"] not in "d°":
            value *= 15
    else:
        raise UsageError(f"{text!r} is not a position: {_FORMS}")
    return -value if match["sign"] == "-" else value


def radius(value: Any) -> float:
    """A radius in degrees (0 < radius <= 180), from text with a unit or an astropy Quantity.

    5s, 2m and 1d are arcseconds, arcminutes and degrees; other units are those of astropy, such as 3arcsec.
    Raises UsageError, also for a number without a unit.
    """
    match = _RADIUS.fullmatch(value.strip()) if isinstance(value, str) else None
    degrees = float(match[1]) * _UNITS[match[2]] if match else _from_quantity(value)
    if not 0 < degrees <= 180:
        raise UsageError(
            f"{str(value)!r} is not a radius: give 5s, 2m or 1d for arcseconds, arcminutes or degrees"
        )
    return degrees


def position_text(around: Any) -> str:
    """A position as text that position() reads: text as it is, "RA DEC" in degrees for what else it takes."""
    return around if isinstance(around, str) else " ".join(map(repr, position(around)))


def radius_text(value: Any) -> str:
    """A radius as text that radius() reads, with its unit."""
    return value if isinstance(value, str) else f"{radius(value)!r}d"


def _from_quantity(value: Any) -> float:
    """Degrees; NaN for anything but an angle with a unit."""
    if isinstance(value, int | float) or (isinstance(value, str) and not re.search(r"[A-Za-z]{2}", value)):
        return math.nan
    from astropy import units

    try:
        return float(units.Quantity(value).to_value(units.deg))
    except (TypeError, ValueError, units.UnitConversionError):
        return math.nan


def round_length(arcsec: float) -> tuple[float, str]:
    """The largest round angle up to `arcsec` (1, 2 or 5 times a power of ten), in arcsec, and its label."""
    for unit, mark in ((3600, "°"), (60, "′")):
        if arcsec >= unit:
            length, label = round_length(arcsec / unit)
            return unit * length, f"{label[:-1]}{mark}"
    power = 10.0 ** math.floor(math.log10(max(arcsec, 1e-9)))
    length = max(m * power for m in (1, 2, 5) if m * power <= arcsec)
    return length, f"{length:g}″"
