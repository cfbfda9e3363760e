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
    for key, body in _heads(place, results, unread, progress, requests):
        if version := of_head(body):
            found[key] = version
    return found


def detections(
    place: Place, results: Results, keys: Collection[str], progress: OnProgress, requests: Counter[str]
) -> dict[str, str]:
    """The version of the detection image by key of the input, as catalogs name it; unknown ones are missing.

    Receipts and data sets do not have it: the first bytes of each catalog are read.
    """
    heads = _heads(place, results, keys, progress, requests)
    versions = {key: str(_header(body).get("DETVER", "")) for key, body in heads}
    return {key: version for key, version in versions.items() if version}


def _heads(
    place: Place, results: Results, keys: Collection[str], progress: OnProgress, requests: Counter[str]
) -> Iterator[tuple[str, bytes]]:
    """The first bytes of each result that exists."""
    objects = {results.object_key(key): key for key in keys}
    wanted = (Object(name, HEAD, 0.0) for name in objects)
    for done, (item, body) in enumerate(place.fetch(wanted, HEAD), start=1):
        yield objects[item.key], body
        progress("reading the versions of results", done, len(objects))
    if place.folder is None:
        requests["GET"] += len(objects)


def _header(body: bytes) -> fitstable.Header:
    """The cards in the first bytes of a catalog; none of another result."""
    return fitstable.cards(body[: len(body) // 80 * 80])[0] if body[:6] == b"SIMPLE" else {}


def of_head(body: bytes) -> str:
    """The version of the input that the first bytes of a result name; empty if they name none."""
    if match := _JSON.match(body):
        try:
            return str(json.loads(match[2]))
        except ValueError:
            return ""
    return str(_header(body).get("SRCVER", ""))


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
