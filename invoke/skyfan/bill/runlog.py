"""The log of one run: of its own invocations alone, in CloudWatch or in the local engine's files."""

import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..plans.plan import LARGE, STANDARD, Item
from ..runs import digests, planned, receipts, run
from ..runs.place import Place
from ..runs.planned import Planned
from ..runs.receipts import Receipts
from . import figures, logs, speeds
from .collector import Collector
from .costs import Beside
from .estimate import ARCHIVE
from .records import Records
from .speeds import Speeds

# Lambda gives an event up after six hours in its queue; the last of three tries may take 15 minutes.
_AFTER_S = 6 * 3600 + 3 * 900 + 300
_BEFORE_S = 60
_PATIENCE_S = 900


@dataclass(frozen=True)
class RunLog:
    """What is known of a run's work: its reports, its plan, and what is beside the logs on its bill."""

    place: Place
    name: str
    records: Records
    beside: Beside
    files: Planned
    sent: bool
    """Whether Lambda did the work, or a part of it."""

    @property
    def memory_mb(self) -> dict[str, int]:
        """Memory sizes by tier: the most frequent in the log, and the largest."""
        sizes = Counter(self.records.memory_mb[self.records.invoked].astype(int).tolist())
        if not sizes:
            return {STANDARD: speeds.ONE_CPU_MB, LARGE: 10240}
        return {STANDARD: sizes.most_common(1)[0][0], LARGE: max(sizes)}

    def items(self) -> Iterator[Item]:
        """The files of its plans, each once."""
        return planned.items(self.place, planned.keys(self.place, self.name), np.sort(self.files.row))

    def speeds(self) -> Speeds | None:
        """What its files took, for another run's estimate; None where sizes or durations are not known."""
        results = self.records.results
        at = digests.find(self.files.digests, results.file)
        sizes = np.append(self.files.size, -1)[at]
        known = (sizes >= 0) & ~np.isnan(results.seconds)
        if not known.any():
            return None
        return speeds.past(sizes[known], results.seconds[known], self.memory_mb[STANDARD], self.name)


def read(
    place: Place,
    name: str,
    *,
    log_groups: Callable[[frozenset[str]], list[str]],
    client: Callable[[], Any],
    on_page: Callable[[int], None] = lambda events: None,
) -> RunLog:
    """Reads the log of a run.

    `log_groups` gives the log groups of functions by their deployed names, `client` boto3's client of logs:
    neither is asked where the run has no receipts. Raises UsageError where there is no such run,
    or no log of it.
    """
    about = run.read(place, name)
    sent = receipts.read(place, receipts.keys(place, name))
    plans = planned.keys(place, name)
    files = planned.read(place, plans)
    collector = Collector(name)
    local = [item.key for item in place.list(f"runs/{name}/logs/")]
    for key in local:
        collector.add(logs.text(io.BytesIO(place.get(key) or b"")))
    own = collector.finish()
    if len(sent.file):
        collector = Collector(name)
        start, end = sent.sent.min() / 1000 - _BEFORE_S, sent.sent.max() / 1000 + _AFTER_S
        for page in logs.cloudwatch(client(), log_groups(sent.functions), start, end, on_page):
            collector.add(page)
        own = own + _of_requests(collector.finish(), sent)
    elif not local:
        raise UsageError(f"the run {name} in {place.name} has no log and no receipts: nothing has run yet")
    beside = _beside(place, own, sent, files, plans, about)
    return RunLog(place, name, own, beside, files, bool(len(sent.file)))


def _of_requests(records: Records, sent: Receipts) -> Records:
    """The reports of the requests that were sent, and starts that failed while they ran."""
    asked = np.unique(sent.request)
    own: NDArray[np.bool_] = digests.find(asked, _requests(records)) >= 0
    own &= records.invoked
    times = records.time[own & ~np.isnan(records.time)]
    share = float(own.sum()) / max(1, int(records.invoked.sum()))
    if len(times):
        near = (records.time >= times.min() - _PATIENCE_S) & (records.time <= times.max())
        own |= ~records.invoked & near
    return records.only(own, log_bytes=round(records.log_bytes * share))


def _requests(records: Records) -> NDArray[np.uint64]:
    return digests.each(request.decode() for request in records.request_id.tolist()).astype(np.uint64)


def _beside(
    place: Place, records: Records, sent: Receipts, files: Planned, plans: list[str], about: dict[str, Any]
) -> Beside:
    done = len(records.results.file)
    good = records.only(records.invoked & ~figures.failed(records))
    if not done and len(sent.file):  # a function that does not tell of its images
        done = len(np.unique(sent.file[digests.find(np.unique(_requests(good)), sent.request) >= 0]))
    elif not done:
        done = good.different(good.invoked)
    pays = about.get("access") == "requester-pays"
    sizes = [
        item.size or 0
        for item in planned.items(place, plans, np.sort(files.row))
        if item.uri.startswith("s3://") and (pays or not item.uri.startswith(ARCHIVE))
    ]
    low, high = speeds.measured().requests(sizes)
    return Beside(
        images=done,
        gets=float((low + high).sum()) / 2,
        puts=done * (1 + len(about.get("outputs", ()))),
        lists=1 + len(files) // 1000,
    )
