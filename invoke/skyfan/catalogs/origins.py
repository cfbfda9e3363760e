"""From which version of its input each result of a run was made, without reading whole results.

The receipts of the engines on this machine name it for local inputs, the table of images of a collected data
set for catalogs that have not changed since; else the first bytes of the result do: the cards of a catalog,
or the first entries of a JSON document.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator

from skyfan_contract import INPUT_VERSION

from ..errors import InputError
from ..events import OnProgress
from ..runs.local_receipts import LocalReceipts
from ..storage.listing import Object
from ..storage.place import Place
from ..storage.uris import Results
from . import dataset, fitstable

HEAD = 2 * 2880
"""Bytes of a result that are read: its version is in the first block, or in the second after a long URI."""
_STRING = rb'("(?:[^"\\]|\\.)*+")'
_JSON = re.compile(rb'\{\s*"input":\s*' + _STRING + rb',\s*"%s":\s*' % INPUT_VERSION.encode() + _STRING)
_NAMES = ("catalog", "catalog_size", "catalog_modified", "catalog_etag", "etag")


def read(
    place: Place,
    run: str,
    results: Results,
    keys: Collection[str],
    progress: OnProgress,
    requests: Counter[str],
) -> dict[str, str]:
    """The version of the input by key, as its result or receipt names it; unknown ones are missing.

    `requests` counts what a bucket is asked.
    """
    found = dict(_recorded(place, run, keys))
    if existing := _existing(place, run):
        unknown = set(keys) - set(found)
        found |= _collected(existing, results, results.list(place), unknown)
        if place.folder is None:
            requests["LIST"] += len(keys) // 1000 + 1
    unread = [key for key in keys if key not in found]
    objects = {results.object_key(key): key for key in unread}
    for done, (item, body) in enumerate(
        place.fetch((Object(name, HEAD, 0.0) for name in objects), HEAD), start=1
    ):
        if version := of_head(body):
            found[objects[item.key]] = version
        progress("reading the versions of results", done, len(unread))
    if place.folder is None:
        requests["GET"] += len(unread)
    return found


def of_head(body: bytes) -> str:
    """The version of the input that the first bytes of a result name; empty if they name none."""
    if match := _JSON.match(body):
        try:
            return str(json.loads(match[2]))
        except ValueError:
            return ""
    if body[:6] != b"SIMPLE":
        return ""
    header, _ = fitstable.cards(body[: len(body) // 80 * 80])
    return str(header.get("SRCVER", ""))


def _recorded(place: Place, run: str, keys: Collection[str]) -> Iterator[tuple[str, str]]:
    receipts = LocalReceipts(place, run)
    receipts.update()
    for key, version in zip(keys, receipts.versions_of(keys), strict=True):
        if version:
            yield key, f"size={version[0]} mtime_ns={version[1]}"


def _existing(place: Place, run: str) -> dataset.DataSet | None:
    """The data set of the run where `collect` writes it, if there is one."""
    try:
        existing = dataset.find(dataset.default_folder(place, run))
    except InputError:
        return None
    if existing and (existing.about["place"], existing.about["run"]) == (place.name, run):
        return existing
    return None


def _collected(
    existing: dataset.DataSet, results: Results, listed: Iterator[tuple[str, Object]], keys: Collection[str]
) -> Iterator[tuple[str, str]]:
    table = existing.images.select(_NAMES)
    rows = {name: rest for name, *rest in zip(*(table[name].to_pylist() for name in _NAMES), strict=True)}
    for key, item in listed:
        *same, version = rows.get(item.key.removeprefix(results.head), (None,))
        if key in keys and version and same == [item.size, item.modified, item.etag]:
            yield key, version
