"""What of a run is sent again, and to which function."""

from collections import Counter
from collections.abc import Iterator

from ..plans.plan import LARGE, Item
from .outcome import TROUBLE, File, RunState


class Again:
    """The files that a retry sends, each with the memory tier it needs now. Counts while it is iterated."""

    def __init__(self, standard: str, large: str, *, everything: bool = False, late: bool = False) -> None:
        """The functions of the two tiers, as failure records name them; the same where there is but one.

        `everything` takes what no try can mend too, `late` what is late.
        """
        self.taken = Counter[str]()
        """Files by tier."""
        self.permanent = Counter[str]()
        """Files passed over, by errorType: no further try can mend them."""
        self.beyond = Counter[str]()
        """Files passed over, by errorType: they ran out of memory or time where there is most of it."""
        self._large, self._has_larger, self._everything = large, large != standard, everything
        self._states = (*TROUBLE, "late") if late else TROUBLE

    def of(self, state: RunState) -> Iterator[Item]:
        """The files, in the order of the run's plans."""
        for file in state.files(*self._states):
            if self._is_worth(file):
                item = Item(file.uri, file.size, self._tier(file))
                self.taken[item.tier] += 1
                yield item

    def _is_worth(self, file: File) -> bool:
        failure = file.failure
        if failure is None or self._everything:
            return True
        if failure.is_permanent:
            self.permanent[failure.error_type] += 1
            return False
        if failure.is_exhausted and failure.function == self._large:
            self.beyond[failure.error_type] += 1
            return False
        return True

    def _tier(self, file: File) -> str:
        failure = file.failure
        if failure and self._has_larger and (failure.is_exhausted or failure.function == self._large):
            return LARGE
        return file.tier
