"""The trees of errors: their names are what Lambda and failure records call a failure."""

from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sep_extract import errors as sep_errors
from skyfan_function import errors
from skyfan_function.errors import FunctionError


def own(module: ModuleType) -> set[type[FunctionError]]:
    return {
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and kind.__module__ == module.__name__
    }


@pytest.mark.parametrize("module", [errors, sep_errors], ids=lambda module: module.__name__)
def test_the_module_lists_its_errors(module: ModuleType) -> None:
    listed = {line.split()[0] for line in (module.__doc__ or "").splitlines() if line.startswith("    ")}
    base = {"InputError"}  # listed wherever others are below it
    assert {kind.__name__ for kind in own(module)} | base == listed | base
    assert all(issubclass(kind, FunctionError) and kind.__doc__ for kind in own(module))


def test_after_storage_time_and_cancels_a_retry_may_succeed() -> None:
    kinds = {kind for module in (errors, sep_errors) for kind in own(module)}
    retry = {errors.StorageError, errors.OutOfTimeError, errors.RunCancelledError}
    assert {kind for kind in kinds if kind.cure == "retry"} == retry


def test_a_larger_function_helps_where_memory_or_time_is_short() -> None:
    kinds = {kind for module in (errors, sep_errors) for kind in own(module)}
    larger = {errors.OutOfMemoryError, errors.TooSlowError, sep_errors.ImageTooLargeError}
    assert {kind for kind in kinds if kind.cure == "larger"} == larger


def test_a_message_is_bounded_and_has_no_passwords() -> None:
    error = errors.StorageError("GET http://user:p@ss@127.0.0.1:9/bucket/a@b, then " + "x" * 10_000)
    assert "user" not in str(error)
    assert "ss@" not in str(error)
    assert "http://127.0.0.1:9/bucket/a@b" in str(error)
    assert len(str(error)) <= 1000


def test_an_event_as_long_as_lambda_takes_gives_a_short_line_of_log(
    handler: Any, out: Path, logged: Any
) -> None:
    for event in ({"input": "s3://bucket/key", "config": [0.5] * 100_000}, {"inputs": "x" * 500_000}):
        with suppress(errors.EventError):
            handler(event, None)
        (line,) = logged()
        assert (line["level"], line["errorType"]) == ("ERROR", "EventError")
        assert len(str(line)) < 2_000
