"""How skyfan asks the archive: how much at once, how long it waits, how often it tries again."""

import os
import random
import threading
from dataclasses import dataclass

from ..errors import UsageError

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses after which the same request may succeed."""


@dataclass(frozen=True)
class Limits:
    """What is polite, and what is patient. Times are in seconds."""

    server: str = "https://mast.stsci.edu"
    bucket: str = "stpubdata"
    queries: int = 4
    """Requests to MAST's database (observations, product lists) at once."""
    lookups: int = 8
    """Requests to path_lookup at once."""
    objects: int = 32
    """LIST and HEAD requests to the bucket at once; S3 itself takes 5,500 a second below each prefix."""
    query_seconds: float = 600.0
    """The longest silence of the database, which answers "still executing" well before that."""
    lookup_seconds: float = 60.0
    tries: int = 6
    pause: float = 0.5
    """Upper end of the first pause; each further one is up to twice as long, at most `longest`."""
    longest: float = 30.0

    @classmethod
    def of_environment(cls) -> "Limits":
        """The defaults, with SKYFAN_MAST as the server where it is set: a mirror, or a stand-in for tests."""
        server = os.environ.get("SKYFAN_MAST", cls.server).rstrip("/")
        if not server.startswith(("http://", "https://")):
            raise UsageError(f"SKYFAN_MAST is a URL such as {cls.server}, not {server!r}")
        return cls(server=server)

    def wait(self, tried: int, told: float | None = None) -> float:
        """Seconds to wait after the `tried`-th failure: full jitter, after what Retry-After told."""
        most = min(self.longest, self.pause * 2 ** (tried - 1))
        return random.uniform(0, most) + min(told or 0.0, self.longest)


class Breaker:
    """Says when a service is down: after many failures for good with no answer in between.

    Each failure for good has been tried `Limits.tries` times, so going on through a whole list would take
    hours and help nobody. Used from several threads.
    """

    def __init__(self, most: int = 10) -> None:
        self._most, self._failures, self._lock = most, 0, threading.Lock()

    @property
    def is_open(self) -> bool:
        return self._failures >= self._most

    def answered(self) -> None:
        with self._lock:
            self._failures = 0

    def failed(self) -> None:
        with self._lock:
            self._failures += 1


class UnansweredError(Exception):
    """A service gave no usable answer, however often it was asked. Its text says what it did in its place."""
