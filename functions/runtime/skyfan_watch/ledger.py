"""The ledger of a watch: what a month has spent, which files are reserved, and counts.

It is one object, which is replaced only if nobody else has replaced it since it was read. A reservation is
the right to start the function for one version of a file: whoever holds it may, and nobody else.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from .ports import Store, UnreachableError

T = TypeVar("T")
MAX_SENDS = 3
"""How often one version of a file is sent at most if no invocation is confirmed."""
RESERVED, BUSY, BUDGET, UNCERTAIN = "reserved", "busy", "budget", "uncertain"
_ATTEMPTS = 40
_MONTHS = 24


@dataclass
class Reservation:
    """A file that is being sent, or was and is not confirmed."""

    nano: int
    """What it was charged, nanodollars."""
    since: float
    """Unix time."""
    month: str
    holder: str = ""
    """Who holds it: a random number."""
    sends: int = 1


@dataclass
class Ledger:
    """The state of a watch."""

    month: str = ""
    """2026-11, UTC."""
    spent: int = 0
    """Nanodollars of this month."""
    stopped: str = ""
    """Since when the budget of this month is reached, ISO 8601."""
    stopped_at: int = 0
    """The budget that was reached, in nanodollars."""
    waiting: int = 0
    """Files that were accepted and not sent."""
    open: dict[str, Reservation] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    """Decisions by their names."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Files that the query does not want, by reason."""
    months: dict[str, int] = field(default_factory=dict)
    """Nanodollars of earlier months."""
    last: str = ""
    """Time of the last message, ISO 8601."""
    writer: str = ""
    """A random number of the last write, by which a writer whose answer was lost knows its own."""

    @classmethod
    def parse(cls, body: bytes) -> Ledger:
        """The ledger in an object. Raises ValueError if it is damaged."""
        try:
            values = json.loads(body)
            values["open"] = {name: Reservation(**one) for name, one in values["open"].items()}
            return cls(**values)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise ValueError(f"the ledger is damaged: {error!r}") from error

    def turn(self, month: str) -> None:
        """Begins a new month if it is one."""
        if month > self.month:
            if self.month:
                self.months[self.month] = self.spent
                self.months = dict(sorted(self.months.items())[-_MONTHS:])
            self.month, self.spent, self.stopped, self.stopped_at = month, 0, "", 0

    def is_stopped(self, budget: int | None) -> bool:
        """Whether this month's budget is reached. One that was raised since is not."""
        return bool(self.stopped) and budget is not None and budget <= self.stopped_at

    def reserve(
        self, version: str, nano: int, budget: int | None, now: float, lease_s: float, holder: str
    ) -> str:
        """Takes the right to send one version of a file; RESERVED, or why not.

        To take it twice as one ``holder`` changes nothing. A reservation that is older than ``lease_s`` was
        left by a process that died: it is taken over, paid once more, and not more often than MAX_SENDS.
        """
        held = self.open.get(version)
        if held and held.holder == holder:
            return RESERVED
        if held and now - held.since < lease_s:
            return BUSY
        if held and held.sends >= MAX_SENDS:
            return UNCERTAIN
        if budget is not None and (self.is_stopped(budget) or self.spent + nano > budget):
            if not self.is_stopped(budget):
                self.stopped, self.stopped_at = iso(now), budget
            return BUDGET
        self.stopped, self.stopped_at = "", 0
        self.spent += nano
        self.open[version] = Reservation(nano, now, self.month, holder, held.sends + 1 if held else 1)
        return RESERVED

    def held(self, now: float, lease_s: float) -> set[str]:
        """The versions that nobody can reserve now."""
        return {
            version
            for version, one in self.open.items()
            if now - one.since < lease_s or one.sends >= MAX_SENDS
        }

    def release(self, version: str) -> None:
        """Gives a right back: the function was certainly not started."""
        if held := self.open.pop(version, None):
            if held.month == self.month:
                self.spent -= held.nano
            if held.sends > 1:  # an earlier send may have begun
                self.open[version] = Reservation(0, 0.0, self.month, "", held.sends - 1)

    def settle(self, version: str) -> None:
        """Forgets a reservation: its invocation is confirmed."""
        self.open.pop(version, None)

    def count(self, decisions: Mapping[str, int], skipped: Mapping[str, int]) -> None:
        """Adds to the counts."""
        for mine, more in ((self.counts, decisions), (self.skipped, skipped)):
            for name, number in more.items():
                if number:
                    mine[name] = mine.get(name, 0) + number


def read(store: Store, key: str) -> Ledger:
    """The ledger as it is now; an empty one if there is none. Raises ValueError if it is damaged."""
    found = store.get_tagged(key)
    return Ledger.parse(found[0]) if found else Ledger()


def update(store: Store, key: str, change: Callable[[Ledger], T]) -> T:
    """Changes the ledger in one step, and returns what ``change`` does.

    ``change`` is called again if another writer was first. Raises UnreachableError if it never succeeds.
    """
    for attempt in range(_ATTEMPTS):
        found = store.get_tagged(key)
        ledger = Ledger.parse(found[0]) if found else Ledger()
        result = change(ledger)
        ledger.writer = secrets.token_hex(8)
        if store.put_if(key, _body(ledger), found[1] if found else None) is not None:
            return result
        # The answer to a write that succeeded may have been lost.
        now = store.get_tagged(key)
        if now and Ledger.parse(now[0]).writer == ledger.writer:
            return result
        time.sleep(min(1.0, 0.01 * 2**attempt) * secrets.randbelow(1000) / 1000)
    raise UnreachableError(f"{key} is being written by others all the time")


def month_of(now: float) -> str:
    """The month of a Unix time, UTC: 2026-11."""
    return time.strftime("%Y-%m", time.gmtime(now))


def iso(now: float) -> str:
    """A Unix time as ISO 8601, UTC, with milliseconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03}Z"


def _body(ledger: Ledger) -> bytes:
    document: dict[str, Any] = asdict(ledger)
    return json.dumps(document).encode()
