"""The lease of a run: of all machines, one sends its files. It is kept in runs/<run>/lease.json.

A lease is taken and renewed with conditional writes, so that two machines cannot have it at once. It ends
when its holder ends or, if that was killed, a minute after it was renewed last. The journal remembers the
lease of this machine: after a kill the next process here, which has the lock, takes it over at once.
"""

import getpass
import json
import os
import secrets
import socket
import time
import warnings
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

from ..errors import InputError, RunBusyError
from ..files import from_json
from ..runs import cancels
from ..storage.place import Place

DURATION_S = 60.0
RENEW_S = 15.0
BEAT_S = 1.0
_ATTEMPTS = 3
_LAST = 1e11


@dataclass(frozen=True)
class Holder:
    """Who has a lease, and until when."""

    name: str
    token: str
    until: float
    """Unix seconds; 0 after it was given back."""

    def __str__(self) -> str:
        return f"{self.name} (its lease expires at {_utc(self.until)} unless it is renewed)"


class Lease:
    """The lease of one run. Use it as a context manager, with the journal's lock."""

    def __init__(self, place: Place, run: str, folder: Path) -> None:
        """`folder` is the journal's."""
        self.place, self.run = place, run
        self.stopped = ""
        """Why nothing may be sent any more: the run is being cancelled, or the lease was lost."""
        self._memory = folder / "lease"
        self._holder = Holder(_name(), secrets.token_hex(8), 0.0)
        self._etag = ""
        self._end = Event()
        self._thread = Thread(target=self._beat, name="skyfan-lease", daemon=True)

    def __enter__(self) -> Self:
        """Raises RunBusyError while another machine has the lease; the message names it.

        Warns if another machine had it and did not give it back.
        """
        own = {self._holder.token, *self._remembered()}
        for _ in range(_ATTEMPTS):
            found, etag = _read(self.place, self.run)
            if found and found.token not in own and found.until > time.time():
                raise RunBusyError(f"run {self.run!r} is being sent by {found}: wait until it is done")
            # Both tokens, until the bucket has the new one: killed in between, this machine knows its own.
            self._remember(*own)
            if self._write(etag):
                self._remember(self._holder.token)
                self._thread.start()
                if found and found.token not in own and found.until:
                    warnings.warn(
                        f"{found.name} was stopped while it sent run {self.run!r}, and its last receipts may "
                        "still be there: files that Lambda accepted in its last seconds may be sent twice",
                        stacklevel=3,
                    )
                return self
        raise RunBusyError(f"run {self.run!r} is being started by several machines at once: try again")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        with suppress(InputError):  # then it expires
            self.place.put_if(_key(self.run), _body(replace(self._holder, until=0.0)), self._etag)

    def _beat(self) -> None:
        while not self._end.wait(BEAT_S):
            try:
                if cancels.unfinished(self.place, self.run):
                    self.stopped = self.stopped or f"run {self.run!r} is being cancelled"
                if self._holder.until - time.time() < DURATION_S - RENEW_S and not self._renew():
                    return
            except InputError as error:
                if time.time() > self._holder.until:
                    self.stopped = f"the lease of run {self.run!r} could not be renewed: {error}"

    def _renew(self) -> bool:
        for _ in range(_ATTEMPTS):
            if self._write(self._etag):
                return True
            found, etag = _read(self.place, self.run)
            if found is None or found.token != self._holder.token:
                self.stopped = f"{found or 'another machine'} has taken over run {self.run!r}"
                return False
            self._etag = etag or ""
        return True

    def _write(self, etag: str | None) -> bool:
        new = replace(self._holder, until=time.time() + DURATION_S)
        written = self.place.put_if(_key(self.run), _body(new), etag)
        if written is None:
            return False
        self._etag, self._holder = written, new
        return True

    def _remember(self, *tokens: str) -> None:
        part = self._memory.with_suffix(".part")
        part.write_text("\n".join(tokens), encoding="utf-8")
        part.replace(self._memory)

    def _remembered(self) -> list[str]:
        try:
            return self._memory.read_text(encoding="utf-8", errors="replace").split()
        except FileNotFoundError:
            return []


def holder(place: Place, run: str) -> Holder | None:
    """Who sends the run now; None if nobody does. Raises InputError if the lease is damaged."""
    found, _ = _read(place, run)
    return found if found and found.until > time.time() else None


def _key(run: str) -> str:
    return f"runs/{run}/lease.json"


def _read(place: Place, run: str) -> tuple[Holder | None, str | None]:
    tagged = place.get_tagged(_key(run))
    if tagged is None:
        return None, None
    try:
        found = Holder(**from_json(tagged[0]))
        if not isinstance(found.name, str) or not isinstance(found.token, str):
            raise TypeError("its holder is not a text")
        if not isinstance(found.until, int | float) or not 0 <= found.until <= _LAST:
            raise TypeError("its time is not a number, or none of these centuries")
    except (ValueError, TypeError) as error:
        message = f"{place.uri(_key(run))} cannot be read ({error}): remove it if no machine sends the run"
        raise InputError(message) from error
    return found, tagged[1]


def _body(holder: Holder) -> bytes:
    return (json.dumps(asdict(holder), indent=1) + "\n").encode()


def _name() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container without a user
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}, process {os.getpid()}"


def _utc(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
