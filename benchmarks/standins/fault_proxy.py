"""An HTTP proxy in front of a Lambda endpoint that fails as networks and services do, by chance with a seed.

    python -m standins.fault_proxy http://127.0.0.1:9001 --blackout-after 3000 --blackout 10

A connection breaks, or falls silent, as often before a request was forwarded as after, so that an event is
taken and its receipt is lost. In a black-out every connection is cut, and new ones as they come. GET /faults
tells counts.
"""

import argparse
import asyncio
import contextlib
import json
import random
import re
import sys
from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlsplit

from .lambda_endpoint import error, response

_EVENT = re.compile(
    rb"POST /\S+/invocations .*\r\nx-amz-invocation-type: event\r\n", re.DOTALL | re.IGNORECASE
)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_SILENCE_S = 5.0  # longer than the clients of the soak wait


@dataclass(frozen=True)
class Faults:
    """Shares of the requests, and the black-out."""

    throttle: float = 0.05
    fail: float = 0.01
    broken: float = 0.01
    double: float = 0.01
    unavailable: float = 0.0
    silent: float = 0.0
    throttle_after: int = 0
    """Events after which each further one is throttled, and no other request; 0 for never."""
    blackout_after: int = 0
    """Requests before the black-out; 0 for none."""
    blackout_s: float = 10.0
    seed: int = 0


class Proxy:
    """One proxy, with what it has done so far."""

    def __init__(self, upstream: str, faults: Faults) -> None:
        parts = urlsplit(upstream)
        self.host, self.port, self.faults = parts.hostname, parts.port, faults
        self.counts: Counter[str] = Counter()
        self._random = random.Random(faults.seed)
        self._dark_until = 0.0
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection, with one of its own to the endpoint."""
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._writers.add(writer)
        try:
            while not self._dark():
                request = await _message(reader)
                if request.startswith(b"GET /faults "):
                    writer.write(response(200, json.dumps(self.counts).encode()))
                    continue
                if self._dark(counting=True):
                    return
                upstream = upstream or await asyncio.open_connection(self.host, self.port)
                answer = await self._pass(request, upstream)
                if answer is None:
                    return
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            for open_ in (writer, *(upstream or ())[1:]):
                open_.transport.abort()

    async def _pass(
        self, request: bytes, upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> bytes | None:
        """The answer that the client gets; None breaks its connection."""
        fault = self._fault()
        if self.faults.throttle_after and _EVENT.match(request):
            self.counts["events"] += 1
            if self.counts["events"] > self.faults.throttle_after:
                fault = "throttled"
        self.counts[fault or "passed"] += 1
        if fault == "throttled":
            return error(429, "TooManyRequestsException", "Rate exceeded")
        if fault == "failed":
            return error(500, "ServiceException", "An error occurred")
        if fault == "unavailable":
            return error(503, "ServiceUnavailableException", "Service is unavailable")
        if fault == "silent before":
            await asyncio.sleep(_SILENCE_S)
        if fault in ("broken before", "silent before"):
            return None
        for _ in range(2 if fault == "doubled" else 1):
            upstream[1].write(request)
            answer = await _message(upstream[0])
        if fault == "silent after":
            await asyncio.sleep(_SILENCE_S)
        return None if fault in ("broken after", "silent after") else answer

    def _fault(self) -> str:
        chance, faults = self._random.random(), self.faults
        for share, name in (
            (faults.throttle, "throttled"),
            (faults.fail, "failed"),
            (faults.broken / 2, "broken before"),
            (faults.broken / 2, "broken after"),
            (faults.double, "doubled"),
            (faults.unavailable, "unavailable"),
            (faults.silent / 2, "silent before"),
            (faults.silent / 2, "silent after"),
        ):
            if chance < share:
                return name
            chance -= share
        return ""

    def _dark(self, *, counting: bool = False) -> bool:
        now = asyncio.get_running_loop().time()
        if counting:
            self.counts["requests"] += 1
            if self.counts["requests"] == self.faults.blackout_after:
                self._dark_until = now + self.faults.blackout_s
                for writer in self._writers:
                    writer.transport.abort()
        dark = now < self._dark_until
        self.counts["in the dark"] += dark
        return dark


async def _message(reader: asyncio.StreamReader) -> bytes:
    """One request or answer with its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    match = _LENGTH.search(head)
    return head + (await reader.readexactly(int(match[1])) if match else b"")


async def run(upstream: str, port: int, faults: Faults) -> None:
    proxy = Proxy(upstream, faults)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", port, backlog=1024, limit=1 << 21)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream")
    parser.add_argument("--port", type=int, default=0)
    for name in ("throttle", "fail", "broken", "double", "unavailable", "silent"):
        parser.add_argument(f"--{name}", type=float, default=getattr(Faults, name), help="share of requests")
    parser.add_argument("--throttle-after", type=int, default=0, metavar="EVENTS")
    parser.add_argument("--blackout-after", type=int, default=0, metavar="REQUESTS")
    parser.add_argument("--blackout", type=float, default=10.0, metavar="SECONDS", dest="blackout_s")
    parser.add_argument("--seed", type=int, default=0)
    options = vars(parser.parse_args(words))
    upstream, port = options.pop("upstream"), options.pop("port")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(upstream, port, Faults(**options)))


if __name__ == "__main__":
    main(sys.argv[1:])
