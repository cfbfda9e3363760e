"""Our signer beside botocore's: the same signature for the same request."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from skyfan.aws import sigv4
from skyfan.aws.credentials import Keys

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
def test_the_signature_is_botocores(
    body: bytes, secret: str, token: str | None, now: float, region: str
) -> None:
    host, path = f"lambda.{region}.amazonaws.com", sigv4.path("skyfan-SepExtract")
    keys = Keys("AKIDEXAMPLE", secret, token)
    head = sigv4.Signer(host, region).head(path, body, keys, now).decode()
    ours = head.partition("Signature=")[2].partition("\r\n")[0]
    headers = {"X-Amz-Invocation-Type": "Event"}
    assert ours == theirs(f"https://{host}{path}", region, headers, body, keys, now)
    assert head.endswith(f"\r\nContent-Length: {len(body)}\r\n\r\n")


@pytest.mark.parametrize("later", [0.0, 1.0, 86_400.0])
def test_what_is_kept_is_made_anew_with_time_and_keys(later: float) -> None:
    path, now = sigv4.path("f"), 1.7e9
    used = sigv4.Signer("h", "us-east-1")
    for keys in (Keys("a", "b"), Keys("c", "d", "t"), Keys("a", "b")):
        used.head(path, b"", Keys("a", "b"), now)
        fresh = sigv4.Signer("h", "us-east-1").head(path, b"{}", keys, now + later)
        assert used.head(path, b"{}", keys, now + later) == fresh
