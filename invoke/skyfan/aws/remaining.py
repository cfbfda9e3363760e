"""The files to send: those of a plan that are neither done nor sent, or those that a retry selects."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..engine import File, Selection
from ..errors import InputError, UsageError
from ..formatting import count, printable
from ..plans.plan import STANDARD, Item
from ..plans.tiers import graded
from ..runs import digests
from ..runs.state import Follower
from ..storage import uris
from ..storage.place import Place
from ..storage.uris import Results
from . import journal
from .budget import Budget
from .stack import Functions

_NAMED = 5


class Remaining:
    """Iterates over the remaining files, and counts those that it skips."""

    def __init__(
        self,
        place: Place,
        run: str,
        results: Results,
        items: Iterable[Item],
        functions: Functions,
        outputs: Sequence[str] = (),
    ) -> None:
        """`outputs` are the further results of each file."""
        self._outputs = outputs
        self.done_before = self.sent_before = 0
        self._place, self._run, self._results = place, run, results
        self._items, self._functions = items, functions

    def read(self, budget: Budget | None = None) -> None:
        """Reads which files are done and which were sent: one listing and the receipts, 16 bytes per file.

        Counts all receipts in `budget`; a file that was accepted twice counts twice.
        """
        self.done_before = self.sent_before = 0
        accepted = [np.empty(0, np.uint64)]
        for table in journal.accepted(self._place, self._run):
            accepted.append(digests.of_uris(table["uri"].to_pylist()).astype(np.uint64))
            if budget:
                budget.receipts(table)
        self._sent = np.unique(np.concatenate(accepted))
        self._done = digests.digests(key for key, _ in self._results.list(self._place))

    def __iter__(self) -> Iterator[File]:
        """Raises InputError for a local file."""
        for file in self.all():
            key = uris.key(file.uri)
            if digests.contains(self._done, key):
                self.done_before += 1
            elif digests.contains(self._sent, key):
                self.sent_before += 1
            else:
                yield file

    def all(self) -> Iterator[File]:
        """All files, including those that are done or sent. Raises InputError for a local file."""
        for item in self.graded():
            if not item.uri.startswith("s3://"):
                raise InputError(f"{item.uri} is on this machine, where Lambda cannot read it: copy it to S3")
            yield File(item.uri, self._functions.tiers[item.tier].name, detect=item.detect)

    def graded(self) -> Iterator[Item]:
        """All files, each with the tier that it is sent to."""
        return graded(self._items, self._functions.memory_mb, self._outputs)

    def uris(self) -> Iterator[str]:
        """The files that the call is about."""
        return (item.uri for item in self._items)


class Selected:
    """The files of a run that a retry selects, as Remaining has those of a plan."""

    done_before = sent_before = 0

    def __init__(
        self, selection: Selection, follower: Follower, functions: Functions, outputs: Sequence[str] = ()
    ) -> None:
        self._selection, self._follower, self._functions = selection, follower, functions
        self._outputs = outputs
        self.state = follower.read()

    def read(self, budget: Budget | None = None) -> None:
        """Reads the state again. Counts all receipts in `budget`."""
        if budget:
            for table in journal.accepted(self._follower.place, self._follower.run):
                budget.receipts(table)
        self.state = self._follower.read()

    def __iter__(self) -> Iterator[File]:
        return self.all()

    def all(self) -> Iterator[File]:
        """The selected files with the names of their functions."""
        for item in self.graded():
            alone = item.uri in self._selection.alone
            yield File(item.uri, self._functions.tiers[item.tier].name, alone, item.detect)

    def graded(self) -> Iterator[Item]:
        """The selected files, each with the tier that it is sent to."""
        names = {tier: function.name for tier, function in self._functions.tiers.items()}
        return self._selection.select(self.state, names, self._functions.memory_mb, self._outputs)

    def uris(self) -> Iterator[str]:
        """The files that the call is about."""
        return (item.uri for item in self.graded())


def check_buckets(files: Remaining | Selected, functions: Functions) -> None:
    """Raises UsageError if files are to be sent whose buckets the functions do not read.

    Each would cost an invocation that refuses it. Files that are done or sent do not matter.
    """
    reads = functions.tiers[STANDARD].inputs
    if not reads or not any(_bucket(uri) not in reads for uri in files.uris()):
        return
    files.read()
    first: dict[str, str] = {}
    others: Counter[str] = Counter()
    for uri in (file.uri for file in files):
        if (bucket := _bucket(uri)) not in reads:
            others[bucket] += 1
            first.setdefault(bucket, uri)
    if others:
        named = "; ".join(
            f"{count(number)} in {printable(bucket)}, such as {printable(first[bucket])}"
            for bucket, number in others.most_common(_NAMED)
        )
        more = f"; and {count(len(others) - _NAMED, 'more bucket')}" if len(others) > _NAMED else ""
        raise UsageError(
            f"the functions of this stack read only {', '.join(sorted(reads))}, and would refuse "
            f"{named}{more}. Leave these files out, or have whoever deploys the stack add the buckets to its "
            "parameter InputBuckets (`skyfan deploy -p InputBuckets=...`)"
        )


def _bucket(uri: str) -> str:
    return uri.split("/", 3)[2]
