"""The log of one run's own invocations, from CloudWatch or the local engine's files."""

import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..events import OnProgress, ignore
from ..plans.plan import LARGE, STANDARD, Item
from ..plans.tiers import MEMORY_MB
from ..runs import digests, planned, receipts, run, state
from ..runs.planned import Planned
from ..runs.receipts import Receipts
from ..storage.place import Place
from ..storage.uris import Results
from . import logs, speeds
from .collector import Collector
from .costs import Unlogged
from .estimate import ARCHIVE
from .records import Records
from .speeds import Speeds

# Lambda drops an event after six hours in its queue; each of three attempts may take 15 minutes.
_AFTER_S = 6 * 3600 + 3 * 900 + 300
_BEFORE_S = 60
# Failed starts up to this long before the first result belong to the run.
_PATIENCE_S = 900


@dataclass(frozen=True)
class RunLog:
    """The reports of a run, its plan, and its usage that is not in the logs."""

    place: Place
    name: str
    function: str
    """Logical ID."""
    records: Records
    unlogged: Unlogged
    files: Planned
    sent: bool
    """Whether files were sent to Lambda."""
    requests: int
    """Requests that Lambda accepted, by the receipts."""
    stored_bytes: int
    """Size of the results in the place of the run."""
    unreported: int
    """Those of them without a report in the log, though they ran or may have."""

    @property
    def memory_mb(self) -> dict[str, int]:
        """Memory sizes by tier: the most frequent in the log, and the largest."""
        sizes = Counter(self.records.memory_mb[self.records.invoked].astype(int).tolist())
        if not sizes:
            return dict(MEMORY_MB)
        return {STANDARD: sizes.most_common(1)[0][0], LARGE: max(sizes)}

    def items(self) -> Iterator[Item]:
        """The files of its plans, each once."""
        return planned.items(self.place, planned.keys(self.place, self.name), np.sort(self.files.row))

    def speeds(self) -> Speeds | None:
        """Processing times by file size, for another run's estimate; None if no size or duration is known."""
        results = self.records.results
        rows = digests.find(self.files.digests, results.file)
        sizes = np.append(self.files.size, -1)[rows]
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
    exports: Iterable[str] = (),
    progress: OnProgress = ignore,
) -> RunLog:
    """Reads the log of a run.

    `exports` are log files to read instead of the run's own log; other runs in them are left out.
    `log_groups` returns the log groups of functions by their deployed names, `client` boto3's client for
    logs; both are called only if the run has receipts and no exports are given. Raises UsageError if there is
    no such run, or no log of it.
    """
    about = run.read(place, name)
    sent = receipts.read(place, receipts.chunks(place, name))
    plans = planned.keys(place, name)
    files = planned.read(place, plans)
    collector = Collector(name)
    local_logs = [item.key for item in place.list(f"runs/{name}/logs/")]
    for key in local_logs:
        collector.add(logs.text(io.BytesIO(place.get(key) or b"")))
    records = collector.finish()
    if exported := list(exports):
        records = _of_exports(exported, name, records, sent)
    elif len(sent.file):
        collector = Collector(name)
        start, end = sent.sent.min() / 1000 - _BEFORE_S, sent.sent.max() / 1000 + _AFTER_S
        for page in logs.cloudwatch(client(), log_groups(sent.functions), start, end, progress):
            collector.add(page)
        records += _of_requests(collector.finish(), sent)
    elif not local_logs:
        raise UsageError(f"the run {name} in {place.name} has no log and no receipts: nothing has run yet")
    marks = sum(1 for _ in place.list(f"runs/{name}/doubtful/"))
    unlogged = _unlogged(place, records, sent, files, plans, about, marks)
    requests = np.unique(sent.request)
    without = np.setdiff1d(requests, _digests(records))
    if len(without):  # what never ran is billed nothing, and is in the run's failure records
        unstarted = np.intersect1d(without, state.read(place, name).unstarted())
        without = np.setdiff1d(without, unstarted)
    stored = sum(item.size for item in place.list(Results.of(about["results"], name).prefix))
    is_sent = bool(len(sent.file))
    return RunLog(
        place,
        name,
        about["function"],
        records,
        unlogged,
        files,
        is_sent,
        len(requests),
        stored,
        len(without),
    )


def _of_exports(paths: list[str], name: str, local: Records, sent: Receipts) -> Records:
    """The reports of a run's own invocations in log files: by its receipts, or by its log on this machine."""
    collector = Collector(name)
    for events in logs.files(paths):
        collector.add(events)
    records = collector.finish()
    if len(sent.file):
        return _of_requests(records, sent)
    if not len(local):
        raise UsageError(
            f"the run {name} has no receipts, so its invocations cannot be told from others in "
            f"{', '.join(paths)}: leave out {name} to see what the whole file cost"
        )
    return records.select(np.isin(records.request_id, local.request_id))


def _of_requests(records: Records, sent: Receipts) -> Records:
    """The reports of the requests that were sent, and failed starts while they ran."""
    requests = np.unique(sent.request)
    own: NDArray[np.bool_] = digests.find(requests, _digests(records)) >= 0
    own &= records.invoked
    times = records.time[own & ~np.isnan(records.time)]
    share = float(own.sum()) / max(1, int(records.invoked.sum()))
    if len(times):
        near = (records.time >= times.min() - _PATIENCE_S) & (records.time <= times.max())
        own |= ~records.invoked & near
    return records.select(own, log_bytes=round(records.log_bytes * share))


def _digests(records: Records) -> NDArray[np.uint64]:
    return digests.each(request.decode() for request in records.request_id.tolist()).astype(np.uint64)


def _unlogged(
    place: Place,
    records: Records,
    sent: Receipts,
    files: Planned,
    plans: list[str],
    about: dict[str, Any],
    marks: int,
) -> Unlogged:
    done = len(records.results.file)
    good = records.select(records.invoked & ~records.failed)
    if not done and len(sent.file):  # a function that does not log its results
        done = len(np.unique(sent.file[digests.find(np.unique(_digests(good)), sent.request) >= 0]))
    elif not done:
        done = good.requests(good.invoked)
    we_pay = about.get("access") == "requester-pays"
    sizes = [
        item.size or 0
        for item in planned.items(place, plans, np.sort(files.row))
        if item.uri.startswith("s3://") and (we_pay or not item.uri.startswith(ARCHIVE))
    ]
    low, high = speeds.measured().requests(sizes)
    return Unlogged(
        images=done,
        gets=float((low + high).sum()) / 2 + done,  # the function looks for a cancel before each image
        puts=done * (1 + len(about.get("outputs", ()))) + marks,
        lists=1 + len(files) // 1000,
    )
