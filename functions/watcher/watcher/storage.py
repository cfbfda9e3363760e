"""The bucket of runs and watches, by obstore."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from skyfan_function.s3_client import client_of
from skyfan_watch.ports import UnreachableError

T = TypeVar("T")


class BucketStore:
    """See skyfan_watch.ports.Store."""

    def __init__(self, place: str) -> None:
        """``place`` is s3://bucket."""
        self._place = place.rstrip("/")
        self._client, _ = client_of(f"{self._place}/-", "signed")

    def get_tagged(self, key: str) -> tuple[bytes, str] | None:
        """See Store."""
        import obstore

        def get() -> tuple[bytes, str]:
            found = obstore.get(self._client, key)
            return bytes(found.bytes()), found.meta["e_tag"] or ""

        try:
            return self._reaching(key, get)
        except FileNotFoundError:
            return None

    def put_if(self, key: str, body: bytes, etag: str | None) -> str | None:
        """See Store."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        mode: Any = "create" if etag is None else {"e_tag": etag}
        try:
            put = self._reaching(
                key, lambda: obstore.put(self._client, key, body, mode=mode, use_multipart=False)
            )
        except (AlreadyExistsError, PreconditionError, FileNotFoundError):
            return None
        return put["e_tag"] or ""

    def put(self, key: str, body: bytes) -> None:
        """See Store."""
        import obstore

        self._reaching(key, lambda: obstore.put(self._client, key, body, use_multipart=False))

    def names(self, prefix: str) -> Iterable[str]:
        """See Store."""
        import obstore

        def names() -> list[str]:
            pages = obstore.list(self._client, prefix)
            return [item["path"].removeprefix(prefix) for page in pages for item in page]

        return self._reaching(prefix, names)

    def folders(self, prefix: str) -> Iterable[str]:
        """See Store."""
        import obstore

        found = self._reaching(prefix, lambda: obstore.list_with_delimiter(self._client, prefix))
        return [name.rstrip("/").rpartition("/")[2] for name in found["common_prefixes"]]

    def _reaching(self, key: str, request: Callable[[], T]) -> T:
        from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PreconditionError

        try:
            return request()
        except (AlreadyExistsError, PreconditionError):
            raise
        except (FileNotFoundError, NotFoundError) as error:
            if "NoSuchBucket" in str(error):
                raise UnreachableError(f"{self._place} does not exist") from error
            raise FileNotFoundError(key) from error
        except (BaseError, OSError) as error:
            raise UnreachableError(
                f"{self._place}/{key}: {str(error).strip().splitlines()[0][:300]}"
            ) from error
