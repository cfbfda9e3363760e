"""Lambda's own words: log lines in its text format, errors of its sandbox, and the on-failure record."""

import math
import signal
from datetime import UTC, datetime
from typing import Any

ACCOUNT = "000000000000"


def now() -> str:
    """The time as Lambda writes it: UTC with milliseconds and a Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def arn(function: str, region: str) -> str:
    """The function's ARN; the account is all zeros, since a laptop has none."""
    return f"arn:aws:lambda:{region}:{ACCOUNT}:function:{function}"


def invocation(
    request_id: str,
    output: str,
    *,
    started: str,
    duration_ms: float,
    memory_mb: int,
    used_mb: float,
    init_ms: float | None,
    status: str = "",
    error_type: str = "",
) -> str:
    """One invocation in Lambda's text log format: START, what the handler printed, END, REPORT.

    Billed Duration follows the rule since 2025-08: whole milliseconds, INIT included. Start Time is ours, put
    last: CloudWatch keeps a line's time beside it, a file has to hold it.
    """
    fields = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {duration_ms:.2f} ms",
        f"Billed Duration: {math.ceil(round(duration_ms + (init_ms or 0), 2))} ms",
        f"Memory Size: {memory_mb} MB",
        f"Max Memory Used: {math.ceil(used_mb)} MB",
    ]
    if init_ms is not None:
        fields.append(f"Init Duration: {init_ms:.2f} ms")
    if status:
        fields.append(f"Status: {status}")
    if error_type:
        fields.append(f"Error Type: {error_type}")
    fields.append(f"Start Time: {started}")
    body = output if not output or output.endswith("\n") else output + "\n"
    report = "\t".join(fields)
    return f"START RequestId: {request_id} Version: $LATEST\n{body}END RequestId: {request_id}\n{report}\n"


def init_report(output: str, *, init_ms: float, status: str, error_type: str) -> str:
    """The log of a process that never became ready."""
    body = output if not output or output.endswith("\n") else output + "\n"
    kind = f"\tError Type: {error_type}" if error_type else ""
    return f"{body}INIT_REPORT Init Duration: {init_ms:.2f} ms\tPhase: init\tStatus: {status}{kind}\n"


def timed_out(request_id: str, seconds: float) -> dict[str, Any]:
    """The error of an invocation that was killed at its time limit."""
    message = f"RequestId: {request_id} Error: Task timed out after {seconds:.2f} seconds"
    return {"errorType": "Sandbox.Timedout", "errorMessage": message}


def out_of_memory(request_id: str, memory_mb: int) -> dict[str, Any]:
    """The error of a process that grew over its memory size."""
    message = (
        f"RequestId: {request_id} Error: Runtime exited with error: signal: killed (over {memory_mb} MB)"
    )
    return {"errorType": "Runtime.OutOfMemory", "errorMessage": message}


def exited(request_id: str, code: int) -> dict[str, Any]:
    """The error of a process that ended by itself. `code` is Popen's: negative for a signal."""
    try:
        how = (
            f"exit status {code}"
            if code >= 0
            else f"signal: {(signal.strsignal(-code) or str(-code)).partition(':')[0]}".lower()
        )
    except ValueError:
        how = f"signal: {-code}"
    message = f"RequestId: {request_id} Error: Runtime exited with error: {how}"
    return {"errorType": "Runtime.ExitError", "errorMessage": message}


def failure(
    request_id: str, function_arn: str, event: dict[str, Any], error: dict[str, Any], attempts: int
) -> dict[str, Any]:
    """The record that Lambda sends to an on-failure destination when the last try has failed."""
    return {
        "version": "1.0",
        "timestamp": now(),
        "requestContext": {
            "requestId": request_id,
            "functionArn": f"{function_arn}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": attempts,
        },
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": error,
    }
