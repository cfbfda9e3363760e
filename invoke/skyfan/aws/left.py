"""What of a plan is left to be sent: neither in the bucket, nor accepted by Lambda before."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from .. import uris
from ..errors import InputError
from ..plans.plan import Item
from ..runs import digests, receipts
from ..runs.place import Place
from . import journal
from .deployed import Deployed


class Left:
    """Counts what it passes over, while it is iterated."""

    def __init__(
        self,
        place: Place,
        run: str,
        results: str,
        items: Iterable[Item],
        functions: Mapping[str, Deployed],
    ) -> None:
        """`results` is the run's SKYFAN_OUTPUT without its bucket, `functions` those of the tiers."""
        self.done_before = self.sent_before = 0
        self.receipts = 0
        """Files that Lambda accepted in all calls of this run, each as often as it did."""
        self._place, self._run, self._results = place, run, results
        self._items, self._functions = items, functions

    def read(self) -> None:
        """Reads what is done and what was sent: 16 bytes a file, one listing and the receipts."""
        accepted = receipts.read(self._place, receipts.keys(self._place, self._run))
        local = [uris.key(receipt.uri) for receipt in journal.left(self._place, self._run)]
        self.receipts = len(accepted.file) + len(local)
        self._sent = np.union1d(accepted.file, digests.digests(local))
        self._done = digests.digests(self._keys())

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """(URI, deployed function name) of each file that is left. Raises InputError for a local one."""
        for uri, function in self.all():
            key = uris.key(uri)
            if digests.contains(self._done, key):
                self.done_before += 1
            elif digests.contains(self._sent, key):
                self.sent_before += 1
            else:
                yield uri, function

    def all(self) -> Iterator[tuple[str, str]]:
        """The same of every file, done or not."""
        for item in self._items:
            if not item.uri.startswith("s3://"):
                raise InputError(f"{item.uri} is on this machine, where Lambda cannot read it: copy it to S3")
            yield item.uri, self._functions[item.tier].name

    def _keys(self) -> Iterator[str]:
        head, tail = self._results.replace("{run}", self._run).split("{key}", 1)
        for item in self._place.list(head[: head.rfind("/") + 1]):
            if item.key.startswith(head) and item.key.endswith(tail):
                yield item.key[len(head) : len(item.key) - len(tail)]
