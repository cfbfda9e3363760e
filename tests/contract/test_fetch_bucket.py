"""skyfan fetch into a bucket: S3 copies, or the bytes pass through memory. moto plays S3."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from botocore.exceptions import ClientError
from standins import aws

from skyfan.api import fetch
from skyfan.fetch import bucket, manifest

BODIES = {"hst/a_drz.fits": b"a" * 3000, "hst/b_flt.fits": bytes(range(256)) * 50_000}


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with aws.moto() as url:
        for name, value in {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        client = aws.client("s3", url)
        for name in ("archive", "mine"):
            client.create_bucket(Bucket=name)
        for key, body in BODIES.items():
            client.put_object(Bucket="archive", Key=key, Body=body)
        yield client


def stored(s3: Any, key: str) -> bytes:
    return bytes(s3.get_object(Bucket="mine", Key=key)["Body"].read())


@pytest.mark.slow
def test_s3_copies_whole_objects_and_a_second_call_does_nothing(s3: Any) -> None:
    result = fetch("s3://archive/hst/", "s3://mine/copies", access="signed")
    assert result.counts == {"fetched": 2}, result.files
    assert result.received == 0
    for key, body in BODIES.items():
        assert stored(s3, f"copies/{key.rpartition('/')[2]}") == body
    rows = manifest.parse(stored(s3, f"copies/{manifest.NAME}").decode())
    assert {row.verified for row in rows.values()} == {"md5"}
    assert fetch("s3://archive/hst/", "s3://mine/copies", access="signed").counts == {"unchanged": 2}
    s3.put_object(Bucket="archive", Key="hst/a_drz.fits", Body=b"new")
    s3.put_object(Bucket="mine", Key="copies/b_flt.fits", Body=b"mine")
    again = fetch("s3://archive/hst/", "s3://mine/copies", access="signed")
    assert again.counts == {"updated": 1, "failed": 1}
    assert stored(s3, "copies/b_flt.fits") == b"mine"


@pytest.mark.slow
def test_what_s3_does_not_copy_passes_through_memory_within_the_limit(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "CopyObject")

    monkeypatch.setattr(bucket.Bucket, "_copy", refuse)
    small = fetch("s3://archive/hst/", "s3://mine/", access="signed", limit_egress="1MB")
    assert small.counts == {"fetched": 1, "failed": 1}
    result = fetch("s3://archive/hst/", "s3://mine/", access="signed")
    assert result.counts == {"fetched": 1, "unchanged": 1}
    assert stored(s3, "b_flt.fits") == BODIES["hst/b_flt.fits"]
    assert "b_flt.fits" in stored(s3, manifest.SUMS["md5"]).decode()


def test_a_part_of_a_file_goes_to_the_bucket(s3: Any, demo_data: Path, tmp_path: Path) -> None:
    body = (demo_data / "j8bt06nyq_flt.fits").read_bytes()
    s3.put_object(Bucket="archive", Key="x/j_flt.fits", Body=body)
    result = fetch("s3://archive/x/", "s3://mine/", access="signed", extensions="DQ")
    assert result.counts == {"fetched": 1}, result.files
    assert result.received < len(body) / 2
    (tmp_path / "part.fits").write_bytes(stored(s3, "j_flt_DQ.fits"))
    with fits.open(tmp_path / "part.fits") as found, fits.open(demo_data / "j8bt06nyq_flt.fits") as whole:
        assert (found["DQ"].data == whole["DQ"].data).all()
