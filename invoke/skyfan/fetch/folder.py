"""A folder as the destination: partial files that get their names when they are whole and verified."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from .. import concurrency, files
from ..errors import UsageError
from . import checks, limits, manifest
from .job import ABSENT, CHANGED, DAMAGED, UNCHANGED, BlockedError, DamagedError, Job
from .manifest import Row
from .partial import Partial, path_of
from .recipe import Piece
from .source import Buffer, Reader, Version, VersionError

T = TypeVar("T")


class Folder:
    """A folder with its manifest. Use it as a context manager: one process at a time writes to it."""

    copies = False

    def __init__(self, path: Path, access: str, *, overwrite: bool = False) -> None:
        files.require_posix("fetching into a folder")
        self.name = str(path)
        self._path, self._access, self._overwrite = path, access, overwrite
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, "skyfan-write")
        self._locked: int | None = None
        self.rows: dict[str, Row] = {}
        """Of the manifest, by name."""

    def __enter__(self) -> "Folder":
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            self._locked = os.open(self._path, os.O_RDONLY)
            with suppress(OSError):  # some file systems have no locks
                self._lock(self._locked)
            with suppress(FileNotFoundError):
                self.rows = manifest.parse((self._path / manifest.NAME).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"cannot fetch to {self._path}: {reason}") from error
        return self

    def _lock(self, descriptor: int) -> None:
        try:
            files.lock(descriptor)
        except BlockingIOError as error:
            raise UsageError(f"another skyfan fetch writes to {self._path}: wait until it is done") from error

    def __exit__(self, *_: object) -> None:
        """Writes the manifest anew, with one line per file that is there, and the checksums."""
        self._threads.shutdown(cancel_futures=True)
        try:
            if (self._path / manifest.NAME).exists():
                kept = [row for row in self.rows.values() if (self._path / row.name).is_file()]
                texts = {name: manifest.sums(kept, algorithm) for algorithm, name in manifest.SUMS.items()}
                for name, text in {manifest.NAME: manifest.text(kept), **texts}.items():
                    self._write(self._path / name, text)
        finally:
            if self._locked is not None:
                os.close(self._locked)

    def _write(self, path: Path, text: str) -> None:
        """Replaces a file, if that changes it; without text there is none."""
        if not text:
            path.unlink(missing_ok=True)
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            with files.replace(path) as part:
                part.write_text(text, encoding="utf-8")

    def is_new(self, name: str) -> bool:
        """Whether nothing is there of a file, not even parts of it."""
        path = self._path / name
        return not (os.path.lexists(path) or os.path.lexists(path_of(path)))

    def promised(self, job: Job) -> int:
        """Bytes of a whole file that an earlier call has fetched already."""
        return self._partial(job).promised()

    def check_room(self, needed: int) -> None:
        """Raises UsageError if the disk has less than `needed` free bytes."""
        limits.check_disk(self._path, needed)

    async def state(self, job: Job, *, verify: bool) -> str:
        """ABSENT, UNCHANGED, CHANGED at the source, or DAMAGED here; `verify` reads the file.

        Raises BlockedError for a file that is not of this source, or that was changed here.
        """
        path, row = self._path / job.name, self.rows.get(job.name)
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return ABSENT
        is_same = row is not None and (row.source, row.selection) == (job.uri, job.selection)
        if row is None or not is_same:
            return await self._adopted(job, path, found, row)
        is_touched = str(found.st_mtime_ns) != row.stamp
        is_equal = found.st_size == row.size
        if is_equal and (is_touched or verify):
            algorithm = row.algorithm or "sha256"
            is_equal = await self._threaded(lambda: checks.digest(path, algorithm)) == row.checksum
        if not is_equal:
            if is_touched and not self._overwrite:
                raise BlockedError(f"{path} was changed since it was fetched: --overwrite replaces it")
            return DAMAGED
        return UNCHANGED if (row.etag, row.source_size) == (job.version.etag, job.version.size) else CHANGED

    async def _adopted(self, job: Job, path: Path, found: os.stat_result, row: Row | None) -> str:
        """The state of a file that the manifest does not know as one of this source."""
        if path.is_file() and not job.selection and found.st_size == job.version.size:
            sums = checks.needed(job.version.etag)
            checked = await self._threaded(lambda: self._compared(job, sums.read(path), path))
            if checked.is_same and checked.verified != checks.SIZE:
                self._record(job.row(found.st_size, str(found.st_mtime_ns), checked))
                return UNCHANGED
        if self._overwrite and path.is_file():
            return ABSENT
        origin = f"from {row.source}" if row else "not by skyfan fetch"
        raise BlockedError(f"{path} exists, made {origin}: --overwrite replaces it")

    async def take(self, job: Job, reader: Reader) -> Row:
        """Fetches a file. Raises InputError, VersionError, DamagedError, OSError."""
        path = self._path / job.name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._partial(job)

        def begin(version: Version) -> None:
            nonlocal partial
            job.version = version
            partial = self._partial(job)
            partial.open()

        try:
            if not job.version.is_expected:
                begin(job.version)
            pieces = job.pieces(partial.present)
            await concurrency.together(
                self._piece(job, piece, lambda: partial, reader, begin) for piece in pieces
            )
            checked = await self._threaded(lambda: self._compared(job, partial.read_sums(), partial.path))
            if not checked.is_same:
                partial.discard()
                raise DamagedError(
                    f"what came has another checksum ({checked.verified}) than the source states, twice"
                )
            await asyncio.to_thread(partial.save)
            found = partial.stat()
            row = job.row(found.st_size, str(found.st_mtime_ns), checked, job.received)
            self._record(row)
            partial.finish()
            return row
        except VersionError:
            partial.discard()
            raise
        finally:
            partial.close()

    async def _piece(
        self,
        job: Job,
        piece: Piece,
        partial: Callable[[], Partial],
        reader: Reader,
        begin: Callable[[Version], None],
    ) -> None:
        """Requests a piece and writes it; `begin` opens the partial file if its version was only expected."""
        start, stop = piece.source
        if piece.strips.count > 1:
            body = piece.gather(await reader.read(job.uri, job.version, start, stop))
            job.received += stop - start
            await self._threaded(lambda: partial().write(piece.at, body))
            return

        async def write(at: int, chunk: Buffer) -> None:
            job.received += len(chunk)
            await self._threaded(lambda: partial().write(piece.at + at - start, chunk))

        await reader.stream(job.uri, job.version, start, stop, write, begin)

    def _compared(self, job: Job, sums: checks.Sums, path: Path) -> checks.Checked:
        if job.selection:
            return checks.own(sums)
        return checks.compare(sums, path, job.version, lambda: job.stated(self._access))

    async def _threaded(self, call: Callable[[], T]) -> T:
        """The result of a call in a thread. One that is cancelled is awaited: it has the file open."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            future.cancel()
            await asyncio.wait([future])
            raise

    def _partial(self, job: Job) -> Partial:
        about = {"source": job.uri, "etag": job.version.etag, "source_size": job.version.size}
        sums = checks.needed("" if job.selection else job.version.etag)
        return Partial(self._path / job.name, job.recipe, about, sums)

    def _record(self, row: Row) -> None:
        """Adds a line to the manifest, in one write."""
        self.rows[row.name] = row
        with (self._path / manifest.NAME).open("ab", buffering=0) as file:
            file.write(row.line().encode())
