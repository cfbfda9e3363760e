"""The rows of a plan for files that a person names, with their sizes: paths, folders, prefixes, lists."""

from collections import defaultdict
from collections.abc import Callable, Iterable

import pyarrow as pa

from .. import inputs, uris
from . import bucket, loop, products, select
from .limits import Limits
from .stages import Watch


def rows(
    paths: Iterable[str],
    limits: Limits,
    *,
    access: str = "anonymous",
    progress: Watch = lambda what, done, total: None,
) -> pa.Table:
    """The rows for all inputs that `paths` name (see inputs.expand), with the columns that are known.

    What does not exist is dropped as missing. Raises InputError for a path that names nothing.
    """
    files = [
        select.File(-1, None, products.kind(uri), uri=uri) for uri in inputs.expand(paths, access=access)
    ]
    by_bucket: defaultdict[str, list[select.File]] = defaultdict(list)
    for file in files:
        if local := uris.local_path(str(file.uri)):
            try:
                file.size = local.stat().st_size
            except OSError as error:
                file.drop("missing", error.strerror)
        else:
            by_bucket[str(file.uri).split("/")[2]].append(file)
    done = len(files) - sum(map(len, by_bucket.values()))
    for name, inside in by_bucket.items():
        start = len(f"s3://{name}/")
        keys = {str(file.uri)[start:]: file for file in inside}
        found, failed = loop.run(
            bucket.objects(
                keys,
                limits,
                bucket=name,
                access=access,
                progress=_after(done, len(files), progress),
            )
        )
        for key, file in keys.items():
            if key in failed:
                file.drop("unresolved", failed[key])
            elif (there := found[key]).size is None:
                file.drop("missing", "may not be read (403)" if there.refused else "no such object")
            else:
                file.size = there.size
        done += len(inside)
    select.grade(files)
    return select.table(files)


def _after(before: int, total: int, progress: Watch) -> Callable[[int], None]:
    return lambda told: progress("sizes", before + told, total)
