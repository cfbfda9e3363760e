"""Errors of AWS, and the region of a session."""

from pathlib import Path

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from skyfan import session
from skyfan.errors import UsageError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (NoCredentialsError(), "no AWS credentials"),
        (EndpointConnectionError(endpoint_url="https://nowhere"), "stack x: .*https://nowhere"),
        (EndpointConnectionError(endpoint_url="https://me:p@ss@nowhere"), "stack x: .*https://nowhere"),
        (
            ClientError({"Error": {"Code": "Throttling", "Message": "Rate exceeded"}}, "Get"),
            "x: AWS is busy.*Throttling: Rate exceeded",
        ),
        (ClientError({"Error": {"Code": "404"}}, "Head"), "stack x: 404"),
    ],
)
def test_an_error_of_aws_is_a_usage_error(error: Exception, message: str) -> None:
    with pytest.raises(UsageError, match=message), session.aws_errors("stack x"):
        raise error


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), session.aws_errors("stack x"):
        raise ZeroDivisionError


def test_a_missing_profile_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(UsageError, match="nobody"):
        session.session()


def test_the_region_is_the_configured_one_or_the_archives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert session.session().region_name == session.REGION
    (tmp_path / "config").write_text("[default]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert session.session().region_name == "eu-west-1"
    assert session.client("s3").meta.region_name == "eu-west-1"
    assert session.client("s3", "eu-north-1").meta.region_name == "eu-north-1"
    monkeypatch.setenv("AWS_REGION", "ap-south-1")
    assert session.session().region_name == "ap-south-1"
