"""skyfan watch: standing queries of an archive, and of a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from skyfan_watch.definition import LOCAL, Watch
from skyfan_watch.ledger import Ledger
from skyfan_watch.standing import Handled

from ..engine import AwsOptions, LocalOptions
from ..errors import UsageError
from ..events import ignore
from ..runs import watch_state
from ..runs.watch_state import WatchState
from ..storage.place import Place
from ..task import Task
from ..watches import archive, local, manage, queries
from . import engines
from .engines import Where

EVERY_S = 5.0


def add_watch(
    task: Task | str,
    where: Where,
    folder: str | Path | None = None,
    *,
    budget: float | str | None = None,
    dry_run: bool = False,
    template_file: str | Path | None = None,
    **criteria: Any,
) -> WatchState:
    """Adds a standing query: the function of `task` processes each file that matches `criteria` once.

    The name of the run of `task` is also that of the watch. With AwsOptions, the files are those that the
    archive announces from now on, and the stack's Watcher sends them; `budget` is then necessary: USD per
    month, or text such as 5USD/month. With a folder as `where`, the files are those in `folder`, and
    run_watch() processes them. `criteria` as in plan(). A watch that exists gets the new budget; nothing else
    of it can be changed. With `dry_run` nothing is written.

    Raises UsageError if the stack keeps no watches, for criteria that announcements and headers do not tell,
    and for a name that is taken.

    >>> add_watch("night", "watched", "images", products="FLC").state
    'watching'
    """
    task = task if isinstance(task, Task) else Task(task)
    registry = engines.registry(template_file)
    if isinstance(where, AwsOptions):
        from ..aws import stack as stacks

        if folder is not None:
            raise UsageError(
                "a stack watches an archive, and no folder: --output names the place of local runs"
            )
        if budget is None:
            raise UsageError(
                "a watch on AWS spends money by itself: say how much, such as --budget 5USD/month"
            )
        usd = archive.budget(budget) if isinstance(budget, str) else float(budget)
        stack = stacks.find(where.stack)
        watch, functions = archive.prepare(stack, registry, task, usd, criteria)
        if not dry_run:
            archive.add(stack, registry, task, watch, functions)
        return _state(watch, stack.results)
    if folder is None or budget is not None:
        raise UsageError(
            "a watch on this machine needs a FOLDER"
            if folder is None
            else "--budget is for a watch on AWS: processing on this machine costs nothing"
        )
    source = Path(folder).resolve()
    if not source.is_dir():
        raise UsageError(f"the folder {folder} does not exist")
    output = engines.local_folder(where)
    watch = Watch(
        name=task.run,
        query=queries.of_folder(**criteria),
        created=manage.now(),
        where=LOCAL,
        source=str(source),
        event=task.shared,
        task=task.configuration(),
    )
    manage.check_name(task.run)
    registry.function(task.function)
    if output.is_dir():
        watch = manage.check_new(Place.at(output), watch)
    if not dry_run:
        local.add(output, registry, task, watch)
    return _state(watch, Place.at(output) if output.is_dir() else None)


def watches(where: Where, *, removed: bool = False) -> list[WatchState]:
    """The watches of a place by name, each with its state and its ledger; `where` as in status().

    >>> [(one.watch.name, one.state) for one in watches("watched")]
    [('night', 'paused')]
    """
    place, _ = engines.find_place(where)
    return manage.read_all(place, removed=removed)


def run_watch(
    name: str,
    where: LocalOptions | str | Path,
    *,
    every_s: float = EVERY_S,
    settle_s: float = local.SETTLE_S,
    until_idle: bool = False,
    template_file: str | Path | None = None,
    on_done: Callable[[Handled], None] = ignore,
) -> WatchState:
    """Processes the new files of a watched folder until Ctrl-C, or with `until_idle` until there are no more.

    A file is taken when it has not changed for `settle_s` seconds; hidden files are not. The folder is listed
    every `every_s` seconds. A file that changes is processed again. Raises RunBusyError while another process
    keeps the watch.

    >>> run_watch("night", "watched", settle_s=0, every_s=0.1, until_idle=True).ledger.counts["accepted"]
    1
    """
    options = where if isinstance(where, LocalOptions) else LocalOptions(where)
    place, _ = engines.find_place(options)
    registry = engines.registry(template_file)
    with local.keeping(place, name, registry, options) as keeper:
        keeper.set_settle(settle_s)
        keeper.run(
            every_s,
            until_idle=until_idle,
            on_done=on_done,
        )
    return manage.read(place, name)


def pause_watch(name: str, where: Where) -> WatchState:
    """Pauses a watch: files that match wait. On AWS within a minute.

    >>> pause_watch("night", "watched").state
    'paused'
    """
    place, _ = engines.find_place(where)
    before = manage.read(place, name).watch
    manage.change(place, name, paused=before.paused or manage.now())
    return manage.read(place, name)


def resume_watch(name: str, where: Where) -> WatchState:
    """Ends a pause: the files that waited are sent with the next message of the archive.

    >>> resume_watch("night", "watched").state
    'watching'
    """
    place, _ = engines.find_place(where)
    manage.change(place, name, paused="")
    return manage.read(place, name)


def remove_watch(name: str, where: Where) -> WatchState:
    """Ends a watch. Its run with all results, its ledger and its log stay; add_watch() takes it up again.

    >>> remove_watch("night", "watched").state
    'removed'
    """
    place, _ = engines.find_place(where)
    manage.change(place, name, removed=manage.now())
    return manage.read(place, name)


def watch_log(name: str, where: Where, *, limit: int = 100) -> list[dict[str, Any]]:
    """The last decisions of a watch, oldest first: time, decision, input, reason.

    What the query does not want, and what was announced again, is only counted; see watches().

    >>> [one["decision"] for one in watch_log("night", "watched")]
    ['accepted']
    """
    place, _ = engines.find_place(where)
    return manage.log(place, name, limit)


def unknown_messages(where: Where) -> list[str]:
    """URIs of messages that the Watcher could not understand, as it kept them.

    >>> unknown_messages("watched")
    []
    """
    place, _ = engines.find_place(where)
    return list(manage.unknown(place))


def _state(watch: Watch, place: Place | None) -> WatchState:
    """The watch with its ledger, which it may not have yet."""
    found = watch_state.read(place, watch.name) if place else None
    return WatchState(watch, found.ledger if found else Ledger(), place)
