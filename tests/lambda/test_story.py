"""The whole way, all of it real but AWS: astroquery, the sender, the built layer in containers, the data set.

MAST is standins.mast; S3 and CloudFormation are moto's; Lambda is `sam local start-lambda`, which takes Event
invocations. It neither retries nor records failures: the broken file is told by the batch it came in.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import containers
import pytest
from astropy.table import Table
from standins import aws as stand_in_aws
from standins.mast import Mast
from standins.sky import Sky

# Observation 5's file is not in the bucket, 4's is cut short.
IMAGES = ["abell2744_f105w_drz.fits", "j8bt06nyq_drz.fits", "j8bt06nyq_flt.fits", "ib6o23rsq_flt.fits"]
_STACK = {
    "Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "failures"}}},
    "Outputs": {
        name: {"Value": value}
        for name, value in {
            "ResultsBucket": "results",
            "FailuresBucket": "failures",
            "ProcessorArchitecture": "x86_64",
            **{
                f"{function}{part}": function
                for function in ("SepExtract", "SepExtractLarge")
                for part in ("Name", "Arn")
            },
            "SepExtractLogGroup": "/aws/lambda/SepExtract",
            "SepExtractLargeLogGroup": "/aws/lambda/SepExtractLarge",
        }.items()
    },
}

RUN = ["run", "plan.parquet", "--engine", "aws", "--run", "story", "--batch", "2"]

Skyfan = Callable[..., Any]


@pytest.fixture(scope="module")
def mast() -> Iterator[Mast]:
    with Mast(Sky(6)) as server:
        yield server


@pytest.fixture(scope="module")
def skyfan(
    mast: Mast,
    s3: boto3.client,
    endpoint: boto3.client,
    demo_data: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Skyfan:
    """Runs a command as a user does, in a folder of its own; gives what --json says."""
    for bucket in ("stpubdata",):
        s3.create_bucket(Bucket=bucket, ACL="public-read")
    truncated = (demo_data / IMAGES[0]).read_bytes()[:100_000]
    bodies = [(demo_data / name).read_bytes() for name in IMAGES] + [truncated]
    for number, body in enumerate(bodies):
        key = mast.sky.path(f"mast:HST/product/{mast.sky.product(number)}")
        assert key is not None
        s3.put_object(Bucket="stpubdata", Key=key.lstrip("/"), Body=body, ACL="public-read")
    aws = s3.meta.endpoint_url
    cloudformation = stand_in_aws.client("cloudformation", aws)
    cloudformation.create_stack(StackName="survey", TemplateBody=json.dumps(_STACK))
    folder = tmp_path_factory.mktemp("user")
    environment = {
        **os.environ,
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_STATE_HOME": str(folder / "state"),
        "SKYFAN_MAST": mast.url,
        "SKYFAN_STACK": "survey",
        "AWS_ENDPOINT_URL": aws,
        "AWS_ENDPOINT_URL_LAMBDA": endpoint.meta.endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }

    def call(*words: str, code: int = 0) -> Any:
        return containers.skyfan(folder, *words, code=code, environment=environment)

    return call


def test_from_a_query_to_one_catalog(
    skyfan: Skyfan, mast: Mast, s3: boto3.client, demo_data: Path, sam_log: Path
) -> None:
    plan = skyfan("plan", "--instrument", "WFC3/IR", "--proposal", "11000")
    assert plan["files"] == 5
    (dropped,) = plan["dropped"]
    assert (dropped["reason"], dropped["files"]) == ("not in the cloud", 1)

    run = skyfan(*RUN, code=1)
    assert (run["sent"], run["invocations"], run["remaining"]) == (5, 3, 0)
    assert (run["state"]["done"], run["state"]["failed"]) == (4, 1)

    status = skyfan("status", "story", code=1)
    assert status["counts"] == run["state"]
    (failure,) = status["failures"]
    assert (failure["errorType"], failure["permanent"]) == ("TruncatedError", True)
    broken = failure["example"]["input"]
    assert broken.endswith(mast.sky.product(4))

    # nothing is sent twice
    assert skyfan(*RUN, code=1)["sent"] == 0

    collected = skyfan("collect", "story")
    assert (collected["images"], collected["left_out"]) == (4, {"failed": 1})
    there = s3.list_objects_v2(Bucket="results", Prefix="runs/story/catalogs/")["Contents"]
    keys = [item["Key"] for item in there]
    # The function proves first that it may write.
    keys.remove("runs/story/catalogs/probe")
    tables = [_table(s3, key) for key in keys]
    assert collected["sources"] == sum(map(len, tables)) > 1000

    # the archive has a whole file now
    s3.upload_file(
        str(demo_data / IMAGES[0]), *broken.removeprefix("s3://").split("/", 1), {"ACL": "public-read"}
    )
    skyfan("retry", "story", "--all")
    assert skyfan("status", "story", "--follow")["counts"]["done"] == 5
    again = skyfan("collect", "story")
    assert (again["images"], again["read"], again["left_out"]) == (5, 1, {})

    # the first and the last image are one field: each source is there twice
    source = next(table for table in tables if len(table) and "i00000010" in table.meta["FILE"])[0]
    around = f"{source['ALPHAWIN_J2000']} {source['DELTAWIN_J2000']}"
    found = skyfan("search", "story", "--around", around, "--radius", "0.02s")["sources"]
    assert len(found) == 2
    assert [row["FLUX_AUTO"] for row in found] == pytest.approx([float(source["FLUX_AUTO"])] * 2)

    # SAM's own output is a log as any other: its REPORT lines make a bill
    bill = skyfan("costs", "--log", str(sam_log))["bill"]
    assert bill["invocations"] >= 4
    assert bill["usd"] > 0
    assert not bill["unparsed"]

    assert Path(skyfan("report", "story", "--data", "story")["report"]).stat().st_size > 50_000


def _table(s3: boto3.client, key: str) -> Table:
    body = io.BytesIO(s3.get_object(Bucket="results", Key=key)["Body"].read())
    table = Table.read(body, format="fits", hdu="SOURCES")
    table.meta["FILE"] = key
    return table
