"""What a message announces: events of S3, in each of the shapes in which AWS delivers them. No I/O.

Shapes: S3's event notification (Records, versions 2.x), alone or in SNS's envelope; S3's test event; S3's
event of EventBridge.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from skyfan_contract import quoted

CREATED, REMOVED, OTHER = "created", "removed", "other"
_ENVELOPES = 2
_BRIDGED = {"Object Created": CREATED, "Object Deleted": REMOVED}


@dataclass(frozen=True)
class ObjectEvent:
    """Something happened to an object."""

    bucket: str
    key: str
    kind: str
    """CREATED, REMOVED or OTHER."""
    name: str
    """S3's own word for it: ObjectCreated:Put."""


@dataclass(frozen=True)
class Message:
    """The content of a message."""

    events: tuple[ObjectEvent, ...] = ()
    is_test: bool = False
    """Whether S3 only tried whether the topic can be reached."""
    problems: tuple[str, ...] = field(default=())
    """What in it could not be understood."""


def parse(body: str) -> Message:
    """The events in the body of a message. Never raises: what it does not understand is a problem."""
    try:
        return _message(json.loads(body), _ENVELOPES)
    except _ShapeError as error:
        return Message(problems=(str(error),))
    except (ValueError, RecursionError) as error:
        return Message(problems=(f"it is no JSON: {quoted(str(error))}",))


class _ShapeError(Exception):
    pass


def _message(document: Any, envelopes: int) -> Message:
    if not isinstance(document, dict):
        raise _ShapeError(f"it is no JSON object: {quoted(document)}")
    if "Records" in document:
        return _records(document["Records"])
    if document.get("Event") == "s3:TestEvent":
        return Message(is_test=True)
    if document.get("source") == "aws.s3" and "detail" in document:
        return Message((_bridged(document),))
    if document.get("Type") == "Notification" and isinstance(document.get("Message"), str) and envelopes:
        try:
            inside = json.loads(document["Message"])
        except (ValueError, RecursionError):
            raise _ShapeError(f"the message of SNS is no JSON: {quoted(document['Message'])}") from None
        return _message(inside, envelopes - 1)
    raise _ShapeError(f"it is of no known shape: {quoted(document)}")


def _records(records: Any) -> Message:
    if not isinstance(records, list) or not records:
        raise _ShapeError(f"its Records are no list of events: {quoted(records)}")
    events: list[ObjectEvent] = []
    problems: list[str] = []
    for record in records:
        try:
            events.append(_record(record))
        except _ShapeError as error:
            problems.append(str(error))
    return Message(tuple(events), problems=tuple(problems))


def _record(record: Any) -> ObjectEvent:
    version, name = (_text(record, key) for key in ("eventVersion", "eventName"))
    if version.partition(".")[0] != "2" or _text(record, "eventSource") != "aws:s3":
        raise _ShapeError(f"an event of another source or version than aws:s3 2.x: {quoted(record)}")
    kind = CREATED if name.startswith("ObjectCreated:") else OTHER
    if name.startswith(("ObjectRemoved:", "LifecycleExpiration:")):
        kind = REMOVED
    key = _text(record, "s3", "object", "key")
    try:
        key = unquote_plus(key, errors="strict")
    except UnicodeDecodeError:
        raise _ShapeError(f"the key is not UTF-8: {quoted(key)}") from None
    return ObjectEvent(_text(record, "s3", "bucket", "name"), key, kind, name)


def _bridged(document: Mapping[str, Any]) -> ObjectEvent:
    """An event of EventBridge, which leaves keys as they are."""
    name = _text(document, "detail-type")
    bucket, key = (_text(document, "detail", *path) for path in (("bucket", "name"), ("object", "key")))
    return ObjectEvent(bucket, key, _BRIDGED.get(name, OTHER), name)


def _text(value: Any, *path: str) -> str:
    found = value
    for step in path:
        found = found.get(step) if isinstance(found, Mapping) else None
    if not isinstance(found, str) or not found:
        raise _ShapeError(f"an event without a {'.'.join(path)} that is text: {quoted(value)}")
    return found
