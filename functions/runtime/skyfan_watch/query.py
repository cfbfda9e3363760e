"""Which files a standing query wants: by their keys, and by headers where keys do not say enough. No I/O.

Criteria are those of `skyfan plan`. The words of a criterion are alternatives; * stands for any characters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import translate
from functools import cache
from typing import Any

from skyfan_contract.products import instrument_of_name, product_type, provenance_of_name

_FRAMES = re.compile(r"tess/public/ffi/s(\d{4})/\d{4}/\d{3}/(\d)-(\d)/")
INSTRUMENT = "instrument_name"
NAMES = {
    INSTRUMENT: "instrument",
    "filters": "filter",
    "proposal_id": "proposal",
    "target_name": "target",
    "t_min": "date",
    "t_exptime": "exposure time",
}
"""Columns of a header that a query compares, by what people call them."""


@dataclass(frozen=True)
class Query:
    """The criteria of a standing query, all of which a file must meet. Empty and None mean any."""

    mission: str = ""
    buckets: tuple[str, ...] = ()
    prefix: str = ""
    """Of keys."""
    products: tuple[str, ...] = ()
    """Product types in capitals."""
    provenance: str = "any"
    """pipeline, hap, mvm or any."""
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Patterns by column of the header."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Minimum and maximum by column of the header."""
    cone: tuple[float, float, float] | None = None
    """RA, Dec and radius in degrees, of the position of the target."""
    frames: tuple[int | None, int | None, int | None] | None = None
    """Sector, camera and CCD of TESS's full-frame images."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Query:
        """The query in a JSON document. Raises TypeError or ValueError for what is none."""
        values = dict(document)
        for name in ("buckets", "products", "cone", "frames"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        for name in ("words", "ranges"):
            values[name] = {key: tuple(value) for key, value in values.get(name, {}).items()}
        return cls(**values)

    def document(self) -> dict[str, Any]:
        """The query as JSON has it."""
        return asdict(self)

    @property
    def needs_header(self) -> bool:
        """Whether keys alone never decide."""
        instruments = self.words.get(INSTRUMENT, ())
        others = set(self.words) - {INSTRUMENT}
        return bool(others or self.ranges or self.cone) or not all(map(_is_whole, instruments))

    def needs_header_of(self, key: str) -> bool:
        """Whether the header of a file that by_key() let through has to be read."""
        if self.needs_header or INSTRUMENT not in self.words:
            return self.needs_header
        return not self.mission or instrument_of_name(self.mission, key) is None

    def by_key(self, bucket: str, key: str) -> str | None:
        """Why a file is not wanted, in a few words that can be counted; None if its key does not tell."""
        name = key.rpartition("/")[2]
        if self.buckets and bucket not in self.buckets:
            return "another bucket"
        if not key.startswith(self.prefix):
            return "another mission, or not public"
        if not re.search(r"\.fits(\.gz|\.fz)?$", name, re.IGNORECASE):
            return "not a FITS file"
        if self.products and product_type(name) not in self.products:
            return "another product type"
        if self.provenance != "any" and (provenance_of_name(name) or "pipeline") != self.provenance:
            return "another provenance"
        if self.frames and not self._is_frame(key):
            return "another sector, camera or CCD"
        instrument = instrument_of_name(self.mission, name) if self.mission else None
        if instrument and (patterns := self.words.get(INSTRUMENT)):
            heads = [pattern.partition("/")[0] for pattern in patterns]
            if not any(_matches(instrument, head) for head in heads):
                return "another instrument"
        return None

    def by_header(self, columns: Mapping[str, Any]) -> str | None:
        """Why a file is not wanted, given what its header says; None if it is."""
        for column, patterns in self.words.items():
            value = columns.get(column)
            if value is None:
                return f"no {NAMES[column]} in its header"
            text = str(value)
            parts = {text, *text.split(";")} if column == "filters" else {text}
            if not any(_matches(part, pattern) for part in parts for pattern in patterns):
                return f"another {NAMES[column]}"
        for column, (low, high) in self.ranges.items():
            number = columns.get(column)
            if not isinstance(number, float):
                return f"no {NAMES[column]} in its header"
            if not low <= number <= high:
                return f"another {NAMES[column]}"
        return self._by_position(columns)

    def _by_position(self, columns: Mapping[str, Any]) -> str | None:
        if self.cone is None:
            return None
        ra, dec = columns.get("s_ra"), columns.get("s_dec")
        if not isinstance(ra, float) or not isinstance(dec, float):
            return "no position in its header"
        return None if _separation(ra, dec, *self.cone[:2]) <= self.cone[2] else "another position"

    def _is_frame(self, key: str) -> bool:
        match = _FRAMES.match(key)
        return match is not None and all(
            wanted in (None, int(found))
            for wanted, found in zip(self.frames or (), match.groups(), strict=True)
        )


def _is_whole(pattern: str) -> bool:
    """Whether a pattern of instruments is one of all detectors of an instrument: WFC3*."""
    return "/" not in pattern and pattern.endswith("*")


@cache
def _pattern(text: str) -> re.Pattern[str]:
    # Only * is a wildcard, as in queries of MAST.
    escaped = text.replace("[", "[[]").replace("?", "[?]")
    return re.compile(translate(escaped), re.IGNORECASE)


def _matches(value: str, pattern: str) -> bool:
    return _pattern(pattern).match(value) is not None


def _separation(ra: float, dec: float, ra0: float, dec0: float) -> float:
    """Angle in degrees between two positions in degrees, by the haversine formula."""
    lat, lat0, turn = (math.radians(value) for value in (dec, dec0, ra - ra0))
    inside = math.sin((lat - lat0) / 2) ** 2 + math.cos(lat) * math.cos(lat0) * math.sin(turn / 2) ** 2
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(inside))))
