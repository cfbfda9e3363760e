"""Several images in one invocation of SepExtract; tests/unit/skyfan_function has the rules of batches."""

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sep_extract.handler import handler
from skyfan_contract import key_of

Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = (tmp_path / "out").as_uri()
    monkeypatch.setenv("SKYFAN_OUTPUT", f"{root}/runs/{{run}}/catalogs/{{key}}.cat.fits")
    monkeypatch.setenv("SKYFAN_FAILURES", f"{root}/runs/{{run}}/failures/{{key}}.json")


def context() -> Any:
    return types.SimpleNamespace(
        memory_limit_in_mb="1769", aws_request_id="abc", get_remaining_time_in_millis=lambda: 300_000
    )


def body(summary: dict[str, Any]) -> bytes:
    return Path("/", key_of(summary["output"])).read_bytes()


def test_good_and_bad_images_side_by_side(save: Make, flt: Make) -> None:
    good = [save(flt(), f"{name}.fits").as_uri() for name in "ab"]
    bad = save(b"no FITS at all", "bad 1.fits").as_uri()
    answer = handler({"inputs": [good[0], bad, good[1]], "run": "night"}, context())
    assert [(one["input"], one["sources"]) for one in answer["results"]] == [(uri, 16) for uri in good]
    assert [(one["input"], one["errorType"]) for one in answer["failures"]] == [(bad, "NotFitsError")]


def test_a_batch_writes_what_single_images_write(save: Make, flt: Make) -> None:
    image = save(flt()).as_uri()
    alone = handler({"input": image, "run": "alone"}, context())
    (shared,) = handler({"inputs": [image], "run": "shared"}, context())["results"]
    one, other = body(alone), body(shared)
    assert len(one) == len(other), "only the header's name of the run differs"
    assert one[one.index(b"XTENSION") :] == other[other.index(b"XTENSION") :]
    assert alone["chips"] == shared["chips"]
