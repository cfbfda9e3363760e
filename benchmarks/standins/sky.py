"""An archive made by rule: observations, their products, and the keys of the bucket.

Observation n is an association of WFC3/IR exposures in folder hst/public/<first 4>/<folder>/; 64 of them make
a program. Each folder holds about 30 files: raw, flt, spt… of four exposures, and the drizzled product, whose
name's last character differs from the folder's for each seventh, as it does in the archive. With `odd` some
are proprietary, some are unknown to path_lookup, some are missing in the bucket, some are listed twice.
"""

import bisect
import fnmatch
import math
from typing import Any

BUCKET = "stpubdata"
FIRST = 24_000_000
"""obsid of the first observation."""
FILTERS = ("F160W", "F125W", "F105W", "F140W")
NAMES = {"m101": (210.8023, 54.349), "ngc 1300": (49.9208, -19.4111)}
_PER_PROGRAM = 64
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_EXPOSURES = 4
_SUFFIXES = ("raw", "flt", "ima", "spt", "jif", "jit", "trl")
_MB = 1_000_000
_SIZES = {"raw": 28 * _MB, "flt": 16 * _MB, "ima": 120 * _MB, "drz": 13 * _MB}


class Sky:
    """All answers of the stand-in that depend on what is in the archive."""

    def __init__(self, observations: int, *, odd: bool = False) -> None:
        self.observations, self.odd = observations, odd
        self._folders = [self._folder(number) for number in range(observations)]

    # Oddities: disjoint residues, so that each kind is there once in a few dozen observations.
    def is_proprietary(self, number: int) -> bool:
        return self.odd and number % 40 == 3

    def is_unknown(self, number: int) -> bool:
        return self.odd and number % 40 == 11

    def is_missing(self, number: int) -> bool:
        return self.odd and number % 40 == 19

    def is_doubled(self, number: int) -> bool:
        """Whether an observation lists the main product of the one before."""
        return self.odd and number % 40 == 27

    def observation(self, number: int) -> dict[str, Any]:
        """A row of Mast.Caom.Filtered."""
        ra, dec = self._position(number)
        program = number // _PER_PROGRAM
        mjd = 55_000 + number % 5000 + 0.25
        half = 0.019
        corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
        region = " ".join(
            f"{(ra + x * half / math.cos(math.radians(dec))) % 360:.8f} {dec + y * half:.8f}"
            for x, y in corners
        )
        name = self.product(number)
        return {
            "dataproduct_type": "image",
            "calib_level": 3,
            "obs_collection": "HST",
            "obs_id": self._folders[number],
            "target_name": f"FIELD-{program}",
            "s_ra": ra,
            "s_dec": dec,
            "t_min": mjd,
            "t_max": mjd + 0.03,
            "t_exptime": 400.0 + 100 * (number % 20),
            "wavelength_region": "Infrared",
            "filters": FILTERS[number % 4],
            "em_min": 1400.0,
            "em_max": 1680.0,
            "target_classification": "GALAXY;HIGH REDSHIFT",
            "obs_title": f"A survey of nothing in particular, made by rule, program {program}",
            "t_obs_release": mjd + 365,
            "instrument_name": "WFC3/IR",
            "proposal_pi": "Rule, By",
            "proposal_id": str(11_000 + program),
            "project": "HST",
            "provenance_name": "CALWF3",
            "sequence_number": None,
            "s_region": f"POLYGON ICRS {region}",
            "jpegURL": f"mast:HST/product/{name.replace('.fits', '.jpg')}",
            "dataURL": f"mast:HST/product/{name}",
            "dataRights": "EXCLUSIVE_ACCESS" if self.is_proprietary(number) else "PUBLIC",
            "mtFlag": None,
            "obsid": str(FIRST + number),
            "objID": str(3 * FIRST + number),
        }

    def product(self, number: int) -> str:
        """File name of the main product."""
        number -= self.is_doubled(number)
        folder = self._folders[number]
        return f"{folder[:-1]}{1 if number % 7 == 6 else 0}_drz.fits"

    def matching(self, filters: list[dict[str, Any]], position: str | None) -> list[int]:
        """Numbers of the observations that all filters of a Mashup request let through."""
        numbers = [
            number for number in range(self.observations) if not position or self._is_near(number, position)
        ]
        return [number for number in numbers if all(_passes(self._short(number), item) for item in filters)]

    def products(self, obsids: list[str]) -> list[dict[str, Any]]:
        """Rows of Mast.Caom.Products; some providers list a file a second time."""
        rows = []
        for obsid in obsids:
            number = int(obsid) - FIRST
            for file in self._files(number):
                kind = file.rsplit("_", 1)[1].removesuffix(".fits").upper()
                row = {
                    "obsID": obsid,
                    "obs_collection": "HST",
                    "dataproduct_type": "image",
                    "obs_id": self._folders[number],
                    "description": f"DADS {kind} file",
                    "type": "D",
                    "dataURI": f"mast:HST/product/{file}",
                    "productType": "SCIENCE" if kind in {"FLT", "DRZ", "RAW", "IMA"} else "AUXILIARY",
                    "productGroupDescription": "",
                    "productSubGroupDescription": kind,
                    "productDocumentationURL": "",
                    "project": "CALWF3",
                    "prvversion": "3.5.2",
                    "proposal_id": str(11_000 + number // _PER_PROGRAM),
                    "productFilename": file,
                    "size": self._size(file),
                    "parent_obsid": obsid,
                    "dataRights": "EXCLUSIVE_ACCESS" if self.is_proprietary(number) else "PUBLIC",
                    "calib_level": 3 if kind == "DRZ" else 2,
                }
                rows.append(row)
                if self.odd and kind == "FLT" and number % 10 == 0:
                    rows.append(row | {"project": "HLA", "description": "the same file, another provider"})
        return rows

    def resolve(self, name: str) -> list[dict[str, Any]]:
        """What the name resolver knows."""
        if name.lower() not in NAMES:
            return []
        ra, dec = NAMES[name.lower()]
        return [{"searchString": name.lower(), "resolver": "NED", "ra": ra, "decl": dec}]

    def path(self, uri: str) -> str | None:
        """path_lookup's path of a dataURI."""
        found = self._of(uri.rsplit("/", 1)[-1])
        if found is None or self.is_unknown(found[0]) or not uri.startswith("mast:HST/product/"):
            return None
        folder = self._folders[found[0]]
        return f"/hst/public/{folder[:4]}/{folder}/{found[1]}"

    def size(self, key: str) -> int | None:
        """Bytes of an object, None where there is none."""
        name = key.rsplit("/", 1)[-1]
        found = self._of(name)
        if (
            found is None
            or self.path(f"mast:HST/product/{name}") != f"/{key}"
            or self._is_absent(found[0], name)
        ):
            return None
        return self._size(name)

    def is_hidden(self, key: str) -> bool:
        """Whether an object that is there answers 403."""
        found = self._of(key.rsplit("/", 1)[-1])
        return found is not None and self.is_proprietary(found[0])

    def keys(self, prefix: str, after: str, most: int) -> tuple[list[tuple[str, int]], bool]:
        """Up to `most` keys with their sizes, in S3's order, and whether there are more below the prefix."""
        found: list[tuple[str, int]] = []
        first = max(prefix, after).split("/")
        at = bisect.bisect_left(self._folders, first[3]) if len(first) > 3 else 0
        at = (
            max(0, at - 1)
            if len(first) > 3
            else bisect.bisect_left(self._folders, first[2] if len(first) > 2 else "")
        )
        for number in range(at, self.observations):
            folder = self._folders[number]
            place = f"hst/public/{folder[:4]}/{folder}/"
            if not place.startswith(prefix) and not prefix.startswith(place):
                if place > prefix:
                    break
                continue
            for name in self._files(number):
                key = place + name
                if key > after and key.startswith(prefix) and not self._is_absent(number, name):
                    if len(found) == most:
                        return found, True
                    found.append((key, self._size(name)))
        return found, False

    def _is_absent(self, number: int, name: str) -> bool:
        return self.is_missing(number) and name.endswith("_drz.fits")

    def _files(self, number: int) -> list[str]:
        """Names of the files of an observation's folder, sorted."""
        folder = self._folders[number]
        drizzled = f"{folder[:-1]}{1 if number % 7 == 6 else 0}_drz.fits"
        names = [f"{folder}_asn.fits", drizzled]
        for exposure in "acdf"[:_EXPOSURES]:
            names += [f"{folder[:-3]}{exposure}{folder[-2]}q_{suffix}.fits" for suffix in _SUFFIXES]
        return sorted(names)

    def _of(self, name: str) -> tuple[int, str] | None:
        """The observation that a file name belongs to."""
        at = bisect.bisect_left(self._folders, name[:6])
        if at < self.observations and self._folders[at][:6] == name[:6] and name in self._files(at):
            return at, name
        return None

    def _short(self, number: int) -> dict[str, Any]:
        return {
            "obs_collection": "HST",
            "dataproduct_type": "image",
            "instrument_name": "WFC3/IR",
            "filters": FILTERS[number % 4],
            "proposal_id": str(11_000 + number // _PER_PROGRAM),
            "proposal_pi": "Rule, By",
            "provenance_name": "CALWF3",
            "obsid": FIRST + number,
            "s_ra": self._position(number)[0],
            "s_dec": self._position(number)[1],
            "target_name": f"FIELD-{number // _PER_PROGRAM}",
            "calib_level": 3,
            "t_min": 55_000 + number % 5000 + 0.25,
            "t_exptime": 400.0 + 100 * (number % 20),
            "dataRights": "EXCLUSIVE_ACCESS" if self.is_proprietary(number) else "PUBLIC",
        }

    @staticmethod
    def _folder(number: int) -> str:
        program, visit = divmod(number, _PER_PROGRAM)
        return f"i{_base36(program, 3)}{_base36(visit, 2)}010"

    @staticmethod
    def _position(number: int) -> tuple[float, float]:
        """Programs lie on a spiral over the sky, their visits within a degree."""
        program, visit = divmod(number, _PER_PROGRAM)
        dec = math.degrees(math.asin(2 * ((program * 0.618034) % 1) - 1)) * 0.95
        ra = (program * 137.508) % 360
        return round((ra + 0.1 * (visit % 8)) % 360, 8), round(dec + 0.05 * (visit // 8), 8)

    def _is_near(self, number: int, position: str) -> bool:
        ra, dec, radius = (float(word) for word in position.split(","))
        own_ra, own_dec = (math.radians(value) for value in self._position(number))
        a, d = math.radians(ra), math.radians(dec)
        cosine = math.sin(d) * math.sin(own_dec) + math.cos(d) * math.cos(own_dec) * math.cos(a - own_ra)
        return math.degrees(math.acos(max(-1, min(1, cosine)))) <= radius

    @staticmethod
    def _size(name: str) -> int:
        kind = name.rsplit("_", 1)[1].removesuffix(".fits")
        return _SIZES.get(kind, 50_000) // 2880 * 2880 + 2880 * (sum(name.encode()) % 97)


def _base36(number: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text


def _passes(row: dict[str, Any], item: dict[str, Any]) -> bool:
    """Whether a row passes one filter of a Mashup request: alternatives, a range, a text with %."""
    value = row.get(item["paramName"])
    words = [str(value)] if "separator" not in item else str(value).split(item["separator"])
    if (pattern := item.get("freeText")) and any(
        fnmatch.fnmatchcase(word, pattern.replace("%", "*")) for word in words
    ):
        return True
    for wanted in item["values"]:
        if isinstance(wanted, dict):
            if value is not None and wanted["min"] <= value <= wanted["max"]:
                return True
        elif str(wanted) in words:
            return True
    return False
