"""A run's bill with all that is told beside it."""

from dataclasses import dataclass

from .costs import Bill
from .estimate import Estimate
from .prices import Prices
from .records import Records
from .whatif import Advice, WhatIf


@dataclass(frozen=True)
class Costs:
    """What a run cost, beside what it would have cost and what was expected."""

    run: str | None
    bill: Bill
    others: dict[str, Bill]
    """The same work under the other models."""
    prices: Prices
    records: Records
    estimate: Estimate | None
    """Of the run's plan, made now without its logs; None where it has no plan."""
    what_if: WhatIf | None
    advice: Advice | None
    own_machine: bool = False
    """Whether the run was on a person's own machine, so that nothing was billed."""
