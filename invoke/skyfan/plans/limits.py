"""Limits for requests to the archive: how many at once, time-outs and retries; and when to give up."""

import html
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from .. import concurrency
from ..errors import UsageError

RETRIABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses after which the same request may succeed."""


_MARKUP = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


class UnansweredError(Exception):
    """A service gave no usable answer in spite of all retries. The message says what it did instead."""


class NoAnswerError(UnansweredError):
    """A response came, but it answers nothing: the same request may be answered later."""


def excerpt(text: str, length: int = 120) -> str:
    """The first words of a response that is not what was requested, without markup, on one line."""
    words = " ".join(html.unescape(_MARKUP.sub(" ", text)).split())
    return words if len(words) <= length else f"{words[:length]}…"


@dataclass(frozen=True)
class ArchiveLimits:
    """Where the archive is, and limits for requests to it. Times are in seconds."""

    server: str = "https://mast.stsci.edu"
    bucket: str = "stpubdata"
    queries: int = 4
    """Requests to MAST's database (observations, product lists) at once."""
    lookups: int = 8
    """Requests to path_lookup at once."""
    objects: int = 32
    """LIST and HEAD requests to the bucket at once. S3 itself takes 5,500 per second and prefix."""
    query_seconds: float = 600.0
    """Time-out of the database, which answers "still executing" long before that."""
    lookup_seconds: float = 60.0
    attempts: int = 6
    first_delay: float = 0.5
    longest_delay: float = 30.0
    """Upper ends of the delays between attempts; see concurrency.backoff."""

    @classmethod
    def from_environment(cls) -> "ArchiveLimits":
        """The defaults, with the server in SKYFAN_MAST if it is set: a mirror, or a stand-in for tests."""
        server = os.environ.get("SKYFAN_MAST", cls.server).rstrip("/")
        if not server.startswith(("http://", "https://")):
            raise UsageError(f"SKYFAN_MAST must be a URL such as {cls.server}, not {server!r}")
        return cls(server=server)

    def delays(self) -> Iterator[float | None]:
        """One item per attempt: seconds to wait before the next one, None for the last attempt."""
        yield from islice(concurrency.backoff(self.first_delay, self.longest_delay), self.attempts - 1)
        yield None


class CircuitBreaker:
    """Opens after many failed requests in a row, because the service is then down. Thread-safe.

    Each of these requests has been retried already, so that a long list would take hours to fail.
    """

    def __init__(self, maximum: int = 10) -> None:
        self._maximum, self._failures, self._lock = maximum, 0, threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether further requests are pointless."""
        return self._failures >= self._maximum

    def record_success(self) -> None:
        """Counts a request that was answered."""
        with self._lock:
            self._failures = 0

    def record_failure(self) -> None:
        """Counts a request that failed in spite of all retries."""
        with self._lock:
            self._failures += 1
