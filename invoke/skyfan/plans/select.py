"""Selects the files of observations for a plan, drops others with a reason, and assigns tiers. No I/O."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import isqrt
from typing import NamedTuple

import pyarrow as pa

from skyfan_contract import BYTES_BASE, BYTES_PER_PIXEL, TILED_ABOVE, memory_of

from .bucket import ObjectStatus
from .plan import LARGE, SCHEMA, STANDARD, Item

PUBLIC = "PUBLIC"
# MB, for plans that are made without a stack: MemorySize of template.yaml, and the most that LargeMemorySize
# can be, so that no file is dropped that some stack can process.
MEMORY_MB: Mapping[str, int] = {STANDARD: 512, LARGE: 10240}
_ROOM = 1.2  # sources take memory too


class Layout(NamedTuple):
    """What a product holds for each pixel of its largest plane."""

    least: int
    """Bytes of the file, at least."""
    most: int
    planes: tuple[str, ...]
    """What SepExtract reads of it, by the names in skyfan_contract.BYTES_PER_PIXEL."""


# DRZ: SCI, WHT (float32) and CTX (int32, one plane or several). FLT: SCI, ERR (float32), DQ (int16), for IR
# also SAMP and TIME; one or two chips. CAL: SCI, ERR, DQ, three variances, and AREA, which some modes lack,
# four bytes each. I2D: SCI, ERR, WHT, three variances, and CON, a plane for each 32 exposures. FFIC: two.
LAYOUTS: Mapping[str, Layout] = {
    **dict.fromkeys(("DRZ", "DRC"), Layout(12, 16, ("science", "weight"))),
    **dict.fromkeys(("FLT", "FLC"), Layout(10, 20, ("science", "error", "dq"))),
    "CAL": Layout(24, 28, ("science", "error", "dq", "area")),
    "I2D": Layout(28, 40, ("science", "error", "weight")),
    "FFIC": Layout(8, 9, ("science", "error")),
}
# Of files of one size, one that holds the image alone has the most pixels.
_UNKNOWN = Layout(4, 20, ("science",))
# A plane of more pixels takes the smaller function more than half of its time, and one of more than the most
# takes more than Lambda has, if its field is crowded (benchmarks/tiles --large).
_SLOW, _MOST = 100_000_000, 1_000_000_000
# Sides of a mosaic may be so unequal.
_WIDE = 1.5
# Typical factor of Rice and gzip.
_COMPRESSION = 4
_CALIBRATED = frozenset({"DRZ", "DRC", "FLT", "FLC", "I2D", "CAL"})
_FULL_FRAMES = frozenset({"TESS FFI", "TICA FFI"})
_HAP = re.compile(r"(?:.*/)?hst_(?:(skycell)|\d+_)", re.IGNORECASE)
"""Names of Hubble Advanced Products: hst_skycell-p1234x05y06_…, hst_12345_01_…."""
_SUFFIX = re.compile(r"_([a-z0-9]+)\.fits(?:\.gz|\.fz)?$", re.IGNORECASE)


@dataclass(slots=True)
class File:
    """A row of the plan while it is filled in."""

    row: int
    """Index of its observation; -1 without."""
    data_uri: str | None = None
    product: str | None = None
    size: int | None = None
    rights: str | None = None
    uri: str | None = None
    tier: str | None = None
    dropped: str | None = None
    detail: str | None = None

    def drop(self, reason: str, detail: str | None = None) -> None:
        """Drops the file for one of the reasons in plan.DROPS."""
        self.dropped, self.detail = reason, detail


class Product(NamedTuple):
    """An entry of a product list."""

    data_uri: str
    product_type: str
    size: int | None
    """Bytes."""
    rights: str | None
    provenance: str | None = None
    """The pipeline, in MAST's words."""


@dataclass(frozen=True)
class Wanted:
    """Which files of the matching observations a plan keeps."""

    product_types: frozenset[str]
    """In capitals."""
    provenance: str = "any"
    """One of criteria.PROVENANCES."""
    proprietary: bool = False
    """Also files that MAST does not call public."""


