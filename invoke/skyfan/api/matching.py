"""skyfan match."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .. import progress as progressing
from ..catalogs import dataset
from ..catalogs.dataset import default_folder
from ..errors import UsageError
from ..events import OnProgress, ignore
from ..local.capacity import Capacity
from ..objects import checks, inputs
from ..objects import match as matching
from ..objects.checks import Checked
from ..objects.inputs import Input
from ..objects.match import MAGNITUDE, Settings
from ..objects.matched import Matched
from ..objects.references import Source
from ..workers import workers
from . import datasets, engines
from .engines import Where

MEMORY_MB = 1200
"""Of a process that matches tiles of the usual size, with all that it has loaded."""


@dataclass(frozen=True)
class MatchOptions:
    """How match() works.

    >>> MatchOptions(magnitude="MAG_AUTO", jobs=2).doubtful
    False
    """

    magnitude: str = MAGNITUDE
    """The magnitude of detections that means are of: a column MAG_X with an error MAGERR_X."""
    doubtful: bool = False
    """Whether images that their catalogs call doubtful are used."""
    jobs: int | None = None
    """Processes; None: by detections, CPUs and free memory."""
    scheduler: str | None = None
    """Address of the scheduler of a Dask cluster that runs the pieces instead."""
    reference: str | None = None
    """Catalog of stars that positions are tied to: a file with a table, a HATS catalog in a folder or on
    s3://, gaia or ps1.
    """
    access: str = "anonymous"
    """How it is read from S3: anonymous, signed, or requester-pays."""


DEFAULT = MatchOptions()


@progressing.shown
def match(
    runs: str | Path | Iterable[str | Path],
    to: str | Path,
    where: Where | None = None,
    options: MatchOptions = DEFAULT,
    *,
    progress: OnProgress = ignore,
) -> Matched:
    """Matches the detections of runs to objects: one row per star or galaxy, and links to its detections.

    Each of `runs` is the folder of a data set, or the name of a run that is in `where`, which is collected
    first if it was not yet. The objects are written to the folder `to`; nothing is done if it has those of
    the same inputs and options.

    Raises UsageError if a run or data set does not exist or has not the columns to match, or if the folder
    has other contents.

    >>> stars = match("first", "objects", "out", MatchOptions(jobs=1))
    >>> stars.objects, stars.images["used"]
    (73, 1)
    >>> stars.to_table()["ALPHA_J2000"].unit
    Unit("deg")
    """
    names = [runs] if isinstance(runs, str | Path) else list(runs)
    if not names:
        raise UsageError("nothing to match: name runs, or folders of data sets")
    data_sets = [_input(name, where, progress) for name in names]
    detections = sum(each.existing.about["sources"] for each in data_sets)
    # A process takes as long to start as half a tile to match.
    jobs = options.jobs or min(Capacity.now().jobs(MEMORY_MB), 1 + detections // matching.LIMIT)
    with workers(jobs, options.scheduler) as pool:
        settings = Settings(
            options.magnitude, options.doubtful, reference=options.reference, access=options.access
        )
        return matching.match(data_sets, Path(to), settings, pool, progress)


@progressing.shown
def check(
    what: str | Path,
    against: str | Path,
    where: Where | None = None,
    magnitude: str = MAGNITUDE,
    *,
    access: str = "anonymous",
    progress: OnProgress = ignore,
) -> Checked:
    """Compares the images of a run, or of objects, with a reference: offsets and zero points, one row each.

    `what` is the folder of a data set or of objects, or the name of a run that is in `where`, which is
    collected first if it was not yet. `against` is a file with a table of stars, a HATS catalog in a folder
    or on s3:// (read with `access`), gaia or ps1. Of objects, positions are compared as the match has
    corrected them. `magnitude` is a column of the detections; objects have the one that they were matched
    with.

    Raises UsageError for what is no run, data set or folder of objects, and for what is no reference.

    >>> from astropy.table import Table
    >>> found = search("first", where="out").to_table()
    >>> stars = Table({"ra": found["ALPHA_J2000"], "dec": found["DELTA_J2000"]})
    >>> stars.write("stars.vot", format="votable")
    >>> checked = check("first", "stars.vot", "out")
    >>> checked.images["compared"]
    1
    """
    if dataset.is_objects(Path(what)):
        existing = dataset.objects(Path(what))
    else:
        given = _input(what, where, progress)
        inputs.check([given], magnitude)
        existing = given.existing
    return checks.check(existing, Source(str(against), access), magnitude, progress)


def _input(name: str | Path, where: Where | None, progress: OnProgress) -> Input:
    """The data set with this folder, or of this run."""
    if Path(name).is_dir() and (Path(name) / "skyfan.json").exists():
        return inputs.open_input(Path(name), str(name))
    if where is None:
        raise UsageError(f"there is no data set {name}: give its folder, or a run with --output FOLDER")
    folder = default_folder(engines.find_place(where)[0], str(name))
    if not folder.exists():
        datasets.collect(str(name), where, progress=progress)
    return inputs.open_input(folder, str(name))
