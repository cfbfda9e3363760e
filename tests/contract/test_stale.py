"""Reprocessed files: compared with the versions that results are from, named, and made again, only these."""

import io
import json
import os
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pytest
import requests
from astropy.io import fits
from click.testing import CliRunner, Result
from standins import aws as stand_in_aws
from standins.bucket import Bucket, Request, serving

from skyfan import api
from skyfan.catalogs import freshness, origins
from skyfan.cli import main
from skyfan.plans import plan as plans
from skyfan.runs import run as runs
from skyfan.runs.local_receipts import FILE
from skyfan.storage.place import Place
from skyfan.task import Task

NAMES = tuple(f"{number}.fits" for number in range(4))


def image(stars: int, seed: int = 1) -> bytes:
    """A small image with so many stars."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64]
    data = random.normal(10, 1, (64, 64))
    for number in range(stars):
        data += 200 * np.exp(-((x - 12 - 14 * number) ** 2 + (y - 20 - 9 * number) ** 2) / 4)
    file = io.BytesIO()
    fits.PrimaryHDU(data.astype(np.float32)).writeto(file)
    return file.getvalue()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with stand_in_aws.moto() as url:
        yield url


@pytest.fixture
def sky(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A client of S3 with a bucket of four images without stars."""
    monkeypatch.chdir(tmp_path)
    for name, value in (
        ("AWS_ENDPOINT_URL", server),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    requests.post(f"{server}/moto-api/reset", timeout=10)
    client = boto3.client("s3")
    client.create_bucket(Bucket="sky", ACL="public-read")
    for name in NAMES:
        client.put_object(Bucket="sky", Key=f"hst/{name}", Body=image(0))
    return client


def skyfan(*words: str) -> Result:
    result = CliRunner().invoke(main, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def stale(run: str = "default") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(skyfan("status", run, "-o", "out", "--stale", "--json").stdout)
    return document


def states(document: dict[str, Any]) -> dict[str, str]:
    return {file["input"].rpartition("/")[2]: file["state"] for file in document["files"]}


def catalogs(run: str = "default") -> dict[str, Path]:
    found = Path("out/runs", run, "catalogs").rglob("*.cat.fits")
    return {path.name.removesuffix(".cat.fits"): path for path in found}


@pytest.mark.slow
def test_objects_of_s3_that_have_changed_are_made_again_and_only_these(sky: Any) -> None:
    run = skyfan("run", "s3://sky/hst/", "-o", "out", "-j", "2", "--json")
    assert (run.exit_code, json.loads(run.stdout)["done"]) == (0, 4)
    fresh = skyfan("status", "default", "-o", "out", "--stale", "--json")
    assert (fresh.exit_code, json.loads(fresh.stdout)["files"]) == (0, [])
    assert skyfan("collect", "default", "-o", "out", "--json").exit_code == 0
    before = {name: path.stat().st_mtime_ns for name, path in catalogs().items()}
    doubts = {row[0].uri[-6:]: row[1] for row in _doubtful()}

    sky.put_object(Bucket="sky", Key="hst/1.fits", Body=image(3))
    sky.delete_object(Bucket="sky", Key="hst/2.fits")
    sky.put_object(Bucket="sky", Key="hst/3.fits", Body=b"no longer an image")
    document = stale()
    assert states(document) == {"1.fits": "stale", "2.fits": "source gone", "3.fits": "stale"}
    assert document["counts"] == {
        "fresh": 1, "stale": 2, "source gone": 1, "not checked": 0, "unknown version": 0
    }  # fmt: skip
    assert document["requests"] == {"HEAD": 4}
    (changed,) = [file for file in document["files"] if file["input"].endswith("1.fits")]
    etag = sky.head_object(Bucket="sky", Key="hst/1.fits")["ETag"].strip('"')
    assert (changed["now"], changed["made_from"][:5]) == (f"etag={etag}", "etag=")

    again = skyfan("run", "s3://sky/hst/", "-o", "out", "--json")
    assert json.loads(again.stdout)["unchecked"] == 3, "run says what it did not compare"
    dry = skyfan("retry", "default", "-o", "out", "--stale", "--dry-run")
    assert len(dry.stdout.splitlines()) == 2
    old = catalogs()["3.fits"].read_bytes()
    retried = skyfan("retry", "default", "-o", "out", "--stale", "--json")
    outcome = json.loads(retried.stdout)
    assert (retried.exit_code, outcome["files"], outcome["done"], outcome["kept"]) == (1, 2, 1, 1)
    assert [group["errorType"] for group in outcome["failures"]] == ["NotFitsError"]
    assert catalogs()["3.fits"].read_bytes() == old, "a result stays until another replaces it"
    after = {name: path.stat().st_mtime_ns for name, path in catalogs().items()}
    assert {name for name in before if before[name] != after[name]} == {"1.fits"}
    assert fits.getheader(catalogs()["1.fits"])["NSOURCES"] == 3

    document = stale()
    assert states(document) == {"2.fits": "source gone", "3.fits": "stale"}
    assert "NotFitsError" in next(f["message"] for f in document["files"] if f["state"] == "stale")
    assert not api.find_damaged("default", "out"), "receipts are those of the results that count"
    now = {row[0].uri[-6:]: row[1] for row in _doubtful()}
    assert "NO_SOURCES" in doubts["1.fits"]
    assert "NO_SOURCES" not in now.get("1.fits", [])
    assert now["3.fits"] == doubts["3.fits"]
    collected = api.collect("default", "out")
    assert (collected.read, collected.images, collected.unplaced) == (1, 4, 3)
    assert skyfan("retry", "default", "-o", "out", "--stale", "--all").exit_code == 2


def _doubtful() -> list[tuple[Any, list[str]]]:
    state = api.status("default", "out")
    found = state.doubts()
    assert found is not None
    return list(state.doubtful(found))


def test_a_json_result_names_the_version_and_one_that_does_not_is_unknown(sky: Any) -> None:
    run = skyfan("run", "s3://sky/hst/", "-o", "out", "--function", "FitsSummary", "-j", "1")
    assert run.exit_code == 0, run.stderr
    assert stale()["counts"]["fresh"] == 4
    (path,) = Path("out/runs/default").rglob("0.fits.json")
    body = json.loads(path.read_text())
    assert list(body)[:2] == ["input", "input_version"]
    body.pop("input_version")
    path.write_text(json.dumps(body))  # as an earlier version wrote it
    sky.put_object(Bucket="sky", Key="hst/1.fits", Body=image(1))
    shown = skyfan("status", "default", "-o", "out", "--stale")
    assert (shown.exit_code, shown.stdout.count("etag=")) == (1, 2)
    assert states(stale()) == {"1.fits": "stale"}, "a result of another size is damaged, not done"
    Path("out/runs/default", FILE).unlink()
    assert states(stale()) == {"0.fits": "unknown version", "1.fits": "stale"}


def test_a_missing_bucket_leaves_files_unchecked(sky: Any) -> None:
    assert skyfan("run", "s3://sky/hst/", "-o", "out", "--function", "FitsSummary", "-j", "1").exit_code == 0
    for name in NAMES:
        sky.delete_object(Bucket="sky", Key=f"hst/{name}")
    sky.delete_bucket(Bucket="sky")
    found = stale()
    assert set(states(found).values()) == {"not checked"}
    assert "bucket" in found["files"][0]["message"]
    assert skyfan("retry", "default", "-o", "out", "--stale").stdout.startswith("No files")


def test_local_files_that_have_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in NAMES:
        Path("in", name).write_bytes(image(0))
    words = ("-o", "out", "--function", "FitsSummary", "-j", "1")
    assert skyfan("run", "in", *words).exit_code == 0
    assert stale()["counts"]["fresh"] == 4
    os.utime(Path("in", "0.fits"), ns=(5, 5))
    Path("in", "1.fits").unlink()
    assert states(stale()) == {"0.fits": "stale", "1.fits": "source gone"}
    retried = json.loads(skyfan("retry", "default", "-o", "out", "--stale", "--json").stdout)
    assert (retried["files"], retried["done"], retried["kept"]) == (1, 1, 0)
    assert states(stale()) == {"1.fits": "source gone"}
    # Without receipts, as after a kill, results name the version themselves, to the second.
    Path("out/runs/default", FILE).unlink()
    assert states(stale()) == {"1.fits": "source gone"}


@pytest.mark.parametrize(
    ("head", "version"),
    [
        (b'{\n "input": "s3://a/b \\" c",\n "input_version": "etag=1",\n "x', "etag=1"),
        (b'{"input": "s3://a/b", "input_version": "size=1 modified=2"}', "size=1 modified=2"),
        (b'{\n "input": "s3://a/b",\n "hdus": [], "input_version": "etag=1"', ""),
        (b'{"input": "' + b"\\" * 9000, ""),
        (b"", ""),
        (b"PAR1", ""),
        (b"SIMPLE  =                    T".ljust(80) + b"SRCVER  = 'etag=5'".ljust(80), "etag=5"),
        (b"SIMPLE  =                    T".ljust(80) + b"SRCVER  = 'eta", ""),
    ],
)
def test_the_version_in_the_first_bytes_of_a_result(head: bytes, version: str) -> None:
    assert origins.of_head(head) == version


def _run(folder: Path, sources: dict[str, str]) -> Place:
    """A run with a result of each source, by the version that the result names."""
    place = Place.at(folder, make=True)
    runs.begin(place, Task("r"), "s3://results/runs/{run}/catalogs/{key}.cat.fits")
    runs.add_plan(place, "r", runs.of_uris(sources, folder / "plan.parquet"))
    for uri, version in sources.items():
        cards = ("SIMPLE  =                    T", f"SRCVER  = '{version}'" if version else "OTHER   = 1")
        body = "".join(card.ljust(80) for card in cards).encode()
        place.put(f"runs/r/catalogs/{uri.removeprefix('s3://')}.cat.fits", body)
    return place


def test_a_changed_detection_image_makes_the_catalog_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    uris = {}
    for name in ("a.fits", "b.fits", "total.fits"):
        Path(name).write_bytes(image(2))
        uris[name] = (tmp_path / name).as_uri()
    rows = [
        {
            "uri": uris["a.fits"],
            "size": 1,
            "detect": uris["total.fits"],
            "detect_size": 1,
            "tier": "standard",
        },
        {"uri": uris["b.fits"], "size": 1, "tier": "standard"},
    ]
    plans.write(Path("plan.parquet"), pa.Table.from_pylist(rows, schema=plans.SCHEMA), {})
    assert skyfan("run", "plan.parquet", "-o", "out", "-j", "1").exit_code == 0
    assert stale()["counts"]["fresh"] == 2
    os.utime("total.fits", (5, 5))
    document = stale()
    assert states(document) == {"a.fits": "stale"}
    assert uris["total.fits"] in document["files"][0]["message"]
    assert json.loads(skyfan("retry", "default", "-o", "out", "--stale", "--json").stdout)["done"] == 1
    assert stale()["counts"]["fresh"] == 2
    Path("total.fits").unlink()
    assert states(stale()) == {"a.fits": "source gone"}


def test_each_source_is_in_one_state_and_close_ones_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weak ETags, other forms of versions, denied, gone and unknown ones, by a server that we spoil."""
    bucket = Bucket(tmp_path)
    etags = {
        f"hst/a/b/{number:02}.fits": bucket.put(f"hst/a/b/{number:02}.fits", b"x", {}) for number in range(20)
    }
    etags |= {
        f"other/{name}": bucket.put(f"other/{name}", b"xy", {}) for name in ("denied", "sized", "unknown")
    }

    def deny(request: Request, headers: dict[str, str], body: bytes) -> bytes:
        if request.key == "other/denied":
            request.status = 403
            return b"<Error><Code>AccessDenied</Code></Error>"
        return body

    bucket.spoil = deny
    modified = bucket.stored["other/sized"].headers["Last-Modified"]
    seconds = int(parsedate_to_datetime(modified).timestamp())
    sources = {f"s3://sky/{key}": "etag=" + etag.strip('"') for key, etag in etags.items()}
    sources["s3://sky/hst/a/b/07.fits"] = "etag=older"
    sources["s3://sky/hst/a/b/99.fits"] = "etag=removed since"
    sources["s3://sky/other/sized"] = f"size=2 modified={seconds}"
    sources["s3://sky/other/unknown"] = ""
    place = _run(tmp_path / "out", sources)
    with serving(bucket) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        found = freshness.compare(place, "r")
    assert found.counts == {"fresh": 20, "stale": 1, "source gone": 1, "not checked": 1, "unknown version": 1}
    assert found.requests == {"LIST": 1, "HEAD": 3}
    by_state = {source.state: source for source in found.sources}
    assert by_state["stale"].uri.endswith("07.fits")
    assert list(found.stale) == ["sky/hst/a/b/07.fits"]
    assert by_state["stale"].size == 1
    assert by_state["source gone"].uri.endswith("99.fits")
    assert "denied" in by_state["not checked"].message
    assert by_state["unknown version"].now == "etag=" + etags["other/unknown"].strip('"')
    assert not found.is_fresh
    assert found.to_pandas().shape == (4, 7)
