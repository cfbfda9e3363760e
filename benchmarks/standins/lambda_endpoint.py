"""A stand-in for Lambda's Invoke: takes Event invocations with 202 as fast as one core can, keeps none.

    python -m standins.lambda_endpoint --port 9001 --latency 0.02

GET /counts tells what was taken; --piece 7 sends answers in pieces. It checks that a signature is there, not
that it is right.
"""

import argparse
import asyncio
import json
import random
import re
import sys
from collections.abc import Callable
from typing import Any

INVOKE = re.compile(rb"POST /2015-03-31/functions/([^/]+)/invocations HTTP/1\.1\r\n")
CONFIGURATION = re.compile(rb"GET /2015-03-31/functions/([^/]+)/configuration HTTP/1\.1\r\n")
SETTINGS = re.compile(
    rb"GET /[-0-9]+/(account-settings|functions/[^/]+/(?:concurrency|event-invoke-config))/? "
)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_MAX_EVENT = 1 << 20
INPUTS = "stpubdata"
"""The buckets that the functions read."""
Take = Callable[[str, str, bytes], None]
"""Called with function, request ID and payload of each event that is accepted, before the answer is sent."""


class Endpoint:
    """What all connections share."""

    def __init__(
        self, take: Take | None = None, latency: float = 0.0, seed: int = 0, piece: int | None = None
    ) -> None:
        """Answers are held back for `latency` seconds and sent in pieces of `piece` bytes, or whole."""
        self.take, self.latency, self.piece = take, latency, piece
        self.concurrency, self.event_age = 1000, 21600
        self.accepted = self.refused = self.in_flight = self.most_in_flight = 0
        self._ids = random.Random(seed)

    async def start(self, port: int = 0) -> asyncio.Server:
        """Listens on 127.0.0.1."""
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Connection(self, loop), "127.0.0.1", port, backlog=1024)

    def answer(self, head: bytes, body: bytes) -> bytes:
        """The whole answer to one request; if empty, the connection stays open and silent."""
        if match := INVOKE.match(head):
            return self._invoke(match[1].decode(), head, body)
        if head.startswith(b"GET /counts "):
            counts = {name: value for name, value in vars(self).items() if isinstance(value, int)}
            return response(200, json.dumps(counts).encode())
        if match := CONFIGURATION.match(head):
            memory_mb, timeout_s = (10240, 900) if match[1].endswith(b"Large") else (1769, 300)
            told = {"FunctionName": match[1].decode(), "MemorySize": memory_mb, "Timeout": timeout_s}
            told |= {"Architectures": ["x86_64"], "Environment": {"Variables": {"SKYFAN_INPUTS": INPUTS}}}
            return response(200, json.dumps(told).encode())
        if match := SETTINGS.match(head):
            return self._settings(match[1])
        return error(404, "ResourceNotFoundException", "no such operation")

    def _settings(self, path: bytes) -> bytes:
        if path.startswith(b"account"):
            limit = {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": self.concurrency}
            return response(200, json.dumps({"AccountLimit": limit}).encode())
        if path.endswith(b"/concurrency"):
            return response(200, b"{}")
        told = {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": self.event_age}
        return response(200, json.dumps(told).encode())

    def _invoke(self, function: str, head: bytes, body: bytes) -> bytes:
        lower = head.lower()
        reason = b""
        if body.startswith(b'{"probe"'):  # whether results can be written
            return response(200, body)
        if b"\r\nauthorization: aws4-hmac-sha256 " not in lower:
            reason = error(403, "MissingAuthenticationTokenException", "the request is not signed")
        elif b"\r\nx-amz-invocation-type: event\r\n" not in lower:
            reason = error(400, "InvalidParameterValueException", "only Event invocations are taken here")
        elif len(body) > _MAX_EVENT:
            reason = error(413, "RequestTooLargeException", "the payload is over 1 MB")
        elif function.startswith("missing"):
            reason = error(404, "ResourceNotFoundException", f"Function not found: {function}")
        if reason:
            self.refused += 1
            return reason
        number = f"{self._ids.getrandbits(128):032x}"
        request_id = f"{number[:8]}-{number[8:12]}-{number[12:16]}-{number[16:20]}-{number[20:]}"
        if self.take:
            self.take(function, request_id, body)
        self.accepted += 1
        return response(202, b"", request_id)


class _Connection(asyncio.Protocol):
    """One keep-alive connection: a request, its answer, the next."""

    def __init__(self, endpoint: Endpoint, loop: asyncio.AbstractEventLoop) -> None:
        self.endpoint, self.loop = endpoint, loop
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[: end + 2]
            length = int(match[1]) if (match := _LENGTH.search(head)) else 0
            if len(self.buffer) < end + 4 + length:
                return
            body = self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            answer = self.endpoint.answer(head, body)
            if self.endpoint.latency:
                self.endpoint.in_flight += 1
                self.endpoint.most_in_flight = max(self.endpoint.most_in_flight, self.endpoint.in_flight)
                self.loop.call_later(self.endpoint.latency, self._send, answer)
            else:
                self._write(answer)

    def _send(self, answer: bytes) -> None:
        self.endpoint.in_flight -= 1
        self._write(answer)

    def _write(self, answer: bytes) -> None:
        piece = self.endpoint.piece or len(answer)
        self.transport.write(answer[:piece])
        if rest := answer[piece:]:
            self.loop.call_later(0.001, self._write, rest)  # later, so that it comes as a piece of its own


_REASONS = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    407: "Proxy Authentication Required",
}


def response(status: int, body: bytes, request_id: str = "", headers: str = "") -> bytes:
    """One HTTP/1.1 answer as Lambda gives it."""
    named = f"x-amzn-RequestId: {request_id}\r\n" if request_id else ""
    head = f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\nContent-Type: application/json\r\n"
    return f"{head}{named}{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def error(status: int, kind: str, message: str) -> bytes:
    """An error as Lambda tells it: its type in a header, its message in the body."""
    body = json.dumps({"Type": "User", "Message": message}).encode()
    return response(status, body, headers=f"x-amzn-ErrorType: {kind}\r\n")


async def serve(endpoint: Endpoint, port: int) -> None:
    """Serves until the process ends; prints one line with the URL when it is ready."""
    server = await endpoint.start(port)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds")
    parser.add_argument("--piece", type=int, help="bytes")
    options = parser.parse_args(words)
    asyncio.run(serve(Endpoint(latency=options.latency, piece=options.piece), options.port))


if __name__ == "__main__":
    main(sys.argv[1:])
