"""skyfan fetch: files of the archive in a folder or a bucket."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import concurrency, inputs, progress
from ..errors import Interrupted, UsageError
from ..events import OnProgress, ignore
from ..fetch import wanted
from ..fetch.fetch import Fetch, Options, Part
from ..fetch.folder import Folder
from ..fetch.limits import LIMIT, parse_size
from ..fetch.result import Result
from ..fetch.source import Source
from ..plans.plan import Plan
from ..sky import angles

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity

    from ..fetch.bucket import Bucket


@progress.shown
def fetch(  # noqa: PLR0913
    paths: inputs.Paths | Plan,
    to: str | Path,
    *,
    extensions: str | None = None,
    cutout: "str | tuple[float, float] | SkyCoord | None" = None,
    size: "str | Quantity | None" = None,
    access: str = "anonymous",
    keep_paths: bool = False,
    mast: bool = False,
    limit_egress: int | str = LIMIT,
    connections: int = 32,
    verify: bool = False,
    overwrite: bool = False,
    progress: OnProgress = ignore,
) -> Result:
    """Fetches the files of a plan, or those that paths name, into the folder or s3://bucket/prefix `to`.

    `paths` are s3:// objects, prefixes that end in /, patterns, mast: URIs and @lists; or one plan or plan
    file; or a table with a column `uri`. Files get their names in the archive, with `keep_paths` bucket and
    key. `mast` downloads from MAST what is not in the cloud. `access` is how S3 is read.

    `extensions`, such as "SCI,DQ" or "SCI,1", takes only these HDUs of each file, and `cutout` with `size`
    only the pixels of a square around a position: a name, "RA DEC", a pair of degrees or a SkyCoord. Only the
    bytes that these need are transferred; the files are valid FITS, named after what they hold. A cut-out has
    the pixels of astropy's Cutout2D with mode="trim"; images that do not contain the position are `outside`.

    Call it again to continue: only what is missing or has changed at the source is transferred. `verify`
    reads the files that are there; `overwrite` replaces those that were changed here or came from elsewhere.
    `connections` are requests at once.

    Raises UsageError before anything is transferred: for names that clash, for more than `limit_egress`
    (bytes, or text such as "50GB"), for too little free disk space. What goes wrong with one file is in the
    result. Raises Interrupted[Result] on Ctrl-C.

    >>> fetch("s3://archive/hst/*.fits", "images/hst")
    <Result: images/hst: 1 fetched; 1.5 MB transferred>
    """
    limit = parse_size(limit_egress) if isinstance(limit_egress, str) else limit_egress
    selection = wanted.select(paths, access, mast=mast, places=wanted.places_of)
    options = Options(access, keep_paths, part(extensions, cutout, size), limit, connections, verify)
    with destination_of(to, access, limit, overwrite=overwrite) as destination:
        work = Fetch(destination, options, progress, downloads if mast else dict)
        work.result.unwanted = selection.unwanted
        work.result.refuse(selection.refused)
        try:
            concurrency.run(work.run(selection.wanted))
        except KeyboardInterrupt as error:
            work.result.interrupted = True
            raise Interrupted(work.result) from error
    return work.result


def part(extensions: str | None, cutout: Any, size: Any) -> Part | None:
    """What of each file is wanted; None for all of it. Raises UsageError."""
    if (cutout is None) != (size is None):
        raise UsageError("cutout and size belong together: give both")
    if extensions is None and cutout is None:
        return None
    from ..fetch.extensions import Extensions  # astropy, which whole files do not need

    chosen = Extensions.parse(extensions) if extensions is not None else None
    if cutout is None:
        return chosen
    from ..fetch.cutout import Cutout

    try:
        degrees = angles.radius(size)
    except UsageError as error:
        raise UsageError(f"{str(size)!r} is not a size on the sky: give 5s, 1arcmin or 0.1d") from error
    return Cutout(*angles.position(cutout), degrees, chosen)


def downloads() -> dict[str, Source]:
    """MAST as a source."""
    from ..fetch.mast import Downloads  # aiohttp, which S3 does not need
    from ..plans.limits import ArchiveLimits

    return {"mast": Downloads(ArchiveLimits.from_environment())}


def destination_of(to: str | Path, access: str, limit: int, *, overwrite: bool) -> "Folder | Bucket":
    """The folder, or the bucket, to which files go. Raises UsageError."""
    if not str(to).startswith("s3://"):
        return Folder(Path(to), access, overwrite=overwrite)
    from ..fetch.bucket import Bucket  # boto3, which a folder does not need

    return Bucket(str(to), access, limit=limit, overwrite=overwrite)
