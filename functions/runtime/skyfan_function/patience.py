"""Calls to the store, each with a deadline: what stalls fails by name, within the invocation's own time."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

# Seconds for a call with all its retries: a connection that stalls must not outlast the shortest time limit.
PATIENCE_S = 50.0
# Of the invocation's time, for the error to be logged and returned; and what a call gets at least.
_SPARE_S = 1.0
_LEAST_S = 0.2


class _Clock:
    ends = math.inf
    """When the invocation must have ended, in seconds of time.monotonic()."""
    waited = 0.0
    """Seconds for which anything has waited for the store."""


@contextmanager
def of_invocation(context: Any) -> Iterator[None]:
    """Inside the ``with``, no call waits longer than the invocation may last."""
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    _Clock.ends = math.inf if remaining is None else time.monotonic() + remaining() / 1000 - _SPARE_S
    try:
        yield
    finally:
        _Clock.ends = math.inf


def waited() -> float:
    """Seconds for which this process has waited for the store."""
    return _Clock.waited


def result(future: Future[T]) -> T:
    """The result of a call that another thread makes. Raises TimeoutError when its time is over."""
    began = time.monotonic()
    seconds = max(_LEAST_S, min(PATIENCE_S, _Clock.ends - began))
    try:
        return future.result(seconds)
    except TimeoutError:
        raise TimeoutError(f"no complete answer within {seconds:.3g} s; try again") from None
    finally:
        _Clock.waited += time.monotonic() - began


def within(call: Callable[[], T]) -> T:
    """The result of a call, made in a thread: code that waits in Rust cannot be interrupted."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result(future)
