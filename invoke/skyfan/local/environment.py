"""The environment of a worker process: Lambda's variables, the template's, and one thread a worker."""

import os
import sys
from pathlib import Path

from .. import uris
from ..errors import TemplateError
from ..template import Function

# SEP runs on one thread; libraries that start one a core in every worker would only slow each other down.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def cpus() -> int:
    """CPUs that this process may use: fewer than the machine has where they were restricted."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def results(function: Function) -> str:
    """The function's SKYFAN_OUTPUT, as the template has it.

    Raises TemplateError where the template does not say where results go: then nothing could be resumed.
    """
    template = function.environment.get("SKYFAN_OUTPUT", "")
    if not template.startswith("s3://") or "{key}" not in template or "{run}" not in template:
        raise TemplateError(
            f"{function.name} needs SKYFAN_OUTPUT in its environment in template.yaml, such as "
            f"s3://${{OutputBucket}}/runs/{{run}}/results/{{key}}.json; it has {template!r}"
        )
    return template


def _places(function: Function) -> dict[str, str]:
    """The variables that say where something goes: SKYFAN_OUTPUT, and SKYFAN_FAILURES where there is one."""
    return {
        "SKYFAN_OUTPUT": results(function),
        **{name: text for name, text in function.environment.items() if text.startswith("s3://")},
    }


def variables(function: Function, output: Path) -> dict[str, str]:
    """All environment variables of a worker; credentials and endpoints come from the person's own."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return {
        **dict.fromkeys(THREADS, "1"),
        **os.environ,
        **function.environment,
        **{name: uris.localise(template, output) for name, template in _places(function).items()},
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        "LAMBDA_TASK_ROOT": str(function.code),
        "_HANDLER": function.handler,
        "TZ": ":UTC",
    }
