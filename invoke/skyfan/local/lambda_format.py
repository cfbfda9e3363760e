"""Lambda's formats: log lines as text, and errors of its sandbox."""

import math
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

ACCOUNT = "000000000000"


def now() -> str:
    """The current time in Lambda's format: UTC with milliseconds and a Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def arn(function: str, region: str) -> str:
    """The function's ARN, with zeros for the account."""
    return f"arn:aws:lambda:{region}:{ACCOUNT}:function:{function}"


@dataclass(frozen=True)
class Report:
    """What a REPORT line tells about an invocation."""

    request_id: str
    started: str
    """As now() gives it."""
    duration_ms: float
    memory_mb: int
    used_mb: float
    init_ms: float | None = None
    """Of a cold start."""
    status: str = ""
    """error or timeout."""
    error_type: str = ""


def invocation(report: Report, output: str) -> str:
    """The log of one invocation in Lambda's text format: START, the handler's output, END, REPORT.

    Billed Duration follows the rule since August 2025: whole milliseconds including INIT. Start Time, at the
    end, is an addition of skyfan: CloudWatch stores the time of a line separately, a file must contain it.
    """
    fields = [
        f"REPORT RequestId: {report.request_id}",
        f"Duration: {report.duration_ms:.2f} ms",
        f"Billed Duration: {math.ceil(round(report.duration_ms + (report.init_ms or 0), 2))} ms",
        f"Memory Size: {report.memory_mb} MB",
        f"Max Memory Used: {math.ceil(report.used_mb)} MB",
    ]
    if report.init_ms is not None:
        fields.append(f"Init Duration: {report.init_ms:.2f} ms")
    if report.status:
        fields.append(f"Status: {report.status}")
    if report.error_type:
        fields.append(f"Error Type: {report.error_type}")
    fields.append(f"Start Time: {report.started}")
    body = output if not output or output.endswith("\n") else output + "\n"
    begin, end = (
        f"START RequestId: {report.request_id} Version: $LATEST",
        f"END RequestId: {report.request_id}",
    )
    return f"{begin}\n{body}{end}\n" + "\t".join(fields) + "\n"


def init_report(output: str, *, init_ms: float, status: str, error_type: str) -> str:
    """The log of a process that failed during INIT."""
    body = output if not output or output.endswith("\n") else output + "\n"
    kind = f"\tError Type: {error_type}" if error_type else ""
    return f"{body}INIT_REPORT Init Duration: {init_ms:.2f} ms\tPhase: init\tStatus: {status}{kind}\n"


def timed_out(request_id: str, seconds: float) -> dict[str, Any]:
    """The error of an invocation that was killed at its time limit."""
    message = f"RequestId: {request_id} Error: Task timed out after {seconds:.2f} seconds"
    return {"errorType": "Sandbox.Timedout", "errorMessage": message}


def out_of_memory(request_id: str, memory_mb: int) -> dict[str, Any]:
    """The error of a process that exceeded its memory size."""
    message = (
        f"RequestId: {request_id} Error: Runtime exited with error: signal: killed (over {memory_mb} MB)"
    )
    return {"errorType": "Runtime.OutOfMemory", "errorMessage": message}


def exited(request_id: str, code: int, killed: bool = False) -> dict[str, Any]:
    """The error of a process that ended unexpectedly. `code` is as in Popen: negative for a signal.

    `killed` says that the signal was from outside.
    """
    try:
        how = (
            f"exit status {code}"
            if code >= 0
            else f"signal: {(signal.strsignal(-code) or str(-code)).partition(':')[0]}".lower()
        )
    except ValueError:
        how = f"signal: {-code}"
    if killed:
        is_memory = code == -signal.SIGKILL
        how += f" (not by skyfan{'; most likely this machine ran out of memory' if is_memory else ''})"
    message = f"RequestId: {request_id} Error: Runtime exited with error: {how}"
    return {"errorType": "Runtime.ExitError", "errorMessage": message}
