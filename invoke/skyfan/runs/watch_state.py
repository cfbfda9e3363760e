"""A watch and its ledger, as they stand in the place of its run."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from skyfan_watch import ledger as ledgers
from skyfan_watch.definition import DefinitionError, Watch, folder
from skyfan_watch.ledger import Ledger

from .. import formatting
from ..errors import InputError
from ..storage.place import Place


@dataclass(frozen=True)
class WatchState:
    """A watch with its ledger."""

    watch: Watch
    ledger: Ledger
    place: Place | None
    """None for a dry run in a folder that does not exist."""

    @property
    def state(self) -> str:
        """removed, paused, stopped (its budget is reached) or watching."""
        if self.watch.removed or self.watch.paused:
            return "removed" if self.watch.removed else "paused"
        return "stopped" if self.ledger.is_stopped(self.watch.nano) else "watching"

    @property
    def spent(self) -> float:
        """USD reserved in this month, at the upper limits of the estimates."""
        return self.ledger.spent / 1e9

    @property
    def words(self) -> str:
        """Its state in a few words, with the time since which it holds."""
        since = {
            "removed": self.watch.removed,
            "paused": self.watch.paused,
            "stopped": self.ledger.stopped,
            "watching": self.watch.created,
        }[self.state]
        name = "stopped: budget" if self.state == "stopped" else self.state
        return f"{name} since {since[:16].replace('T', ' ')}"


def parse(body: bytes, uri: str) -> Watch:
    """The watch in a watch.json. Raises InputError, whose message names its `uri`."""
    try:
        return Watch.parse(body)
    except DefinitionError as error:
        raise InputError(f"{uri} cannot be used: {error}") from error


def read(place: Place, name: str) -> WatchState | None:
    """A watch and its ledger in this month (UTC), or None. Raises InputError if one is damaged."""
    key = f"{folder(name)}watch.json"
    if (body := place.get(key)) is None:
        return None
    watch, key = parse(body, place.uri(key)), f"{folder(name)}ledger.json"
    try:
        written = place.get(key)
        ledger = Ledger.parse(written) if written else Ledger()
    except ValueError as error:
        raise InputError(f"{place.uri(key)} cannot be read: {error}") from error
    ledger.turn(ledgers.month_of(time.time()))
    return WatchState(watch, ledger, place)


def notices(one: WatchState) -> Iterator[str]:
    """What needs a person's attention: why files of a watch have not begun, and when they do."""
    name, ledger = one.watch.name, one.ledger
    not_begun = f"{formatting.count(ledger.waiting)} not begun"
    if one.state == "stopped":
        yield (
            f"The watch {name} has stopped: the budget of {one.watch.budget:g} USD of {ledger.month} is "
            f"reached, {not_begun}. They begin with what is announced or found first next month, or with a "
            f"higher --budget in the same `skyfan watch add` command; `skyfan retry {name}` sends them now."
        )
    elif one.state == "paused":
        yield f"The watch {name} is paused, {not_begun}: `skyfan watch resume {name}` ends the pause."
    elif one.state == "removed" and ledger.waiting:
        yield f"The watch {name} was removed, {not_begun}: the same `skyfan watch add` takes it up again."
    elif ledger.waiting:
        yield f"The watch {name} has {not_begun}: they are sent with what is announced or found next."
