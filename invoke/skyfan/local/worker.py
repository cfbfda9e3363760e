"""The runtime side of the local engine: a process that loads a handler and serves it events, as Lambda does.

Started by skyfan.process as `python -P -u worker.py REQUESTS REPLIES HANDLER`, with two inherited pipe ends.
One JSON document a line on both. The protocol leaves stdout and stderr alone: those are the handler's, and go
to the log.
"""

import faulthandler
import importlib
import json
import logging
import os
import queue
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

# Run as a script, so that a handler sees no more of skyfan than Lambda would give it.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from skyfan.local.context import LambdaContext

Handler = Callable[[Any, Any], Any]


def main(requests_fd: int, replies_fd: int, handler_name: str) -> None:
    """Loads the handler, says ready, then answers request after request until the parent closes its end."""
    for fd in (requests_fd, replies_fd):
        os.set_inheritable(fd, False)  # a process that the handler starts must not hold our pipes open
    faulthandler.enable()
    replies = os.fdopen(replies_fd, "w", encoding="utf-8")
    handler = _load(handler_name, replies)
    if handler is None:
        return
    _reply(replies, {"kind": "ready", "max_rss_mb": max_rss_mb()})
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests_fd, requests), daemon=True).start()
    while True:
        _serve(handler, json.loads(requests.get()), replies)


def max_rss_mb() -> float:
    """The most resident memory this process ever had, in MB (2**20 bytes)."""
    try:
        # Linux: ru_maxrss would count the parent's memory, which this process shared until it was executed.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split(maxsplit=1)[0]) / 1024
    except (OSError, IndexError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _load(name: str, replies: IO[str]) -> Handler | None:
    sys.path[0] = os.environ["LAMBDA_TASK_ROOT"]  # takes the place of the folder that was put in above
    module, _, attribute = name.rpartition(".")
    try:
        handler: Handler = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        problem = _described(error, f"Unable to import module '{module}': {error}")
        problem["errorType"] = "Runtime.ImportModuleError"
    except AttributeError as error:
        problem = _described(error, f"Handler '{attribute}' missing on module '{module}'")
        problem["errorType"] = "Runtime.HandlerNotFound"
    except Exception as error:
        problem = _described(error)
    else:
        _log_as_lambda()
        return handler
    _print_error(problem)
    _reply(replies, {"kind": "init_error", "error": problem})
    return None


def _listen(fd: int, requests: "queue.SimpleQueue[str]") -> None:
    # Its own thread, so that the end of the parent is noticed in the middle of an invocation too.
    with os.fdopen(fd, encoding="utf-8") as lines:
        for line in lines:
            requests.put(line)
    os._exit(0)


def _serve(handler: Handler, request: dict[str, Any], replies: IO[str]) -> None:
    context = LambdaContext(request["id"], request["arn"], request["deadline"])
    _request_id[0] = context.aws_request_id
    reply: dict[str, Any] = {"kind": "result"}
    started = time.perf_counter()
    try:
        result = handler(request["event"], context)
        elapsed = time.perf_counter() - started
        try:
            json.dumps(result)
            reply["result"] = result
        except (TypeError, ValueError) as error:
            reply = {"kind": "error", "error": _described(error, f"Unable to marshal response: {error}")}
            reply["error"]["errorType"] = "Runtime.MarshalError"
    except Exception as error:
        elapsed = time.perf_counter() - started
        reply = {"kind": "error", "error": _described(error)}
        reply["permanent"] = bool(getattr(error, "permanent", False))
    if "error" in reply:
        reply["error"]["requestId"] = context.aws_request_id
        _print_error(reply["error"])
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    _reply(replies, {**reply, "id": request["id"], "duration_ms": elapsed * 1000, "max_rss_mb": max_rss_mb()})


def _described(error: Exception, message: str | None = None) -> dict[str, Any]:
    """An exception as Lambda's runtime describes it: message, type, the handler's part of the stack."""
    frames: TracebackType | None = error.__traceback__
    while frames and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return {
        "errorMessage": str(error) if message is None else message,
        "errorType": type(error).__name__,
        "stackTrace": traceback.format_list(traceback.extract_tb(frames)),
    }


def _print_error(error: dict[str, Any]) -> None:
    stack = "".join(error["stackTrace"])
    where = f"\nTraceback (most recent call last):\n{stack}" if stack else ""
    print(f"[ERROR] {error['errorType']}: {error['errorMessage']}{where}".rstrip(), flush=True)


_request_id = [""]


class _LogLine(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        record.aws_request_id = _request_id[0]
        return super().format(record)


def _log_as_lambda() -> None:
    output = logging.StreamHandler(sys.stdout)
    form = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s"
    output.setFormatter(_LogLine(form, "%Y-%m-%dT%H:%M:%S"))
    logging.getLogger().addHandler(output)


def _reply(replies: IO[str], reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
