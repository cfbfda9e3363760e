"""The package's extras: dependencies that only some commands need.

Every import of one stands in `with extras.needed("aws"):`, so that an install without it names the command
that adds it. tests/contract/test_extras.py finds the imports that do not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from .errors import UsageError

Extra = Literal["aws", "dask", "mast", "match", "plot", "sam", "vo"]
MODULES: dict[Extra, tuple[str, ...]] = {
    "aws": ("boto3", "botocore"),
    "dask": ("distributed",),
    "mast": ("aiohttp", "astroquery", "requests"),
    "match": ("scipy",),
    "plot": ("matplotlib",),
    "sam": ("moto",),
    "vo": ("mocpy", "pyvo"),
}
"""Import names that each extra of pyproject.toml adds, as far as skyfan imports them."""
_PURPOSES: dict[Extra, str] = {
    "aws": "AWS, or a bucket read with credentials,",
    "dask": "a Dask cluster",
    "mast": "a query of the archive",
    "match": "a match of detections to objects",
    "plot": "a picture with axes and a grid",
    "sam": "--engine sam, which has a local S3 server,",
    "vo": "the coverage of a run, or a message to other programs,",
}


class MissingExtraError(UsageError):
    """A command needs an extra that is not installed."""


def command(extra: Extra) -> str:
    """The command that installs an extra."""
    return f"pip install 'skyfan[{extra}]'"


@contextmanager
def needed(extra: Extra) -> Iterator[None]:
    """Context for imports of an extra's modules. Raises MissingExtraError if one is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == __package__:
            raise  # a mistake in skyfan itself
        raise MissingExtraError(
            f"{_PURPOSES[extra]} needs the package {error.name}, which is not installed: {command(extra)}"
        ) from error
