"""S3 with many objects of one size, in memory, behind a line of a latency and two rates.

    python -m standins.line KEYS --size 13000000 --latency 0.03 --each 40e6 --rate 250e6

KEYS is a file with one key per line. Objects differ in their first bytes, and their ETags are their MD5s. Its
first line of output is its URL; GET /requests returns what was asked, as in standins.bucket.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import tempfile
from pathlib import Path

from standins.bucket import Bucket


def content(key: str, base: bytes) -> bytes:
    """The object of a key: `base` with its own beginning."""
    head = f"{key:<200}".encode()
    return head + base[len(head) :]


def base(size: int) -> bytes:
    """The bytes that all objects share but for their beginning."""
    return random.Random(1).randbytes(size)


async def run(options: argparse.Namespace) -> None:
    shared = base(options.size)
    with tempfile.TemporaryDirectory() as empty:
        bucket = Bucket(Path(empty), options.latency, options.rate, options.each)
        for key in options.keys.read_text().split():
            bucket.put(key, content(key, shared), {})
        server = await asyncio.start_server(bucket.serve, "127.0.0.1", 0, backlog=1024)
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("keys", type=Path)
    parser.add_argument("--size", type=int, default=13_000_000, help="bytes of each object")
    parser.add_argument("--latency", type=float, default=0.03, help="seconds per request")
    parser.add_argument(
        "--each", type=float, default=0.0, help="bytes per second of a connection; 0: no limit"
    )
    parser.add_argument("--rate", type=float, default=0.0, help="bytes per second of all; 0: no limit")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
