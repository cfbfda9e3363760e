"""A bucket as the destination: S3 copies whole objects by itself; anything else passes through memory."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import obstore
from obstore.exceptions import NotFoundError

from .. import extras, session
from ..errors import InputError, UsageError
from ..storage import s3
from . import checks, manifest
from .job import ABSENT, CHANGED, DAMAGED, UNCHANGED, BlockedError, DamagedError, Job
from .manifest import Row
from .recipe import PIECE, Piece
from .source import Reader, Version, VersionError

with extras.needed("aws"):
    from boto3.s3.transfer import TransferConfig
    from botocore.exceptions import ClientError

_COPIES = 16
"""Objects that S3 copies at once."""
_AHEAD = 4
"""Pieces of one file that are read ahead."""
_LARGEST_COPY = 5_000_000_000
"""Bytes that S3 copies in one request; larger objects are copied in parts."""
_SAVED_S = 20.0
"""Seconds between two writings of the manifest."""
_REFUSED = frozenset({"AccessDenied", "403", "NotImplemented", "501", "InvalidRequest", "NoSuchBucket"})
"""Codes after which an object is read and written instead of copied."""
_MISSING = (NotFoundError, FileNotFoundError)


class Bucket:
    """A bucket, or a prefix in one, with its manifest. Use it as a context manager."""

    copies = True

    def __init__(self, uri: str, access: str, *, limit: int, overwrite: bool = False) -> None:
        """`limit` is that of the bytes that may pass through this machine."""
        self._bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        if not self._bucket:
            raise UsageError(f"{uri} names no bucket: give s3://bucket/prefix")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.name = f"s3://{self._bucket}/{self._prefix}"
        self._access, self._limit, self._overwrite = access, limit, overwrite
        self._store: Any = s3.client(self._bucket, "signed", endless=True)
        self._client = session.client("s3", s3.REGIONS.get(self._bucket))
        self._copying = asyncio.Semaphore(_COPIES)
        self._saved, self._is_new = time.monotonic(), False
        self._passed = 0
        self.rows: dict[str, Row] = {}

    def __enter__(self) -> "Bucket":
        try:
            body = bytes(obstore.get(self._store, f"{self._prefix}{manifest.NAME}").bytes())
            self.rows = manifest.parse(body.decode("utf-8", "replace"))
        except s3.ERRORS as error:
            if not isinstance(error, _MISSING) or "NoSuchBucket" in str(error):
                raise s3.storage_error(self.name, error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._save()

    def is_new(self, name: str) -> bool:
        """Never: S3 copies a version, whose ETag must be known."""
        return False

    def promised(self, job: Job) -> int:
        """0: a file that was not written whole is not there."""
        return 0

    def check_room(self, needed: int) -> None:
        """A bucket has room."""

    async def state(self, job: Job, *, verify: bool) -> str:
        """As of a folder; S3 keeps what it was given, so that `verify` needs no more than its ETag."""
        row = self.rows.get(job.name)
        if (found := await self._head(job.name)) is None:
            return ABSENT
        if row is None or (row.source, row.selection) != (job.uri, job.selection):
            if not job.selection and found == job.version and "-" not in found.etag:
                self._record(job.row(found.size, found.etag, checks.Checked(None, None, "md5")))
                return UNCHANGED
            if self._overwrite:
                return ABSENT
            origin = f"from {row.source}" if row else "not by skyfan fetch, or by one that was killed"
            raise BlockedError(f"{self.name}{job.name} exists, made {origin}: --overwrite replaces it")
        if (found.etag, found.size) != (row.stamp, row.size):
            if not self._overwrite:
                raise BlockedError(f"{self.name}{job.name} was changed since: --overwrite replaces it")
            return DAMAGED
        return UNCHANGED if (row.etag, row.source_size) == (job.version.etag, job.version.size) else CHANGED

    async def take(self, job: Job, reader: Reader) -> Row:
        """Copies a file. Raises InputError, VersionError, DamagedError."""
        row = None
        if job.uri.startswith("s3://") and not job.selection:
            async with self._copying:
                row = await self._copied(job)
        return row or await self._streamed(job, reader)

    async def _copied(self, job: Job) -> Row | None:
        """The row of an object that S3 has copied; None if it refuses to."""
        try:
            await asyncio.to_thread(self._copy, job)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in ("PreconditionFailed", "412"):
                raise VersionError(f"it was {job.version}, and is another one now") from error
            if code in _REFUSED:
                return None
            raise InputError(f"{job.uri}: S3 did not copy it: {error}") from error
        found = await self._head(job.name)
        if found is None or found.size != job.version.size:
            raise DamagedError(f"the copy has {found.size if found else 0:,} bytes")
        is_same = found.etag == job.version.etag and "-" not in found.etag
        row = job.row(found.size, found.etag, checks.Checked(None, None, "md5" if is_same else checks.SIZE))
        self._record(row)
        return row

    def _copy(self, job: Job) -> None:
        """Copies an object by one request, or in parts. Raises ClientError."""
        bucket, _, key = job.uri.removeprefix("s3://").partition("/")
        extra = {"CopySourceIfMatch": job.version.etag} if job.version.etag else {}
        if self._access == "requester-pays":
            extra["RequestPayer"] = "requester"
        config = TransferConfig(multipart_threshold=_LARGEST_COPY, max_concurrency=4)
        source = {"Bucket": bucket, "Key": key}
        self._client.copy(source, self._bucket, f"{self._prefix}{job.name}", ExtraArgs=extra, Config=config)

    async def _streamed(self, job: Job, reader: Reader) -> Row:
        """The row of a file that was read and written, without a disk."""
        self._passed += job.recipe.transfer
        if self._passed > self._limit:
            raise InputError(
                "S3 does not copy it by itself, and more than --limit-egress would pass this machine"
            )
        sums = checks.needed("" if job.selection else job.version.etag)
        problem: list[Exception] = []

        async def bodies() -> AsyncIterator[bytes]:
            try:
                async for body in self._bodies(job, reader):
                    sums.update(body)
                    yield body
                md5 = sums.digests().get("md5")
                if md5 and md5 != job.version.etag.strip('"'):
                    raise DamagedError("what came has another MD5 than the source states, twice")
            except Exception as error:  # obstore shows it as text alone
                problem.append(error)
                raise

        key = f"{self._prefix}{job.name}"
        try:
            await obstore.put_async(self._store, key, bodies(), chunk_size=PIECE)
        except Exception as error:
            if problem:
                raise problem[0] from error
            if isinstance(error, s3.ERRORS):
                raise s3.storage_error(f"{self.name}{job.name}", error) from error
            raise
        found = await self._head(job.name)
        if found is None or found.size != job.recipe.size:
            raise DamagedError("what is stored is not what was sent, twice")
        digests = sums.digests()
        algorithm = "md5" if "md5" in digests else "sha256"
        by = "md5" if algorithm == "md5" else checks.SIZE
        checked = checks.Checked(algorithm, digests[algorithm], by)
        row = job.row(found.size, found.etag, checked, job.received)
        self._record(row)
        return row

    async def _bodies(self, job: Job, reader: Reader) -> AsyncIterator[bytes]:
        """The file in order, some pieces read ahead."""

        async def read(part: bytes | Piece) -> bytes:
            if isinstance(part, bytes):
                return part
            start, stop = part.source
            job.received += stop - start
            return part.gather(await reader.read(job.uri, job.version, start, stop))

        parts: list[tuple[int, bytes | Piece]] = [*job.recipe.own()]
        parts += [(piece.at, piece) for piece in job.pieces([])]
        waiting: list[asyncio.Task[bytes]] = []
        try:
            for _, part in sorted(parts, key=lambda pair: pair[0]):
                waiting.append(asyncio.create_task(read(part)))
                if len(waiting) > _AHEAD:
                    yield await waiting.pop(0)
            while waiting:
                yield await waiting.pop(0)
        finally:
            for task in waiting:
                task.cancel()

    async def _head(self, name: str) -> Version | None:
        """Size and ETag of an object of the destination."""
        try:
            meta = await obstore.head_async(self._store, f"{self._prefix}{name}")
        except _MISSING:
            return None
        except s3.ERRORS as error:
            raise s3.storage_error(f"{self.name}{name}", error) from error
        return Version(meta["size"], meta["e_tag"] or "")

    def _record(self, row: Row) -> None:
        self.rows[row.name], self._is_new = row, True
        if time.monotonic() - self._saved > _SAVED_S:
            self._save()

    def _save(self) -> None:
        """Writes the manifest and the checksums, if there is something new."""
        if not self._is_new:
            return
        self._saved, self._is_new = time.monotonic(), False
        rows = self.rows.values()
        texts = {name: manifest.sums(rows, algorithm) for algorithm, name in manifest.SUMS.items()}
        for name, text in {manifest.NAME: manifest.text(rows), **texts}.items():
            try:
                obstore.put(self._store, f"{self._prefix}{name}", text.encode())
            except s3.ERRORS as error:
                raise s3.storage_error(f"{self.name}{name}", error) from error
