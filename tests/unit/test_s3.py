"""How S3 is asked: whose credentials, which region."""

from pathlib import Path

import pytest

from skyfan import s3
from skyfan.errors import UsageError


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who ran `aws configure`."""
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = FILED\naws_secret_access_key = secret\n"
    )
    (tmp_path / "config").write_text("[default]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def test_a_profile_gives_credentials_and_region(profile: None) -> None:
    store = s3.store("mine", "signed")
    assert store.credential_provider is not None
    assert store.credential_provider()["access_key_id"] == "FILED"
    assert store.config["region"] == "eu-west-1"


def test_the_archive_is_asked_where_it_lies(profile: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    store = s3.store("stpubdata")
    assert store.config["region"] == "us-east-1"
    assert store.credential_provider is None
    assert s3.store("stpubdata", "requester-pays").config["region"] == "us-east-1"


def test_without_credentials_it_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="run `aws configure`"):
        s3.store("mine", "signed")
