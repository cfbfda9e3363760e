"""A keep-alive HTTP/1.1 connection to Lambda, with only the parts of HTTP that Invoke needs.

CPU time per invocation against benchmarks/standins/lambda_endpoint.py, signing and receipts included: 73 µs;
with awscrt instead of this class 161 µs, with aiohttp 211 µs; boto3's client on 16 to 64 threads 755 µs.
"""

import asyncio
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from skyfan_contract import without_passwords

from .. import extras, session
from ..network import UNTRUSTED, Proxy, authority, proxy, tls

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_CONNECT_S = 10.0


class Response(NamedTuple):
    """An HTTP response; the names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class NotSentError(ConnectionError):
    """The request was not sent: it cannot have had any effect."""


class RefusedError(ConnectionError):
    """No request can succeed: the proxy refuses it, or a certificate is not trusted."""


class BrokenError(ConnectionError):
    """The connection broke, or timed out, before the response: the request may have been accepted."""


@dataclass(frozen=True)
class Endpoint:
    """The endpoint of Lambda in a region, or of a stand-in."""

    url: str
    region: str
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    """Trusted certificates, for an https URL of the endpoint or the proxy."""
    proxy: Proxy | None = None

    @property
    def host(self) -> str:
        """The Host header: name, and port if it is not the default of the scheme."""
        return self.url.partition("://")[2].rstrip("/")


def endpoint() -> Endpoint:
    """The endpoint for Invoke, with the same URL, proxy and trusted certificates that boto3 would use."""
    with extras.needed("aws"):
        from botocore.httpsession import get_cert_path

    aws, url = session.session(), session.client("lambda").meta.endpoint_url
    certificates = session.certificates(aws) or Path(get_cert_path(True))
    return Endpoint(url, aws.region_name, tls(certificates), proxy(url))


class Connection:
    """Opens at the first request, and again after it was closed. Takes one request at a time."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._forwarding = endpoint.proxy if endpoint.url.startswith("http:") else None
        self._wire: _Wire | None = None
        self._due = 0.0

    async def post(self, request: bytes, timeout: float) -> Response:
        """Sends one request and waits for the response.

        `timeout` is in seconds; it takes effect in check_timeout(). Raises NotSentError, RefusedError or
        BrokenError.
        """
        loop = asyncio.get_running_loop()
        if self._wire is None or self._wire.closed:
            self._wire = await self._open()
        if proxy := self._forwarding:
            request = _forwarded(request, self._endpoint.url, proxy)
        self._due = loop.time() + timeout
        try:
            response = await self._wire.send(request, loop)
            if proxy and response.status == 407:
                _check(proxy, response.status)
            return response
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._due = 0.0

    def check_timeout(self, now: float) -> None:
        """Ends the current request if it has timed out. Cheaper than a timer per request.

        `now` is the time of the event loop.
        """
        if self._wire and self._due and now > self._due:
            self._wire.fail("no response in time")

    def close(self) -> None:
        """Closes the connection, if it is open."""
        if self._wire:
            self._wire.close()

    async def _open(self) -> "_Wire":
        endpoint = self._endpoint
        try:
            async with asyncio.timeout(_CONNECT_S):
                return await _connect(endpoint)
        except RefusedError:
            raise
        except (OSError, TimeoutError) as error:
            asked = endpoint.proxy or without_passwords(endpoint.url)
            raise NotSentError(f"{asked}: {str(error) or 'no connection in time'}") from error


async def _connect(endpoint: Endpoint) -> "_Wire":
    """Opens a connection to the endpoint, or to its proxy.

    Through a proxy, an https endpoint is reached in a tunnel (CONNECT); an http endpoint gets requests from
    the proxy itself, in the form of _forwarded(). Raises RefusedError or OSError.
    """
    loop, parts, proxy = asyncio.get_running_loop(), urlsplit(endpoint.url), endpoint.proxy
    secure = endpoint.tls if parts.scheme == "https" else None
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    try:
        if proxy is None:
            return (await loop.create_connection(_Wire, host, port, ssl=secure))[1]
        outer = endpoint.tls if proxy.scheme == "https" else None
        if secure is None:
            return (await loop.create_connection(_Wire, proxy.host, proxy.port, ssl=outer))[1]
        transport, tunnel = await loop.create_connection(_Tunnel, proxy.host, proxy.port, ssl=outer)
        try:
            target = authority(host, port)
            transport.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{_user(proxy)}\r\n".encode())
            _check(proxy, await tunnel.status)
            wire = _Wire()
            inner = await loop.start_tls(transport, wire, secure, server_hostname=host)
            assert inner is not None
            wire.connection_made(inner)
        except BaseException:
            transport.abort()
            raise
        return wire
    except ssl.SSLCertVerificationError as error:
        name = f"{endpoint.url} through {proxy}" if proxy else endpoint.url
        raise RefusedError(f"{name}: {UNTRUSTED} ({error.verify_message})") from error


