"""What a transfer costs, and the limits that are checked before it starts: egress, free disk space."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..bill import prices
from ..errors import UsageError
from ..formatting import size, usd

LIMIT = 50_000_000_000
"""Bytes; what fetch transfers at most without an option."""
_UNITS = {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KIB": 2**10, "MIB": 2**20}
_UNITS |= {"GIB": 2**30, "TIB": 2**40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]?i?b)?\s*", re.IGNORECASE)
_PAYERS = {
    "anonymous": "paid by the archive, whose bucket is read without an account",
    "signed": "paid by the owner of the bucket, which is you if it is yours",
    "requester-pays": "paid by you, for the bucket is requester-pays",
}


@dataclass(frozen=True)
class Egress:
    """Bytes to transfer from S3 to this machine, and what that costs if it is outside the region."""

    bytes: int
    usd: float
    """At the price of a GB of the first 10 TB of a month, without the part that is free each month."""
    payer: str
    text: str
    """All of it in one line."""


def egress(count: int, access: str) -> Egress:
    """What a transfer costs: 0 within the region of the bucket."""
    rates = prices.load()
    amount = count / 1e9 * rates.transfer_gb
    payer = _PAYERS[access]
    text = (
        f"{size(count)} ({count:,} bytes) to transfer: 0 USD within {rates.region}; out of it "
        f"{usd(amount)}, {payer} ({rates.transfer_gb:g} USD per GB, the first "
        f"{rates.free_transfer_gb:g} GB of an account's month free; {rates.source}, {rates.collected})"
    )
    return Egress(count, amount, payer, text)


def parse_size(text: str) -> int:
    """Bytes of 50GB, 1.5 TB, 500MB, 20GiB or a plain number. Raises UsageError."""
    if not (match := _SIZE.fullmatch(text)):
        raise UsageError(f"{text!r} is not a size: give a number with a unit, such as 50GB, 500MB or 1.5TB")
    return int(float(match[1]) * _UNITS[(match[2] or "").upper()])


def check_egress(found: Egress, limit: int) -> None:
    """Raises UsageError if the transfer is larger than the limit."""
    if found.bytes > limit:
        raise UsageError(
            f"nothing was fetched: {found.text}. That is more than --limit-egress, {size(limit)} "
            f"({limit:,} bytes): give a higher limit to fetch it all"
        )


def check_disk(folder: Path, needed: int) -> None:
    """Raises UsageError if a file system has less free bytes than needed."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UsageError(
            f"nothing was fetched: {folder} has {size(free)} free ({free:,} bytes), and the files need "
            f"{size(needed)} ({needed:,} bytes): make room, or choose another folder with --to"
        )
