"""skyfan retry: on whichever engine the run is."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import events, template
from ..errors import UsageError
from ..local import engine as local
from ..plans.plan import LARGE, STANDARD, Item
from ..runs import run as runs
from ..runs.again import Again
from ..runs.place import Place
from ..runs.state import Follower
from . import where

if TYPE_CHECKING:
    from ..aws.dispatch import OnTick, Sent


@dataclass(frozen=True)
class LocalOptions:
    """How this machine works. None takes the template's value, or one worker a CPU."""

    jobs: int | None = None
    timeout: float | None = None
    """Seconds."""
    memory: int | None = None
    """MB, for all files; without it, what ran out of memory or time gets the template's largest."""
    template_file: str | Path | None = None


@dataclass
class Retried:
    """What a retry did."""

    run: str
    place: str
    again: Again
    """What was taken and what was passed over."""
    sent: "Sent | None" = None
    """On AWS: what Lambda accepted."""
    summary: events.Summary | None = None
    """On this machine: what came of it."""

    @property
    def files(self) -> int:
        """Files that were to be sent again."""
        return sum(self.again.taken.values())


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: what was sent or done before stays so."""

    def __init__(self, retried: Retried) -> None:
        super().__init__("interrupted")
        self.retried = retried


def retry(
    run: str,
    output: str | Path | None = None,
    *,
    stack: str = "skyfan",
    everything: bool = False,
    late: bool = False,
    batch: int = 1,
    local_options: LocalOptions | None = None,
    on_tick: "OnTick" = lambda files, counts: None,
    on_event: Callable[[events.Event], None] = lambda event: None,
) -> Retried:
    """Sends the failed, missing and cancelled files of a run again, never one that is done.

    What ran out of memory or time goes to the function with more. What no try can mend is passed over, unless
    `everything`; `late` takes files that are late too. On AWS it returns when all are accepted, on this
    machine when all are processed. Raises UsageError for what cannot be, Interrupted on Ctrl-C.
    """
    retrier = _Retrier.find(run, output, stack, local_options, everything=everything, late=late)
    if retrier.place.folder is not None:
        return retrier.here(on_event)
    return retrier.on_aws(batch, on_tick)


def preview(
    run: str,
    output: str | Path | None = None,
    *,
    stack: str = "skyfan",
    everything: bool = False,
    late: bool = False,
    batch: int = 1,
    local_options: LocalOptions | None = None,
) -> tuple[Again, Iterator[dict[str, Any]]]:
    """What retry() would send: {"function", "payload"} of each invocation, in order. Sends nothing.

    The first counts, while the second is read.
    """
    retrier = _Retrier.find(run, output, stack, local_options, everything=everything, late=late)
    return retrier.again, retrier.calls(batch if retrier.place.folder is None else 1)


@dataclass
class _Retrier:
    follower: Follower
    names: dict[str, str]
    """Function of each tier: deployed names, or the template's on this machine."""
    again: Again
    options: LocalOptions = field(default_factory=LocalOptions)
    registry: template.Template | None = None

    @classmethod
    def find(
        cls,
        run: str,
        output: str | Path | None,
        stack: str,
        options: LocalOptions | None,
        *,
        everything: bool,
        late: bool,
    ) -> "_Retrier":
        options = options or LocalOptions()
        place, lambdas = where.find(output, stack)
        follower = Follower(place, run, lambdas)
        function = follower.about["function"]
        large = function + runs.SUFFIX
        registry = None
        if place.folder is not None:
            registry = template.read(Path(options.template_file or template.find()))
            names = {STANDARD: function, LARGE: large if large in registry.functions else function}
        else:
            from ..aws import stack as stacks

            found = stacks.find(stack)
            if found.results.name != place.name:
                raise UsageError(
                    f"the stack {stack} has its results in {found.results.name}, not in {place.name}: "
                    "give the run's own with --stack"
                )
            standard = found.function(function)
            names = {STANDARD: standard, LARGE: found.functions.get(large, standard)}
        # With a memory size of the person's own, no function is the one that has most.
        large = "" if options.memory and place.folder else names[LARGE]
        again = Again(names[STANDARD], large, everything=everything, late=late)
        return cls(follower, names, again, options, registry)

    @property
    def place(self) -> Place:
        return self.follower.place

    def items(self) -> Iterator[Item]:
        """Read late: on AWS after the receipts that a dead process left on this machine are in the bucket."""
        yield from self.again.of(self.follower.read())

    def on_aws(self, batch: int, on_tick: "OnTick") -> Retried:
        from ..aws import dispatch

        task = runs.task(self.follower.run, self.follower.about)
        files = ((item.uri, self.names[item.tier]) for item in self.items())
        retried = Retried(self.follower.run, self.place.name, self.again)
        try:
            retried.sent = dispatch.send(self.place, task, files, dispatch.Options(batch=batch), on_tick)
        except dispatch.Interrupted as interrupted:
            retried.sent = interrupted.sent
            raise Interrupted(retried) from interrupted
        return retried

    def here(self, on_event: Callable[[events.Event], None]) -> Retried:
        retried = Retried(self.follower.run, self.place.name, self.again, summary=events.Summary())
        by_tier: dict[str, list[str]] = {}
        for item in self.items():
            by_tier.setdefault(self.names[item.tier], []).append(item.uri)
        assert retried.summary is not None
        for name, files in by_tier.items():
            try:
                _add(retried.summary, self._work(name, files, on_event))
            except events.Interrupted as interrupted:
                _add(retried.summary, interrupted.summary)
                raise Interrupted(retried) from interrupted
        return retried

    def _work(self, name: str, files: list[str], on_event: Callable[[events.Event], None]) -> events.Summary:
        assert self.registry is not None
        assert self.place.folder is not None
        task = runs.task(self.follower.run, self.follower.about)
        options = local.LocalOptions(
            self.place.folder,
            jobs=self.options.jobs,
            timeout_s=self.options.timeout,
            memory_mb=self.options.memory,
        )
        function = self.registry.function(name)
        return local.run_again(files, function, self.names[STANDARD], task, options, on_event)

    def calls(self, batch: int) -> Iterator[dict[str, Any]]:
        from ..aws.calls import calls

        task = runs.task(self.follower.run, self.follower.about)
        files = ((item.uri, self.names[item.tier]) for item in self.items())
        for call in calls(files, task, batch):
            yield {"function": call.function, "payload": json.loads(call.payload)}


def _add(total: events.Summary, more: events.Summary) -> None:
    for name in ("total", "done", "already_done", "retries", "unwritten", "seconds"):
        setattr(total, name, getattr(total, name) + getattr(more, name))
    total.log = more.log or total.log
    for kind, group in more.failures.items():
        if kind in total.failures:
            total.failures[kind].count += group.count
        else:
            total.failures[kind] = group
