"""skyfan collect, search and report."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from .. import files
from .. import progress as progressing
from ..catalogs import collect as collecting
from ..catalogs import dataset, freshness
from ..catalogs import search as searching
from ..catalogs.collected import Collected
from ..catalogs.dataset import DataSet, default_folder
from ..catalogs.freshness import Freshness
from ..catalogs.search import SearchResult
from ..errors import UsageError
from ..events import OnProgress, ignore
from ..formatting import file_name
from ..runs import run as runs
from ..runs.judge import STATES
from ..runs.run_file import RunFile
from ..runs.state import Follower
from ..sky import angles
from ..storage import uris
from ..storage.uris import Results
from ..workers import workers
from . import engines
from .engines import Where

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity

    from ..objects.lightcurve import LightCurve


@progressing.shown
def collect(
    run: str,
    where: Where,
    *,
    to: str | Path | None = None,
    good: bool = False,
    scheduler: str | None = None,
    progress: OnProgress = ignore,
) -> Collected:
    """Collects all catalogs of a run into one data set of sources and a table of images, or updates it.

    `where` is the folder of the run, s3://bucket, or AwsOptions for the bucket of a stack. The data set is
    written to the folder `to` (default: `collected` in the run's folder, or ./<run> for a run in a bucket).
    With `good`, images that their catalogs call doubtful are left out. `scheduler` is the address of a Dask
    cluster that writes the partitions; catalogs are read here.

    Raises UsageError if the run does not exist or has no catalogs, or if the folder has other contents.

    >>> sources = collect("first", "out")
    >>> sources.images, sources.sources
    (2, 73)
    >>> sources.to_table()["MAG_AUTO"].unit
    Unit("mag")
    """
    place, _ = engines.find_place(where)
    folder = Path(to) if to else default_folder(place, run)
    if scheduler is None:
        return collecting.collect(place, run, folder, good=good, progress=progress)
    with workers(1, scheduler) as pool:
        return collecting.collect(place, run, folder, good=good, workers=pool, progress=progress)


@progressing.shown
def find_damaged(run: str, where: Where, *, progress: OnProgress = ignore) -> dict[str, str]:
    """Reads all results of a run: keys of the inputs whose result is not the one that the run made, and why.

    A result is whole if it has the digest that the engine on this machine recorded; a catalog must also have
    its own checksum, its image and the settings of the run. `retry` with Selection(damaged=...) makes these
    again. Raises UsageError if the run does not exist.

    >>> find_damaged("first", "out")
    {}
    """
    from ..catalogs import check

    return check.damaged(engines.find_place(where)[0], run, progress)


@progressing.shown
def find_stale(run: str, where: Where, *, progress: OnProgress = ignore) -> Freshness:
    """Compares the source of each result of a run with the version that the result was made from.

    A source on S3 has changed if it has another ETag, one on this machine if its size or time has changed.
    Prefixes are listed where that takes fewer requests than one per file. `retry` with
    Selection(stale=found.stale) makes exactly the stale ones again. Sources that do not exist or could not be
    checked are states of their own, and so are results that do not say from which version they are.
    Raises UsageError if the run does not exist.

    >>> find_stale("first", "out")
    <Freshness: run first: fresh 2>
    """
    place, lambdas = engines.find_place(where)
    return freshness.compare(place, run, lambdas, progress)


def search(
    run: str | Path,
    around: "str | tuple[float, float] | SkyCoord | None" = None,
    radius: "str | Quantity | None" = None,
    *,
    where: Where | None = None,
    columns: Iterable[str] | None = None,
) -> SearchResult:
    """The sources within `radius` of a position, nearest first; rows, where another function made tables.

    `run` is the folder of a data set, or the name of a run that was collected and is in `where`. `around` is
    "RA DEC", a name, a pair of numbers in degrees, or a SkyCoord; `radius` is a string with a unit, such as
    "20s", or a Quantity. Without both, these are all rows, those without a position last. The folder of
    match() works as well: its rows are objects, and light_curve() has the detections of each.

    The `table` of the result is an Arrow table with the distance in arcseconds and `columns` (default: all).
    Raises UsageError if the data set or a column does not exist.

    >>> near = search("first", (3.594, -30.392), "5s", where="out")
    >>> near.to_table()["DISTANCE"].unit
    Unit("arcsec")
    """
    if (around is None) != (radius is None):
        raise UsageError("a circle needs a position and a radius: give both, or none for all rows")
    degrees = None if radius is None else angles.radius(radius)
    data: Path | DataSet = Path(run)
    if dataset.is_objects(Path(run)):
        data = dataset.objects(Path(run))
    elif where or not Path(run).exists():
        data = _folder(run, where)
    if around is None or degrees is None:
        return searching.all_rows(data, columns)
    ra, dec = angles.position(around)
    return searching.search(data, ra, dec, degrees, columns)


def _folder(run: str | Path, where: Where | None) -> Path:
    """The data set of a run that was collected."""
    place = engines.find_place(where)[0] if where else None
    folder = default_folder(place, str(run)) if place else Path(run)
    if not folder.exists():
        if not place:
            raise UsageError(f"there is no data set {run}: give its folder, or a run with --output FOLDER")
        runs.read(place, str(run))  # raises an error that names the nearest run
        raise UsageError(
            f"run {run} was not collected yet: `skyfan collect {run} --output {place.name}` does it"
        )
    return folder


def light_curve(objects: str | Path, object_id: int) -> "LightCurve":
    """The light curve of one of the objects that match() has written to the folder `objects`.

    The `table` of the result has a row per detection, and one per image that covers the object but does not
    see it, with its depth as the limit; `values` has the columns of the object. Only the partitions around
    the object are read. Raises UsageError if there are no objects, or none with this OBJECT_ID.

    >>> ids = search("objects", (3.594, -30.392), "5s").table["OBJECT_ID"].to_pylist()
    >>> curve = light_curve("objects", ids[0])
    >>> len(curve.table), curve.values["N_DET"]
    (1, 1)
    """
    from ..objects import lightcurve

    return lightcurve.Objects(dataset.objects(Path(objects))).light_curve(object_id)


def find_catalog(run: str, image: str, where: Where) -> tuple[str, str]:
    """An image of a run and its catalog, each a path or an s3:// URI.

    `image` is a path, a URI, or the name of a file of the run. Raises UsageError if the run, the image in it,
    or its catalog does not exist; the message names the nearest image, or the state of this one.
    """
    place, lambdas = engines.find_place(where)
    results = Results.of(runs.read(place, run)["results"], run)

    def location(uri: str) -> str:
        return str(uris.local_path(uri) or uri)

    uri = image if "://" in image else uris.from_path(image)
    key = results.object_key(uris.key(uri))
    if not place.modified(key):
        names: dict[str, list[RunFile]] = {}
        for file in Follower(place, run, lambdas).read().files(*STATES):
            names.setdefault(file_name(file.uri), []).append(file)
            if file.uri == uri:
                raise UsageError(f"{image} has no catalog in run {run}: it is {file.state}")
        found = names.get(image, [])
        if len(found) != 1:
            several = ", ".join(location(file.uri) for file in found)
            close = "".join(f": is {name} meant?" for name in get_close_matches(file_name(uri), names, 1))
            raise UsageError(
                f"several images of run {run} have the name {image}: {several}"
                if several
                else f"run {run} has no image {image}{close}"
            )
        uri = found[0].uri
        key = results.object_key(uris.key(uri))
        if found[0].state != "done":
            raise UsageError(f"{image} has no catalog in run {run}: it is {found[0].state}")
    return location(uri), location(place.uri(key))


@progressing.shown
def report(
    run: str | Path,
    where: Where | None = None,
    *,
    to: str | Path | None = None,
    data: str | Path | None = None,
    colour: tuple[str, str] | None = None,
    progress: OnProgress = ignore,
) -> Path:
    """Writes the report of a run, or of objects, as one HTML file; returns its path.

    `where` is the folder of the run, s3://bucket, or AwsOptions for the bucket of a stack. Its data set is in
    `data` (default: where collect() writes it). The file is `to` (default: report.html in the run's folder,
    or ./<run>.html for a run in a bucket). The folder <name>-data beside it has large pictures, and the table
    of images if there are many; without the folder, the page shows the rest. The report says what is missing,
    such as logs or the data set.

    `run` may be a folder that match() has written; its report is in that folder by default. `colour` are the
    bands of its colour-magnitude diagram, the bluer first (default: those with the most objects): names as
    in columns, or their ends such as F606W.

    Raises UsageError if the run or a band does not exist, or a file cannot be written.

    >>> report("first", "out").name
    'report.html'
    >>> report("objects").parent.name
    'objects'
    """
    if dataset.is_objects(Path(run)):
        from ..report import objects, section_objects

        path = Path(to) if to else Path(run) / "report.html"
        return section_objects.write(path, objects.read(Path(run), colour, progress))
    if where is None:
        raise UsageError(f"{run} has no objects of skyfan match; of a run, also say where it is")
    if colour is not None:
        raise UsageError(f"colour is for the objects of skyfan match, and {run} is a run")
    run = str(run)
    from ..report import page, story
    from . import bills  # slow to import, and most of skyfan.api does not need it

    if to:
        files.require_folder(Path(to))
    place, lambdas = engines.find_place(where)
    content = story.gather(
        place,
        run,
        lambdas,
        costs=lambda: bills.costs(run, where),
        data=Path(data) if data else None,
        progress=progress,
    )
    default = Path(f"{run}.html") if place.folder is None else place.folder / "runs" / run / "report.html"
    return page.write(Path(to) if to else default, content).page
