"""Billed time of each invocation, by a model's rule."""

import numpy as np
from numpy.typing import NDArray

from .prices import Model
from .records import Records

Ints = NDArray[np.int64]


def billed_ms(records: Records, model: Model) -> Ints:
    """Whole ms that each report is billed under a model; 0 for a failed start, which has no bill of its own.

    Where the log's own Billed Duration was counted by this model it is taken as it is; older lines are put
    under the rule: duration, with INIT if the model bills it, rounded up to a whole step.
    """
    ruled = _steps(records.duration_ms + _init(records, model), model)
    ruled += np.nan_to_num(records.billed_restore_ms).astype(np.int64)
    logged = np.nan_to_num(records.billed_ms).astype(np.int64)
    # Durations are printed rounded, so that the rule can be 1 ms off; an unknown time is an old one.
    own = (np.abs(logged - ruled) <= 1) & (model.granularity_ms == 1)
    if model.as_logged_since is not None:
        own |= records.time >= model.as_logged_since
    return np.where(~records.invoked, 0, np.where(own, logged, ruled))


def start_ms(records: Records, model: Model, billed: Ints) -> Ints:
    """The part of `billed`, which is billed_ms's, that the start of an environment or its restore added."""
    bare = _steps(records.duration_ms, model)
    added: Ints = np.maximum(billed - bare, 0)
    return np.where(np.isnan(records.init_ms) & np.isnan(records.restore_ms), 0, added)


def gb_seconds(records: Records, ms: Ints) -> float:
    """GB-s of `ms` at each report's memory size: exact, whatever the order."""
    return int((records.memory_mb.astype(np.int64) * ms).sum()) / 1_024_000


def _init(records: Records, model: Model) -> NDArray[np.float64]:
    zero = np.zeros(len(records))
    return np.nan_to_num(records.init_ms) if model.init else zero


def _steps(ms: NDArray[np.float64], model: Model) -> Ints:
    # Lambda writes two or three decimals: what lies below those is the computer's.
    step = model.granularity_ms
    return (np.ceil(np.round(ms / step, 6)) * step).astype(np.int64)
