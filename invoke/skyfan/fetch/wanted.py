"""What to fetch: the rows of a plan or the URIs of paths, and why some of them cannot be fetched."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .. import concurrency, inputs
from ..errors import InputError, UsageError
from ..plans import plan as plans
from ..plans.plan import DROPS, Plan

TOKEN = "MAST_API_TOKEN"
"""The environment variable with the token for files of MAST that are not public; it is never printed."""
_UNWANTED = ("duplicate", "wrong type", "other provenance")
"""Reasons of a plan for files that nobody asked for."""
_IN_THE_CLOUD = "too big"
"""Too large to be processed, which is no reason not to fetch it."""


@dataclass(frozen=True)
class Wanted:
    """A file to fetch."""

    uri: str
    """s3://bucket/key, or mast:…"""
    fallback: str | None = None
    """mast:… of a file that may not be in the cloud."""
    size: int | None = None
    """Bytes, if a plan says so."""


@dataclass(frozen=True)
class NotFetched:
    """A file that was not fetched, and why."""

    source: str
    reason: str


@dataclass
class Selection:
    """What to fetch, and what not."""

    wanted: list[Wanted] = field(default_factory=list)
    refused: list[NotFetched] = field(default_factory=list)
    unwanted: dict[str, int] = field(default_factory=dict)
    """Rows of a plan that it left out on purpose, by reason."""


def select(
    paths: inputs.Paths | Plan,
    access: str,
    *,
    mast: bool,
    places: Callable[[list[str]], tuple[dict[str, str | None], dict[str, str]]],
) -> Selection:
    """The files of a plan, or those that paths name: s3:// objects, prefixes, patterns, mast: URIs, @lists.

    With `mast` what is not in the cloud comes from MAST itself. `places` finds the s3:// URIs of mast: URIs,
    None for those that are not in the cloud, and error messages. Raises UsageError, InputError.
    """
    found = Selection()
    if not isinstance(paths, Plan):
        paths = inputs.as_paths(paths)
        if [path for path in paths if path.endswith(".parquet") and not path.startswith("s3://")]:
            if len(paths) > 1:
                raise UsageError("give a plan alone, without other paths")
            paths = plans.read(paths[0])
    if isinstance(paths, Plan):
        _of_plan(paths, mast, found)
        return found
    each = inputs.expand(paths, access=access, checked=False)
    in_mast = [uri for uri in each if uri.startswith("mast:")]
    known, errors = places(in_mast) if in_mast else ({}, {})
    for uri in each:
        if uri.startswith("s3://"):
            found.wanted.append(Wanted(uri))
        elif not uri.startswith("mast:"):
            raise InputError(f"{uri} is on this machine already: fetch takes s3:// and mast: URIs and plans")
        elif place := known.get(uri):
            found.wanted.append(Wanted(place, uri if mast else None))
        elif mast:
            found.wanted.append(Wanted(uri))
        else:
            reason = errors.get(uri) or f"{DROPS['not in the cloud']}; --mast fetches it from MAST"
            found.refused.append(NotFetched(uri, reason))
    return found


def _of_plan(plan: Plan, mast: bool, found: Selection) -> None:
    names = ["uri", "dropped", "detail", "dataURI", "size"]
    for uri, dropped, detail, data_uri, size in zip(
        *(plan.table()[name].to_pylist() for name in names), strict=True
    ):
        fallback = data_uri if mast and data_uri else None
        source = uri or data_uri or "a row without a URI"
        if dropped in _UNWANTED:
            found.unwanted[dropped] = found.unwanted.get(dropped, 0) + 1
        elif (dropped is None or dropped == _IN_THE_CLOUD) and uri:
            if uri.startswith("s3://"):
                found.wanted.append(Wanted(uri, fallback, size))
            else:
                found.refused.append(NotFetched(uri, "on this machine already"))
        elif fallback and (dropped != "proprietary" or os.environ.get(TOKEN)):
            found.wanted.append(Wanted(fallback))
        else:
            found.refused.append(NotFetched(source, _reason(dropped, detail, data_uri)))


def _reason(dropped: str | None, detail: str | None, data_uri: str | None) -> str:
    reason = f"{dropped}: {detail or DROPS.get(dropped or '', '')}"
    if dropped == "proprietary":
        return f"{reason}; --mast fetches it if {TOKEN} holds your token"
    if dropped == plans.UNRESOLVED:
        return f"{reason}; `skyfan plan --resume` asks again"
    return f"{reason}; --mast fetches it from MAST" if data_uri else reason


def places_of(uris: Iterable[str]) -> tuple[dict[str, str | None], dict[str, str]]:
    """The s3:// URIs of mast: URIs in the archive's bucket, None for those that are not there, and errors."""
    from ..plans import lookup  # aiohttp, which only these need
    from ..plans.cache import Cache
    from ..plans.limits import ArchiveLimits

    limits = ArchiveLimits.from_environment()
    with Cache() as cache:
        keys, errors = concurrency.run(lookup.paths(uris, limits, cache))
    return {uri: key and f"s3://{limits.bucket}/{key}" for uri, key in keys.items()}, errors
