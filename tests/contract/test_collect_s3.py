"""collect from a bucket: obstore against moto's S3 over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pyarrow.parquet as pq
import pytest
from standins import aws as stand_in_aws
from standins import catalogs

from skyfan.api import collect, search
from skyfan.errors import UsageError

IMAGES = [f"s3://archive/hst/public/{number:02}_flt.fits" for number in range(40)]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with stand_in_aws.moto() as url:
        yield url


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket with a run of 40 catalogs; the same run is in tmp_path/local."""
    for name, value in (
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    folder = catalogs.run_folder(tmp_path / "local")
    rng = np.random.default_rng(3)
    for uri in IMAGES:
        body = catalogs.catalog(uri, rng.uniform(0, 360, 20), rng.uniform(-90, 90, 20))
        catalogs.put(folder, uri, body)
    client = boto3.client("s3")
    name = f"results-{tmp_path.name.replace('_', '-')}"[:60].rstrip("-")
    client.create_bucket(Bucket=name)
    for path in folder.rglob("*"):
        if path.is_file():
            client.put_object(
                Bucket=name, Key=str(path.relative_to(tmp_path / "local")), Body=path.read_bytes()
            )
    return name


def rows(folder: Path) -> list[str]:
    files = sorted(folder.glob("dataset/*/*/*.parquet"))
    return [str(pq.read_table(file, partitioning=None).to_pylist()) for file in files]


def test_a_bucket_and_a_folder_give_equal_data_sets(bucket: str, tmp_path: Path) -> None:
    remote = collect("default", f"s3://{bucket}", to=tmp_path / "remote")
    local = collect("default", tmp_path / "local")
    assert local.folder == tmp_path / "local/runs/default/collected"
    assert (remote.images, remote.sources) == (local.images, local.sources) == (40, 800)
    assert rows(remote.folder) == rows(local.folder)


def test_only_new_catalogs_are_fetched(bucket: str, tmp_path: Path) -> None:
    assert collect("default", f"s3://{bucket}", to=tmp_path / "set").read == 40
    assert collect("default", f"s3://{bucket}", to=tmp_path / "set").read == 0
    uri = "s3://archive/hst/public/99_flt.fits"
    body = catalogs.catalog(uri, [10.0], [20.0])
    boto3.client("s3").put_object(
        Bucket=bucket, Key="runs/default/catalogs/archive/hst/public/99_flt.fits.cat.fits", Body=body
    )
    updated = collect("default", f"s3://{bucket}", to=tmp_path / "set")
    assert (updated.read, updated.images) == (1, 41)
    table = search(tmp_path / "set", (10, 20), "0.0036s", columns=["IMAGE"]).table
    assert table.to_pylist() == [{"DISTANCE": 0.0, "IMAGE": uri}]


def test_the_default_folder_is_in_the_working_folder(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert collect("default", f"s3://{bucket}").folder == tmp_path / "here/default"
    assert len(search("default", (0, 0), "180d").table) == 800
    assert len(search("default", (0, 0), "180d", where=f"s3://{bucket}").table) == 800


def test_a_missing_bucket_or_run_is_named(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no-such-bucket-at-all"):
        collect("default", "s3://no-such-bucket-at-all", to=tmp_path / "set")
    with pytest.raises(UsageError, match="'other'"):
        collect("other", f"s3://{bucket}", to=tmp_path / "set")
