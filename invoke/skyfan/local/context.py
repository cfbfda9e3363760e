"""The context object that Lambda's Python runtime hands to a handler, with the same names."""

import os
import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LambdaContext:
    """One invocation: its request ID and its deadline; the rest comes from the environment, as in Lambda."""

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
        """Milliseconds until the function is killed, never below 0."""
        return max(0, int((self.deadline - time.time()) * 1000))
