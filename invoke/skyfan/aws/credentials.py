"""Credentials that stay fresh while a run is sent for hours."""

import asyncio
from typing import Any, NamedTuple

from ..errors import NO_CREDENTIALS, UsageError
from . import session


class Keys(NamedTuple):
    """What a request is signed with."""

    access_key: str
    secret_key: str
    token: str | None = None


class Credentials:
    """botocore's credentials, asked again in a thread: a renewal is a request that would hold up others."""

    def __init__(self) -> None:
        """Raises UsageError where there are none."""
        self._source = _found()
        self.keys = _frozen(self._source)
        self._lock = asyncio.Lock()

    async def refresh(self) -> None:
        """Takes what botocore holds now; it renews by itself what expires within minutes."""
        self.keys = await asyncio.to_thread(_frozen, self._source)

    async def renew(self, refused: Keys) -> None:
        """Looks everything up anew after AWS has refused `refused` as expired; many may ask at once.

        A new session, since a person may have signed in again in another window.
        """
        async with self._lock:
            if self.keys == refused:
                self._source = await asyncio.to_thread(_found)
                self.keys = await asyncio.to_thread(_frozen, self._source)


def _found() -> Any:
    with session.told("AWS credentials"):
        found = session.session().get_credentials()
    if found is None:
        raise UsageError(NO_CREDENTIALS)
    return found


def _frozen(source: Any) -> Keys:
    with session.told("AWS credentials"):
        frozen = source.get_frozen_credentials()
    return Keys(frozen.access_key, frozen.secret_key, frozen.token)
