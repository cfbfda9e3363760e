"""The Lambda handler: a batch of messages of the queue -> what each watch does with them.

A message that has to come again is named in batchItemFailures; all others are deleted from the queue. One of
unknown shape is kept in the results bucket, with the reason, and does not come again.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping
from typing import Any

from skyfan_contract import INPUTS
from skyfan_watch.definition import AWS, DefinitionError, Watch, folder
from skyfan_watch.ledger import iso
from skyfan_watch.messages import ObjectEvent, parse
from skyfan_watch.ports import Store, UnreachableError
from skyfan_watch.standing import Standing

from .archive import PublicArchive
from .invoke import Invoker
from .storage import BucketStore

WATCHES = "SKYFAN_WATCHES"
"""The environment variable that names the bucket of runs and watches: s3://bucket."""
UNKNOWN = "watches/.unknown/"
_CACHE_S = 60.0
_known: dict[str, tuple[float, list[Watch], list[str]]] = {}


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Work on an SQS event with S3 events, in SNS's envelope or without.

    Raises ValueError for an event of any other service: it is no message that could be kept.
    """
    records = event.get("Records") if isinstance(event, Mapping) else None
    if not isinstance(records, list) or any(one.get("eventSource") != "aws:sqs" for one in records):
        raise ValueError("the event is none of SQS: the Watcher is started by its queue alone")
    store = BucketStore(os.environ[WATCHES])
    failed: set[str] = set()
    events: list[ObjectEvent] = []
    owners: list[str] = []
    for record in records:
        message = parse(record.get("body") or "")
        events += message.events
        owners += [record["messageId"]] * len(message.events)
        if message.problems:
            try:
                _keep(store, record, message.problems)
            except UnreachableError as error:
                _log("ERROR", message=str(error), messageId=record["messageId"])
                failed.add(record["messageId"])
    failed |= _watch(store, events, owners)
    return {"batchItemFailures": [{"itemIdentifier": name} for name in sorted(failed)]}


def _watch(store: Store, events: list[ObjectEvent], owners: list[str]) -> set[str]:
    """Shows the events to each watch; returns the messages that have to come again."""
    failed: set[str] = set()
    try:
        watches, damaged = _watches(store)
    except UnreachableError as error:
        _log("ERROR", message=str(error))
        return set(owners)
    for problem in damaged:
        _log("ERROR", message=problem)
        failed |= set(owners)  # they wait until it is mended
    archive = PublicArchive(os.environ.get(INPUTS, ""))
    for watch in watches:
        try:
            done = Standing(store, watch, archive, Invoker(watch)).handle(events)
        except (UnreachableError, ValueError) as error:  # ValueError: a damaged ledger
            _log("ERROR", watch=watch.name, message=str(error))
            failed |= set(owners)
            continue
        failed |= {owners[index] for index in done.failed}
        for decision in done.decisions:
            _log("INFO", watch=watch.name, **decision)
        _log("INFO", watch=watch.name, counts=done.counts, skipped=done.skipped)
    return failed


def _watches(store: Store) -> tuple[list[Watch], list[str]]:
    """The watches of the stack, and what is wrong with others; read again after a minute."""
    place = os.environ[WATCHES]
    now = time.monotonic()
    if place in _known and now - _known[place][0] < _CACHE_S:
        return _known[place][1:]
    watches: list[Watch] = []
    damaged: list[str] = []
    for name in store.folders("watches/"):
        if name.startswith(".") or (found := store.get_tagged(f"{folder(name)}watch.json")) is None:
            continue
        try:
            watch = Watch.parse(found[0])
        except DefinitionError as error:
            damaged.append(f"watches/{name}/watch.json cannot be used: {error}")
            continue
        if watch.where == AWS and not watch.removed:
            watches.append(watch)
    _known[place] = now, watches, damaged
    return watches, damaged


def _keep(store: Store, record: Mapping[str, Any], problems: tuple[str, ...]) -> None:
    """Keeps a message that could not be understood, or only in part."""
    key = f"{UNKNOWN}{iso(time.time())}-{secrets.token_hex(4)}.json"
    document = {"messageId": record["messageId"], "problems": problems, "body": record.get("body")}
    store.put(key, json.dumps(document, indent=1).encode())
    _log("ERROR", message=f"kept as {key}: {problems[0]}", messageId=record["messageId"])


def _log(level: str, **fields: Any) -> None:
    print(json.dumps({"level": level, **fields}), flush=True)
