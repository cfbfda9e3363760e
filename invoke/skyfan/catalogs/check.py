"""Whether a result is the one that its run made: recorded bytes, of its image, with the run's settings."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from skyfan_contract import TABLE, header_uri

from ..errors import InputError
from ..events import OnProgress, ignore
from ..files import from_json
from ..runs import local_receipts
from ..runs import run as runs
from ..runs.local_receipts import LocalReceipts
from ..storage import uris
from ..storage.place import Place
from ..storage.uris import Results
from . import fitstable, images, kinds
from .fitstable import Catalog, DamagedCatalogError, Header

NOTHING_THERE = "it is listed, but reading it finds nothing"


class OtherSettingsError(DamagedCatalogError):
    """A catalog was made with other settings than those of its run."""


class Check:
    """Checks the catalogs of a run, one by one."""

    def __init__(self, place: Place, run: str, config: Mapping[str, Any], digest: str = "") -> None:
        """`config` are the run's settings; `digest` is that of all settings in catalogs checked before."""
        self._receipts = LocalReceipts(place, run)
        self._receipts.update()
        self._config, self._digest = config, digest

    def read(self, key: str, body: bytes) -> tuple[Catalog, images.Row]:
        """The catalog of the input with this key, and its row in the table of images.

        Raises DamagedCatalogError if it is not the catalog that the run made.
        """
        catalog = fitstable.read(body)
        row = images.row(catalog)
        self.bytes(key, body)
        row["uri"] = _named(row["uri"], key, kinds.of_header(catalog.header).input)
        if differences := ", ".join(_differences(self._config, catalog.header)):
            raise OtherSettingsError(f"its settings are not those of the run: {differences}")
        self._digest = self._digest or row["config"]
        if row["config"] != self._digest:
            raise OtherSettingsError(
                f"its settings (CONFHASH {row['config']}) are not those of other catalogs ({self._digest})"
            )
        return catalog, row

    def bytes(self, key: str, body: bytes) -> None:
        """Raises DamagedCatalogError if the engine recorded another result of the input with this key."""
        recorded = self._receipts.digest_of(key)
        if recorded and recorded != local_receipts.digest(body):
            raise DamagedCatalogError("its bytes are not those that were recorded when it was made")


def _named(named: str, key: str, noun: str) -> str:
    """The URI of the input with this key, if a header names it. Raises DamagedCatalogError."""
    uri = f"s3://{key}"
    if named in (header_uri(uri), header_uri(uri).replace("%25", "%")):  # the last of earlier versions
        return uri
    try:
        own = uris.key(named)
    except InputError as error:
        raise DamagedCatalogError(f"its header names no {noun}: {error}") from error
    if own != key or named.startswith("s3://"):
        raise DamagedCatalogError(f"it is of another {noun}, {named}")
    return named


def damaged(place: Place, run: str, progress: OnProgress = ignore) -> dict[str, str]:
    """Reads all results of a run: keys of the inputs whose result the run did not make like that, and why."""
    about = runs.read(place, run)
    results, check = Results.of(about["results"], run), Check(place, run, about["config"])
    listed = {item.key: (key, item) for key, item in results.list(place)}
    objects = (item for _, (_, item) in sorted(listed.items()))
    # Unless reading finds otherwise.
    found = dict.fromkeys(sorted(key for key, _ in listed.values()), NOTHING_THERE)
    for done, (item, body) in enumerate(place.fetch(objects), start=1):
        key, _ = listed[item.key]
        del found[key]
        try:
            if results.tail.endswith(TABLE):
                check.read(key, body)
            else:
                check.bytes(key, body)
        except DamagedCatalogError as error:
            found[key] = str(error)
        progress("checking results", done, len(listed))
    return found


def _differences(wanted: Mapping[str, Any], header: Header) -> Iterator[str]:
    """In which settings a catalog differs from its run, as far as its header names them."""
    if "CONFIG" not in header:
        return
    try:
        made = from_json(str(header["CONFIG"]))
        changed = from_json(str(header.get("CONFSET", "{}")))  # catalogs of earlier versions have none
        for name in sorted({*wanted, *changed}):
            value = wanted.get(name)  # null stands for the default
            if value is None and name in changed:
                yield f"{name} is {json.dumps(changed[name])} instead of its default"
            elif value is not None and (name not in made or made[name] != value):
                yield f"{name} is {json.dumps(made.get(name))} instead of {json.dumps(value)}"
    except (ValueError, TypeError, AttributeError) as error:
        raise DamagedCatalogError("the settings in its header cannot be read") from error