def candidates(
    observations: pa.Table, wanted: Wanted, *, needs_lists: bool = False
) -> tuple[list[File], list[int]]:
    """Files that the observations name themselves, some dropped; and rows that need a product list.

    With `needs_lists`, those are all rows but the dropped ones.
    """
    product_types = wanted.product_types
    files: list[File] = []
    without_list: list[int] = []
    obsids: set[str] = set()
    names = ["obsid", "obs_id", "dataURL", "dataRights", "calib_level", "target_name", "provenance_name"]
    columns = (observations[name].to_pylist() for name in names)
    for row, (obsid, name, url, rights, level, target, pipeline) in enumerate(zip(*columns, strict=True)):
        file = File(row, url, product_type(url), rights=rights)
        if obsid is not None and obsid in obsids:
            file.drop("duplicate", "MAST lists the observation twice")
        elif reason := _reason_by_provenance(wanted.provenance, pipeline, url, name):
            file.drop("other provenance", reason)
        elif is_proprietary(rights) and not wanted.proprietary:
            file.drop("proprietary", f"dataRights is {rights}")
        elif reason := _reason_without_product(level, target, url, product_types):
            file.drop("wrong type", reason)
        elif needs_lists or not _is_wanted(url, product_types):
            if obsid is not None:
                without_list.append(row)
                obsids.add(obsid)
                continue
            file.drop("unresolved", "MAST gives no obsid, which its product list is requested by")
        obsids.add(obsid)
        files.append(file)
    return files, without_list


def from_product_list(row: int, products: Iterable[Product], types: list[str], wanted: Wanted) -> list[File]:
    """Files of one observation, from its `products` of wanted types; `types` are all its product types."""
    files: list[File] = []
    for item in products:
        file = File(row, item.data_uri, item.product_type, item.size, item.rights)
        if reason := _reason_by_provenance(wanted.provenance, item.provenance, item.data_uri):
            file.drop("other provenance", reason)
        elif is_proprietary(file.rights) and not wanted.proprietary:
            file.drop("proprietary", f"dataRights is {file.rights}")
        elif not file.data_uri:
            file.drop("not in the cloud", "its product list gives no dataURI")
        files.append(file)
    if not files:
        names = ", ".join(types[:8]) + (", …" if len(types) > 8 else "")
        detail = f"it has {names}" if names else "it has no products"
        files.append(File(row, dropped="wrong type", detail=detail))
    return files


def product_type(name: str | None) -> str | None:
    """The product type at the end of a file's name, in capitals: DRZ of jbeveo010_drz.fits."""
    match = _SUFFIX.search(name or "")
    return match[1].upper() if match else None


def is_proprietary(rights: str | None) -> bool:
    """Whether MAST says that a file is not public. Without a statement, the bucket decides."""
    return rights is not None and rights.upper() != PUBLIC


def provenance_of(stated: str | None, *names: str | None) -> str:
    """pipeline, hap or mvm: by what MAST states, or by the name of a file or an observation."""
    words = (stated or "").upper().replace("_", "-")
    if words == "HLA":  # its own images have such names, too
        return "pipeline"
    own = "mvm" if "MVM" in words else "hap" if words.startswith("HAP") else "pipeline"
    for name in names:
        if name and "hst_" in name.lower() and (match := _HAP.match(name)):
            own = "mvm" if match[1] else own if own == "mvm" else "hap"
    return own


def _reason_by_provenance(wanted: str, stated: str | None, *names: str | None) -> str | None:
    """Why a product is not of the wanted provenance, None if it is."""
    own = "any" if wanted == "any" else provenance_of(stated, *names)
    if own == wanted:
        return None
    return f"made by {stated or own}: kept with --provenance {own} or any"


def _is_wanted(data_url: str | None, product_types: frozenset[str]) -> bool:
    """Whether the observation's main file is of a wanted type, so that it needs no product list."""
    return data_url is not None and data_url.startswith("mast:") and product_type(data_url) in product_types


def _reason_without_product(
    calib_level: int | None, target: str | None, data_url: str | None, product_types: frozenset[str]
) -> str | None:
    """Why an observation has no wanted product, if that is clear without its product list."""
    if target in _FULL_FRAMES and data_url is None:
        return "full-frame images, thousands per observation: plan them with --sector"
    if calib_level is not None and calib_level < 2 and product_types <= _CALIBRATED:
        return "not calibrated (calib_level below 2)"
    return None


def kept(files: Iterable[File]) -> list[File]:
    """The files that have not been dropped so far."""
    return [file for file in files if file.dropped is None]


def drop_duplicates(files: Iterable[File], planned: Iterable[str] = ()) -> None:
    """Drops files with a URI in `planned` or of an earlier file; the dataURI while URIs are unknown."""
    seen = set(planned)
    for file in kept(files):
        name = file.uri or file.data_uri
        if name is None:
            continue
        if name in seen:
            file.drop("duplicate")
        seen.add(name)


def set_uris(
    files: Iterable[File], paths: Mapping[str, str | None], errors: Mapping[str, str], bucket: str
) -> None:
    """Sets URIs from the result of lookup.paths; drops files without one."""
    for file in kept(files):
        assert file.data_uri is not None
        if path := paths.get(file.data_uri):
            file.uri = f"s3://{bucket}/{path}"
        elif file.data_uri in errors:
            file.drop("unresolved", errors[file.data_uri])
        else:
            file.drop("not in the cloud", "path_lookup knows no key")


