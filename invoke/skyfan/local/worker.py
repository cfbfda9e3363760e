"""The worker process of the local engine: loads a handler and calls it with events, as Lambda's runtime does.

Started by local.process as `python -P -u worker.py REQUESTS REPLIES HANDLER FOLDER...`, with two inherited
pipe ends and the folders of the import path.

It imports nothing of skyfan, so that the handler sees what it would see in Lambda. Both pipes carry one JSON
document per line. stdout and stderr belong to the handler; the parent writes them to the log.
"""

import ctypes
import faulthandler
import importlib
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

Handler = Callable[[Any, Any], Any]
_PDEATHSIG = 1  # of prctl
_request_id = [""]  # of the current invocation, for log lines


@dataclass(frozen=True)
class LambdaContext:
    """The context of one invocation. All but request and deadline is from the environment, as in Lambda."""

    aws_request_id: str
    invoked_function_arn: str
    deadline: float
    """Unix time in seconds at which the function is killed."""
    function_name: str = field(default_factory=lambda: os.environ["AWS_LAMBDA_FUNCTION_NAME"])
    function_version: str = field(default_factory=lambda: os.environ["AWS_LAMBDA_FUNCTION_VERSION"])
    # A string, as in Lambda.
    memory_limit_in_mb: str = field(default_factory=lambda: os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])
    log_group_name: str = field(default_factory=lambda: os.environ["AWS_LAMBDA_LOG_GROUP_NAME"])
    log_stream_name: str = field(default_factory=lambda: os.environ["AWS_LAMBDA_LOG_STREAM_NAME"])
    identity: None = None
    client_context: None = None

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is killed, at least 0."""
        return max(0, int((self.deadline - time.time()) * 1000))


def main(requests_fd: int, replies_fd: int, handler_name: str, folders: list[str]) -> None:
    """Loads the handler, replies "ready", then serves requests until the parent closes the pipe."""
    for fd in (requests_fd, replies_fd):
        os.set_inheritable(fd, False)  # child processes of the handler must not keep the pipes open
    faulthandler.enable()
    replies = os.fdopen(replies_fd, "w", encoding="utf-8")
    sys.path[:0] = folders
    is_bound = _die_with_parent()
    handler = _load(handler_name, replies)
    if handler is None:
        return
    _reply(replies, {"kind": "ready", "max_rss_mb": max_rss_mb()})
    if is_bound:
        with os.fdopen(requests_fd, encoding="utf-8") as lines:
            for line in lines:
                _serve(handler, json.loads(line), replies)
        return
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests_fd, requests), daemon=True).start()
    while True:
        _serve(handler, json.loads(requests.get()), replies)


def max_rss_mb() -> float:
    """Peak resident memory in MB (2**20 bytes) of this process, or of a larger child that has ended."""
    import resource  # not on Windows

    unit = 2**20 if sys.platform == "darwin" else 2**10
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
    try:
        # On Linux, ru_maxrss would include the parent's memory, which was shared until exec.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        own = int(status.partition("VmHWM:")[2].split(maxsplit=1)[0]) / 1024
    except (OSError, IndexError, ValueError):
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return max(own, children)


def _load(name: str, replies: IO[str]) -> Handler | None:
    module, _, attribute = name.rpartition(".")
    try:
        handler: Handler = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        details = _error(error, f"Unable to import module '{module}': {error}")
        details["errorType"] = "Runtime.ImportModuleError"
    except AttributeError as error:
        details = _error(error, f"Handler '{attribute}' missing on module '{module}'")
        details["errorType"] = "Runtime.HandlerNotFound"
    except Exception as error:
        details = _error(error)
    else:
        _log_as_lambda()
        return handler
    _print_error(details)
    _reply(replies, {"kind": "init_error", "error": details})
    return None


def _die_with_parent() -> bool:
    """Has Linux kill this process when its parent dies, even if it is stopped; False on other systems."""
    try:
        return bool(ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL) == 0)
    except AttributeError:
        return False


def _listen(fd: int, requests: "queue.SimpleQueue[str]") -> None:
    # In a thread, so that the process also ends with its parent during an invocation.
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
            reply = {"kind": "error", "error": _error(error, f"Unable to marshal response: {error}")}
            reply["error"]["errorType"] = "Runtime.MarshalError"
    except Exception as error:
        elapsed = time.perf_counter() - started
        reply = {"kind": "error", "error": _error(error)}
        reply["cure"] = getattr(error, "cure", None)
    if "error" in reply:
        reply["error"]["requestId"] = context.aws_request_id
        _print_error(reply["error"])
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    _reply(replies, {**reply, "id": request["id"], "duration_ms": elapsed * 1000, "max_rss_mb": max_rss_mb()})


def _error(error: Exception, message: str | None = None) -> dict[str, Any]:
    """An exception in the format of Lambda's runtime: message, type, and the handler's part of the stack."""
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
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
