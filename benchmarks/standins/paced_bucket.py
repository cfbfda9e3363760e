"""S3 as an environment of Lambda has it: each answer takes a while, and bytes come at a limited rate."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LATENCY_S = 0.03
BYTES_PER_S = 78e6
"""Of one environment with less than 2 GB of memory, over all its connections."""
_PIECE = 256 << 10


@dataclass
class PacedBucket:
    """Serves the files of `folder` by name, in any bucket; takes objects and forgets them."""

    folder: Path
    port: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    """By method and file; PUT and requests for what is missing without one."""
    bytes_sent: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _free_at: float = 0.0

    def pace(self, count: int) -> None:
        """Waits until `count` more bytes have come through."""
        with self._lock:
            self._free_at = max(self._free_at, time.perf_counter()) + count / BYTES_PER_S
            self.bytes_sent += count
            wait = self._free_at - time.perf_counter()
        if wait > 0:
            time.sleep(wait)


@contextmanager
def paced_bucket(folder: Path, host: str = "127.0.0.1") -> Iterator[PacedBucket]:
    """Serves on a free port of `host`, as long as the context lasts."""
    bucket = PacedBucket(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _file(self) -> Path | None:
            path = bucket.folder / self.path.partition("?")[0].rsplit("/", 1)[-1]
            found = path if path.is_file() else None
            bucket.requests[f"{self.command} {found.name if found else ''}".strip()] += 1
            time.sleep(LATENCY_S)
            return found

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self._file()
            if path is None:
                body = b"<Error><Code>NoSuchKey</Code></Error>"
                self._head(404, len(body))
                if self.command == "GET":
                    self.wfile.write(body)
                return
            size = path.stat().st_size
            first, last, status = 0, size - 1, 200
            if wanted := self.headers["Range"]:
                begin, end = wanted.removeprefix("bytes=").split("-")
                first, last = (int(begin), min(last, int(end or last))) if begin else (size - int(end), last)
                status = 206
            self._head(status, last + 1 - first, f"bytes {first}-{last}/{size}" if status == 206 else "")
            if self.command == "HEAD":
                return
            with path.open("rb") as file:
                file.seek(first)
                left = last + 1 - first
                while left:
                    piece = file.read(min(_PIECE, left))
                    bucket.pace(len(piece))
                    self.wfile.write(piece)
                    left -= len(piece)

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self._file()
            self._head(200, 0)

        def _head(self, status: int, length: int, content_range: str = "") -> None:
            self.send_response(status)
            self.send_header("ETag", '"1"')
            self.send_header("Last-Modified", "Sun, 22 Nov 2026 00:00:00 GMT")
            self.send_header("Content-Length", str(length))
            if content_range:
                self.send_header("Content-Range", content_range)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # a container that was killed

    with Server((host, 0), Handler) as server:
        bucket.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield bucket
        finally:
            server.shutdown()
