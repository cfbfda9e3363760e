"""Starts functions of the stack, by boto3, which Lambda's runtime brings along."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from skyfan_watch.definition import Watch
from skyfan_watch.ports import File, NotSentError, UnreachableError


class Invoker:
    """See skyfan_watch.ports.Sender."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def send(self, files: list[File]) -> Iterator[tuple[File, str | UnreachableError]]:
        """See Sender."""
        for file in files:
            try:
                yield file, self._invoke(file)
            except UnreachableError as error:
                yield file, error

    def _invoke(self, file: File) -> str:
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            ConnectTimeoutError,
            EndpointConnectionError,
        )

        function = self._watch.functions[self._watch.tier(file.uri, file.size)]
        event = {"input": file.uri, **self._watch.event}
        try:
            answer = _client().invoke(
                FunctionName=function, InvocationType="Event", Payload=json.dumps(event).encode()
            )
        except ClientError as error:
            said = f"{function}: {error.response['Error'].get('Message') or error}"
            is_certain = error.response["ResponseMetadata"].get("HTTPStatusCode", 500) < 500
            raise (NotSentError if is_certain else UnreachableError)(said) from error
        except (ConnectTimeoutError, EndpointConnectionError) as error:
            raise NotSentError(f"{function}: {error}") from error
        except BotoCoreError as error:  # such as a response that never came
            raise UnreachableError(f"{function}: {error}") from error
        return str(answer["ResponseMetadata"]["RequestId"])


@cache
def _client() -> Any:
    """A client that never sends twice by itself: whether it may is for the ledger to say."""
    import boto3
    from botocore.config import Config

    once = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=20)
    return boto3.client("lambda", config=once)
