"""Clients of S3: whose credentials, which region."""

import tomllib
from pathlib import Path

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError

from skyfan import errors
from skyfan.errors import InputError, UsageError
from skyfan.storage import s3


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that `aws configure` writes."""
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = FILED\naws_secret_access_key = secret\n"
    )
    (tmp_path / "config").write_text("[default]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def test_a_profile_gives_credentials_and_region(profile: None) -> None:
    client = s3.client("mine", "signed")
    assert client.credential_provider is not None
    assert client.credential_provider()["access_key_id"] == "FILED"
    assert client.config["region"] == "eu-west-1"


def test_a_credential_process_runs_once_for_a_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may ask its user for a code."""
    runs, keys = tmp_path / "runs", '{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "s"}'
    (tmp_path / "keys").write_text(f"#!/bin/sh\necho run >> {runs}\necho '{keys}'\n")
    (tmp_path / "keys").chmod(0o755)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {tmp_path / 'keys'}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    s3.client("mine", "signed")
    assert runs.read_text().split() == ["run"]


def test_the_archive_is_read_in_its_own_region(profile: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    client = s3.client("stpubdata")
    assert client.config["region"] == "us-east-1"
    assert client.credential_provider is None
    assert s3.client("stpubdata", "requester-pays").config["region"] == "us-east-1"


def test_missing_credentials_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no AWS credentials"):
        s3.client("mine", "signed")


def said(status: str, code: str = "", message: str = "", *, page: str = "") -> str:
    """What obstore says of a response of S3."""
    body = page or (code and f"<Error><Code>{code}</Code><Message>{message}</Message></Error>")
    return (
        "Generic S3 error: Error performing GET http://s3/b/k in 2ms - Server returned non-2xx status code: "
        f"{status}: {body}\n\nDebug source:\nGeneric {{ backtrace }}"
    )


def unsent(why: str) -> str:
    """What obstore says of a request that was not sent."""
    return (
        f"Generic S3 error: HTTP error: error sending request\n\nDebug source:\nGeneric {{ {why} backtrace }}"
    )


KMS = "User: arn:aws:iam::1:user/x is not authorized to perform: kms:Decrypt on this resource"
SITUATIONS = {
    "no key": (FileNotFoundError, said("404 Not Found", "NoSuchKey", "none"), "does not exist"),
    "no answer body": (FileNotFoundError, said("404 Not Found"), "does not exist"),
    "no bucket": (FileNotFoundError, said("404 Not Found", "NoSuchBucket", "none"), "the bucket does not"),
    "no bucket, listing": (
        GenericError,
        said("404 Not Found", "NoSuchBucket", "none"),
        "the bucket does not",
    ),
    "unknown key": (
        PermissionDeniedError,
        said("403 Forbidden", "InvalidAccessKeyId", "no"),
        "aws configure",
    ),
    "wrong secret": (
        PermissionDeniedError,
        said("403 Forbidden", "SignatureDoesNotMatch", "no"),
        "secret key",
    ),
    "clock": (PermissionDeniedError, said("403 Forbidden", "RequestTimeTooSkewed", "no"), "clock"),
    "expired": (GenericError, said("400 Bad Request", "ExpiredToken", "expired"), "sign in again"),
    "redirect": (
        GenericError,
        "Received redirect without LOCATION, this\n\nDebug source:\nbacktrace",
        "AWS_REGION",
    ),
    "region": (
        GenericError,
        said(
            "400 Bad Request", "AuthorizationHeaderMalformed", "'us-east-1' is wrong; expecting 'eu-west-1'"
        ),
        "another region, eu-west-1:",
    ),
    "KMS": (PermissionDeniedError, said("403 Forbidden", "AccessDenied", KMS), "kms:GenerateDataKey"),
    "denied": (
        PermissionDeniedError,
        said("403 Forbidden", "AccessDenied", "Access Denied"),
        "lacks a permission",
    ),
    "denied, no body": (PermissionDeniedError, said("403 Forbidden"), "lacks a permission"),
    "denied, listing": (
        GenericError,
        said("403 Forbidden", "AccessDenied", "Access Denied"),
        "lacks a permission",
    ),
    "archived": (PermissionDeniedError, said("403 Forbidden", "InvalidObjectState", "no"), "archived"),
    "payer": (
        PermissionDeniedError,
        said("403 Forbidden", "AccessDenied", "a requester pays bucket"),
        "requester-pays",
    ),
    "page": (GenericError, said("502 Bad Gateway", page="<html><title>Filter\n3</title>"), "'Filter 3'"),
    "busy": (GenericError, said("503 Slow Down", "SlowDown", "reduce"), "try again"),
    "failed": (GenericError, said("500 Internal", "InternalError", "no"), "try again"),
    "unheard-of": (GenericError, said("418 Teapot", "ShortAndStout", "tip me"), "ShortAndStout: tip me"),
    "refused": (GenericError, unsent('Os { message: "Connection refused" }'), "(Connection refused)"),
    "no host": (GenericError, unsent('Custom { error: "failed to lookup address" }'), "(failed to lookup"),
    "timeout": (GenericError, unsent("kind: Timeout"), "cannot be reached"),
    "an empty part": (
        GenericError,
        'Encountered object with invalid path: Path "p//b.fits" contained empty path segment\n\nbacktrace',
        "the object 'p//b.fits'",
    ),
    "a tab": (
        GenericError,
        'invalid path: Error parsing Path "r/a\tb.fits": Encountered illegal character sequence\nbacktrace',
        r"the object 'r/a\tb.fits'",
    ),
    "reset": (GenericError, "connection reset\nbacktrace", "connection reset"),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_an_error_message_names_uri_reason_and_cure(name: str) -> None:
    kind, text, words = SITUATIONS[name]
    message = str(s3.storage_error("s3://bucket/key", kind(text)))
    print(f"{name:20} {message}")
    assert message.startswith("s3://bucket/key")
    assert words in message
    assert "backtrace" not in message
    assert "--access signed" not in message  # it was


@pytest.mark.parametrize("text", [said("403 Forbidden", "AccessDenied", "no"), said("403 Forbidden")])
def test_without_a_signature_the_advice_is_to_sign(text: str) -> None:
    error = s3.storage_error("s3://bucket/key", PermissionDeniedError(text), "anonymous")
    assert "--access signed" in str(error)


@pytest.mark.parametrize(
    ("code", "is_of_all"),
    [
        ("AccessDenied", False),
        ("InvalidObjectState", False),
        ("KMS.DisabledException", False),
        ("Unheard", False),
        ("ExpiredToken", True),
        ("RequestTimeTooSkewed", True),
        ("NoSuchBucket", True),
    ],
)
def test_what_is_about_one_object_does_not_refuse_the_others(
    code: str, is_of_all: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_: object, **__: object) -> None:
        raise PermissionDeniedError(said("403 Forbidden", code, "no"))

    monkeypatch.setattr(s3.obstore, "get_range", deny)
    if is_of_all:
        with pytest.raises(InputError, match=code):
            s3.refusal("s3://bucket/key", "anonymous")
    else:
        reason = s3.refusal("s3://bucket/key", "anonymous")
        assert "access" in reason if code == "AccessDenied" else code in reason
        assert "s3://bucket" not in reason


def test_every_piece_of_advice_can_be_given() -> None:
    rows = tomllib.loads(Path(errors.__file__).with_suffix(".toml").read_text())["answer"]
    for row in rows:
        for code in row["codes"]:
            assert errors.explain([code], "kms requester pays", "here")
