"""skyfan demo: the whole story on a synthetic field, without network, account or files."""

from dataclasses import dataclass
from pathlib import Path

from .. import events
from ..bill.show import Costs
from ..catalogs.collected import Collected
from ..catalogs.kinds import SHORT
from ..catalogs.search import SearchResult
from ..demo import field
from ..events import OnProgress, ignore
from ..runs.outcome import Outcome
from ..task import Task
from . import bills, datasets, engines

RUN = "demo"
AROUND = (53.1678, -27.7956)
"""The spiral galaxy of the field: right ascension and declination in degrees."""
RADIUS = "2s"


@dataclass(frozen=True)
class Demo:
    """What each step made."""

    images: Path
    """Folder of the images."""
    outcome: Outcome
    collected: Collected
    found: SearchResult
    """Sources within RADIUS of AROUND."""
    costs: Costs
    report: Path


def demo(
    folder: str | Path = "skyfan-demo",
    *,
    on_event: events.OnEvent = events.ignore,
    progress: OnProgress = ignore,
) -> Demo:
    """Makes three images of a synthetic field, runs them on this machine, and collects, searches and reports.

    Images go to <folder>/images and results to <folder>/runs/demo; what is there is kept, so that a second
    demo is quick. Raises UsageError if the folder holds another run of that name.

    >>> demo("skyfan-demo").collected.images  # doctest: +SKIP
    3
    """
    folder = Path(folder)
    images = folder / "images"
    paths = field.write(images, progress)
    outcome = engines.run(map(str, paths), folder, Task(RUN), on_event=on_event)
    collected = datasets.collect(RUN, folder, progress=progress)
    found = datasets.search(RUN, AROUND, RADIUS, where=folder, columns=SHORT)
    return Demo(images, outcome, collected, found, bills.costs(RUN, folder), datasets.report(RUN, folder))
