"""A function that does what its input file says: the engine's tests need one that fails on demand.

The file holds one line: a word of ACTIONS and its arguments.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

calls = 0


class EventError(Exception):
    """What a function raises when it refuses an event."""


class PixelError(Exception):
    """Some error of the function's own."""

    permanent = True


def ok(*_: str) -> dict[str, Any]:
    return {"pid": os.getpid(), "calls": calls}


def say(*words: str) -> dict[str, Any]:
    print("said:", *words)
    print("to stderr", file=sys.stderr)
    logging.getLogger("toy").warning("logged")
    os.write(1, b"past sys.stdout\n")
    return ok()


def fail(*words: str) -> None:
    raise PixelError(" ".join(words))


def refuse(*words: str) -> None:
    raise EventError(" ".join(words))


def flaky(times: str, path: Path) -> dict[str, Any]:
    """Fails the first `times` times."""
    tries = path.with_suffix(".tries")
    count = int(tries.read_text()) + 1 if tries.exists() else 1
    tries.write_text(str(count))
    if count <= int(times):
        raise PixelError(f"try {count}")
    return {"try": count}


def sleep(seconds: str) -> dict[str, Any]:
    time.sleep(float(seconds))
    return ok()


def eat(megabytes: str) -> dict[str, Any]:
    """Takes memory little by little, as a growing image would."""
    held = []
    for _ in range(int(megabytes) // 10):
        held.append(b"x" * 10 * 2**20)
        time.sleep(0.02)
    return ok()


def leave(code: str) -> None:
    print("last words")
    os._exit(int(code))


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def unserialisable() -> set[int]:
    return {1}


def spawn(seconds: str, path: Path) -> dict[str, Any]:
    """Starts a child that outlives everything, then hangs."""
    child = subprocess.Popen(["sleep", seconds])
    path.with_suffix(".child").write_text(str(child.pid))
    time.sleep(float(seconds))
    return ok()


def die_later() -> dict[str, Any]:
    """Answers, then dies between two files."""
    threading.Timer(0.05, lambda: os._exit(1)).start()
    return ok()


def chatter(lines: str) -> dict[str, Any]:
    for number in range(int(lines)):
        print(f"line {number} " + "." * 90)
    return ok()


ACTIONS: dict[str, Any] = {
    action.__name__: action
    for action in (ok, say, fail, refuse, sleep, eat, leave, crash, unserialisable, die_later, chatter)
}


def handler(event: dict[str, Any], context: Any) -> Any:
    global calls  # noqa: PLW0603  (how a test sees that a process was kept warm)
    calls += 1
    path = Path(unquote(urlsplit(event["input"]).path))
    word, *arguments = path.read_text().split()
    if word == "context":
        time.sleep(0.01)
        names = [name for name in dir(context) if not name.startswith("_")]
        left = context.get_remaining_time_in_millis()
        values = {name: getattr(context, name) for name in names if not callable(getattr(context, name))}
        return {
            "context": values,
            "left": left,
            "environ": dict(os.environ),
            "event": event,
            "path": sys.path,
        }
    if word in {"flaky", "spawn"}:
        result = {"flaky": flaky, "spawn": spawn}[word](*arguments, path)
    elif word == "nothing":
        return ok()
    else:
        result = ACTIONS[word](*arguments)
    if word != "unserialisable":
        key = str(path).lstrip("/")
        template = unquote(os.environ["SKYFAN_OUTPUT"].removeprefix("file://"))
        output = Path(template.replace("{run}", event["run"]).replace("{key}", key))
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(path.read_text())
    return result
