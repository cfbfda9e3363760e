"""S3: the files of a folder in any bucket, behind a line of a latency and a rate.

    python -m standins.bucket FOLDER --latency 0.03 --rate 78e6

Answers HEAD, GET with ranges, ETag and If-Match as S3 does, lists of 1,000 keys, and PUT, but forgets what is
put unless told to keep it. The latency is added to each request, the rate is shared by all. Its first line of
output is its URL; GET /requests returns what was asked since the last time, as a JSON list.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import math
import re
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

LATENCY_S, BYTES_PER_S = 0.03, 78e6
"""As an environment of Lambda has it: the rate is that of one with less than 2 GB of memory."""
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_PIECE = 1 << 17
_SLACK_S = 0.02
_REASON = {200: "OK", 206: "Partial Content", 404: "Not Found", 412: "Precondition Failed", 416: "No Range"}
_KEYS_PER_LIST = 1000
_META = "x-amz-meta-"
_FOREVER_S = 3600.0


@dataclass
class Request:
    """One request for a file; ``sent`` are the bytes of its body. The method of a list is LIST.

    Times are seconds of one clock; a request that has not ended ends at infinity.
    """

    method: str
    key: str
    start: int = 0
    sent: int = 0
    status: int = 0
    """0: the connection is closed without a reply."""
    rate: float = math.inf
    """Bytes per second of the body; 0: half of it comes, and then nothing."""
    received: int = 0
    """Bytes of what is put."""
    wanted: dict[str, str] = field(default_factory=dict)
    """Its headers and parameters."""
    began: float = 0.0
    ended: float = math.inf


def chain(requests: list[Request]) -> int:
    """The longest chain of requests that each began when the one before had ended."""
    length, end = 0, 0.0
    for request in sorted(requests, key=lambda one: one.ended):
        if request.began >= end:
            length, end = length + 1, request.ended
    return length


def waits(requests: list[Request]) -> int:
    """Requests that began while no other was under way: each costs a latency in which nothing is sent."""
    count, end = 0, 0.0
    for request in sorted(requests, key=lambda one: one.began):
        count += request.began >= end
        end = max(end, request.ended)
    return count


@dataclass
class Stored:
    """An object: its content, and the headers that are sent with it."""

    body: bytes
    headers: dict[str, str]


@dataclass
class Bucket:
    """The server and what it was asked for.

    ``spoil`` may change a reply before it is sent: the request's status, the headers, and the body, which it
    returns.
    """

    folder: Path
    latency: float = 0.0
    """Seconds."""
    rate: float = 0.0
    """Bytes per second, shared by all; 0: no limit."""
    each: float = 0.0
    """Bytes per second of one connection; 0: no limit."""
    requests: list[Request] = field(default_factory=list)
    spoil: Callable[[Request, dict[str, str], bytes], bytes] | None = None
    keeps: bool = False
    """What is put, in ``stored``."""
    stored: dict[str, Stored] = field(default_factory=dict)
    _free: float = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            try:
                await self._serve(reader, writer)
            except asyncio.CancelledError:
                writer.transport.abort()  # what the client has not read is not waited for
            except ConnectionError:
                # A process that was forked here has the socket too: closing it would end nothing.
                writer.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:])}
            if path == "/requests":
                body = json.dumps([asdict(request) for request in self.requests]).encode()
                self.requests.clear()
                await self._write(writer, 200, {"Content-Length": str(len(body))}, body)
                continue
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            path, _, query = path.partition("?")
            request = Request(method, unquote(path).lstrip("/").partition("/")[2], received=len(body))
            request.began = time.monotonic()
            request.wanted = headers | dict(parse_qsl(query))
            await self._answer(writer, request, body)

    async def _answer(self, writer: asyncio.StreamWriter, request: Request, sent: bytes) -> None:
        self.requests.append(request)
        if "list-type" in request.wanted:
            request.method, request.key = "LIST", request.wanted.get("prefix", "")
        request.status, headers, body = self._reply(request, request.wanted, sent)
        if self.spoil:
            body = self.spoil(request, headers, body)
        await asyncio.sleep(self.latency)
        if request.method == "HEAD":
            body = b""
        if not request.status:
            raise ConnectionError("spoiled: no reply")
        try:
            request.sent = len(body)
            await self._write(writer, request.status, headers, body, request.rate)
        finally:
            request.ended = time.monotonic()
        if len(body) < int(headers["Content-Length"]) and request.method != "HEAD":
            raise ConnectionError("spoiled: the body ends early")

    def put(self, key: str, body: bytes, wanted: dict[str, str]) -> str:
        """Keep an object; returns its ETag."""
        kept = {name: value for name, value in wanted.items() if name.startswith(_META)}
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        modified = formatdate(time.time(), usegmt=True)
        self.stored[key] = Stored(body, {"ETag": etag, "Last-Modified": modified, **kept})
        return etag

    def _reply(
        self, request: Request, wanted: dict[str, str], sent: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if request.method == "LIST":
            return self.list(wanted)
        if request.method == "PUT":
            digest = b64encode(hashlib.sha256(sent).digest()).decode()
            if wanted.get("x-amz-checksum-sha256", digest) != digest:
                return 400, {"Content-Length": "0"}, b""
            if "if-none-match" in wanted and request.key in self.stored:
                return 412, {"Content-Length": "0"}, b""
            etag = self.put(request.key, sent, wanted) if self.keeps else '"forgotten"'
            return 200, {"ETag": etag, "Content-Length": "0"}, b""
        path, stored = self.folder / request.key, self.stored.get(request.key)
        if stored is None and not path.is_file():
            return 404, {"Content-Length": "0"}, b""
        headers, size = (stored.headers, len(stored.body)) if stored else _described(path)
        headers = {**headers, "Accept-Ranges": "bytes"}
        if wanted.get("if-match", headers["ETag"]) != headers["ETag"]:
            return 412, {"Content-Length": "0"}, b""
        start, stop, status = 0, size, 200
        if match := _RANGE.fullmatch(wanted.get("range", "")):
            start, status = int(match[1]), 206
            stop = min(int(match[2]) + 1, stop) if match[2] else stop
            if start >= size:
                return 416, {"Content-Length": "0"}, b""
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        request.start = start
        headers["Content-Length"] = str(stop - start)
        if request.method == "HEAD":
            return status, headers, b""
        if stored:
            return status, headers, stored.body[start:stop]
        with path.open("rb") as file:
            file.seek(start)
            return status, headers, file.read(stop - start)

    def list(self, wanted: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """A page of keys, or of the folders below a prefix."""
        prefix, delimiter = wanted.get("prefix", ""), wanted.get("delimiter", "")
        after = wanted.get("continuation-token") or wanted.get("start-after", "")
        sizes = {key: (stored.headers, len(stored.body)) for key, stored in self.stored.items()}
        files = (path for path in self.folder.rglob("*") if path.is_file())
        sizes |= {path.relative_to(self.folder).as_posix(): _described(path) for path in files}
        keys = sorted(key for key in sizes if key.startswith(prefix))
        folders: set[str] = set()
        if delimiter:
            folders = {
                prefix + key[len(prefix) :].partition("/")[0] + "/"
                for key in keys
                if "/" in key[len(prefix) :]
            }
            keys = [key for key in keys if "/" not in key[len(prefix) :]]
        keys = [key for key in keys if key > after]
        page = keys[: int(wanted.get("max-keys", _KEYS_PER_LIST))]
        body = listed(
            prefix,
            [(key, *sizes[key]) for key in page],
            folders=sorted(folders),
            token=page[-1] if len(page) < len(keys) else "",
            encode=quote if wanted.get("encoding-type") == "url" else str,
        )
        return 200, {"Content-Type": "application/xml", "Content-Length": str(len(body))}, body

    async def _write(
        self,
        writer: asyncio.StreamWriter,
        status: int,
        headers: dict[str, str],
        body: bytes,
        rate: float = math.inf,
    ) -> None:
        lines = [f"HTTP/1.1 {status} {_REASON.get(status, '')}", *(f"{k}: {v}" for k, v in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        if not rate:
            writer.write(body[: len(body) // 2])
            await asyncio.sleep(_FOREVER_S)
        step = _PIECE if rate == math.inf else 100
        free = time.monotonic()
        for at in range(0, len(body), step):
            if self.each and at:
                free = max(free, time.monotonic() - _SLACK_S) + step / self.each
                await asyncio.sleep(free - time.monotonic())
            piece = memoryview(body)[at : at + step]
            await asyncio.sleep(step / rate)
            if self.rate:
                # Sleeps are too long by a millisecond or so, which the next pieces make up for.
                self._free = max(self._free, time.monotonic() - _SLACK_S) + len(piece) / self.rate
                await asyncio.sleep(self._free - time.monotonic())
            writer.write(piece)
            await writer.drain()


def _described(path: Path) -> tuple[dict[str, str], int]:
    """Headers and size of a file."""
    stat = path.stat()
    etag = f'"{stat.st_size:x}-{stat.st_mtime_ns:x}"'
    return {"ETag": etag, "Last-Modified": formatdate(stat.st_mtime, usegmt=True)}, stat.st_size


def listed(
    prefix: str,
    objects: list[tuple[str, dict[str, str], int]],
    folders: Iterable[str] = (),
    token: str = "",
    encode: Callable[[str], str] = str,
) -> bytes:
    """One page of a list as S3 writes it: key, headers and size of each object."""
    items = [
        f"<Contents><Key>{escape(encode(key))}</Key><LastModified>{_iso(headers['Last-Modified'])}</LastModified>"
        f"<ETag>{escape(headers['ETag'])}</ETag><Size>{size}</Size></Contents>"
        for key, headers, size in objects
    ]
    items += [
        f"<CommonPrefixes><Prefix>{escape(encode(folder))}</Prefix></CommonPrefixes>" for folder in folders
    ]
    following = f"<NextContinuationToken>{escape(token)}</NextContinuationToken>" if token else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>'
        f"<Prefix>{escape(encode(prefix))}</Prefix><KeyCount>{len(items)}</KeyCount><MaxKeys>1000</MaxKeys>"
        f"{'' if encode is str else '<EncodingType>url</EncodingType>'}"
        f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>{following}{''.join(items)}"
        "</ListBucketResult>"
    ).encode()


def _iso(date: str) -> str:
    return parsedate_to_datetime(date).strftime("%Y-%m-%dT%H:%M:%S.000Z")


@contextlib.contextmanager
def serving(bucket: Bucket, host: str = "127.0.0.1") -> Iterator[str]:
    """Serves on a free port of ``host`` in a thread; gives the URL."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(bucket.serve, host, 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(_end(server))
        loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    connections = asyncio.all_tasks() - {asyncio.current_task()}
    for connection in connections:
        connection.cancel()
    await asyncio.gather(*connections, return_exceptions=True)
    await asyncio.sleep(0)  # for their sockets to be closed


async def run(options: argparse.Namespace) -> None:
    bucket = Bucket(options.folder, options.latency, options.rate)
    server = await asyncio.start_server(bucket.serve, "127.0.0.1", options.port)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds per request")
    parser.add_argument("--rate", type=float, default=0.0, help="bytes per second, shared; 0: no limit")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
