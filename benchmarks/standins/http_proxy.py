"""An HTTP proxy as companies run them: CONNECT, requests with an absolute URI, and a password if wanted.

    python -m standins.http_proxy --user anna:secret
    python -m standins.http_proxy --tls-for http://127.0.0.1:9001 --certificate server.pem

With --tls-for it is no proxy but the TLS in front of an endpoint that speaks plain HTTP. Its first line of
output is its URL. GET /requests returns the first line of each request that it forwarded, as a JSON list.
"""

import argparse
import asyncio
import contextlib
import json
import re
import ssl
import sys
from base64 import b64encode
from urllib.parse import urlsplit

from .lambda_endpoint import response

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_AUTHORIZATION = re.compile(rb"\r\nproxy-authorization: *([^\r]*)", re.IGNORECASE)
_HOP = re.compile(rb"\r\nproxy-[a-z]+:[^\r]*", re.IGNORECASE)


class Proxy:
    """One proxy and the requests that it forwarded."""

    def __init__(self, user: str = "") -> None:
        """`user` is name:password; without it the proxy asks for none."""
        self.requests: list[str] = []
        self._wanted = b"Basic " + b64encode(user.encode()) if user else b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._request(reader, writer):
                pass
        writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection takes another request."""
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        length = int(match[1]) if (match := _LENGTH.search(head)) else 0
        if target == "/requests":
            writer.write(response(200, json.dumps(self.requests).encode()))
            return True
        sent = _AUTHORIZATION.search(head)
        if self._wanted and (not sent or sent[1] != self._wanted):
            challenge = 'Proxy-Authenticate: Basic realm="office"\r\nConnection: close\r\n'
            writer.write(response(407, b"<html>who are you?</html>", headers=challenge))
            return False
        self.requests.append(f"{method} {target}")
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            await relay(reader, writer, host, int(port), b"HTTP/1.1 200 Connection established\r\n\r\n")
            return False
        body = await reader.readexactly(length)
        parts = urlsplit(target)
        path = target[target.index(parts.netloc) + len(parts.netloc) :]
        first, rest = f"{method} {path} HTTP/1.1\r\nConnection: close".encode(), head[head.index(b"\r\n") :]
        upstream = await asyncio.open_connection(parts.hostname, parts.port or 80)
        upstream[1].write(first + _HOP.sub(b"", rest) + body)
        whole = await _answer(upstream[0], writer, bodiless=method == "HEAD")
        upstream[1].close()
        return whole


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, bodiless: bool) -> bool:
    """Passes an answer on; whether its end is known without the connection's end."""
    head = await reader.readuntil(b"\r\n\r\n")
    match = _LENGTH.search(head)
    whole = bodiless or match is not None
    body = b"" if bodiless else await (reader.readexactly(int(match[1])) if match else reader.read())
    writer.write(head + body)
    return whole


async def relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int, hello: bytes = b""
) -> None:
    """Copies bytes both ways between a client and host:port, after `hello` to the client."""
    try:
        upstream = await asyncio.open_connection(host, port)
    except OSError:
        writer.write(response(502, b"no way there"))
        return
    writer.write(hello)
    await asyncio.gather(_copy(reader, upstream[1]), _copy(upstream[0], writer), return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def run(options: argparse.Namespace) -> None:
    tls = None
    if options.certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.certificate)
    serve = Proxy(options.user).serve
    if options.tls_for:
        parts = urlsplit(options.tls_for)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await relay(reader, writer, parts.hostname, parts.port)

    server = await asyncio.start_server(serve, "127.0.0.1", options.port, ssl=tls, limit=1 << 21)
    scheme = "https" if tls else "http"
    print(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--user", default="", metavar="NAME:PASSWORD")
    parser.add_argument("--certificate", help="PEM file with key and certificate: listen with TLS")
    parser.add_argument("--tls-for", metavar="URL", help="the endpoint behind the TLS")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(parser.parse_args(words)))


if __name__ == "__main__":
    main(sys.argv[1:])
