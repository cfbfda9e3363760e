"""skyfan cancel."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..runs.outcome import RunState
from . import where

if TYPE_CHECKING:
    from ..aws.cancel import Cancelled


def cancel(
    run: str,
    output: str | None = None,
    *,
    stack: str = "skyfan",
    force: bool = False,
    patience: float = 180.0,
    on_state: Callable[[RunState], None] = lambda state: None,
) -> "Cancelled":
    """Stops what a run has in Lambda's queue, waits until it became failure records, restores the functions.

    `patience` is in seconds: how long nothing may change until it is over. Raises UsageError for what cannot
    be, such as while another run is on its way and not `force`; aws.cancel.Interrupted on Ctrl-C.
    """
    from ..aws import cancel as cancels

    place, lambdas = where.find(output, stack)
    return cancels.cancel(place, lambdas, run, force=force, patience_s=patience, on_state=on_state)


def restore(run: str, output: str | None = None, *, stack: str = "skyfan") -> dict[str, int | None]:
    """Undoes a cancel that was broken off. Gives what each function has reserved again, None for nothing."""
    from ..aws import cancel as cancels

    place, _ = where.find(output, stack)
    return cancels.restore(place, run)
