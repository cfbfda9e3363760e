"""Makes a plan file: from criteria or from paths, with what was asked for written into it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from ..errors import InputError, UsageError
from . import plan
from .cache import Cache
from .criteria import Criteria
from .limits import Limits
from .stages import Watch


def make(
    out: str | Path,
    *,
    paths: Iterable[str] = (),
    criteria: Criteria | None = None,
    access: str = "anonymous",
    limit: int | None = None,
    huge: bool = False,
    proprietary: bool = False,
    refresh: bool = False,
    csv: str | Path | None = None,
    limits: Limits | None = None,
    progress: Watch = lambda what, done, total: None,
) -> plan.Plan:
    """Writes a plan of what `criteria` find in MAST, or of the files that `paths` name, and opens it.

    `csv` takes the same rows as text. `refresh` asks the archive for everything again in place of using
    answers of the last days. Raises UsageError for what cannot be, UnansweredError when MAST cannot be
    reached; a part that it did not answer is in the plan, dropped as unresolved.
    """
    paths = list(paths)
    if bool(paths) == bool(criteria):
        raise UsageError("say what to plan: criteria such as --instrument and --proposal, or PATHS, not both")
    for file in (out, csv):
        if file and not Path(file).resolve().parent.is_dir():
            raise InputError(f"cannot write {file}: there is no folder {Path(file).parent}")
    limits = limits or Limits.of_environment()
    about: dict[str, Any] = {"made": datetime.now(UTC).isoformat(timespec="seconds")}
    about["skyfan"] = version("skyfan")
    if criteria:
        from . import archive

        with Cache(refresh=refresh) as cache:
            table = archive.rows(
                criteria,
                limits,
                cache,
                limit=limit,
                huge=huge,
                proprietary=proprietary,
                progress=progress,
            )
        about["query"] = criteria.about() | ({"limit": limit} if limit else {})
    else:
        from . import given

        table = given.rows(paths, limits, access=access, progress=progress)
        about["query"] = {"paths": paths[:100]}
    made = plan.write(out, table, about)
    if csv:
        _csv(made, Path(csv))
    return made


def _csv(made: plan.Plan, path: Path) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        pa.csv.write_csv(made.table(), part)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
