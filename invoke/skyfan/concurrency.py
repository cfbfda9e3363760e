"""Chunks of work, delays between retries, and coroutines called from plain functions."""

import asyncio
import os
import random
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import count, islice
from typing import Any, TypeVar

from .errors import UsageError

_THREADS = 12  # Arrow has 8 for files, and as many as CPUs for work; obstore has those of CPUs and some

T = TypeVar("T")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine to its end; also in a notebook, whose thread has a running event loop already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@cache
def require_threads() -> None:
    """Raises UsageError unless this process may start the threads that obstore and Arrow need.

    Where one of theirs cannot start, obstore panics or waits forever, and Arrow ends the process.
    """
    number, ending = _THREADS + 2 * (os.cpu_count() or 1), threading.Event()
    started = []
    try:
        for _ in range(number):
            thread = threading.Thread(target=ending.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError as error:
        raise UsageError(
            f"the system lets this process start {len(started)} further threads, and it needs {number}: "
            "raise the limit of processes and threads (`ulimit -u`), or end some; nothing has been changed"
        ) from error
    finally:
        ending.set()
        for thread in started:
            thread.join()


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items; the last one may be shorter."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


async def together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Runs coroutines at once. The first error cancels the others, and is raised when they have ended."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def backoff(first: float, longest: float) -> Iterator[float]:
    """Seconds to wait before each retry, without end: exponential back-off with full jitter.

    The n-th delay is random between 0 and first × 2**n, at most `longest`.
    """
    for retry in count():
        yield random.uniform(0, min(longest, first * 2.0 ** min(retry, 64)))


def retry_after(header: str | None, longest: float) -> float:
    """Seconds that a Retry-After header asks for, at most `longest`; 0 without a header or for a date."""
    return min(float(header), longest) if header and header.isdecimal() else 0.0


def within(seconds: float, call: Callable[[], T]) -> T:
    """The result of a call, made in a thread that ends with the process. Raises TimeoutError."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future.result(seconds)
