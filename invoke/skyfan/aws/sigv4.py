"""Signature version 4 for one kind of request: POST of an Event invocation to Lambda.

After "Create a signed AWS API request" in the IAM User Guide. botocore's signer does the same in some 200 µs
a request, most of it on generality; here what stays the same for a second or a day is worked out once.
"""

import hashlib
import hmac
from datetime import UTC, datetime

from .credentials import Keys

_SERVICE = "lambda"


class Signer:
    """Signs requests to one endpoint."""

    def __init__(self, host: str, region: str) -> None:
        """`host` is the Host header: name, and port where it is not the scheme's own."""
        self._host, self._region = host, region
        self._made_for: tuple[int, Keys] | None = None
        self._day, self._keys = "", Keys("", "")
        self._key = b""

    def head(self, path: str, body: bytes, keys: Keys, now: float) -> bytes:
        """The request line and all headers, with the empty line behind them. `now` is in Unix seconds."""
        if self._made_for != (int(now), keys):
            self._renew(int(now), keys)
        digest = hashlib.sha256(body).hexdigest()
        canonical = f"POST\n{path}\n\n{self._canonical}{digest}".encode()
        to_sign = self._to_sign + hashlib.sha256(canonical).hexdigest().encode()
        signature = hmac.digest(self._key, to_sign, "sha256").hex()
        return (
            f"POST {path} HTTP/1.1\r\n{self._headers}{signature}\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()

    def _renew(self, second: int, keys: Keys) -> None:
        stamp = datetime.fromtimestamp(second, UTC).strftime("%Y%m%dT%H%M%SZ")
        day = stamp[:8]
        if (day, keys) != (self._day, self._keys):
            self._key = f"AWS4{keys.secret_key}".encode()
            for part in (day, self._region, _SERVICE, "aws4_request"):
                self._key = hmac.digest(self._key, part.encode(), "sha256")
            self._day, self._keys = day, keys
        signed = {"host": self._host, "x-amz-date": stamp, "x-amz-invocation-type": "Event"}
        if keys.token:
            signed["x-amz-security-token"] = keys.token
        names = ";".join(signed)
        scope = f"{day}/{self._region}/{_SERVICE}/aws4_request"
        self._canonical = "".join(f"{name}:{value}\n" for name, value in signed.items()) + f"\n{names}\n"
        self._to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n".encode()
        plain = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        self._headers = (
            f"{plain}content-type: application/json\r\nauthorization: AWS4-HMAC-SHA256 "
            f"Credential={keys.access_key}/{scope}, SignedHeaders={names}, Signature="
        )
        self._made_for = (second, keys)


def path(function: str) -> str:
    """The path of Invoke for a function's deployed name, which has no character that needs an escape."""
    return f"/2015-03-31/functions/{function}/invocations"
