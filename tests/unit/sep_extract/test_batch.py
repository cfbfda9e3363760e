"""Several images in one invocation: none costs another its catalog."""

import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from sep_extract import batch, handler
from sep_extract.errors import ConfigurationError, EventError, InputNotFoundError, StorageError
from sep_extract.storage import key_of

Make = Callable[..., Any]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = (tmp_path / "out").as_uri()
    monkeypatch.setenv("SKYFAN_OUTPUT", f"{root}/runs/{{run}}/catalogs/{{key}}.cat.fits")
    monkeypatch.setenv("SKYFAN_FAILURES", f"{root}/runs/{{run}}/failures/{{key}}.json")
    return tmp_path / "out" / "runs"


def context(milliseconds: int = 300_000) -> Any:
    return types.SimpleNamespace(
        memory_limit_in_mb="1769",
        aws_request_id="abc",
        invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:SepExtract",
        get_remaining_time_in_millis=lambda: milliseconds,
    )


def uri(path: str) -> Path:
    return Path(unquote(urlsplit(path).path))


def test_good_and_bad_images_side_by_side(places: Path, save: Make, flt: Make) -> None:
    good = [save(flt(), f"{name}.fits").as_uri() for name in "ab"]
    bad = save(b"no FITS at all", "bad 1.fits").as_uri()
    answer = handler.handler({"inputs": [good[0], bad, good[1]], "run": "night"}, context())
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert [one["input"] for one in answer["results"]] == good
    assert all(uri(one["output"]).is_file() and one["sources"] == 16 for one in answer["results"])
    (failure,) = answer["failures"]
    assert (failure["input"], failure["errorType"], failure["permanent"]) == (bad, "NotFitsError", True)
    path = places / "night" / "failures" / f"{key_of(bad)}.json"
    assert uri(failure["record"]) == path
    record = json.loads(path.read_text())
    assert record["requestPayload"] == {"input": bad, "run": "night"}
    assert record["responsePayload"]["errorType"] == "NotFitsError"
    assert record["requestContext"]["requestId"] == "abc"


def test_a_batch_writes_what_single_images_write(places: Path, save: Make, flt: Make) -> None:
    image = save(flt()).as_uri()
    alone = handler.handler({"input": image, "run": "alone"}, context())
    (shared,) = handler.handler({"inputs": [image], "run": "shared"}, context())["results"]
    one, other = (uri(answer["output"]).read_bytes() for answer in (alone, shared))
    # the header says which run it was
    assert len(one) == len(other)
    assert one[-2880:] == other[-2880:]
    assert alone["chips"] == shared["chips"]


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"inputs": []}, "'inputs' must be a list"),
        ({"inputs": "file:///a.fits"}, "'inputs' must be a list"),
        ({"inputs": ["file:///a.fits"], "input": "file:///b.fits"}, "not both"),
        ({"inputs": ["file:///a.fits", "b.fits"]}, "'input' must be s3://"),
        ({"inputs": ["file:///a.fits"], "confg": {}}, "did you mean 'config'"),
    ],
)
def test_a_wrong_batch_is_refused_as_a_whole(places: Path, event: dict[str, Any], told: str) -> None:
    with pytest.raises(EventError, match=told):
        handler.handler(event, context())


def test_without_a_place_for_failures_nothing_is_begun(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SKYFAN_FAILURES")
    with pytest.raises(ConfigurationError, match="SKYFAN_FAILURES must say where failures go"):
        batch.process({"inputs": ["file:///a.fits"]}, lambda one: pytest.fail("it was begun"), context())


def test_what_may_pass_is_tried_once_more(places: Path) -> None:
    seen: list[str] = []

    def one(event: dict[str, Any]) -> dict[str, Any]:
        seen.append(event["input"][-6])
        if event["input"].endswith("b.fits") and seen.count("b") == 1:
            raise StorageError("the network had a hiccup")
        if event["input"].endswith("c.fits"):
            raise InputNotFoundError("no such file")
        if event["input"].endswith("d.fits"):
            raise ZeroDivisionError("a fault of ours")
        return {"input": event["input"]}

    answer = batch.process({"inputs": [f"file:///{name}.fits" for name in "abcd"]}, one, context())
    assert "".join(seen) == "abcdbd"
    assert [result["input"][-6] for result in answer["results"]] == ["a", "b"]
    assert {failure["input"][-6]: failure["errorType"] for failure in answer["failures"]} == {
        "c": "InputNotFoundError",
        "d": "ZeroDivisionError",
    }


def test_no_image_is_begun_that_would_not_fit_into_the_time_left(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(batch.time, "monotonic", lambda: clock[0])

    def one(event: dict[str, Any]) -> dict[str, Any]:
        clock[0] += 20
        return {"input": event["input"]}

    here = context()
    here.get_remaining_time_in_millis = lambda: int(1000 * (50 - clock[0]))
    answer = batch.process({"inputs": [f"file:///{name}.fits" for name in "abcd"]}, one, here)
    assert [result["input"][-6] for result in answer["results"]] == ["a", "b"]
    assert [failure["errorType"] for failure in answer["failures"]] == ["OutOfTimeError"] * 2
    assert "10 s were left, and an image of this batch took 20 s" in answer["failures"][0]["errorMessage"]
