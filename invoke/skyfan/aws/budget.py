"""The budget of a run: the cost of all files that Lambda has accepted, or may have."""

import json
import math
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from ..bill import prices as price_list
from ..bill.estimate import Conditions, Sums, charges, known_sizes
from ..engine import Call
from ..errors import UsageError
from ..files import from_json
from ..plans.plan import LARGE, Item
from ..runs import digests, planned
from ..runs.planned import Planned
from ..storage import uris
from ..storage.place import Place
from ..task import Task
from . import journal

if TYPE_CHECKING:  # bills need what is below without boto3
    from .stack import Functions, Stack

_COMPACT_AFTER = 50_000


def conditions_of(stack: "Stack", functions: "Functions", task: Task, batch: int) -> Conditions:
    """The conditions under which a stack processes the files of a task."""
    return Conditions(
        memory_mb=functions.memory_mb,
        arch=stack.outputs.get("ProcessorArchitecture", "x86_64"),
        prices=price_list.load(region=stack.region),
        concurrency=functions.concurrency,
        concurrency_source=functions.concurrency_source,
        batch=batch,
        room=task.room,
        outputs=task.outputs,
        requester_pays=task.access == "requester-pays",
    )


class Spending:
    """The upper limit of the cost of files that are sent one after the other.

    That of all of them together is usd_most of their estimate, cold starts included.
    """

    def __init__(self, conditions: Conditions) -> None:
        self.usd = 0.0
        self.conditions = conditions
        self._sums: dict[str, Sums] = {}

    def spend(
        self,
        tier: str,
        names: Iterable[str],
        sizes: ArrayLike,
        *,
        invocations: int = 1,
        limit: float = math.inf,
    ) -> bool:
        """Adds the files `names` of `sizes` (n,) bytes, -1 if unknown, and returns True.

        If `usd` would exceed `limit`, it adds nothing and returns False.
        """
        size = known_sizes(sizes)
        paid = np.fromiter(map(self.conditions.is_paid, names), np.bool_, len(size))
        sums = Sums.of(size, paid, invocations, self.conditions, tier, high=True)
        by_tier = {**self._sums, tier: self._sums[tier] + sums if tier in self._sums else sums}
        usd = charges(by_tier, self.conditions, high=True).usd
        if usd > limit:
            return False
        self._sums, self.usd = by_tier, usd
        return True


class Sizes:
    """The sizes of a run's files: those of its plans, and of a plan that is about to be added."""

    def __init__(self, place: Place, run: str, plan: Iterable[Item] = ()) -> None:
        stored = planned.read(place, planned.keys(place, run))
        own = [(uris.key(item.uri), -1 if item.bytes_read is None else item.bytes_read) for item in plan]
        names = np.concatenate([digests.each(key for key, _ in own).astype(np.uint64), stored.digests])
        sizes = np.concatenate([np.array([size for _, size in own], np.int64), stored.size])
        # Of two sizes of one file the known one counts, and the larger of two known ones.
        order = np.lexsort((-sizes, names))
        unique, first = np.unique(names[order], return_index=True)
        self._files = Planned(unique, sizes[order][first], first)

    def of(self, names: Iterable[str]) -> NDArray[np.int64]:
        """Bytes (n,) of the files with these URIs; -1 if unknown."""
        rows = digests.find(self._files.digests, digests.of_uris(names).astype(np.uint64))
        found: NDArray[np.int64] = np.append(self._files.size, -1)[rows]
        return found


class Budget:
    """Lets calls through as long as the whole run stays within `limit` USD."""

    def __init__(self, limit: float, conditions: Conditions, functions: "Functions", sizes: Sizes) -> None:
        """`limit` includes earlier calls of the run. Raises UsageError if it is negative."""
        if not limit >= 0:
            raise UsageError(f"max-cost must be at least 0, not {limit}")
        self.limit = limit
        self._spending, self._sizes = Spending(conditions), sizes
        self._tiers = functions.tier_of

    @property
    def usd(self) -> float:
        """The upper limit of the cost of what was let through, earlier calls included."""
        return self._spending.usd

    def spend(self, call: Call) -> bool:
        """Takes the cost of a call that is about to be sent; False if that would exceed the limit."""
        return self._add(call.function, call.uris, 1, self.limit)

    def spent(self, calls: Iterable[Call]) -> None:
        """Counts calls that were, or may have been, accepted."""
        for call in calls:
            self._add(call.function, call.uris, 1, math.inf)

    def receipts(self, accepted: pa.Table) -> None:
        """Counts receipts: columns uri, function and request_id.

        Files of one request share an invocation; those without a request ID count alone.
        """
        for function in pc.unique(accepted["function"]).to_pylist():
            rows = accepted.filter(pc.equal(accepted["function"], function))
            requests = rows["request_id"].to_pylist()
            invocations = len(set(requests) - {""}) + requests.count("")
            self._add(function, rows["uri"].to_pylist(), invocations, math.inf)

    def _add(self, function: str, names: Iterable[str], invocations: int, limit: float) -> bool:
        # A function that is not deployed any more counts as the largest.
        names = list(names)
        tier = self._tiers.get(function, LARGE)
        return self._spending.spend(tier, names, self._sizes.of(names), invocations=invocations, limit=limit)


class Attempts:
    """Requests that may have been accepted though no receipt says so. Use it as a context manager.

    They are those under way, and those whose response was lost: lines of a file beside the journal, which
    survives kill -9. The next process on this machine counts them as sent. Callers hold the journal's lock.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "attempts"
        self._open = dict(enumerate(_unresolved(self._path)))
        self._number = len(self._open)
        self._lines = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        self._compact()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()

    def unresolved(self) -> list[Call]:
        """Those that are not ended, without payloads."""
        return list(self._open.values())

    def began(self, call: Call) -> int:
        """Records a request before it is sent; returns its number."""
        self._number += 1
        self._open[self._number] = call._replace(payload=b"")
        self._write([self._number, call.function, *call.uris])
        return self._number

    def ended(self, attempt: int) -> None:
        """Records that a request was not accepted, or has its receipt."""
        del self._open[attempt]
        self._write([attempt])
        if self._lines >= _COMPACT_AFTER:
            self._compact()

    def _write(self, line: list[Any]) -> None:
        assert self._file is not None
        journal.append(self._file.fileno(), [json.dumps(line, separators=(",", ":"))])
        self._lines += 1

    def _compact(self) -> None:
        part = self._path.with_suffix(".part")
        file = part.open("wb", buffering=0)
        if self._file:
            self._file.close()
        self._file, self._lines = file, 0
        for number, call in self._open.items():
            self._write([number, call.function, *call.uris])
        part.replace(self._path)


def attempts(place: Place, run: str) -> list[Call]:
    """The unresolved requests of a run on this machine, without payloads. Only reads."""
    return _unresolved(journal.folder(place, run) / "attempts")


def _unresolved(path: Path) -> list[Call]:
    found: dict[int, Call] = {}
    with suppress(FileNotFoundError), path.open("rb") as lines:
        for line in lines:
            # A full disk or a power failure leaves half a line.
            with suppress(ValueError, TypeError, AttributeError):
                number, *call = from_json(line)
                for text in call:
                    text.encode()
                if call:
                    found[number] = Call(call[0], tuple(call[1:]), b"")
                else:
                    found.pop(number, None)
    return list(found.values())
