"""Several inputs in one invocation: none costs another its result."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skyfan_contract import MAX_INPUTS, key_of
from skyfan_function import batch
from skyfan_function.errors import ConfigurationError, EventError, InputNotFoundError, StorageError

Handler = Callable[[Any, Any], dict[str, Any]]
Put = Callable[..., str]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that a batch sees; a test moves them on."""
    now = [0.0]
    monkeypatch.setattr(batch.time, "monotonic", lambda: now[0])
    return now


def unlogged(_event: dict[str, Any], _error: Exception) -> None:
    """Where no log is looked at."""


def taking(seconds: float, clock: list[float]) -> Callable[..., dict[str, Any]]:
    """An input of a batch that takes so long."""

    def one(event: dict[str, Any], **_: Any) -> dict[str, Any]:
        clock[0] += seconds
        return {"input": event["input"]}

    return one


def test_good_and_bad_inputs_side_by_side(
    handler: Handler, out: Path, put: Put, context: Any, path_of: Callable[[str], Path]
) -> None:
    good = [put("fine", f"{name}.txt") for name in "ab"]
    bad = put("NotFitsError no stars", "bad 1.txt")
    answer = handler({"inputs": [good[0], bad, good[1]], "run": "night"}, context)
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert [one["input"] for one in answer["results"]] == good
    assert all(path_of(one["output"]).is_file() for one in answer["results"])
    (failure,) = answer["failures"]
    assert (failure["input"], failure["errorType"], failure["permanent"]) == (bad, "NotFitsError", True)
    path = out / "night" / "failures" / f"{key_of(bad)}.json"
    assert path_of(failure["record"]) == path
    record = json.loads(path.read_text())
    assert record["requestPayload"] == {"input": bad, "run": "night"}
    assert record["responsePayload"]["errorType"] == "NotFitsError"
    assert record["requestContext"]["requestId"] == "abc"


