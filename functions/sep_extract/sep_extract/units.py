"""BUNIT in its many spellings: what is counted, whether per second, and in steps of what."""

from __future__ import annotations

import math
import re
from typing import Literal, NamedTuple

Kind = Literal["electrons", "counts", "jansky", "surface", "flam"]


class Unit(NamedTuple):
    """What one unit of a pixel is.

    ``jansky`` and ``flam`` (erg/s/cm2/A) are flux densities of a pixel, ``surface`` jansky per steradian;
    ``factor`` is how many of these, or of electrons or counts, one unit is. ``rate``: per second.
    """

    kind: Kind
    rate: bool
    factor: float = 1.0


_NAMES: dict[Kind, str] = {
    "electrons": r"(?:E-?|EL|ELECTRONS?|PHOTO-?ELECTRONS?|PHOTONS?)",
    "counts": r"(?:COUNTS?|CTS?|CNTS?|DN|ADUS?)",
}
_PER_SECOND = r"(?:/(?:S|SEC|SECS|SECOND|SECONDS)|(?:PER)(?:S|SEC|SECOND)|\.?(?:S|SEC)(?:\^|\*\*)?\(?-1\)?)"
_RATES = {"CPS": Unit("counts", True), "EPS": Unit("electrons", True)}
_PREFIXES = {"": 1.0, "K": 1e3, "M": 1e6, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9, "p": 1e-12}
_JANSKY = re.compile(r"([munpµ]|micro|milli|nano|M|mega|k)?(?:Jy|JY|jy|jansky|Jansky)(?:s(?![rR]))?(.*)")
_WORDS = {"micro": "u", "milli": "m", "nano": "n", "mega": "M", "k": "K"}
_PER_SR = re.compile(r"(?:/SR|PERSR|[.*]?SR(?:\^|\*\*)?\(?-1\)?)")
_PER_PIXEL = r"(?:(?:/|PER)PIX(?:EL)?|[.*]?PIX(?:EL)?(?:\^|\*\*)?\(?-1\)?)?"
_FLAM = re.compile(r"ERGS?(?:[/.*]?(?:SEC|S|CM|ANGSTROMS?|A)(?:\^|\*\*)?-?[12]?){3}")
# 3631 Jy is 0 mag AB (Oke & Gunn 1983), which is one maggy.
_MAGGY = re.compile(r"(NANO|N)?(?:MAGGY|MAGGIES|MGYS?)" + _PER_PIXEL)
_MAGGY_JANSKY = 3631.0
# A number in front: 10.0*nJy, 1e-20 erg/..., and 10**-20 or 10^(-20) as the FITS standard writes it.
_FACTOR = re.compile(
    r"(?:10(?:\*\*|\^)\(?([-+]?\d+)\)?|(\d+\.?\d*(?:[eEdD][-+]?\d+)?|\.\d+))[*.x]?(?=[^\d.])"
)


def parse(text: str) -> Unit | None:
    """The unit of a BUNIT card; None for what is not known here, an empty one included."""
    plain = re.sub(r"[\s_]+", "", text)
    factor = 1.0
    if number := _FACTOR.match(plain):
        power, plainly = number.groups()
        factor = 10.0 ** int(power) if power else float(re.sub("[dD]", "e", plainly))
        plain = plain[number.end() :]
    unit = _named(plain)
    if unit is None or not 0 < factor < math.inf:
        return None
    return unit._replace(factor=unit.factor * factor)


def _named(plain: str) -> Unit | None:
    """The unit without a number in front."""
    upper = plain.upper()
    if upper in _RATES:
        return _RATES[upper]
    for kind, name in _NAMES.items():
        if re.fullmatch(name + _PER_PIXEL, upper):
            return Unit(kind, False)
        if re.fullmatch(f"{name}(?:{_PER_SECOND}{_PER_PIXEL}|{_PER_PIXEL}{_PER_SECOND})", upper):
            return Unit(kind, True)
    if match := _JANSKY.fullmatch(plain):
        prefix = match[1] or ""
        scale = _PREFIXES[_WORDS.get(prefix, prefix)]
        if re.fullmatch(_PER_PIXEL, match[2].upper()):
            return Unit("jansky", True, scale)
        if _PER_SR.fullmatch(match[2].upper()):
            return Unit("surface", True, scale)
    if match := _MAGGY.fullmatch(upper):
        return Unit("jansky", True, _MAGGY_JANSKY * (1e-9 if match[1] else 1.0))
    if _FLAM.fullmatch(upper):
        return Unit("flam", True)
    return None
