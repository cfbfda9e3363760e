"""skyfan collect and skyfan search, with names of runs and places."""

from collections.abc import Iterable
from pathlib import Path

from ..catalogs import collect as collecting
from ..catalogs import search as searching
from ..catalogs.collect import Collected, Progress
from ..catalogs.search import Found
from ..catalogs.store import folder_of
from ..errors import UsageError
from ..runs.place import Place


def collect(
    run: str,
    output: str | Path | None = None,
    *,
    stack: str = "skyfan",
    to: str | Path | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Collected:
    """Gathers all catalogs of a run in one data set of sources and a table of images, or updates it.

    The run lies in `output`, a folder or s3://bucket, or in the results bucket of `stack`. The data set goes
    to the folder `to`; None is `collected` in the run's folder, or ./<run> for a run in a bucket. `progress`
    is called with a stage's name, how much of it is done, and of how much, 0 where nobody knows. Raises
    UsageError for a run that is not there or has no catalogs, and for a folder that holds something else.
    """
    place = Place.at(output) if output else _results(stack)
    return collecting.collect(place, run, Path(to) if to else folder_of(place, run), progress=progress)


def search(
    run: str | Path,
    ra: float,
    dec: float,
    radius: float,
    *,
    output: str | Path | None = None,
    columns: Iterable[str] | None = None,
) -> Found:
    """The sources within `radius` of a position, the nearest first; all in degrees.

    `run` is a data set's folder, or the name of a run that was collected in `output`. The answer's `table` is
    an Arrow table with the distance in arcseconds and `columns`, all of them if None. Raises UsageError where
    there is no data set, or no such column.
    """
    folder = folder_of(Place.at(output), str(run)) if output else Path(run)
    if not folder.exists() and not output:
        raise UsageError(
            f"there is no data set {run}: give its folder, or a run's name and its --output FOLDER"
        )
    return searching.search(folder, ra, dec, radius, columns)


def _results(stack: str) -> Place:
    from ..aws.stack import find  # boto3, which a folder does not need

    return find(stack).results