def test_a_failure_in_a_batch_does_not_name_the_invocation(
    handler: Handler, out: Path, put: Put, context: Any, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    """The bill takes a line with a request ID for an invocation that ended in this failure."""
    handler({"inputs": [put("fine", "a"), put("NotFitsError", "b")]}, context)
    assert [(line["level"], "requestId" in line) for line in logged()] == [("INFO", False), ("ERROR", False)]


def test_a_failure_is_recorded_alike_alone_and_in_a_batch(
    handler: Handler, out: Path, put: Put, context: Any
) -> None:
    uri, records = put("NotFitsError no stars"), []
    for event in ({"input": uri}, {"inputs": [uri]}):
        handler(event, context)
        path = out / "default" / "failures" / f"{key_of(uri)}.json"
        records.append({**json.loads(path.read_text()), "timestamp": ""})
        path.unlink()
    assert records[0] == records[1]


@pytest.mark.parametrize(
    "event",
    [
        {"inputs": []},
        {"inputs": "file:///a"},
        {"inputs": ["file:///a"], "input": "file:///b"},
        {"inputs": ["file:///a", "b"]},
        {"inputs": ["file:///a"], "run": "a/b"},
        {"inputs": ["file:///a"] * (MAX_INPUTS + 1)},
    ],
    ids=lambda event: str(event)[:60],
)
def test_a_batch_without_places_for_its_records_is_refused_as_a_whole(
    handler: Handler, out: Path, context: Any, event: dict[str, Any]
) -> None:
    with pytest.raises(EventError):
        handler(event, context)
    assert not out.exists()


def test_a_wrong_key_is_a_failure_of_each_input(
    handler: Handler, out: Path, put: Put, context: Any, path_of: Callable[[str], Path]
) -> None:
    inputs = [put("fine", "a"), put("fine", "b")]
    answer = handler({"inputs": inputs, "acess": "signed"}, context)
    assert answer["results"] == []
    assert [(one["input"], one["errorType"]) for one in answer["failures"]] == [
        (uri, "EventError") for uri in inputs
    ]
    assert all(path_of(one["record"]).is_file() for one in answer["failures"])
    assert "'access'" in answer["failures"][0]["errorMessage"]


def test_without_a_place_for_failures_nothing_is_begun(
    out: Path, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SKYFAN_FAILURES")
    with pytest.raises(ConfigurationError, match="SKYFAN_FAILURES"):
        batch.process({"inputs": ["file:///a"]}, lambda one: pytest.fail("it was begun"), context, unlogged)


def test_what_may_pass_is_retried_once(out: Path, context: Any) -> None:
    seen: list[str] = []

    def one(event: dict[str, Any], **_: Any) -> dict[str, Any]:
        name = event["input"][-1]
        seen.append(name)
        if name == "b" and seen.count("b") == 1:
            raise StorageError("the network had a hiccup")
        if name == "c":
            return {"input": event["input"], "errorType": "InputNotFoundError"}
        if name == "d":
            raise ZeroDivisionError("a fault of ours")
        return {"input": event["input"]}

    answer = batch.process({"inputs": [f"file:///{name}" for name in "abcd"]}, one, context, unlogged)
    assert "".join(seen) == "abcdbd"
    assert [result["input"][-1] for result in answer["results"]] == ["a", "b"]
    assert {failure["input"][-1]: failure["errorType"] for failure in answer["failures"]} == {
        "c": InputNotFoundError.__name__,
        "d": "ZeroDivisionError",
    }
    record = json.loads((out / "default/failures/d.json").read_text())
    assert record["responsePayload"]["permanent"] is False


def test_no_input_is_begun_that_would_not_fit_into_the_remaining_time(
    out: Path, context: Any, clock: list[float]
) -> None:
    context.get_remaining_time_in_millis = lambda: int(1000 * (50 - clock[0]))
    inputs = {"inputs": [f"file:///{name}" for name in "abcd"]}
    answer = batch.process(inputs, taking(20, clock), context, unlogged)
    assert [result["input"][-1] for result in answer["results"]] == ["a", "b"]
    assert [(one["errorType"], one["permanent"]) for one in answer["failures"]] == [
        ("OutOfTimeError", False)
    ] * 2
    assert "10 s" in answer["failures"][0]["errorMessage"]
    assert "20 s" in answer["failures"][0]["errorMessage"]


def test_time_is_kept_for_all_records_that_are_still_to_be_written(
    out: Path, context: Any, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input takes a second, a record 0.15 seconds; Lambda kills the function after 20."""
    real = batch.record

    def slow(*arguments: Any) -> dict[str, Any]:
        clock[0] += 0.15
        return real(*arguments)

    monkeypatch.setattr(batch, "record", slow)
    context.get_remaining_time_in_millis = lambda: int(1000 * (20 - clock[0]))
    count = MAX_INPUTS
    inputs = {"inputs": [f"file:///{number}" for number in range(count)]}
    answer = batch.process(inputs, taking(1, clock), context, unlogged)
    assert len(answer["results"]) + len(answer["failures"]) == count
    assert {failure["errorType"] for failure in answer["failures"]} == {"OutOfTimeError"}
    assert clock[0] < 20


def test_a_failure_is_recorded_when_it_is_final_and_not_at_the_end(out: Path, context: Any) -> None:
    """A later input may end the function, and with it all that it has not written down."""
    records = out / "default" / "failures"
    seen: list[str] = []

    def one(event: dict[str, Any], **_: Any) -> dict[str, Any]:
        seen.append(event["input"][-1])
        if len(seen) == 4:
            assert (records / "a.json").exists(), "the second attempt at a was its last"
            raise SystemExit
        raise ZeroDivisionError

    with pytest.raises(SystemExit):
        batch.process({"inputs": ["file:///a", "file:///b"]}, one, context, unlogged)
    assert seen == ["a", "b", "a", "b"]


@pytest.mark.parametrize(("limit_s", "begun"), [(45.1, 1), (45.3, 2)])
def test_an_input_is_begun_with_5_seconds_to_spare(
    out: Path, context: Any, clock: list[float], limit_s: float, begun: int
) -> None:
    """The first took 20 seconds; the second needs as many, 5 to spare, and 0.2 for its record."""
    context.get_remaining_time_in_millis = lambda: 1000 * (limit_s - clock[0])
    inputs = {"inputs": ["file:///a", "file:///b"]}
    assert len(batch.process(inputs, taking(20, clock), context, unlogged)["results"]) == begun


def test_what_was_not_begun_has_a_record_and_a_line_of_the_log(
    out: Path, context: Any, clock: list[float]
) -> None:
    context.get_remaining_time_in_millis = lambda: int(1000 * (30 - clock[0]))
    names = [f"file:///{name}" for name in "abcd"]
    lines: list[str] = []
    answer = batch.process(
        {"inputs": names}, taking(20, clock), context, lambda event, _: lines.append(event["input"])
    )
    assert lines == [one["input"] for one in answer["failures"]] == names[1:]
    assert all((out / "default" / "failures" / f"{name[-1]}.json").is_file() for name in names[1:])


def test_equal_inputs_are_one(out: Path, context: Any, clock: list[float]) -> None:
    inputs = {"inputs": ["file:///a", "file:///b", "file:///a"]}
    answer = batch.process(inputs, taking(1, clock), context, unlogged)
    assert [one["input"][-1] for one in answer["results"]] == ["a", "b"]


def test_a_refused_batch_is_logged_once_with_the_position_of_the_input(
    handler: Handler, out: Path, context: Any, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    with pytest.raises(EventError, match=r"inputs\[1\]"):
        handler({"inputs": ["file:///a", "b", "file:///c"]}, context)
    (line,) = logged()
    assert (line["level"], line["errorType"]) == ("ERROR", "EventError")


def test_each_unforeseen_error_is_logged(
    handler: Handler, out: Path, put: Put, context: Any, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    handler({"inputs": [put("bug")]}, context)
    assert [line["errorType"] for line in logged()] == ["ZeroDivisionError"] * 2
