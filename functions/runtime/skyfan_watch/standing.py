"""What a standing query does with events: decide, accept, reserve, send, confirm, settle.

    decide    the key, and the file as it is now in the archive, say whether it is wanted
    accept    its plan is created: only the first of any number of events creates it
    reserve   the ledger takes its cost from the budget, or the file waits
    send      its function starts
    confirm   its receipt is written
    settle    the reservation ends; counts and decisions are written

Whatever happens between two steps, the message comes again and continues: an accepted file without a receipt
is sent once the reservation of whoever died is old. So a file is sent twice only after a crash between send
and confirm, and at most ledger.MAX_SENDS times; each of them is paid from the budget.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import quote

from skyfan_contract import key_of

from . import ledger as ledgers
from .definition import PLANNED, SENT, Watch, folder, version_of
from .ledger import BUDGET, BUSY, RESERVED, UNCERTAIN, Ledger
from .messages import CREATED, REMOVED, ObjectEvent
from .ports import Archive, File, NotSentError, Sender, Store, UnreachableError

LEASE_S = 300.0
"""Age of a reservation after which its holder is taken to be dead: more than the Watcher may run."""
DRAIN = 25
"""Waiting files that are sent along with one batch of messages."""
ACCEPTED, WAITING, DUPLICATE, STOPPED = "accepted", "waiting", "duplicate", "stopped"
GONE, REFUSED, UNDECIDED, MALFORMED = "gone", "refused", "undecided", "malformed"


@dataclass
class Handled:
    """What came of a batch of events."""

    failed: set[int] = field(default_factory=set)
    """Indices of the events that have to come again."""
    decisions: list[dict[str, Any]] = field(default_factory=list)
    """All but duplicates and what the query does not want; as in the log."""
    counts: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    confirmed: list[str] = field(default_factory=list)
    """Versions that were sent before."""


class Standing:
    """A standing query at work."""

    def __init__(
        self,
        store: Store,
        watch: Watch,
        archive: Archive,
        sender: Sender,
        *,
        now: Callable[[], float] = time.time,
        lease_s: float = LEASE_S,
    ) -> None:
        self.store, self.watch, self.archive, self.sender = store, watch, archive, sender
        self._now, self._lease_s = now, lease_s
        self._ledger = f"{folder(watch.name)}ledger.json"
        self._holder = secrets.token_hex(8)

    def handle(self, events: Sequence[ObjectEvent]) -> Handled:
        """Works on a batch of events. Raises UnreachableError if the storage fails: then all come again."""
        done = Handled()
        wanted: dict[str, tuple[File, list[int]]] = {}
        plans: dict[str, dict[str, Any]] = {}
        for index, event in enumerate(events):
            try:
                found = self._decide(event, done)
            except UnreachableError as error:
                done.failed.add(index)
                self._list(done, "unreachable", event_uri(event), str(error))
                continue
            if found:
                file, plans[file.version] = found
                wanted.setdefault(file.version, (file, []))[1].append(index)
        before = ledgers.read(self.store, self._ledger)
        pending = self._accept(wanted, plans, done)
        pending += self._waiting(before, {file.version for file, _ in pending}, done)
        self._send(pending, wanted, done)
        if done.decisions:
            name = f"{ledgers.iso(self._now())}-{secrets.token_hex(4)}"
            lines = "".join(json.dumps(one) + "\n" for one in done.decisions)
            self.store.put(f"{folder(self.watch.name)}log/{name}.jsonl", lines.encode())
        return done

    def _decide(self, event: ObjectEvent, done: Handled) -> tuple[File, dict[str, Any]] | None:
        """The file of an event and the row of its plan, if it is wanted."""
        query, uri = self.watch.query, event_uri(event)
        if event.kind != CREATED:
            done.skipped["deleted" if event.kind == REMOVED else "another kind of event"] += 1
            return None
        if query.buckets and event.bucket not in query.buckets:
            self._list(done, REFUSED, uri, f"the bucket is none of {', '.join(query.buckets)}")
            return None
        if reason := query.by_key(event.bucket, event.key):
            done.skipped[reason] += 1
            return None
        try:
            key_of(uri)
        except ValueError as error:
            self._list(done, MALFORMED, uri, str(error))
            return None
        with_header = query.needs_header_of(event.key)
        try:
            found = self.archive.look(event.bucket, event.key, with_header=with_header)
        except PermissionError as error:
            self._list(done, REFUSED, uri, str(error))
            return None
        if found is None:
            self._list(done, GONE, uri, "the archive does not have it any more")
            return None
        if found.columns is None:
            self._list(done, UNDECIDED, uri, "it has no FITS header that can be read")
            return None
        if with_header and (reason := query.by_header(found.columns)):
            if reason.startswith("no "):
                self._list(done, UNDECIDED, uri, reason)
            else:
                done.skipped[reason] += 1
            return None
        file = File(version_of(uri, found.etag), uri, found.size, found.etag)
        return file, {**asdict(file), "tier": self.watch.tier(uri, found.size), **found.columns}

    def _accept(
        self, wanted: dict[str, tuple[File, list[int]]], plans: dict[str, dict[str, Any]], done: Handled
    ) -> list[tuple[File, bool]]:
        """Creates plans; returns the files without a receipt, each with whether its plan is new."""
        pending = []
        for file, indices in wanted.values():
            row = {**plans[file.version], "accepted": ledgers.iso(self._now())}
            created = self.store.put_if(self.watch.plan_key(file.version), json.dumps(row).encode(), None)
            done.counts[DUPLICATE] += len(indices) - 1
            if created is None and self._is_confirmed(file.version):
                done.counts[DUPLICATE] += 1
                done.confirmed.append(file.version)
            else:
                pending.append((file, created is not None))
        return pending

    def _versions(self, prefix: str, ending: str) -> set[str]:
        names = self.store.names(prefix)
        return {name.removesuffix(ending) for name in names if name.endswith(ending)}

    def _is_confirmed(self, version: str) -> bool:
        return self.store.get_tagged(self.watch.receipt_key(version)) is not None

    def _waiting(self, ledger: Ledger, others: set[str], done: Handled) -> list[tuple[File, bool]]:
        """Some of the files that waited for the month, the budget or the end of a pause, if it has come."""
        ledger.turn(ledgers.month_of(self._now()))
        if not ledger.waiting or self.watch.paused or ledger.is_stopped(self.watch.nano):
            return []
        accepted = self._versions(f"runs/{self.watch.name}/plans/", PLANNED)
        held = ledger.held(self._now(), self._lease_s)
        open_ = sorted(accepted - self._versions(self.watch.confirmed, SENT) - held - others)
        found: list[tuple[File, bool]] = []
        for version in open_[:DRAIN]:
            body = self.store.get_tagged(self.watch.plan_key(version))
            if body:
                row = json.loads(body[0])
                found.append((File(version, row["uri"], row["size"], row["etag"]), False))
        left = len(open_)
        ledgers.update(self.store, self._ledger, lambda now: setattr(now, "waiting", left))
        return found

    def _send(
        self, pending: list[tuple[File, bool]], wanted: dict[str, tuple[File, list[int]]], done: Handled
    ) -> None:
        """Reserves, sends and confirms files, and settles."""
        outcome, just_stopped = self._reserve(pending)
        reserved = [file for file, _ in pending if outcome[file.version] == RESERVED]
        # Only now: whoever held a reservation before this one has confirmed before it settled.
        released = [file.version for file in reserved if self._is_confirmed(file.version)]
        done.counts[DUPLICATE] += len(released)
        reserved = [file for file in reserved if file.version not in released]
        settled: list[str] = []
        for file, answer in self.sender.send(reserved) if reserved else ():
            cost = self.watch.cost(file.uri, file.size)
            if isinstance(answer, str):
                self._confirm(file, answer)
                settled.append(file.version)
                self._list(done, ACCEPTED, file.uri, "", nano=cost, request=answer, etag=file.etag)
                continue
            if isinstance(answer, NotSentError):
                released.append(file.version)
            self._list(done, "unreachable", file.uri, str(answer))
            self._fail(file.version, wanted, done)
        for file, is_new in pending:
            if (state := outcome[file.version]) == BUSY:
                self._fail(file.version, wanted, done)
            elif state == UNCERTAIN:
                reason = f"sent {ledgers.MAX_SENDS} times and never confirmed: skyfan retry sends it"
                self._list(done, UNCERTAIN, file.uri, reason)
            elif state != RESERVED and is_new:
                self._list(done, WAITING, file.uri, state, etag=file.etag)
            elif state != RESERVED and file.version in wanted:
                done.counts[DUPLICATE] += 1
        if just_stopped:
            self._list(done, STOPPED, "", f"the budget of {self.watch.budget:g} USD per month is reached")
        self._settle([*settled, *done.confirmed], released, pending, outcome, done)

    def _reserve(self, pending: list[tuple[File, bool]]) -> tuple[dict[str, str], bool]:
        """What became of each file, by its version; and whether the budget was reached just now."""
        if not pending or self.watch.paused:
            return {file.version: "paused" for file, _ in pending}, False

        def change(ledger: Ledger) -> tuple[dict[str, str], bool]:
            now = self._now()
            ledger.turn(ledgers.month_of(now))
            was_stopped = ledger.is_stopped(self.watch.nano)
            outcome = {
                file.version: ledger.reserve(
                    file.version,
                    self.watch.cost(file.uri, file.size),
                    self.watch.nano,
                    now,
                    self._lease_s,
                    self._holder,
                )
                for file, _ in pending
            }
            return outcome, not was_stopped and ledger.is_stopped(self.watch.nano)

        return ledgers.update(self.store, self._ledger, change)

    def _confirm(self, file: File, request: str) -> None:
        receipt = {
            "uri": file.uri,
            "request_id": request,
            "sent": int(self._now() * 1000),
            "function": self.watch.functions.get(self.watch.tier(file.uri, file.size), ""),
            "batch": 1,
        }
        self.store.put(self.watch.receipt_key(file.version), json.dumps(receipt).encode())

    def _settle(
        self,
        settled: list[str],
        released: list[str],
        pending: list[tuple[File, bool]],
        outcome: dict[str, str],
        done: Handled,
    ) -> None:
        waits = [is_new for file, is_new in pending if outcome[file.version] in (BUDGET, "paused")]

        def change(ledger: Ledger) -> None:
            ledger.turn(ledgers.month_of(self._now()))
            for version in settled:
                ledger.settle(version)
            for version in released:
                ledger.release(version)
            sent_late = sum(1 for file, is_new in pending if not is_new and file.version in settled)
            ledger.waiting = max(0, ledger.waiting + sum(waits) - sent_late)
            if waits:  # an old one may have been left by a process that died before it counted it
                ledger.waiting = max(1, ledger.waiting)
            ledger.count(done.counts, done.skipped)
            ledger.last = ledgers.iso(self._now())

        ledgers.update(self.store, self._ledger, change)

    def _fail(self, version: str, wanted: dict[str, tuple[File, list[int]]], done: Handled) -> None:
        if version in wanted:  # one that waited comes with a later batch
            done.failed.update(wanted[version][1])

    def _list(self, done: Handled, decision: str, uri: str, reason: str, **more: Any) -> None:
        done.counts[decision] += 1
        line = {
            "time": ledgers.iso(self._now()),
            "decision": decision,
            "input": uri,
            "reason": reason,
            **more,
        }
        done.decisions.append({name: value for name, value in line.items() if value != ""})


def event_uri(event: ObjectEvent) -> str:
    """The URI of the object or, without a bucket, of the file of an event."""
    if event.bucket:
        return f"s3://{event.bucket}/{event.key}"
    return "file://" + quote(event.key.encode("utf-8", "surrogateescape"))
