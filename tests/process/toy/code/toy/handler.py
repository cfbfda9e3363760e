"""A function that does what its input file says, for tests that need one that fails on demand.

The file holds one line: a word of ACTIONS and its arguments.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

calls = 0


class EventError(Exception):
    """Raised when a function refuses an event."""


class PixelError(Exception):
    """An error of the function's own."""

    cure = "never"


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


def record(kind: str, *words: str, path: Path, event: dict[str, Any]) -> dict[str, Any]:
    """Records a permanent failure and returns it, as functions do that stand on skyfan_function."""
    failure = {"errorType": kind, "errorMessage": " ".join(words), "permanent": True}
    place = os.environ["SKYFAN_FAILURES"].replace("{run}", event["run"])
    uri = place.replace("{key}", quote(str(path).lstrip("/")))
    target = Path(unquote(uri.removeprefix("file://")))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"requestPayload": event, "responsePayload": failure}))
    print(json.dumps({"level": "ERROR", "event": event, **failure, "record": uri}))
    return {"input": event["input"], **failure, "record": uri}


def flaky(times: str, path: Path) -> dict[str, Any]:
    """Fails the first `times` times."""
    tries = path.with_suffix(".tries")
    count = int(tries.read_text()) + 1 if tries.exists() else 1
    tries.write_text(str(count))
    if count <= int(times):
        raise PixelError(f"try {count}")
    return {"try": count}


def workers() -> list[str]:
    """Process IDs of all workers of the engine, this one included."""
    parent = os.getppid()
    return [
        pid
        for task in Path(f"/proc/{parent}/task").iterdir()
        for pid in (task / "children").read_text().split()
    ]


def die(times: str, path: Path) -> dict[str, Any]:
    """Is killed the first `times` times, as by the system when memory runs out."""
    tries = path.with_suffix(".tries")
    count = int(tries.read_text()) + 1 if tries.exists() else 1
    tries.write_text(str(count))
    if count <= int(times):
        os.kill(os.getpid(), signal.SIGKILL)
    return {"beside": [pid for pid in map(int, workers()) if pid != os.getpid()]}


def sleep(seconds: str) -> dict[str, Any]:
    time.sleep(float(seconds))
    return ok()


def half(path: Path) -> None:
    """Hangs in the middle of writing its result."""
    made = _output(path, "default")
    made.with_name(f".{0:016x}.part").write_text("half")
    time.sleep(600)


def wait(gate: str) -> dict[str, Any]:
    """Waits until somebody opens the pipe of this name for writing."""
    Path(gate).read_text()
    return ok()


def eat(megabytes: str) -> dict[str, Any]:
    """Allocates memory in small steps, like a growing image."""
    held = []
    for _ in range(int(megabytes) // 10):
        held.append(b"x" * 10 * 2**20)
        time.sleep(0.02)
    return ok()


def child_eats(megabytes: str, own: str = "0") -> dict[str, Any]:
    """Holds `own` MB and forks a child, which sees them too and allocates `megabytes` for a moment."""
    held = b"x" * int(own) * 2**20
    if (child := os.fork()) == 0:
        more = b"x" * int(megabytes) * 2**20
        time.sleep(0.3)
        os._exit(len(held) + len(more) == 0)
    os.waitpid(child, 0)
    return ok()


def leave(code: str) -> None:
    print("last words")
    os._exit(int(code))


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def unserialisable() -> set[int]:
    return {1}


def spawn(seconds: str, path: Path) -> dict[str, Any]:
    """Starts a long-lived child process, then hangs."""
    child = subprocess.Popen(["sleep", seconds])
    path.with_suffix(".child").write_text(str(child.pid))
    time.sleep(float(seconds))
    return ok()


def die_later() -> dict[str, Any]:
    """Returns, then ends the process between two files."""
    threading.Timer(0.05, lambda: os._exit(1)).start()
    return ok()


def chatter(lines: str) -> dict[str, Any]:
    for number in range(int(lines)):
        print(f"line {number} " + "." * 90)
    return ok()


ACTIONS: dict[str, Any] = {
    action.__name__: action
    for action in (
        ok,
        say,
        fail,
        refuse,
        sleep,
        wait,
        eat,
        child_eats,
        leave,
        crash,
        unserialisable,
        die_later,
        chatter,
    )
}


def _output(path: Path, run: str) -> Path:
    key = os.fsencode(path).decode(errors="backslashreplace").lstrip("/")
    template = unquote(os.environ["SKYFAN_OUTPUT"].removeprefix("file://"))
    output = Path(template.replace("{run}", run).replace("{key}", key))
    output.parent.mkdir(parents=True, exist_ok=True)
    return output


def handler(event: dict[str, Any], context: Any) -> Any:
    global calls  # noqa: PLW0603  (tests see by it that a process was kept warm)
    calls += 1
    path = Path(unquote(event["input"].removeprefix("file://"), errors="surrogateescape"))
    word, *arguments = path.read_text().split()
    if word == "context":
        time.sleep(0.01)
        names = [name for name in dir(context) if not name.startswith("_")]
        remaining_ms = context.get_remaining_time_in_millis()
        values = {name: getattr(context, name) for name in names if not callable(getattr(context, name))}
        return {
            "context": values,
            "remaining_ms": remaining_ms,
            "environ": dict(os.environ),
            "event": event,
            "path": sys.path,
        }
    if word in {"flaky", "spawn", "die", "half"}:
        result = {"flaky": flaky, "spawn": spawn, "die": die, "half": half}[word](*arguments, path)
    elif word == "nothing":
        return ok()
    elif word == "record":
        return record(*arguments, path=path, event=event)
    else:
        result = ACTIONS[word](*arguments)
    if word != "unserialisable":
        _output(path, event["run"]).write_text(path.read_text())
    return result
