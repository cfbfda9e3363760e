"""Fetches many files at once: versions, what is there already, limits, then the transfer."""

import errno
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from .. import concurrency
from ..errors import InputError, SkyfanError
from ..events import OnProgress, ignore
from . import limits, names
from .job import ABSENT, CHANGED, DAMAGED, UNCHANGED, BlockedError, DamagedError, Job, OutsideError
from .manifest import Row
from .recipe import LONG_PIECE, PIECE, Recipe
from .result import FAILED, FETCHED, NOT_BEGUN, OUTSIDE, REPAIRED, UPDATED, File, Result
from .source import LOOKED_UP, Objects, Reader, Source, Version, VersionError
from .wanted import Wanted

T = TypeVar("T")

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors after which no other file can be written either."""
_BEGUN = 2
"""How often a file is begun that changes, or arrives damaged, while it is read."""
_DONE = {ABSENT: FETCHED, CHANGED: UPDATED, DAMAGED: REPAIRED}


class Part(Protocol):
    """What of each file is wanted."""

    @property
    def word(self) -> str:
        """Part of the names of files."""

    @property
    def text(self) -> str:
        """What the manifest says."""

    async def recipe(self, reader: Reader, uri: str, version: Version) -> tuple[Recipe, tuple[str, ...]]:
        """How the file is made, and notes. Raises OutsideError, InputError."""


class Destination(Protocol):
    """Where files go; see Folder and Bucket."""

    name: str
    copies: bool
    """Whether S3 copies whole objects to it by itself, so that they do not leave AWS."""
    rows: dict[str, Row]

    def is_new(self, name: str) -> bool: ...
    def promised(self, job: Job) -> int: ...
    def check_room(self, needed: int) -> None: ...
    async def state(self, job: Job, *, verify: bool) -> str: ...
    async def take(self, job: Job, reader: Reader) -> Row: ...


@dataclass(frozen=True)
class Options:
    """How files are fetched."""

    access: str = "anonymous"
    keep_paths: bool = False
    part: Part | None = None
    limit: int = limits.LIMIT
    """Bytes that may be transferred."""
    connections: int = 32
    verify: bool = False


class Fetch:
    """One call. `result` is valid at any time, also after Ctrl-C."""

    def __init__(
        self,
        destination: Destination,
        options: Options,
        progress: OnProgress = ignore,
        more: Callable[[], dict[str, Source]] = dict,
    ) -> None:
        """`more` gives sources besides S3, by scheme."""
        self.result = Result(destination.name)
        self._destination, self._options, self._progress, self._more = destination, options, progress, more
        self._total = self._arrived = self._allowed = 0

    async def run(self, wanted: Iterable[Wanted]) -> None:
        """Fetches the files. Raises UsageError before anything was transferred, else errors are results."""
        named = self._named(wanted)
        sources: dict[str, Source] = {"s3": Objects(self._options.access), **self._more()}
        reader = Reader(sources, self._options.connections, self._on_bytes)
        try:
            jobs = await self._jobs(named, reader)
            due = await self._due(jobs)
            if due:
                await self._check(due, reader)
                await self._transfer(due, reader)
        finally:
            for source in sources.values():
                await source.close()
            self.result.received, self.result.requests = reader.received, reader.requests
            self.result.retries = reader.retries

    def _named(self, wanted: Iterable[Wanted]) -> list[tuple[str, Wanted]]:
        """Each file once, with its name."""
        part, found = self._options.part, dict[str, tuple[str, Wanted]]()
        for one in wanted:
            name = names.of(one.uri, keep_paths=self._options.keep_paths)
            found[one.uri] = (names.selected(name, part.word) if part else name), one
        names.check((name, one.uri) for name, one in found.values())
        return list(found.values())

    async def _jobs(self, named: list[tuple[str, Wanted]], reader: Reader) -> list[Job]:
        """The files with their versions at the source; those without one have failed."""
        jobs: list[Job] = []
        done = 0

        async def look(name: str, one: Wanted) -> None:
            nonlocal done
            uri, part = one.uri, self._options.part
            try:
                if one.size and not (part or one.fallback) and self._destination.is_new(name):
                    version = Version(one.size, "", is_expected=True)  # its one request tells the rest
                else:
                    uri, version = await self._version(one, reader)
                jobs.append(Job(uri, name, version, Recipe.whole(version.size), part.text if part else ""))
            except InputError as error:
                self._fail(name, uri, error)
            done += 1
            self._progress("versions", done, len(named))

        self._progress("versions", 0, len(named))
        await _each(named, lambda pair: look(*pair), LOOKED_UP)
        order = {name: number for number, (name, _) in enumerate(named)}
        return sorted(jobs, key=lambda job: order[job.name])

    @staticmethod
    async def _version(one: Wanted, reader: Reader) -> tuple[str, Version]:
        """The URI to read, and its version."""
        try:
            return one.uri, await reader.version(one.uri)
        except InputError:
            if one.fallback is None:
                raise
            return one.fallback, await reader.version(one.fallback)

    async def _due(self, jobs: list[Job]) -> list[tuple[Job, str]]:
        """The files to transfer, with their states at the destination."""
        due: list[tuple[Job, str]] = []

        async def look(job: Job) -> None:
            try:
                state = await self._destination.state(job, verify=self._options.verify)
            except (BlockedError, OSError) as error:
                self._fail(job.name, job.uri, error)
                return
            if state == UNCHANGED:
                row = self._destination.rows[job.name]
                self.result.files.append(File(job.name, job.uri, UNCHANGED, row.size, notes=row.notes))
            else:
                due.append((job, state))

        await _each(jobs, look, LOOKED_UP)
        order = {job.name: number for number, job in enumerate(jobs)}
        return sorted(due, key=lambda pair: order[pair[0].name])

    async def _check(self, due: list[tuple[Job, str]], reader: Reader) -> None:
        """Sets the total of the transfer. Raises UsageError where it is beyond a limit."""
        part, whole = self._options.part, sum(job.version.size for job, _ in due)
        self.result.whole = whole
        if part is None:
            room = transfer = sum(
                max(0, job.version.size - self._destination.promised(job))
                for job, _ in due
                if not (self._destination.copies and job.uri.startswith("s3://"))
            )
        elif whole <= self._options.limit:
            room, transfer = 0, whole  # an upper limit: only the headers tell what is needed
        else:
            room = transfer = 0

            async def measure(job: Job) -> None:
                nonlocal room, transfer
                try:
                    recipe, _ = await part.recipe(reader, job.uri, job.version)
                    room, transfer = room + recipe.size, transfer + recipe.transfer
                except (InputError, VersionError):
                    pass  # it will be said when its turn comes

            await _each((job for job, _ in due), measure, LOOKED_UP)
        self.result.egress = limits.egress(transfer, self._options.access)
        limits.check_egress(self.result.egress, self._options.limit)
        self._destination.check_room(room)
        self._total, self._arrived, self._allowed = 0 if part else transfer, 0, transfer

    async def _transfer(self, due: list[tuple[Job, str]], reader: Reader) -> None:
        begun = 0
        longest = LONG_PIECE if len(due) >= self._options.connections else PIECE

        async def fetch(pair: tuple[Job, str]) -> None:
            nonlocal begun
            job, state = pair
            job.longest = PIECE if self._destination.copies else longest
            if self.result.stopped:
                self.result.files.append(File(job.name, job.uri, NOT_BEGUN, reason=self.result.stopped))
                return
            await self._fetch(job, _DONE[state], reader)
            begun += 1
            self._progress("files", begun, len(due))

        # More files than connections: while some are verified, the others keep the line busy.
        await _each(due, fetch, 2 * self._options.connections)

    async def _fetch(self, job: Job, done: str, reader: Reader) -> None:
        """Fetches one file, and begins it again if it changes or arrives damaged."""
        try:
            row, problem = await self._taken(job, reader)
        except OutsideError as error:
            self.result.files.append(File(job.name, job.uri, OUTSIDE, reason=str(error)))
        except (SkyfanError, OSError) as error:
            if isinstance(error, OSError) and error.errno in _FULL:
                self.result.stopped = f"{error.strerror}: {self._destination.name}"
            self._fail(job.name, job.uri, error)
        else:
            notes = (*row.notes, *([f"begun again: {problem}"] if problem else []))
            self.result.files.append(File(job.name, job.uri, done, row.size, notes=notes))

    async def _taken(self, job: Job, reader: Reader) -> tuple[Row, str]:
        """The row of a file, and why it was begun again. Raises InputError if that did not help."""
        part, versions, problem = self._options.part, [job.version], ""
        for _ in range(_BEGUN):
            try:
                if job.version.is_expected and len(list(job.pieces([]))) != 1:
                    job.version = await self._confirmed(job, reader)
                if part:
                    job.recipe, job.notes = await part.recipe(reader, job.uri, job.version)
                return await self._destination.take(job, reader), problem
            except VersionError:
                before, job.version = job.version, await reader.version(job.uri)
                job.recipe = Recipe.whole(job.version.size)
                versions.append(job.version)
                self._allow(job.version.size - before.size)
                problem = f"it changes while it is read: {'; then '.join(map(str, versions))}"
            except DamagedError as error:
                problem = str(error)
        raise InputError(problem)

    async def _confirmed(self, job: Job, reader: Reader) -> Version:
        """The version of a file of which only the size is known. Raises VersionError."""
        found = await reader.version(job.uri)
        if not job.version.admits(found):
            raise VersionError(f"it was {job.version}, and is {found} now")
        return found

    def _allow(self, more: int) -> None:
        """Raises InputError if a file that has grown since the limit was checked brings the sum beyond it."""
        self._allowed += max(0, more)
        if self._allowed > self._options.limit:
            raise InputError(
                f"it is larger by {more:,} bytes than when --limit-egress was checked, and would exceed it"
            )

    def _fail(self, name: str, uri: str, error: object) -> None:
        reason = str(error).removeprefix(f"{uri}: ")
        self.result.files.append(File(name, uri, FAILED, reason=reason))

    def _on_bytes(self, count: int) -> None:
        self._arrived += count
        self._progress("bytes", self._arrived, max(self._total, self._arrived) if self._total else 0)


async def _each(items: Iterable[T], call: Callable[[T], Coroutine[Any, Any, None]], width: int) -> None:
    """Awaits a call per item, at most `width` at once, in order. The first error cancels the others."""
    rest = iter(items)

    async def work() -> None:
        for item in rest:  # all workers share one iterator
            await call(item)

    await concurrency.together(work() for _ in range(width))
