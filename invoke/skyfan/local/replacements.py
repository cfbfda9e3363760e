"""Results that a call replaces: an old one stays and counts until the new one takes its place in one step."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..runs.local_receipts import Receipt
from ..storage import uris
from .run_folder import RunFolder


class _Old(NamedTuple):
    receipt: Receipt
    stamp: tuple[int, int]


class Replacements:
    """The old results of a call, each from the begin of its work to its end."""

    def __init__(self, folder: RunFolder, keys: Mapping[str, float]) -> None:
        """`keys` are those of the inputs whose results are to be replaced."""
        self.folder, self._keys = folder, keys
        self._old: dict[str, _Old] = {}
        self.kept: dict[str, float] = {}
        """Keys of the inputs whose old result stays, since their work failed."""

    def is_due(self, uri: str) -> bool:
        """Whether the result of this input is to be replaced."""
        return uris.key(uri) in self._keys

    def begin(self, uri: str) -> bool:
        """Withholds the receipt of a result that is to be replaced; whether that of this input is."""
        if not self.is_due(uri):
            return False
        old = _Old(self.folder.receipt(uri), _stamp(self.folder.result(uri)))
        self._old.setdefault(uri, old)
        self.folder.withhold_receipt(uri)
        return True

    def is_kept(self, uri: str) -> bool:
        """Ends the work on an input: whether its result is still the old one, whose receipt is given back."""
        old = self._old.pop(uri, None)
        if old is None:
            return False
        if _stamp(self.folder.result(uri)) != old.stamp:
            self.folder.clear_marks(uri, before=old.stamp[0])
            return False
        self.folder.restore_receipt(uri, old.receipt)
        key = uris.key(uri)
        self.kept[key] = self._keys[key]
        return True

    def close(self) -> None:
        """Ends all work that was interrupted."""
        for uri in list(self._old):
            self.is_kept(uri)


def _stamp(path: Path) -> tuple[int, int]:
    """Time in ns and number of a file; zeros if it does not exist."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_ino