def set_sizes(
    files: Iterable[File], statuses: Mapping[str, ObjectStatus], errors: Mapping[str, str], bucket: str
) -> None:
    """Sets sizes from the result of bucket.objects; drops files that the bucket does not serve."""
    for file in kept(files):
        key = str(file.uri).removeprefix(f"s3://{bucket}/")
        if key in errors:
            file.drop("unresolved", errors[key])
        elif (status := statuses[key]).is_denied:
            file.drop("proprietary", "the bucket denies access (403)")
        elif status.size is None:
            file.drop("not in the cloud", "no such object in the bucket")
        else:
            file.size = status.size


def set_tiers(files: Iterable[File]) -> None:
    """Sets the tier of each file; drops files that are too large for every function."""
    for file in kept(files):
        file.tier = tier(file.uri or "", file.size)
        if file.tier is None:
            file.drop("too big", f"{(file.size or 0) / 1e9:.1f} GB")


def tier(
    name: str, size: int | None, memory_mb: Mapping[str, int] = MEMORY_MB, *, pixels: int | None = None
) -> str | None:
    """STANDARD, LARGE, or None if no function can process the file. LARGE in case of doubt.

    `memory_mb` has the memory size of each tier, `pixels` those of the largest plane, if they are known.
    """
    if size is None and pixels is None:
        return STANDARD
    least, most = _memory(name, size or 0, pixels)
    if most.bytes * _ROOM <= memory_mb[STANDARD] << 20 and most.pixels <= _SLOW:
        return STANDARD
    return LARGE if least.bytes <= memory_mb[LARGE] << 20 and least.pixels <= _MOST else None


def sending_tier(item: Item, memory_mb: Mapping[str, int]) -> str:
    """The tier whose function an item is sent to, by the memory that is deployed.

    The plan's own tier counts only if the size is unknown. A file that no function can process goes to the
    largest, which records a failure that says so.
    """
    if item.size is None and item.pixels is None:
        return item.tier
    return tier(item.uri, item.size, memory_mb, pixels=item.pixels) or LARGE


def graded(items: Iterable[Item], memory_mb: Mapping[str, int]) -> Iterator[Item]:
    """The items with their sending_tier()."""
    for item in items:
        yield Item(item.uri, item.size, sending_tier(item, memory_mb), item.pixels)


class _Need(NamedTuple):
    pixels: int
    """Of the largest plane."""
    bytes: int
    """Of memory."""


def _memory(name: str, size: int, pixels: int | None = None) -> tuple[_Need, _Need]:
    """What a file of `size` bytes takes, at least and at most.

    `pixels` are those of its largest plane, if they are known; of an unknown product, its planes are not.
    """
    layout = LAYOUTS.get(product_type(name) or "", _UNKNOWN)
    ending = name[-3:].lower()
    # SepExtract keeps all that a gzipped file holds in memory.
    unzipped = size if ending == ".gz" else 0
    packed = _COMPRESSION if ending in (".gz", ".fz") else 1
    if pixels is None:
        least, most, planes = size // layout.most, packed * size // layout.least, layout.planes
    else:
        least = most = pixels
        planes = tuple(BYTES_PER_PIXEL) if layout is _UNKNOWN else layout.planes
    return (
        _Need(least, _bytes(least, layout.planes, 1.0) + unzipped),
        _Need(most, _bytes(most, planes, _WIDE) + packed * unzipped),
    )


def _bytes(pixels: int, planes: tuple[str, ...], wide: float) -> int:
    """As memory_of(), which adds them up again for each file."""
    if pixels <= TILED_ABOVE:
        return pixels * _per_pixel(planes) + BYTES_BASE
    return memory_of(pixels, planes, int(wide * isqrt(pixels)))


@cache
def _per_pixel(planes: tuple[str, ...]) -> int:
    return sum(BYTES_PER_PIXEL[plane] for plane in planes)


def table(files: list[File], observations: pa.Table | None = None) -> pa.Table:
    """The rows of a plan: plan.SCHEMA with observations, otherwise those of its columns that are known."""
    columns = {
        "uri": [file.uri for file in files],
        "size": [file.size for file in files],
        "tier": [file.tier for file in files],
        "dropped": [file.dropped for file in files],
        "detail": [file.detail for file in files],
        "dataURI": [file.data_uri for file in files],
        "product": [file.product for file in files],
        "pixels": [None] * len(files),
    }
    rows = pa.table({name: pa.array(values, SCHEMA.field(name).type) for name, values in columns.items()})
    if observations is None:
        return rows
    matching = observations.take(pa.array([file.row for file in files], pa.int64()))
    for name in SCHEMA.names:
        if name not in columns:
            rows = rows.append_column(SCHEMA.field(name), matching[name].combine_chunks())
    return rows
