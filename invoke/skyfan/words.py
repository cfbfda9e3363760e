"""Numbers, times and names as people read them."""

import math
from datetime import UTC, datetime


def files(number: int, noun: str = "file") -> str:
    """1 file, 12,345 files."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(number: float) -> str:
    """Bytes, in decimal units."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:,.2f} TB"


def usd(amount: float) -> str:
    """US dollars: cents where there are some, else the first three digits that are not zero."""
    if amount == 0:
        return "0 USD"
    if abs(amount) >= 0.1:
        return f"{amount:,.2f} USD"
    digits = 2 - math.floor(math.log10(abs(amount)))
    return f"{amount:.{digits}f} USD"


def seconds(span: float) -> str:
    """A span of time."""
    if span < 1:
        return f"{span * 1000:.0f} ms"
    if span < 60:
        return f"{span:.1f} s"
    minutes, rest = divmod(round(span), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"


def clock(span: float) -> str:
    """Seconds as a clock shows them: 1:02:03, or 2:03."""
    minutes, rest = divmod(round(span), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment(time: float | None) -> str:
    """A Unix time, in UTC; a dash where it is not known."""
    return "–" if time is None else f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S} UTC"


def number(value: float) -> str:
    """Four digits, with separators where they help; a dash for NaN."""
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def name(uri: str) -> str:
    """The last part of a URI."""
    return uri.rstrip("/").rpartition("/")[2]


def shortened(words: str, most: int) -> str:
    """A text of at most so many characters."""
    return words if len(words) <= most else words[: most - 1] + "…"