def _forwarded(request: bytes, url: str, proxy: Proxy) -> bytes:
    """A POST request in the form for a proxy: with the absolute URL and the proxy's user."""
    first, rest = request.removeprefix(b"POST ").split(b"\r\n", 1)
    return b"".join((b"POST ", url.rstrip("/").encode(), first, b"\r\n", _user(proxy).encode(), rest))


def _check(proxy: Proxy, status: int) -> None:
    """Raises RefusedError if the status of a proxy is permanent, ConnectionError if it may be temporary."""
    if 200 <= status < 300:
        return
    if status == 407:
        problem = "does not accept this user and password" if proxy.user else "needs a user and a password"
        form = f"{proxy.scheme}://USER:PASSWORD@{authority(proxy.host, proxy.port)}"
        raise RefusedError(f"{proxy} {problem} (407): set {proxy.variable} to {form}")
    if status == 429 or status >= 500:
        raise ConnectionError(f"it responds with status {status}")
    raise RefusedError(f"{proxy} does not connect to AWS ({status}): ask its administrator, or set NO_PROXY")


def _user(proxy: Proxy) -> str:
    return f"Proxy-Authorization: {proxy.authorization}\r\n" if proxy.user else ""


class _Tunnel(asyncio.Protocol):
    """Waits for the response to CONNECT."""

    def __init__(self) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self.status.done() or b"\r\n\r\n" not in self._buffer:
            return
        if match := _STATUS.match(self._buffer):
            self.status.set_result(int(match[1]))
        else:
            self.status.set_exception(ConnectionError("its response to CONNECT is not HTTP"))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.status.done():
            self.status.set_exception(error or ConnectionError("it closed the connection"))


class _Wire(asyncio.Protocol):
    """One connection, from opening to closing."""

    def __init__(self) -> None:
        self.closed = False
        self._transport: Any = None
        self._response: asyncio.Future[Response] | None = None
        self._buffer = b""

    def send(self, request: bytes, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[Response]":
        self._buffer, self._response = b"", loop.create_future()
        self._transport.write(request)
        return self._response

    def close(self) -> None:
        self.closed = True
        self._transport.abort()

    def fail(self, why: str) -> None:
        if self._response is not None and not self._response.done():
            self._response.set_exception(BrokenError(why))
        self.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._response is None or self._response.done():
            self.close()  # unrequested data could not be told apart from the next response
            return
        self._buffer += data
        try:
            response, keep = _parse(self._buffer, closed=False)
        except ValueError as error:
            self.fail(str(error))
            return
        if response is not None:
            self._response.set_result(response)
            if not keep:
                self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self._response is None or self._response.done():
            return
        try:
            response, _ = _parse(self._buffer, closed=True)
        except ValueError:
            response = None
        if response is not None:
            self._response.set_result(response)
        else:
            self._response.set_exception(BrokenError(str(error or "the connection was closed")))


def _parse(data: bytes, *, closed: bool) -> tuple[Response | None, bool]:
    """The response in `data` (None while it is incomplete) and whether the connection stays open.

    Raises ValueError if it is not HTTP.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None, True
    first, *lines = data[:end].split(b"\r\n")
    match = _STATUS.match(first)
    if not match:
        raise ValueError("the response is not HTTP")
    status, body = int(match[1]), data[end + 4 :]
    if 100 <= status < 200:
        return _parse(body, closed=closed)
    headers = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
    keep = headers.get("connection", "").lower() != "close" and first.startswith(b"HTTP/1.1")
    if "content-length" in headers:
        length = int(headers["content-length"])
        whole = body[:length] if len(body) >= length else None
    elif headers.get("transfer-encoding", "").lower() == "chunked":
        whole = _unchunked(body)
    else:  # the end of the connection ends the body
        whole, keep = (body if closed else None), False
    return (None if whole is None else Response(status, headers, whole)), keep


def _unchunked(data: bytes) -> bytes | None:
    whole = b""
    while (end := data.find(b"\r\n")) >= 0:
        size = int(data[:end].partition(b";")[0], 16)
        if len(data) < end + 2 + size + 2:
            return None
        if size == 0:
            return whole
        whole += data[end + 2 : end + 2 + size]
        data = data[end + 2 + size + 2 :]
    return None
