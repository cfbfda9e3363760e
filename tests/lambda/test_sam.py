"""The stack as SAM runs it: validate, invoke, and an endpoint that boto3 talks to."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import containers
import numpy as np
import pytest
from astropy.io import fits
from containers import REPO, SAM, run

NAME = "j8bt06nyq_flt.fits"
INPUT = f"s3://archive/hst/public/{NAME}"
CATALOG = f"catalogs/archive/hst/public/{NAME}.cat.fits"


@pytest.fixture(scope="session")
def archive(s3: boto3.client, demo_data: Path) -> boto3.client:
    s3.upload_file(str(demo_data / NAME), "archive", f"hst/public/{NAME}")
    return s3


def _invoke(template: Path, function: str, event: dict[str, Any], folder: Path) -> Any:
    (folder / "event.json").write_text(json.dumps(event))
    said = run(
        *(
            SAM,
            "local",
            "invoke",
            function,
            "--template",
            template,
            "--event",
            folder / "event.json",
            *containers.LOCAL,
        ),
        timeout=180,
    )
    return json.loads(said.strip().splitlines()[-1])


def _rows(body: bytes) -> Any:
    with fits.open(io.BytesIO(body)) as hdus:
        return next(hdu.data.copy() for hdu in hdus if isinstance(hdu, fits.BinTableHDU))


def test_the_template_is_valid(stand_in: str) -> None:
    run(SAM, "validate", "--lint", timeout=120)


def test_invoked_it_writes_the_catalog_that_the_local_engine_writes(
    template: Path, archive: boto3.client, demo_data: Path, tmp_path: Path
) -> None:
    answer = _invoke(template, "SepExtract", {"input": INPUT, "run": "invoked", "access": "signed"}, tmp_path)
    assert answer.get("output") == f"s3://results/runs/invoked/{CATALOG}", answer
    assert answer["sources"] > 10
    ours = _rows(archive.get_object(Bucket="results", Key=f"runs/invoked/{CATALOG}")["Body"].read())

    image = demo_data / NAME
    command = [
        Path(sys.executable).with_name("skyfan"),
        *("run", "--engine", "local", image, "--output", tmp_path),
    ]
    subprocess.run(command, cwd=REPO, check=True, timeout=120, capture_output=True)
    (local,) = tmp_path.glob("runs/*/catalogs/**/*.cat.fits")
    theirs = _rows(local.read_bytes())
    assert len(ours) == len(theirs) == answer["sources"]
    assert ours.names == theirs.names
    for name in ours.names:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def test_invoked_it_summarises(template: Path, archive: boto3.client, tmp_path: Path) -> None:
    answer = _invoke(
        template, "FitsSummary", {"input": INPUT, "run": "invoked", "access": "signed"}, tmp_path
    )
    key = answer["output"].removeprefix("s3://results/")
    summary = json.loads(archive.get_object(Bucket="results", Key=key)["Body"].read())
    assert summary


def test_a_new_function_is_built_and_invoked(
    reaching: Callable[[Path], Path], archive: boto3.client, tmp_path: Path
) -> None:
    stack = tmp_path / "stack"
    skyfan = Path(sys.executable).with_name("skyfan")
    run(skyfan, "stack", "copy", stack, timeout=60, cwd=tmp_path)
    run(skyfan, "new-function", "PixelCensus", timeout=60, cwd=stack)
    template = reaching(containers.build(tmp_path / "build", stack))
    event = {"input": INPUT, "run": "made", "access": "signed"}
    answer = _invoke(template, "PixelCensus", event, tmp_path)
    key = f"runs/made/pixel_census/archive/hst/public/{NAME}.cat.fits"
    assert answer["output"] == f"s3://results/{key}"
    with fits.open(io.BytesIO(archive.get_object(Bucket="results", Key=key)["Body"].read())) as hdus:
        assert len(hdus[1].data) == answer["rows"] > 0
        assert (hdus[1].data["FINITE"] > 0).all()

    archive.put_object(Bucket="archive", Key="words.fits", Body=b"no stars here")
    failed = _invoke(template, "PixelCensus", {**event, "input": "s3://archive/words.fits"}, tmp_path)
    assert failed["errorType"] == "NotFitsError"
    record = archive.get_object(Bucket="results", Key="runs/made/failures/archive/words.fits.json")
    assert json.load(record["Body"])["responsePayload"]["errorType"] == "NotFitsError"


def test_an_error_is_named(template: Path, archive: boto3.client, tmp_path: Path) -> None:
    answer = _invoke(
        template, "SepExtract", {"input": "s3://archive/none.fits", "access": "signed"}, tmp_path
    )
    assert answer["errorType"] == "InputNotFoundError", answer
    assert "none.fits" in answer["errorMessage"]


def test_boto3_gets_an_answer(endpoint: boto3.client, archive: boto3.client) -> None:
    event = {"input": INPUT, "run": "answered", "access": "signed"}
    answer = endpoint.invoke(FunctionName="SepExtract", Payload=json.dumps(event))
    assert answer["StatusCode"] == 200
    assert "FunctionError" not in answer
    assert json.load(answer["Payload"])["sources"] > 10


def test_boto3_gets_a_receipt_and_the_catalog_follows(endpoint: boto3.client, archive: boto3.client) -> None:
    event = {"input": INPUT, "run": "queued", "access": "signed"}
    receipt = endpoint.invoke(FunctionName="SepExtract", InvocationType="Event", Payload=json.dumps(event))
    assert receipt["StatusCode"] == 202
    end = time.monotonic() + 120
    while time.monotonic() < end:
        there = archive.list_objects_v2(Bucket="results", Prefix=f"runs/queued/{CATALOG}")["KeyCount"]
        if there:
            return
        time.sleep(0.5)
    pytest.fail("no catalog after two minutes")
