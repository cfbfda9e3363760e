"""Clients of buckets are kept, follow their settings, and are made before the first event."""

from pathlib import Path

import pytest

from skyfan_function import s3_client
from skyfan_function.errors import ConfigurationError
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


@pytest.mark.parametrize(
    ("variables", "bundle"),
    [
        ({}, None),
        ({"LAMBDA_TASK_ROOT": "/var/task"}, "bundle"),
        ({"LAMBDA_TASK_ROOT": "/var/task", "SSL_CERT_FILE": "own"}, "own"),
        ({"LAMBDA_TASK_ROOT": "/var/task", "SSL_CERT_DIR": "own"}, None),
        ({"LAMBDA_TASK_ROOT": "/var/task", "SKYFAN_OUTPUT": "file:///tmp/{run}/{key}"}, None),
    ],
)
def test_on_lambda_the_bundle_of_certificates_is_enough(
    variables: dict[str, str], bundle: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = tmp_path / "bundle"
    known.touch()
    monkeypatch.setattr(s3_client, "_BUNDLES", (str(tmp_path / "missing"), str(known)))
    monkeypatch.setattr(s3_client, "client_of", lambda *_: None)
    monkeypatch.setattr(s3_client.os, "environ", {"SKYFAN_OUTPUT": "s3://results/{run}/{key}", **variables})
    s3_client.prepare()
    found = s3_client.os.environ.get("SSL_CERT_FILE")
    assert found == (str(known) if bundle == "bundle" else bundle)


def test_a_client_that_cannot_be_made_is_the_first_event_s_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SKYFAN_OUTPUT", "s3://results/{run}/{key}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    s3_client.prepare()
    with pytest.raises(ConfigurationError):
        client_of("s3://results/a.fits", "signed")
