"""Our signer gives the same signature as botocore's for the same request."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from skyfan.aws import signing
from skyfan.aws.signing import Keys
from skyfan.errors import UsageError

words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)


def theirs(url: str, region: str, headers: dict[str, str], body: bytes, keys: Keys, now: float) -> str:
    class Clock:
        @staticmethod
        def fixed(*_: Any, **__: Any) -> datetime:
            return datetime.fromtimestamp(int(now), UTC)

    request = AWSRequest("POST", url, headers=headers, data=body)
    signer = SigV4Auth(Credentials(keys.access_key, keys.secret_key, keys.token), "lambda", region)
    request.context["timestamp"] = Clock.fixed().strftime("%Y%m%dT%H%M%SZ")
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    if keys.token:
        request.headers["X-Amz-Security-Token"] = keys.token
    canonical = signer.canonical_request(request)
    return str(signer.signature(signer.string_to_sign(request, canonical), request))


@given(
    body=st.binary(max_size=200),
    secret=words,
    token=st.none() | words,
    now=st.floats(1.6e9, 2.5e9),
    region=st.sampled_from(["us-east-1", "eu-central-1"]),
)
def test_the_signature_equals_botocores(
    body: bytes, secret: str, token: str | None, now: float, region: str
) -> None:
    host, path = f"lambda.{region}.amazonaws.com", signing.path("skyfan-SepExtract")
    keys = Keys("AKIDEXAMPLE", secret, token)
    head = signing.Signer(host, region).head(path, body, keys, now).decode()
    ours = head.partition("Signature=")[2].partition("\r\n")[0]
    headers = {"X-Amz-Invocation-Type": "Event"}
    assert ours == theirs(f"https://{host}{path}", region, headers, body, keys, now)
    assert head.endswith(f"\r\nContent-Length: {len(body)}\r\n\r\n")


@pytest.mark.parametrize("later", [0.0, 1.0, 86_400.0])
def test_cached_parts_follow_time_and_keys(later: float) -> None:
    path, now = signing.path("f"), 1.7e9
    used = signing.Signer("h", "us-east-1")
    for keys in (Keys("a", "b"), Keys("c", "d", "t"), Keys("a", "b")):
        used.head(path, b"", Keys("a", "b"), now)
        fresh = signing.Signer("h", "us-east-1").head(path, b"{}", keys, now + later)
        assert used.head(path, b"{}", keys, now + later) == fresh


def test_keys_that_have_expired_and_cannot_be_replaced_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "old")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    credentials = signing.Credentials()
    refused = credentials.keys
    with pytest.raises(UsageError, match="expired"):
        asyncio.run(credentials.renew(refused))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "new")
    asyncio.run(credentials.renew(refused))
    assert credentials.keys.access_key == "new"


def test_keys_that_were_renewed_meanwhile_are_not_renewed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "first")
    credentials = signing.Credentials()
    refused = credentials.keys
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "second")
    asyncio.run(credentials.renew(refused))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "third")
    asyncio.run(credentials.renew(refused))  # of another lane, whose request was signed with the same keys
    assert credentials.keys.access_key == "second"
