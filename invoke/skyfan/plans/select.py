"""From observations and products to the rows of a plan: what is kept, what is dropped and why. No I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from . import products, tiers
from .bucket import Found
from .plan import SCHEMA

PUBLIC = "PUBLIC"


@dataclass(slots=True)
class File:
    """A row of the plan in the making."""

    row: int
    """Index of its observation."""
    data_uri: str | None = None
    product: str | None = None
    size: int | None = None
    rights: str | None = None
    uri: str | None = None
    tier: str | None = None
    dropped: str | None = None
    detail: str | None = None

    def drop(self, reason: str, detail: str | None = None) -> None:
        self.dropped, self.detail = reason, detail


def candidates(
    observations: pa.Table, wanted: frozenset[str], *, proprietary: bool = False
) -> tuple[list[File], list[int]]:
    """Files that observations name, dropped ones too, and the rows whose product lists must be asked."""
    files: list[File] = []
    ask: list[int] = []
    names = ["dataURL", "dataRights", "calib_level", "target_name"]
    columns = (observations[name].to_pylist() for name in names)
    for row, (url, rights, level, target) in enumerate(zip(*columns, strict=True)):
        file = File(row, url, products.kind(url), rights=rights)
        if is_proprietary(rights) and not proprietary:
            file.drop("proprietary", f"dataRights is {rights}")
        elif why := products.none_of(level, target, url, wanted):
            file.drop("wrong type", why)
        elif not products.is_main(url, wanted):
            ask.append(row)
            continue
        files.append(file)
    return files, ask


def is_proprietary(rights: str | None) -> bool:
    """Whether MAST says that a file is not public; where it says nothing, the bucket will."""
    return rights is not None and rights.upper() != PUBLIC


def of_product_list(
    row: int,
    listed: Iterable[tuple[str, str, int | None, str | None]],
    types: list[str],
    *,
    proprietary: bool = False,
) -> list[File]:
    """Files of one observation; `listed` has dataURI, type, bytes and rights of those of a wanted type."""
    files = [File(row, uri, kind, size, rights) for uri, kind, size, rights in listed]
    for file in files:
        if is_proprietary(file.rights) and not proprietary:
            file.drop("proprietary", f"dataRights is {file.rights}")
    if not files:
        there = ", ".join(types[:8]) + (", …" if len(types) > 8 else "")
        files.append(
            File(row, dropped="wrong type", detail=f"it has {there}" if there else "it has no products")
        )
    return files


def kept(files: Iterable[File]) -> list[File]:
    """Those that nothing speaks against so far."""
    return [file for file in files if file.dropped is None]


def drop_duplicates(files: Iterable[File]) -> None:
    """Drops what has the dataURI, or once it is known the URI, of an earlier file."""
    seen: set[str] = set()
    for file in kept(files):
        name = file.uri or file.data_uri
        if name is None:
            continue
        if name in seen:
            file.drop("duplicate")
        seen.add(name)


def locate(
    files: Iterable[File], paths: Mapping[str, str | None], failed: Mapping[str, str], bucket: str
) -> None:
    """Gives files their URIs in the bucket, from path_lookup's answers."""
    for file in kept(files):
        assert file.data_uri is not None
        if path := paths.get(file.data_uri):
            file.uri = f"s3://{bucket}/{path}"
        elif file.data_uri in failed:
            file.drop("unresolved", failed[file.data_uri])
        else:
            file.drop("not in the cloud", "path_lookup knows no place")


def measure(
    files: Iterable[File], objects: Mapping[str, Found], failed: Mapping[str, str], bucket: str
) -> None:
    """Gives files the sizes that the bucket told, and drops what it has not."""
    for file in kept(files):
        key = str(file.uri).removeprefix(f"s3://{bucket}/")
        if key in failed:
            file.drop("unresolved", failed[key])
        elif (there := objects[key]).refused:
            file.drop("proprietary", "the bucket refuses to show it (403)")
        elif there.size is None:
            file.drop("not in the cloud", "no such object in the bucket")
        else:
            file.size = there.size


def grade(files: Iterable[File]) -> None:
    """Gives files their tier, and drops what no function can hold."""
    for file in kept(files):
        file.tier = tiers.tier(file.uri or "", file.size)
        if file.tier is None:
            file.drop("too big", f"{(file.size or 0) / 1e9:.1f} GB")


def table(files: list[File], observations: pa.Table | None = None) -> pa.Table:
    """The rows of a plan, with as many of plan.SCHEMA's columns as are known."""
    columns = {
        "uri": [file.uri for file in files],
        "size": [file.size for file in files],
        "tier": [file.tier for file in files],
        "dropped": [file.dropped for file in files],
        "detail": [file.detail for file in files],
        "dataURI": [file.data_uri for file in files],
        "product": [file.product for file in files],
    }
    made = pa.table({name: pa.array(values, SCHEMA.field(name).type) for name, values in columns.items()})
    if observations is None:
        return made
    told = observations.take(pa.array([file.row for file in files], pa.int64()))
    for name in SCHEMA.names:
        if name not in columns:
            made = made.append_column(SCHEMA.field(name), told[name].combine_chunks())
    return made
