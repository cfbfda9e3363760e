"""Selects the files of observations for a plan, drops others with a reason. No I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from skyfan_contract.products import product_type, provenance_of_name

from .bucket import ObjectStatus
from .plan import SCHEMA
from .tiers import tier

PUBLIC = "PUBLIC"
_CALIBRATED = frozenset({"DRZ", "DRC", "FLT", "FLC", "I2D", "CAL"})
_FULL_FRAMES = frozenset({"TESS FFI", "TICA FFI"})


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
        if by_name := provenance_of_name(name):
            own = "mvm" if by_name == "mvm" or own == "mvm" else "hap"
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
