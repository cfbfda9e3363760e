"""A watch of a folder of this machine, kept by a process that lists it again and again."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from skyfan_contract import DOUBTFUL, headers
from skyfan_watch.definition import LOCAL, SENT, Watch, folder, version_of
from skyfan_watch.messages import CREATED, ObjectEvent
from skyfan_watch.ports import File, Found, NotSentError, UnreachableError
from skyfan_watch.standing import Handled, Standing, event_uri

from .. import files, template
from ..engine import LocalOptions, Selection
from ..errors import InputError, Interrupted, RunBusyError, UsageError
from ..local.engine import LocalEngine
from ..local.run_folder import RunFolder
from ..plans import headers as reading
from ..runs import run as runs
from ..storage import uris
from ..storage.place import Place
from ..task import Task
from ..template import Template
from . import manage
from .store import PlaceStore

BATCH = 100
"""Files that are processed in one go."""
SETTLE_S = 2.0
"""For so long a file must not have changed before it is taken."""


def add(output: Path, registry: Template, task: Task, watch: Watch) -> None:
    """Begins the run of a watch and stores it."""
    function = registry.function(task.function)
    run_folder = RunFolder(output.resolve(), task, template.results(function))
    with run_folder.locked():
        run_folder.open(LOCAL, marks=DOUBTFUL in function.environment, watch=True)
    manage.store(run_folder.place, watch)


@dataclass
class FolderArchive:
    """The files of a folder as they are now; see skyfan_watch.ports.Archive."""

    def look(self, bucket: str, key: str, *, with_header: bool) -> Found | None:
        """See Archive. The ETag of a file is its size and time."""
        path = Path(key)
        try:
            stat = path.stat()
            header = reading.local(path) if with_header else headers.Header()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnreachableError(f"{path}: {error.strerror or error}") from error
        return Found(stat.st_size, etag(stat), header.columns if header else None)


def etag(stat: os.stat_result) -> str:
    """What tells versions of a file apart."""
    return f"size={stat.st_size} mtime={stat.st_mtime_ns}"


@dataclass
class LocalSender:
    """Processes files by the local engine; see skyfan_watch.ports.Sender."""

    engine: LocalEngine
    task: Task
    interrupted: bool = False

    def send(self, files: list[File]) -> Iterator[tuple[File, str | UnreachableError]]:
        """See Sender. After Ctrl-C, the files that were not processed count as not sent."""
        keys = {uris.key(file.uri): file for file in files}
        try:
            self.engine.send(self.task, Selection(damaged=keys))
        except Interrupted:
            self.interrupted = True
        state = self.engine.state(self.task.run).restrict(file.uri for file in files)
        ended = {uris.key(file.uri) for file in state.files("done", "failed")}
        for key, file in keys.items():
            yield file, LOCAL if key in ended else NotSentError("it was not processed to its end")


@dataclass
class Scanner:
    """Finds files that are complete: equal in two listings, and unchanged for `settle_s`.

    Unchanged by the time that the file has, or, as that may be the time of another machine, by ours.
    """

    root: Path
    skip: Path
    """A folder that is not entered: that of the runs."""
    settle_s: float = SETTLE_S
    unsettled: int = 0
    """Files of the last listing that were not complete."""
    _seen: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By path: the version in the last listing, and when it was first seen (monotonic)."""
    _taken: dict[str, str] = field(default_factory=dict)

    def take(self) -> list[str]:
        """Paths of files that are complete now, and were not taken in this version before."""
        before, self._seen = self._seen, {}
        now, clock = time.time(), time.monotonic()
        found, self.unsettled = [], 0
        for path, (tag, modified) in self._list():
            known, since = before.get(path, ("", clock))
            self._seen[path] = tag, since if known == tag else clock
            if self._taken.get(path) == tag:
                continue
            if known == tag and max(now - modified, clock - since) >= self.settle_s:
                found.append(path)
            else:
                self.unsettled += 1
        return sorted(found)

    def taken(self, path: str) -> None:
        """Notes that the version of a file in the last listing needs no more work."""
        self._taken[path] = self.version(path)

    def version(self, path: str) -> str:
        """What tells the version of a file in the last listing apart."""
        return self._seen[path][0]

    def _list(self) -> Iterator[tuple[str, tuple[str, float]]]:
        """Each file with what tells its versions apart and its time. Hidden ones are not complete."""
        waiting = [self.root]
        while waiting:
            try:
                entries = list(os.scandir(waiting.pop()))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise InputError(f"{error.filename}: {error.strerror}") from error
            for entry in entries:
                if entry.name.startswith(".") or Path(entry.path) == self.skip:
                    continue
                try:
                    if entry.is_dir():
                        waiting.append(Path(entry.path))
                    elif entry.is_file():
                        stat = entry.stat()
                        yield entry.path, (etag(stat), stat.st_mtime)
                except OSError:  # removed meanwhile, or a link to nothing
                    continue


