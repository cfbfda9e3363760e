"""skyfan: source extraction fanned out over a sky archive.

    import skyfan

    plan = skyfan.plan(instrument="WFC3/IR", filters="F160W", proposal=12498)
    outcome = skyfan.run("images/*.fits", "out", "first-light")
    skyfan.search("first-light", "M31", "20s", where="out").to_table()

All functions and options are in skyfan.api; these are the ones that most notebooks need.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import (
        AwsOptions,
        LocalOptions,
        Task,
        cancel,
        collect,
        costs,
        follow,
        plan,
        retry,
        run,
        search,
        show,
        status,
    )

__all__ = [
    "AwsOptions",
    "LocalOptions",
    "Task",
    "cancel",
    "collect",
    "costs",
    "follow",
    "plan",
    "retry",
    "run",
    "search",
    "show",
    "status",
]


def __getattr__(name: str) -> Any:
    """Imports what is used, when it is used: the command line starts with none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
