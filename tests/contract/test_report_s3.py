"""report on a run in a bucket. Only AWS is not real: moto's S3 and CloudFormation, over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from standins import aws as stand_in_aws
from standins import catalogs

from skyfan.api import collect, report
from skyfan.runs import receipts, run
from skyfan.storage.place import Place

IMAGES = [f"s3://archive/hst/public/{number:02}_flt.fits" for number in range(4)]


@pytest.fixture
def aws() -> Iterator[str]:
    with stand_in_aws.moto() as url:
        yield url


@pytest.fixture
def place(aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A bucket with a run that was sent to Lambda: three catalogs of four files. There is no stack."""
    for name, value in (
        ("AWS_ENDPOINT_URL", aws),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="results")
    found = Place.at("s3://results")
    folder = catalogs.run_folder(tmp_path / "local")
    rng = np.random.default_rng(3)
    for uri in IMAGES[:3]:
        catalogs.put(folder, uri, catalogs.catalog(uri, rng.uniform(0, 1, 20), rng.uniform(0, 1, 20)))
    for path in folder.rglob("*"):
        if path.is_file():
            found.put(str(path.relative_to(tmp_path / "local")), path.read_bytes())
    run.add_plan(found, "default", run.of_uris(IMAGES, tmp_path / "plan.parquet"))
    rows = {
        "uri": IMAGES,
        "request_id": ["a", "b", "c", "d"],
        "sent": pa.array([1_795_000_000_000] * 4, pa.timestamp("ms", "UTC")),
        "function": ["skyfan-SepExtract"] * 4,
        "batch": pa.array([1] * 4, pa.int32()),
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(rows).cast(receipts.SCHEMA), sink)
    found.put("runs/default/receipts/a.parquet", sink.getvalue().to_pybytes())
    return found


@pytest.mark.slow
def test_a_run_in_a_bucket_has_a_page_without_its_stack(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    collect("default", place.name)
    page = report("default", place.name)
    assert page == Path("default.html")
    html = page.read_text(encoding="utf-8")
    for fact in ("4 files planned: 3 done", "3 measured images", "no bill", "s3://results"):
        assert fact in html, fact