@contextmanager
def keeping(place: Place, name: str, registry: Template, options: LocalOptions) -> Iterator["Keeper"]:
    """A process that keeps a watch; there is one at a time. Raises RunBusyError for a second one."""
    watch = manage.read(place, name).watch
    if watch.where != LOCAL:
        raise UsageError(f"the watch {name!r} is kept by the Watcher of a stack: nothing is to be run here")
    if watch.removed:
        raise UsageError(f"the watch {name!r} was removed: `skyfan watch add` takes it up again")
    lock = Path(place.name, folder(name), "lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        try:
            files.lock(file)
        except BlockingIOError as error:
            raise RunBusyError(f"another process keeps the watch {name!r} in {place.name}") from error
        yield Keeper(place, name, LocalEngine(registry, options))


@dataclass
class Keeper:
    """Keeps a watch of a folder."""

    place: Place
    name: str
    engine: LocalEngine
    settle_s: float = SETTLE_S

    def __post_init__(self) -> None:
        self.watch = manage.read(self.place, self.name).watch
        self._scanner = Scanner(Path(self.watch.source), Path(self.place.name) / "runs", self.settle_s)
        self._store = PlaceStore(self.place)
        self._sent = {name.removesuffix(SENT) for name in self._store.names(self.watch.confirmed)}
        self._task = runs.task(self.name, runs.read(self.place, self.name))

    def set_settle(self, seconds: float) -> None:
        """Changes SETTLE_S for this process."""
        self.settle_s = self._scanner.settle_s = seconds

    def step(self) -> Handled | None:
        """Processes the files that are complete now, at most BATCH; None if there are none.

        Raises KeyboardInterrupt on Ctrl-C, after what was done is written.
        """
        self.watch = manage.read(self.place, self.name).watch  # it may be paused meanwhile
        paths = self._new()
        if not paths and not self._waits():
            return None
        sender = LocalSender(self.engine, self._task)
        standing = Standing(self._store, self.watch, FolderArchive(), sender, lease_s=0.0)
        done = standing.handle([ObjectEvent("", path, CREATED, "found") for path in paths])
        for index, path in enumerate(paths):
            if index not in done.failed:
                self._scanner.taken(path)
        if sender.interrupted:
            raise KeyboardInterrupt
        return done

    def _new(self) -> list[str]:
        """Paths of complete files that were not processed in their version."""
        found: list[str] = []
        for path in self._scanner.take():
            uri = event_uri(ObjectEvent("", path, CREATED, ""))
            if version_of(uri, self._scanner.version(path)) in self._sent:
                self._scanner.taken(path)
            elif len(found) < BATCH:
                found.append(path)
        return found

    def _waits(self) -> bool:
        return not self.watch.paused and manage.read(self.place, self.name).ledger.waiting > 0

    def run(self, every_s: float, *, until_idle: bool, on_done: Callable[[Handled], None]) -> None:
        """Steps until Ctrl-C, or with `until_idle` until none is new or incomplete in two listings."""
        idle = 0
        while not (until_idle and idle > 1):
            if (done := self.step()) is None:
                idle = 0 if self._scanner.unsettled else idle + 1
                time.sleep(max(every_s, self.settle_s / 2) if until_idle else every_s)
            else:
                idle = 0
                on_done(done)
