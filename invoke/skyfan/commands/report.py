"""skyfan report."""

from collections.abc import Callable
from pathlib import Path

from ..errors import InputError
from . import where


def report(
    run: str,
    output: str | Path | None = None,
    *,
    stack: str = "skyfan",
    to: str | Path | None = None,
    data: str | Path | None = None,
    progress: Callable[[str], None] = lambda what: None,
) -> Path:
    """Writes a run's story as one HTML file that needs nothing else; gives its path.

    The run lies in `output`, a folder or s3://bucket, or in the results bucket of `stack`; the data set that
    was collected from it in `data`, or where collect puts it. The file is `to`, or report.html in the run's
    folder, or ./<run>.html for a run in a bucket. `progress` is called with what is being read. What is not
    there (logs, a data set, a plan) is told on the page. Raises UsageError for a run that is not there and
    a file that cannot be written.
    """
    from ..page import page, story
    from . import costs as costing  # matplotlib and astropy take their time, and all of skyfan.api would wait

    place, lambdas = where.find(output, stack)
    told = story.gather(
        place,
        run,
        lambdas,
        costs=lambda: costing.costs(run, output, stack=stack),
        data=Path(data) if data else None,
        progress=progress,
    )
    ours = Path(f"{run}.html") if place.folder is None else place.folder / "runs" / run / "report.html"
    path = Path(to) if to else ours
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(page.render(told), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    return path
