"""A run's story in numbers: all that the page tells, gathered from the run's place."""

import time as clock
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from ..bill.statement import Costs
from ..catalogs.store import folder_of
from ..errors import UsageError
from ..runs import state
from ..runs.outcome import File, RunState
from ..runs.place import Place
from . import asked, measured, thumbnails
from .asked import Asked
from .measured import Measured
from .thumbnails import Thumbnail

EXAMPLES = 5
"""Missing files that are named."""


@dataclass(frozen=True)
class Story:
    """What the page is made of. What is None is not there, and `absent` says why."""

    run: str
    place: str
    made: float
    """Unix time."""
    skyfan: str
    """Version that made the page."""
    asked: Asked
    state: RunState
    missing: list[File]
    """The first of them."""
    measured: Measured | None
    thumbnails: list[Thumbnail]
    costs: Costs | None
    absent: dict[str, str]
    """By part (measured, costs): a sentence."""


def gather(
    place: Place,
    run: str,
    lambdas: Place | None = None,
    *,
    costs: Callable[[], Costs],
    data: Path | None = None,
    progress: Callable[[str], None] = lambda what: None,
) -> Story:
    """Gathers a run's story. `costs` reads its bill; `data` is its data set where that is not in its place.

    Raises UsageError for a run that is not there; parts that are not there are told in `absent`.
    """
    progress("state of the run")
    found = state.read(place, run, lambdas)
    progress("plans")
    plans = asked.read(place, run, found.about)
    absent: dict[str, str] = {}
    progress("collected sources")
    there = None
    try:
        folder = data or folder_of(place, run)
        there = measured.read(folder, place.name, run, thumbnails.MOST)
        if there is None:
            absent["measured"] = (
                f"Nothing has been collected yet: `skyfan collect {run}` gathers what was measured."
            )
    except UsageError as error:
        absent["measured"] = f"What was collected cannot be shown: {error}."
    progress("logs")
    bill = None
    try:
        bill = costs()
    except UsageError as error:
        absent["costs"] = f"There is no bill: {error}."
    results = found.about["results"].replace("{run}", run)
    progress("pictures")
    picked = there.picked if there else _some(found, results.split("{key}", 1)[1])
    return Story(
        run=run,
        place=place.name,
        made=clock.time(),
        skyfan=version("skyfan"),
        asked=plans,
        state=found,
        missing=list(islice(found.files("missing"), EXAMPLES)),
        measured=there,
        thumbnails=list(thumbnails.make(place, results, picked)),
        costs=bill,
        absent=absent,
    )


def _some(found: RunState, tail: str) -> list[measured.Picked]:
    """The first images that are done, where no table of images tells more of them."""
    from .. import uris

    some = islice(found.files("done"), thumbnails.MOST)
    return [measured.Picked(file.uri, uris.key(file.uri) + tail, "", -1, float("nan")) for file in some]
