"""Storage, archive and functions in memory, which die where a test wants it."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from skyfan_watch.ports import File, Found, NotSentError, UnreachableError


class Died(BaseException):
    """The process is gone: nothing of it runs any more."""


@dataclass
class World:
    """What survives processes; `moments` counts before and after each effect."""

    dies: set[int] = field(default_factory=set)
    """Moments: 2n before effect n, 2n + 1 after it."""
    lost: set[int] = field(default_factory=set)
    """Effects of which the answer is lost."""
    objects: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    files: dict[tuple[str, str], Found] = field(default_factory=dict)
    sent: list[File] = field(default_factory=list)
    now: float = 1.8e9
    moments: int = 0
    meanwhile: dict[int, object] = field(default_factory=dict)
    """What another process does before an effect: calls without arguments."""
    _etags: Iterator[int] = field(default_factory=itertools.count)

    def happens(self) -> None:
        moment = self.moments
        self.moments += 1
        if other := self.meanwhile.pop(moment // 2, None):
            other()  # type: ignore[operator]
        if moment in self.dies:
            raise Died

    # ------------------------------------------------------------------- Store

    def get_tagged(self, key: str) -> tuple[bytes, str] | None:
        return self.objects.get(key)

    def put_if(self, key: str, body: bytes, etag: str | None) -> str | None:
        self.happens()
        held = self.objects.get(key)
        new = None
        if (held[1] if held else None) == etag:
            new = f"e{next(self._etags)}"
            self.objects[key] = body, new
        effect = self.moments // 2
        self.happens()
        return None if effect in self.lost else new

    def put(self, key: str, body: bytes) -> None:
        self.happens()
        self.objects[key] = body, f"e{next(self._etags)}"
        self.happens()

    def names(self, prefix: str) -> Iterable[str]:
        return [key.removeprefix(prefix) for key in sorted(self.objects) if key.startswith(prefix)]

    def folders(self, prefix: str) -> Iterable[str]:
        return sorted({name.partition("/")[0] for name in self.names(prefix)})

    # ----------------------------------------------------------------- Archive

    def look(self, bucket: str, key: str, *, with_header: bool) -> Found | None:
        return self.files.get((bucket, key))

    # ------------------------------------------------------------------ Sender

    def send(self, files: list[File]) -> Iterator[tuple[File, str | UnreachableError]]:
        for file in files:
            self.happens()
            if self.moments // 2 in self.lost:
                yield file, NotSentError("throttled")
                self.happens()
                continue
            self.sent.append(file)
            self.happens()
            yield file, f"request-{len(self.sent)}"

    def times(self) -> Counter[str]:
        return Counter(file.version for file in self.sent)
