"""An input that takes too long fails with a name, before the function is killed without a word."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import patience
from .errors import FunctionError, StorageError

SPARE_S = 5.0
"""Seconds of an invocation that results and records may take."""
# Compiled code is not interrupted before it returns, so that more must be left where an input may run long;
# but not too much of a short limit.
_LEAST_SPARE, _MOST_SPARE = 1 / 10, 1 / 5
# Again and again: an exception that is raised while Python destroys an object goes nowhere.
_AGAIN_S = 1.0


class _LateError(BaseException):
    """Not an Exception: astropy takes any of these for damage of the file, and goes on."""


@contextmanager
def in_time(
    context: Any, spare: float, error: type[FunctionError], name: str = "the input"
) -> Iterator[None]:
    """Raise ``error`` inside the ``with`` when only ``spare`` seconds of the invocation remain, or a tenth.

    ``name`` is the file that its message names.
    If most of the time went into waiting for the store, it is StorageError: no larger function is faster.
    Without a context, and outside the main thread, which alone can be interrupted, nothing is limited.
    """
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    if remaining is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    seconds = remaining() / 1000
    limit = seconds - min(max(spare, _LEAST_SPARE * seconds), _MOST_SPARE * seconds)

    waited = patience.waited()

    def stop(*_: Any) -> None:
        raise _LateError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(limit, 1e-3), _AGAIN_S)
    try:
        yield
    except _LateError:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if (waited := patience.waited() - waited) > limit / 2:
            raise StorageError(
                f"{name}: given up after {limit:.0f} s, {waited:.0f} s of which the store took to answer; "
                "try again"
            ) from None
        raise error(
            f"{name}: given up after {limit:.0f} s: only {seconds:.0f} s of the function's time remained"
        ) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
