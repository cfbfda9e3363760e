"""The WCS cards of a header: each once, numeric and of one formalism, so that they mean one thing only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from astropy.io import fits

# All cards of the WCS papers, SIP, and Hubble's lookup tables. Drizzled products carry a thousand others, and
# reading those would take longer than measuring the image.
_CARDS = re.compile(
    r"NAXIS\d*|WCSAXES|WCSNAME|(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA)\d|(CD|PC)\d_\d|(PV|PS)\d_\d+|PC00\d00\d|"
    r"LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|EPOCH|MJD-OBS|DATE-OBS|"
    r"(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)|(CPDIS|DP|CPERR|CQDIS|DQ|D2IMDIS|D2IM|D2IMERR)\d.*|AXISCORR|D2IMEXT"
)
_NUMBERS = re.compile(
    r"(CRVAL|CRPIX|CDELT|CROTA)\d|(CD|PC|PV)\d+_\d+|(A|B|AP|BP)_(ORDER|\d+_\d+)|LONPOLE|LATPOLE"
)
_SIP = re.compile(r"(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)")
_LOOKUP = re.compile(r"(CPDIS|DP|CPERR|CQDIS|DQ|D2IMDIS|D2IM|D2IMERR)\d.*|AXISCORR|D2IMEXT")
_OLD_PC = re.compile(r"PC00(\d)00(\d)")
_PV = re.compile(r"PV(\d+)_(\d+)")
# wcslib takes memory for the square of the first; astropy looks for the cards of all terms of an order.
# SIP has orders up to 9 (Shupe et al. 2005, section 2).
_LARGEST = {"WCSAXES": 9, **dict.fromkeys(("A_ORDER", "B_ORDER", "AP_ORDER", "BP_ORDER"), 9)}
_D_EXPONENT = re.compile(r"(?<=[\d.])[Dd](?=[-+]?\d)")

# Projections whose shape depends on PV cards of the latitude axis (Calabretta & Greisen 2002, table 13), and
# TPV, which takes those of both axes.
_WITH_PARAMETERS = {
    *("AZP", "SZP", "SIN", "ZPN", "AIR", "CYP", "CEA", "COP", "COE", "COD", "COO", "BON", "HPX", "TPV"),
}
_PROJECTIONS = _WITH_PARAMETERS | {
    *(
        "TAN",
        "STG",
        "ARC",
        "ZEA",
        "CAR",
        "MER",
        "SFL",
        "PAR",
        "MOL",
        "AIT",
        "PCO",
        "TSC",
        "CSC",
        "QSC",
        "XPH",
    ),
}
_LONGITUDES = {"RA": "DEC", "GLON": "GLAT", "ELON": "ELAT", "SLON": "SLAT"}
_DEGREES = {"", "DEG", "DEGS", "DEGREE", "DEGREES", "DEG.", "DECIMALDEGREES"}
_FRAMES = {
    **dict.fromkeys(("ICRS", "FK5", "FK4", "FK4-NO-E"), None),
    "J2000": "FK5",
    "FK5J2000": "FK5",
    "J2000.0": "FK5",
    "FK5(J2000)": "FK5",
    "B1950": "FK4",
    "FK4B1950": "FK4",
}


class UnusableError(ValueError):
    """The cards do not say where the image is."""


@dataclass
class WcsCards:
    """Cards that say one thing, and notes on what was mended or left out to get there."""

    header: fits.Header
    notes: list[str] = field(default_factory=list)
    mended: bool = False
    """Whether a card was read otherwise than it stands, or left out."""

    @property
    def has_lookup_tables(self) -> bool:
        """Whether some cards refer to distortions in tables of the file."""
        return any(_LOOKUP.fullmatch(key) for key in self.header)

    def without_lookup_tables(self) -> fits.Header:
        """The header without those cards."""
        return _kept(self.header, lambda key: not _LOOKUP.fullmatch(key))


def read(header: fits.Header) -> WcsCards | None:
    """The celestial WCS cards of an image's header; None if there is none.

    Raises UnusableError if they contradict each other or leave out what would have to be guessed.
    """
    found = WcsCards(fits.Header(list(_cards(header).values())))
    axes = _axes(found.header)
    if axes is None:
        return None
    for key in [key for key in found.header if _NUMBERS.fullmatch(key)]:
        found.header[key] = _number(found, key)
    _linear(found)
    _distortion(found, *axes)
    for key in sorted(_LARGEST.keys() & set(found.header.keys())):
        if not _is_count(found.header[key], _LARGEST[key]):
            raise UnusableError(f"{key} is {found.header[key]!r}; it can be 0 to {_LARGEST[key]}")
    _units(found, axes)
    _frame(found, axes[0])
    return found


def _cards(header: fits.Header) -> dict[str, fits.Card]:
    """The cards by keyword. Raises UnusableError for one that stands twice with different values."""
    found: dict[str, fits.Card] = {}
    for index, key in enumerate(header):
        if not _CARDS.fullmatch(key):
            continue
        try:
            card = header.cards[index]
            value = card.value
        except (fits.VerifyError, ValueError) as exc:
            raise UnusableError(f"{key} is a malformed header card") from exc
        if isinstance(value, fits.card.Undefined) or (isinstance(value, str) and not value.strip()):
            continue
        if key in found and _NUMBERS.fullmatch(key) and found[key].value != value:
            raise UnusableError(f"{key} is both {found[key].value!r} and {value!r}")
        found[key] = _with_e(card) if isinstance(value, float) else card
    return found


def _with_e(card: fits.Card) -> fits.Card:
    """A card whose number has E before its exponent: wcslib ends a number at the D that FITS allows too."""
    number, *comment = card.image.split("/", 1)
    if not _D_EXPONENT.search(number):
        return card
    return fits.Card.fromstring("/".join([_D_EXPONENT.sub("E", number), *comment]))


def _axes(header: fits.Header) -> tuple[int, int] | None:
    """The numbers of the longitude and latitude axes, None without any."""
    types = {i: str(header.get(f"CTYPE{i}", "")).strip().upper() for i in (1, 2)}
    names = {i: kind.split("-")[0] for i, kind in types.items()}
    if not any(name in {*_LONGITUDES, *_LONGITUDES.values()} for name in names.values()):
        return None
    for longitude, latitude in ((1, 2), (2, 1)):
        if _LONGITUDES.get(names[longitude]) == names[latitude]:
            break
    else:
        raise UnusableError(f"CTYPE1 is {types[1]!r} and CTYPE2 is {types[2]!r}")
    projections = {_projection(types[i]) for i in (1, 2)}
    if len(projections) != 1 or not projections <= _PROJECTIONS:
        raise UnusableError(f"CTYPE {types[1]}, {types[2]} names no projection that is known here")
    for i in (1, 2):
        header[f"CTYPE{i}"] = types[i]
    return longitude, latitude


def _projection(kind: str) -> str:
    words = [word for word in kind.split("-") if word]
    return words[1] if len(words) > 1 else ""


def _number(found: WcsCards, key: str) -> float | int:
    value = found.header[key]
    if isinstance(value, str):
        try:
            number = float(_D_EXPONENT.sub("E", value))
        except ValueError as exc:
            raise UnusableError(f"{key} is {value!r}, not a number") from exc
        _mend(found, f"{key} is the text {value!r}: read as a number")
        return int(number) if key.endswith("_ORDER") else number
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnusableError(f"{key} is {value!r}, not a number")
    return value


def _is_count(value: Any, largest: int) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value in range(largest + 1)


def _linear(found: WcsCards) -> None:
    """One formalism: CD; else PC with CDELT; else CDELT with CROTA. What is missing is not guessed."""
    header = found.header
    missing = [f"{name}{i}" for name in ("CRVAL", "CRPIX") for i in (1, 2) if f"{name}{i}" not in header]
    if missing:
        raise UnusableError(f"{', '.join(missing)} missing")
    pairs = [(i, j) for i in (1, 2) for j in (1, 2)]
    old = {key: f"PC{match[1]}_{match[2]}" for key in header if (match := _OLD_PC.fullmatch(key))}
    for key, name in old.items():
        if name in header and header[name] != header[key]:
            raise UnusableError(f"{name} is {header[name]} and {key} is {header[key]}")
        header[name] = _as_float(key, header[key])
        del header[key]
    cd, pc = ([f"{name}{i}_{j}" for i, j in pairs if f"{name}{i}_{j}" in header] for name in ("CD", "PC"))
    if cd:
        others = [
            *pc,
            *(f"{name}{i}" for name in ("CDELT", "CROTA") for i in (1, 2) if f"{name}{i}" in header),
        ]
        if pc:
            _mend(found, "both CD and PC are there: CD is used")
        for key in others:
            del header[key]
        if {"CD1_1", "CD2_2"}.isdisjoint(cd) and {"CD1_2", "CD2_1"}.isdisjoint(cd):
            raise UnusableError(f"of the CD matrix only {', '.join(cd)} is there")
    elif pc or all(f"CDELT{i}" in header for i in (1, 2)):
        if pc:
            for key in [f"CROTA{i}" for i in (1, 2) if f"CROTA{i}" in header]:
                del header[key]
    else:
        raise UnusableError("neither CD nor CDELT says how large a pixel is")


def _as_float(key: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as exc:
        raise UnusableError(f"{key} is {value!r}, not a number") from exc


def _distortion(found: WcsCards, longitude: int, latitude: int) -> None:
    """Distortion cards stay where CTYPE says that they are in force."""
    header = found.header
    types = [header[f"CTYPE{i}"] for i in (1, 2)]
    sip = [key for key in header if _SIP.fullmatch(key)]
    in_force = [kind.endswith("-SIP") for kind in types]
    if any(in_force) != all(in_force):
        raise UnusableError(f"CTYPE1 is {types[0]} and CTYPE2 is {types[1]}")
    if all(in_force):
        if "A_ORDER" not in header or "B_ORDER" not in header:
            _mend(found, "CTYPE says SIP and there is no A_ORDER or B_ORDER: read without distortion")
            for i in (1, 2):
                header[f"CTYPE{i}"] = types[i - 1].removesuffix("-SIP")
            _drop(found, sip)
    elif sip:
        _drop(found, sip)
        _mend(found, "SIP cards are there and CTYPE does not say SIP: not applied")
    projection = _projection(types[0])
    parameters = []
    for key in header:
        if match := _PV.fullmatch(key):
            axis, number = int(match[1]), int(match[2])
            pole = axis == longitude and number <= 4 and projection != "TPV"
            takes = projection == "TPV" or (projection in _WITH_PARAMETERS and axis == latitude)
            if not (pole or takes):
                parameters.append(key)
    if parameters:
        _drop(found, parameters)
        _mend(found, f"PV cards are there and the projection {projection} takes none: not applied")


def _units(found: WcsCards, axes: tuple[int, int]) -> None:
    for i in axes:
        unit = str(found.header.get(f"CUNIT{i}", ""))
        name = unit.upper().replace(" ", "").replace("_", "")
        if name in _DEGREES:
            if name not in {"", "DEG"}:
                _mend(found, f"CUNIT{i} is {unit!r}: read as deg")
            found.header[f"CUNIT{i}"] = "deg"
        elif name not in {"ARCSEC", "ARCMIN", "MAS", "RAD"}:
            raise UnusableError(f"CUNIT{i} is {unit!r}, not an angle")
        else:
            found.header[f"CUNIT{i}"] = unit.lower()


def _frame(found: WcsCards, longitude: int) -> None:
    """RADESYS and EQUINOX in the standard's words."""
    header = found.header
    frame = str(header.get("RADESYS", header.get("RADECSYS", ""))).strip()
    name = frame.upper().replace(" ", "").replace("_", "").replace("/", "")
    _drop(found, [key for key in ("RADECSYS",) if key in header])
    if frame:
        if name not in _FRAMES:
            raise UnusableError(f"RADESYS is {frame!r}, not a frame that is known here")
        header["RADESYS"] = _FRAMES[name] or name
    if "EPOCH" in header and "EQUINOX" not in header:
        header["EQUINOX"] = header["EPOCH"]
    _drop(found, [key for key in ("EPOCH",) if key in header])
    if "EQUINOX" in header:
        text = str(header["EQUINOX"]).strip().upper().lstrip("JB")
        header["EQUINOX"] = _as_float("EQUINOX", text)
    if not frame and "EQUINOX" not in header and header[f"CTYPE{longitude}"].startswith("RA"):
        header["RADESYS"] = "ICRS"


def _mend(found: WcsCards, note: str) -> None:
    found.mended = True
    found.notes.append(note)


def _drop(found: WcsCards, keys: Iterable[str]) -> None:
    for key in list(keys):
        while key in found.header:
            del found.header[key]


def _kept(header: fits.Header, keep: Any) -> fits.Header:
    return fits.Header([card for card in header.cards if keep(card.keyword)])
