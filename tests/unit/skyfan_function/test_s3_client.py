"""Clients of buckets are kept, follow their settings, and are made before the first event."""

import pytest

from skyfan_function.s3_client import client_of


def test_the_client_of_a_bucket_is_kept_while_its_settings_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "one")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    store, key = client_of("s3://bucket/a/b.fits", "signed")
    assert key == "a/b.fits"
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "new in each invocation")
    assert client_of("s3://bucket/c.fits", "signed")[0] is store
    assert client_of("s3://bucket/c.fits", "anonymous")[0] is not store
    assert client_of("s3://other/c.fits", "signed")[0] is not store
    for name in ("AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_ENDPOINT_URL_S3", "HTTPS_PROXY"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "http://127.0.0.1:9")
            assert client_of("s3://bucket/c.fits", "signed")[0] is not store
