"""Whether the sources of a run's results have changed since: reprocessed by the archive, or written again."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pyarrow as pa

from .. import concurrency
from ..errors import InputError
from ..events import OnProgress, ignore
from ..formatting import count, reasons
from ..plans import bucket
from ..plans.bucket import ObjectStatus
from ..plans.limits import ArchiveLimits
from ..runs.failures import Failure
from ..runs.run_file import RunFile
from ..runs.state import Follower, RunState
from ..storage import s3, uris
from ..storage.place import Place
from ..storage.uris import Results
from ..tables import Tabular
from . import origins

FRESH, STALE, GONE, UNCHECKED, UNKNOWN = "fresh", "stale", "source gone", "not checked", "unknown version"
STATES = (FRESH, STALE, GONE, UNCHECKED, UNKNOWN)
"""Each file that is done is in exactly one."""
_SCHEMA = pa.schema(
    [
        pa.field(
            name, kind, metadata={"description": meaning, **({"unit": "byte"} if "size" in name else {})}
        )
        for name, kind, meaning in (
            ("uri", pa.string(), "The input"),
            ("state", pa.string(), ", ".join(STATES[1:])),
            ("made_from", pa.string(), "Version of the input that the result was made from"),
            ("now", pa.string(), "Version of the input now"),
            ("planned_size", pa.int64(), "Size of the input in the plan"),
            ("size", pa.int64(), "Size of the input now"),
            (
                "message",
                pa.string(),
                "Why it was not checked, what is wrong with its detection image, why a retry failed",
            ),
        )
    ]
)


@dataclass(frozen=True)
class Source:
    """The input of a result that is not known to be fresh; versions that are not known are empty."""

    uri: str
    state: str
    made_from: str
    now: str
    planned_size: int | None
    """Bytes."""
    size: int | None
    """Bytes."""
    message: str


@dataclass(frozen=True, repr=False)
class Freshness(Tabular):
    """How the sources of all results of a run compare with the versions that these were made from."""

    run: str
    counts: dict[str, int]
    """Files that are done, by state."""
    requests: dict[str, int]
    """Requests to buckets of this comparison by kind, LIST, HEAD and GET."""
    sources: list[Source]
    """All that are not fresh, in the order of the plans."""
    stale: dict[str, float] = field(default_factory=dict)
    """The stale ones as Selection takes them: the key of each and the time of its result."""

    @property
    def is_fresh(self) -> bool:
        """Whether all sources are known to be fresh."""
        return not self.sources

    def _table(self) -> pa.Table:
        return pa.Table.from_pylist([vars(source) for source in self.sources], _SCHEMA)

    def _summary(self) -> str:
        found = reasons({name: n for name, n in self.counts.items() if n})
        return f"run {self.run}: {found or 'no results'}"


def compare(place: Place, run: str, lambdas: Place | None = None, progress: OnProgress = ignore) -> Freshness:
    """Compares the source of each result of a run with the version that the result was made from.

    Raises UsageError if the run does not exist.
    """
    follower = Follower(place, run, lambdas)
    state, requests = follower.read(), Counter[str]()
    files = {uris.key(file.uri): file for file in state.files("done")}
    results = Results.of(state.about["results"], run)
    made = origins.read(place, run, results, files, progress, requests)
    paired = {key: file.detect for key, file in files.items() if file.detect}
    detected = origins.detections(place, results, paired, progress, requests)
    names = dict.fromkeys([*(file.uri for file in files.values()), *paired.values()])
    now, unchecked = _sources(list(names), state, progress, requests)
    found = []
    for key, file in files.items():
        source = _judged(file, made.get(key, ""), now.get(file.uri), unchecked.get(file.uri, ""))
        if source.state == FRESH and (uri := paired.get(key)):
            of = RunFile(uri, file.detect_size, file.tier, file.state, file.sent, None)
            image = _judged(of, detected.get(key, ""), now.get(uri), unchecked.get(uri, ""))
            source = _with_detection(source, image)
        found.append(source)
    stale = follower.results.times(uris.key(source.uri) for source in found if source.state == STALE)
    counts = dict.fromkeys(STATES, 0) | Counter(source.state for source in found)
    failures = _failures(place, run, lambdas, stale)
    sources = [_with_failure(source, failures.get(source.uri)) for source in found if source.state != FRESH]
    return Freshness(run, counts, dict(requests), sources, stale)


def _judged(file: RunFile, made: str, now: "_Now | None", unchecked: str) -> Source:
    size, version = None, ""
    if unchecked or now is None:
        state = UNCHECKED
    elif now.status.size is None:
        state = GONE
    else:
        size, version = now.status.size, now.like(made)
        state = FRESH if version == made else STALE
        if not made or not version:
            state, version = UNKNOWN, now.like("etag=") or now.like("")
    return Source(file.uri, state, made, version, file.size, size, unchecked)


def _with_detection(source: Source, image: Source) -> Source:
    """A source whose own version is fresh, in the state of its detection image."""
    if image.state == FRESH:
        return source
    versions = f" ({image.made_from or 'unknown'}, now {image.now})" if image.now else ""
    message = f"its detection image {image.uri}: {image.state}{versions} {image.message}".rstrip()
    return replace(source, state=image.state, message=message)


@dataclass(frozen=True)
class _Now:
    """What a source is now."""

    status: ObjectStatus
    modified_ns: int | None = None
    """Of a local file."""

    def like(self, made: str) -> str:
        """Its version in the form of another one; empty if it has none in that form."""
        size, etag = self.status.size, self.status.etag
        if self.modified_ns is not None:
            if "mtime=" in made:
                return f"size={size} mtime={int(self.status.modified)}"
            return f"size={size} mtime_ns={self.modified_ns}"
        if " modified=" in made:
            return f"size={size} modified={int(self.status.modified)}"
        return f"etag={etag}" if etag else ""


def _sources(
    names: list[str], state: RunState, progress: OnProgress, requests: Counter[str]
) -> tuple[dict[str, _Now], dict[str, str]]:
    """What the sources are now by URI, and why others were not checked; each is in one of the two."""
    found: dict[str, _Now] = {}
    unchecked: dict[str, str] = {}
    buckets: defaultdict[str, list[str]] = defaultdict(list)
    for uri in names:
        if uri.startswith("s3://"):
            buckets[uri.split("/")[2]].append(uri)
        else:
            _stat(uri, found, unchecked)
            progress("comparing sources", len(found) + len(unchecked), len(names))
    for members in buckets.values():
        before = len(found) + len(unchecked)

        def more(done: int, before: int = before) -> None:
            progress("comparing sources", before + done, len(names))

        try:
            statuses, failed = concurrency.run(
                bucket.statuses(
                    members, ArchiveLimits(), more, access=state.about["access"], requests=requests
                )
            )
            if statuses and not any(status.size is not None for status in statuses.values()):
                s3.refusal(members[0], state.about["access"])  # the answer to a HEAD names no missing bucket
        except InputError as error:  # it is about all objects of the bucket
            statuses, failed = {}, dict.fromkeys(members, str(error))
        found |= {uri: _Now(status) for uri, status in statuses.items()}
        unchecked |= failed
    return found, unchecked


def _stat(uri: str, found: dict[str, _Now], unchecked: dict[str, str]) -> None:
    path = uris.local_path(uri)
    assert path is not None, uri
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        found[uri] = _Now(ObjectStatus(None))
    except OSError as error:
        unchecked[uri] = str(error.strerror or error)
    else:
        found[uri] = _Now(ObjectStatus(stat.st_size, modified=stat.st_mtime), stat.st_mtime_ns)


def _failures(place: Place, run: str, lambdas: Place | None, stale: dict[str, float]) -> dict[str, Failure]:
    """Why the last attempts to replace stale results failed, by URI."""
    if not stale:
        return {}
    state = Follower(place, run, lambdas, stale).read()
    return {file.uri: file.failure for file in state.files("failed") if file.failure}


def _with_failure(source: Source, failure: Failure | None) -> Source:
    if failure is None or source.state != STALE:
        return source
    failed = f"the last attempt failed: {failure.error_type}: {failure.message}"
    return replace(source, message="; ".join(filter(None, (source.message, failed))))


def lines(found: Freshness) -> Iterator[str]:
    """Counts, requests and what to do next, for people."""
    numbers = [f"{n:,} {name}" for name, n in found.counts.items() if n]
    yield f"{count(sum(found.counts.values()), 'result')}: {', '.join(numbers) or 'none'}"
    if sent := [f"{n:,} {kind}" for kind, n in found.requests.items() if n]:
        yield f"requests to S3: {', '.join(sent)}"
    if found.stale:
        yield f"`skyfan retry {found.run} --stale` processes {count(len(found.stale))} again."
    if found.counts[UNKNOWN]:
        yield (
            f"{count(found.counts[UNKNOWN], 'result')} that do not say from which version they were made, as "
            "those of earlier versions of functions: another --run makes them anew."
        )
