"""watch.json: what a standing query looks for, what it may spend, and what its function is sent."""

from __future__ import annotations

import bisect
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from skyfan_contract import RUN_NAME, quoted
from skyfan_contract.products import product_type

from .query import Query

AWS, LOCAL = "aws", "local"
NANO = 1_000_000_000
"""Nanodollars of a dollar: money is counted in whole ones, so that sums are exact."""
STANDARD, LARGE = "standard", "large"
OTHER_PRODUCT = "*"
PLANNED, SENT = ".planned", ".sent"
"""Endings of what a watch adds to its run. No result ends like them, so policies can tell them apart."""
_VERSION = 1


class DefinitionError(ValueError):
    """A watch.json that cannot be used; the message says why."""


@dataclass(frozen=True)
class Watch:
    """A standing query."""

    name: str
    """Also that of its run."""
    query: Query
    created: str
    """ISO 8601, UTC."""
    where: str = AWS
    """AWS, or LOCAL for a folder."""
    source: str = ""
    """The folder; empty for an archive."""
    budget: float | None = None
    """USD per month (UTC); None for none, as on this machine."""
    functions: Mapping[str, str] = field(default_factory=dict)
    """Deployed names by tier."""
    event: Mapping[str, Any] = field(default_factory=dict)
    """What each event holds besides its input."""
    costs: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = field(default_factory=dict)
    """By tier: sizes in bytes, increasing, and the upper limits of what a file of that size costs, in USD."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Bytes up to which a file is for the standard tier, by product type and compression: FLT, FLT.gz, *."""
    task: Mapping[str, Any] = field(default_factory=dict)
    """The function and its configuration, as run.json has them."""
    paused: str = ""
    """Since when, ISO 8601; empty if it is not."""
    removed: str = ""

    @classmethod
    def parse(cls, body: bytes) -> Watch:
        """The watch in a watch.json. Raises DefinitionError."""
        try:
            document = json.loads(body)
            if document.pop("version", None) != _VERSION:
                raise DefinitionError("it is of another version of skyfan")
            document["query"] = Query.of(document["query"])
            document["costs"] = {tier: (tuple(a), tuple(b)) for tier, (a, b) in document["costs"].items()}
            watch = cls(**document)
            if not RUN_NAME.fullmatch(watch.name) or watch.where not in (AWS, LOCAL):
                raise DefinitionError(f"its name or place is none: {quoted(watch.name)}")
            if watch.budget is not None and not 0 <= float(watch.budget) < math.inf:
                raise DefinitionError(f"its budget is none: {quoted(watch.budget)}")
        except DefinitionError:
            raise
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise DefinitionError(f"it is damaged: {quoted(str(error))}") from error
        return watch

    def body(self) -> bytes:
        """The content of watch.json."""
        document = {"version": _VERSION, **asdict(self)}
        return (json.dumps(document, indent=1) + "\n").encode()

    @property
    def nano(self) -> int | None:
        """The budget in nanodollars."""
        return None if self.budget is None else round(self.budget * NANO)

    def tier(self, uri: str, size: int) -> str:
        """The tier of a file by its size: the one whose function is sent it."""
        ending = uri[-3:].lower() if uri[-3:].lower() in (".gz", ".fz") else ""
        product = product_type(uri) or OTHER_PRODUCT
        limit = self.limits.get(product + ending, self.limits.get(OTHER_PRODUCT + ending, 0))
        return STANDARD if size <= limit or LARGE not in self.functions else LARGE

    def cost(self, uri: str, size: int) -> int:
        """The upper limit of what a file costs, in nanodollars, rounded up; 0 without a budget.

        Between two sizes of the table it is a straight line between logarithms, which is never below the
        estimate: that is a sum of powers of the size, which bends upwards there.
        """
        if self.budget is None:
            return 0
        sizes, usd = self.costs[self.tier(uri, size)]
        size = max(size, 1)
        if size >= sizes[-1]:
            return math.ceil(usd[-1] * size / sizes[-1] * NANO)
        at = bisect.bisect_right(sizes, size)
        if at == 0:
            return math.ceil(usd[0] * NANO)
        share = math.log(size / sizes[at - 1]) / math.log(sizes[at] / sizes[at - 1])
        factor: float = (usd[at] / usd[at - 1]) ** share
        return math.ceil(usd[at - 1] * factor * NANO)

    def plan_key(self, version: str) -> str:
        """The key of the plan of one version of a file."""
        return f"runs/{self.name}/plans/{version}{PLANNED}"

    def receipt_key(self, version: str) -> str:
        """The key of the receipt of one version of a file; on this machine, that it was processed."""
        return f"{self.confirmed}{version}{SENT}"

    @property
    def confirmed(self) -> str:
        """The folder of what was sent: receipts, or on this machine files that were processed."""
        return f"runs/{self.name}/receipts/" if self.where == AWS else f"{folder(self.name)}sent/"


def folder(name: str) -> str:
    """The folder of a watch."""
    return f"watches/{name}/"


def version_of(uri: str, etag: str) -> str:
    """The digest of one version of a file: 32 hexadecimal digits."""
    return hashlib.sha256(f"{uri}\n{etag}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
