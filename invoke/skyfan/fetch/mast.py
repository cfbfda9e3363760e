"""Files that MAST sends itself: those that are not in the cloud, or not public."""

import os
import re
from collections.abc import AsyncIterator
from importlib.metadata import version as installed

from .. import extras, network
from ..concurrency import retry_after
from ..errors import InputError
from ..plans.limits import RETRIABLE, ArchiveLimits
from .source import CHUNK, Buffer, OnVersion, PassingError, Version
from .wanted import TOKEN

with extras.needed("mast"):
    import aiohttp

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class Downloads:
    """MAST's service Download/file, with the token in the environment if there is one."""

    def __init__(self, limits: ArchiveLimits) -> None:
        self._limits = limits
        self._session: aiohttp.ClientSession | None = None

    async def version(self, uri: str) -> Version:
        """Size and ETag, from a request for the first byte; a server may ignore that it is only for one."""
        async for response in self._responses(uri, {"Range": "bytes=0-0"}):
            return _version(uri, response)
        raise AssertionError("unreachable")

    async def stream(
        self, uri: str, version: Version, start: int, stop: int, answered: OnVersion
    ) -> AsyncIterator[Buffer]:
        """The bytes by one GET. Of a server that sends the whole file, what comes before them is dropped."""
        wanted = {"Range": f"bytes={start}-{stop - 1}"} if version.ranges else {}
        async for response in self._responses(uri, wanted):
            answered(_version(uri, response))
            at = start if response.status == 206 else 0
            if response.status == 206 and _range(response)[0] != start:
                raise PassingError(f"MAST sent other bytes than {start:,} to {stop:,}")
            try:
                async for chunk in response.content.iter_chunked(CHUNK):
                    body = chunk[max(0, start - at) : stop - at]
                    at += len(chunk)
                    if body:
                        yield body
                    if at >= stop:
                        return
            except (aiohttp.ClientError, OSError) as error:
                raise PassingError(f"MAST: {type(error).__name__} {error}") from error

    async def close(self) -> None:
        """Ends connections."""
        if self._session:
            await self._session.close()

    async def _responses(self, uri: str, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The one good response to a GET. Raises InputError, PassingError."""
        if self._session is None:
            self._session = self._new_session()
        token = os.environ.get(TOKEN)
        try:
            async with self._session.get(
                f"{self._limits.server}/api/v0.1/Download/file",
                params={"uri": uri},
                # aiohttp drops it where a redirect leads to another host.
                headers={**headers, **({"Authorization": f"token {token}"} if token else {})},
            ) as response:
                self._check(uri, response, has_token=bool(token))
                yield response
        except (aiohttp.ClientError, OSError) as error:
            if advice := network.advice(str(error)):
                raise InputError(f"{uri}: {advice}") from error
            raise PassingError(f"MAST: {type(error).__name__} {error}") from error

    def _new_session(self) -> aiohttp.ClientSession:
        certificates = network.bundle(network.MAST)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._limits.lookups, ssl=network.tls(certificates) if certificates else True
            ),
            timeout=aiohttp.ClientTimeout(total=None, connect=self._limits.lookup_seconds),
            headers={"User-Agent": f"skyfan/{installed('skyfan')}", "Accept-Encoding": "identity"},
            auto_decompress=False,
            trust_env=True,
        )

    def _check(self, uri: str, response: aiohttp.ClientResponse, *, has_token: bool) -> None:
        status = response.status
        if status in RETRIABLE:
            wait = retry_after(response.headers.get("Retry-After"), self._limits.longest_delay)
            raise PassingError(f"MAST: {status} {response.reason}", wait)
        if status in (401, 403):
            advice = f"the token in {TOKEN} does not open it" if has_token else f"set {TOKEN} to your token"
            raise InputError(f"{uri}: MAST refuses it ({status}), for it is not public: {advice}")
        if status == 404:
            raise InputError(f"{uri}: MAST has no such file")
        if status not in (200, 206):
            raise InputError(f"{uri}: MAST answers {status} {response.reason}")
        if response.content_type == "text/html" and not uri.lower().endswith((".html", ".htm")):
            raise PassingError("MAST sent a page instead of the file: is it down?")


def _range(response: aiohttp.ClientResponse) -> tuple[int, int]:
    """The first byte of a response with status 206, and the size of the file."""
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if not match:
        raise PassingError(f"MAST sent a part of the file without saying which ({response.status})")
    return int(match[1]), int(match[3])


def _version(uri: str, response: aiohttp.ClientResponse) -> Version:
    etag = str(response.headers.get("ETag") or response.headers.get("Last-Modified") or "")
    if response.status == 206:
        return Version(_range(response)[1], etag)
    if (size := response.content_length) is None:
        raise InputError(f"{uri}: MAST does not say its size, so that nothing could tell a whole file")
    return Version(size, etag, ranges=False)
