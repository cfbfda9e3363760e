"""How many requests may be on their way at once: more while all goes well, fewer when Lambda throttles."""

_START = 16
_BACK = 0.7
# Throttles of the same moment tell the same news: one step back a second. Between two steps the window
# regains one request a round trip, so a few throttles among many answers cost little.
_STEP_S = 1.0


class Pace:
    """Additive increase, multiplicative decrease; doubling at first, until the first throttle."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = float(min(_START, most))
        self._starting = True
        self._stepped = float("-inf")

    @property
    def window(self) -> int:
        """Requests that may be on their way now; at least 1."""
        return int(self._size)

    def accepted(self) -> None:
        self._size = min(self._most, self._size + (1.0 if self._starting else 1.0 / self._size))

    def throttled(self, now: float) -> None:
        """`now` is in seconds of any clock that only runs forward."""
        self._starting = False
        if now - self._stepped >= _STEP_S:
            self._stepped = now
            self._size = max(1.0, self._size * _BACK)
