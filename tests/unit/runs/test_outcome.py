"""The outcome of a call: one document for both engines, about the inputs of the call."""

import io
import json
import time
from pathlib import Path

import pytest
from obstore.store import LocalStore
from rich.console import Console

from skyfan.runs import show_outcome, state
from skyfan.runs.outcome import MAX_RESULTS, Outcome
from skyfan.storage.place import Place
from skyfan_contract import NO_DOUBTS

from .conftest import Handmade

NOW = time.time()
A, B, C, D = (f"s3://bucket/{name}.fits" for name in "abcd")


def test_both_engines_give_the_same_keys(tmp_path: Path) -> None:
    local = Outcome("r", Place.at(tmp_path)).document()
    aws = Outcome("r", Place("s3://results", LocalStore(tmp_path))).document()
    assert local.keys() == aws.keys()
    assert (local["retries"], local["unwritten"]) == (0, 0)
    assert (aws["retries"], aws["unwritten"]) == (None, None)
    assert (aws["done"], aws["failed"], aws["state"]) == (None, None, None), "unknown without waiting"
    assert aws["folder"] == "s3://results/runs/r"
    json.dumps(local)


def test_counts_and_failures_are_those_of_the_inputs(handmade: Handmade) -> None:
    handmade.plan([A, B, C, D])
    handmade.receipt(*((uri, uri, NOW - 100) for uri in (A, B, C, D)))
    handmade.done(A)
    handmade.done(B)
    handmade.record(C, request=C, time=NOW - 50, name="c", error="NotFitsError")
    handmade.record(D, request=D, time=NOW - 50, name="d", error="StorageError")
    outcome = Outcome("r", handmade.place, files=3, done_before=1, sent=2)
    done = outcome.set_state(state.read(handmade.place, "r", handmade.lambdas, now=NOW), [A, B, C])
    document = outcome.document()
    assert (done, document["failed"]) == (2, 1)
    assert [group["errorType"] for group in document["failures"]] == ["NotFitsError"]
    assert document["failures"][0]["example"]["input"] == C
    assert (document["state"]["done"], document["state"]["failed"]) == (2, 2)
    assert outcome.unsuccessful == 1
    assert not outcome.is_complete


def test_doubtful_files_are_those_of_the_run(handmade: Handmade) -> None:
    handmade.plan([A, B, C])
    handmade.mark(A, "NO_SKY")
    handmade.done(A)
    outcome = Outcome("r", handmade.place)
    assert (outcome.document()["doubtful"], outcome.document()["doubts"]) == (None, None), "not known yet"
    assert outcome.may_be_doubtful
    outcome.set_state(state.read(handmade.place, "r"), [B])
    assert (outcome.document()["doubtful"], outcome.document()["doubts"]) == (1, {"NO_SKY": 1})
    assert outcome.may_be_doubtful
    handmade.mark(A, NO_DOUBTS)
    outcome.set_state(state.read(handmade.place, "r"), [B])
    assert not outcome.may_be_doubtful


def test_only_the_first_results_are_kept_but_all_sources_counted(tmp_path: Path) -> None:
    outcome = Outcome("r", Place.at(tmp_path))
    for number in range(MAX_RESULTS + 5):
        outcome.add_result(f"s3://b/{number}", {"sources": 2}, 0.1)
    assert len(outcome.results) == MAX_RESULTS
    assert outcome.sources == 2 * (MAX_RESULTS + 5)
    outcome = Outcome("r", Place.at(tmp_path))
    outcome.add_result("s3://b/k", "text", 0.12345)
    assert outcome.results == [{"input": "s3://b/k", "result": "text", "seconds": 0.123}]
    assert outcome.sources is None


def test_files_without_a_result_are_unsuccessful_late_ones_too(handmade: Handmade) -> None:
    handmade.plan([A, B, C, D])
    handmade.receipt((A, "a", NOW - 4000), (B, "b", NOW - 40000), (C, "c", NOW - 10))
    outcome = Outcome("r", handmade.place, files=4, done_before=2)
    assert outcome.unsuccessful == 0, "unknown"
    outcome.set_state(state.read(handmade.place, "r", now=NOW), [A, B, C, D])
    assert outcome.unsuccessful == 2
    assert outcome.done == 0, "not below 0 where results were removed meanwhile"


@pytest.mark.parametrize(("cure", "is_advised"), [("never", False), ("retry", True), (None, True)])
def test_a_retry_is_advised_where_it_would_send_a_file(
    handmade: Handmade, cure: str | None, is_advised: bool
) -> None:
    handmade.plan([A])
    handmade.receipt((A, "a", NOW - 100))
    handmade.record(A, request="a", time=NOW - 50, cure=cure)
    outcome = Outcome("r", handmade.place, files=1)
    outcome.set_state(state.read(handmade.place, "r", handmade.lambdas, now=NOW), [A])
    out = io.StringIO()
    show_outcome.show(Console(file=out, width=200), outcome)
    assert "StorageError" in out.getvalue()
    assert ("`skyfan retry r`" in out.getvalue()) == is_advised


def test_times_of_a_document_have_milliseconds(tmp_path: Path) -> None:
    outcome = Outcome("r", Place.at(tmp_path), seconds=1.23456, send_seconds=0.98765, log=tmp_path / "log")
    document = outcome.document()
    assert (document["seconds"], document["send_seconds"]) == (1.235, 0.988)
    assert (document["log"], document["stopped"]) == (str(tmp_path / "log"), None)
    assert Outcome("r", Place.at(tmp_path)).document()["log"] is None
