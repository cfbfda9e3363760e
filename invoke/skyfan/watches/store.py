"""A place of runs as the store of a watch."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from skyfan_watch.ports import UnreachableError

from ..errors import InputError
from ..storage.place import Place


class PlaceStore:
    """See skyfan_watch.ports.Store. In a folder, one process at a time may write."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def get_tagged(self, key: str) -> tuple[bytes, str] | None:
        """See Store."""
        with _reaching():
            return self.place.get_tagged(key)

    def put_if(self, key: str, body: bytes, etag: str | None) -> str | None:
        """See Store."""
        with _reaching():
            return self.place.put_if(key, body, etag)

    def put(self, key: str, body: bytes) -> None:
        """See Store."""
        with _reaching():
            self.place.put(key, body)

    def names(self, prefix: str) -> Iterable[str]:
        """See Store."""
        with _reaching():
            return [item.key.removeprefix(prefix) for item in self.place.list(prefix)]

    def folders(self, prefix: str) -> Iterable[str]:
        """See Store."""
        with _reaching():
            return [name.rpartition("/")[2] for name in self.place.prefixes(prefix)]


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise UnreachableError(str(error)) from error
