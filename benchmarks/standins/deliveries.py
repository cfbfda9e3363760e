"""What a run against the stand-in of a stack (cloud.py) has to leave, and how to ask that stand-in."""

import json
import os
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skyfan.runs import receipts
from skyfan.storage.place import Place

from .cloud import RESULTS, Worker
from .processes import SKYFAN

SEED, FAIL, DOUBT = 3, 0.02, 0.05
START = [sys.executable, "-c", "from skyfan.cli import main; main(prog_name='skyfan')"]


def get_json(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        document: dict[str, Any] = json.load(answer)
    return document


@dataclass
class Cloud:
    """The servers of the stack. taken() returns how often each file was delivered since they started."""

    aws: str
    endpoint: str

    def taken(self, files: list[str]) -> dict[str, int]:
        work = get_json(f"{self.endpoint}/work")
        return {uri: work.get(uri, 0) for uri in files}


def files(name: str, number: int) -> list[str]:
    return [f"s3://stpubdata/hst/public/{name}/{at:06}_flt.fits" for at in range(number)]


def fates(uris: list[str]) -> dict[str, list[str]]:
    """The files that the stand-in will process and fail."""
    worker = Worker(None, SEED, FAIL, 0.0, 0.0)
    made: dict[str, list[str]] = {"done": [], "failed": []}
    for uri in uris:
        made[worker.fate(uri)].append(uri)
    return made


def catalogs(run: str) -> list[str]:
    head = f"runs/{run}/catalogs/"
    found = Place.at(f"s3://{RESULTS}").list(head)
    return ["s3://" + item.key.removeprefix(head).removesuffix(".cat.fits") for item in found]


def check(run: str, uris: list[str], counts: dict[str, int], unrecorded: int = 0) -> None:
    """Every file is processed, has one catalog and a receipt, and the counts are exact.

    `unrecorded` files that were in flight when a process was killed may lack a receipt, but no catalog.
    """
    expected = fates(uris)
    assert catalogs(run) == expected["done"]
    assert counts["planned"] == len(uris)
    assert (counts["done"], counts["failed"]) == (len(expected["done"]), len(expected["failed"]))
    assert sum(counts[name] for name in ("unsent", "sent", "late", "missing", "cancelled")) == 0
    place = Place.at(f"s3://{RESULTS}")
    accepted = receipts.read(place, receipts.chunks(place, run))
    assert len(uris) - unrecorded <= len(set(accepted.file.tolist())) <= len(uris)


def listed(uris: list[str], folder: Path) -> str:
    path = folder / "list.txt"
    path.write_text("\n".join(uris))
    return f"@{path}"


def environment() -> dict[str, str]:
    """Variables of a process that runs START."""
    return {**os.environ, "PYTHONPATH": SKYFAN}
