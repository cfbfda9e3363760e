"""The trees of errors: their names are what Lambda and failure records call a failure."""

from types import ModuleType

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
