"""What lambda_handler makes of a process(): one result, one line of log, and failures that are results."""

import json
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from skyfan_contract import key_of
from skyfan_function import errors
from skyfan_function import handler as module
from skyfan_function.event import Request
from skyfan_function.handler import Job, lambda_handler

Handler = Callable[[Any, Any], dict[str, Any]]
Put = Callable[..., str]
Logged = Callable[[], list[dict[str, Any]]]
PathOf = Callable[[str], Path]


def test_a_dict_is_written_as_json_with_its_input(
    handler: Handler, out: Path, put: Put, context: Any, path_of: PathOf
) -> None:
    uri = put("two words", "a #1 50%41.txt")
    answer = handler({"input": uri, "run": "night"}, context)
    document = {"words": ["two", "words"], "notes": ["short"], "memory": 1769 << 20}
    path = out / "night" / "words" / f"{key_of(uri)}.json"
    read = json.loads(path.read_text())
    assert list(read)[:2] == ["input", "input_version"]
    assert read.pop("input_version").startswith("size=9 mtime=")
    assert read == {"input": uri, **document}
    assert path_of(answer["output"]) == path
    assert answer == {
        "input": uri,
        "output": answer["output"],
        **document,
        "seconds": answer["seconds"],
    }
    assert [path for path in out.rglob("*") if path.is_file()] == [path]


def test_a_document_is_not_logged_but_its_notes_are(
    handler: Handler, out: Path, put: Put, context: Any, logged: Logged
) -> None:
    answer = handler({"input": put("two words"), "run": "night"}, context)
    (line,) = logged()
    assert line == {
        "level": "INFO",
        "run": "night",
        "requestId": context.aws_request_id,
        **{key: answer[key] for key in ("input", "output", "notes", "seconds")},
    }


def test_a_result_is_its_bytes_and_its_summary_is_logged(
    handler: Handler, out: Path, put: Put, context: Any, logged: Logged, path_of: PathOf
) -> None:
    answer = handler({"input": put("result")}, context)
    assert path_of(answer["output"]).read_bytes() == b"body"
    assert path_of(answer["output"]).with_suffix(".txt").read_bytes() == b"beside"
    assert (answer["sources"], answer["notes"]) == (3, ["faint"])
    assert logged() == [{"level": "INFO", "run": "default", "requestId": context.aws_request_id, **answer}]


def test_the_result_is_written_last(
    handler: Handler, out: Path, put: Put, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An existing result means that everything exists."""
    written: list[str] = []
    monkeypatch.setattr(module, "write", lambda uri, *_: written.append(uri))
    monkeypatch.setattr(module, "replaces", lambda uri, *_: written.append(uri))
    answer = handler({"input": put("result")}, context)
    assert written == [answer["output"].replace(".json", ".txt"), answer["output"]]


# Marks of doubtful results


def marks(out: Path, key: str) -> list[str]:
    """The doubts of all marks of an input; marks are empty."""
    folder = out / "default" / "doubtful"
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.read_bytes() for path in found} <= {b""}
    assert all(str(path).endswith(f"/{key}") for path in found)
    return sorted(path.relative_to(folder).parts[0] for path in found)


@pytest.mark.parametrize("word", ["result", "doubt"])
def test_a_doubtful_result_leaves_a_mark_whose_key_says_why(
    handler: Handler, out: Path, put: Put, context: Any, word: str
) -> None:
    uri = put(f"{word} NO_SKY MASKED", "a #1 50%41.txt")
    assert handler({"input": uri}, context)["doubts"] == "NO_SKY MASKED"
    assert marks(out, key_of(uri)) == ["NO_SKY-MASKED"]


def test_a_result_without_doubts_leaves_no_mark(handler: Handler, out: Path, put: Put, context: Any) -> None:
    for content in ("result", "doubt", "fine"):
        uri = put(content, f"{content}.txt")
        handler({"input": uri}, context)
        assert marks(out, key_of(uri)) == []


def test_a_result_without_doubts_outvotes_the_one_that_it_replaces(
    handler: Handler, out: Path, put: Put, context: Any
) -> None:
    uri = put("result NO_SKY")
    handler({"input": uri}, context)
    handler({"input": put("result")}, context)
    assert marks(out, key_of(uri)) == ["NO_SKY", "none"]


def test_a_crash_between_mark_and_result_leaves_a_doubt(
    handler: Handler, out: Path, put: Put, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(module, "write", lambda uri, *_: written.append(uri))
    monkeypatch.setattr(module, "replaces", lambda uri, *_: (written.append(uri), True)[1])
    answer = handler({"input": put("doubt MASKED")}, context)
    handler({"input": put("doubt")}, context)
    key = key_of(answer["input"])
    assert [uri.partition("/default/")[2] for uri in written] == [
        f"doubtful/MASKED/{key}", f"words/{key}.json", f"words/{key}.json", f"doubtful/none/{key}"
    ]  # fmt: skip


def test_a_function_without_a_place_for_marks_writes_none(
    handler: Handler, out: Path, put: Put, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SKYFAN_DOUBTFUL")
    uri = put("doubt MASKED")
    handler({"input": uri}, context)
    handler({"input": put("doubt")}, context)
    assert marks(out, key_of(uri)) == []


def test_a_mark_that_cannot_be_written_is_an_error(
    handler: Handler, out: Path, put: Put, context: Any
) -> None:
    (out / "default").mkdir(parents=True)
    (out / "default/doubtful").touch()
    with pytest.raises(errors.StorageError):
        handler({"input": put("doubt MASKED")}, context)
    assert not (out / "default/words").exists(), "no result without its mark"


def test_a_function_has_keys_of_its_own(out: Path, put: Put, context: Any) -> None:
    @dataclass(frozen=True)
    class Colour(Request):
        colour: str = field(default="blue", metadata={"check": str.lower})

    def paint(job: Job[Colour]) -> dict[str, Any]:
        return {"colour": job.request.colour}

    painted = lambda_handler(paint, Colour)
    uri = put("")
    assert painted({"input": uri}, context)["colour"] == "blue"
    assert painted({"input": uri, "colour": "RED"}, context)["colour"] == "red"
    refused = painted({"input": uri, "color": "red"}, context)
    assert (refused["errorType"], "'colour'" in refused["errorMessage"]) == ("EventError", True)


def test_a_function_has_required_keys_of_its_own(out: Path, put: Put, context: Any) -> None:
    @dataclass(frozen=True)
    class Colour(Request):
        colour: str = field(kw_only=True, metadata={"check": str.lower})

    def paint(job: Job[Colour]) -> dict[str, Any]:
        return {"colour": job.request.colour}

    painted = lambda_handler(paint, Colour)
    assert painted({"input": put(""), "colour": "RED"}, context)["colour"] == "red"
    refused = painted({"input": put("")}, context)
    assert (refused["errorType"], "'colour' is missing" in refused["errorMessage"]) == ("EventError", True)


# A permanent failure is a result


def test_a_permanent_failure_is_recorded_and_returned(
    handler: Handler, out: Path, put: Put, context: Any, logged: Logged, path_of: PathOf
) -> None:
    uri = put("NotFitsError no stars here", "bad #1.txt")
    answer = handler({"input": uri, "run": "night"}, context)
    record = out / "night" / "failures" / f"{key_of(uri)}.json"
    assert answer == {
        "input": uri,
        "errorType": "NotFitsError",
        "errorMessage": "no stars here",
        "cure": "never",
        "permanent": True,
        "record": answer["record"],
    }
    assert path_of(answer["record"]) == record
    assert [path for path in out.rglob("*") if path.is_file()] == [record], "and nothing else is written"
    document = json.loads(record.read_text())
    assert document["requestPayload"] == {"input": uri, "run": "night"}
    told = document["responsePayload"]
    assert told == {key: answer[key] for key in ("errorType", "errorMessage", "cure", "permanent")}
    asked = document["requestContext"]
    assert (asked["requestId"], asked["functionArn"]) == ("abc", context.invoked_function_arn)
    (line,) = logged()
    assert line == {
        "level": "ERROR",
        "requestId": "abc",
        "event": {"input": uri, "run": "night"},
        **{key: answer[key] for key in ("errorType", "errorMessage", "cure", "permanent", "record")},
    }


@pytest.mark.parametrize("error", ["OutOfMemoryError", "MemoryError"])
def test_want_of_memory_is_recorded_for_a_larger_function(
    handler: Handler, out: Path, put: Put, context: Any, path_of: PathOf, error: str
) -> None:
    answer = handler({"input": put(f"{error} 4 GB")}, context)
    assert (answer["errorType"], answer["cure"], answer["permanent"]) == (error, "larger", True)
    document = json.loads(path_of(answer["record"]).read_text())
    assert document["responsePayload"]["cure"] == "larger"


def test_an_error_of_the_functions_own_is_permanent_too(
    handler: Handler, out: Path, put: Put, context: Any
) -> None:
    assert handler({"input": put("StarlessError")}, context)["errorType"] == "StarlessError"


@pytest.mark.parametrize(
    "more", [{"config": {}}, {"access": "public"}, {"Run": "x"}, {("a", "b"): 1}, {"config": {1, 2}}]
)
def test_a_wrong_key_beside_a_valid_input_is_the_inputs_failure(
    handler: Handler, out: Path, put: Put, context: Any, more: dict[Any, Any]
) -> None:
    answer = handler({"input": put("fine"), "run": "night", **more}, context)
    assert (answer["errorType"], answer["permanent"]) == ("EventError", True)
    assert len(list((out / "night/failures").rglob("*.json"))) == 1


@pytest.mark.parametrize(
    "event",
    [
        None,
        [1],
        {},
        {"input": 5},
        {"input": {1, 2}},
        {"input": "s3://b"},
        {"input": "s3://b/k", "run": "a/b"},
    ],
)
def test_without_a_place_for_a_record_the_error_is_raised(
    handler: Handler, out: Path, context: Any, logged: Logged, event: Any
) -> None:
    with pytest.raises(errors.EventError):
        handler(event, context)
    (line,) = logged()
    assert (line["level"], line["errorType"], line["permanent"]) == ("ERROR", "EventError", True)
    assert not out.exists()


def test_a_function_without_records_raises(
    handler: Handler, out: Path, put: Put, context: Any, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SKYFAN_FAILURES")
    with pytest.raises(errors.NotFitsError):
        handler({"input": put("NotFitsError")}, context)
    assert "record" not in logged()[0]
    assert not out.exists()


def test_a_failure_that_may_pass_is_raised(
    handler: Handler, out: Path, put: Put, context: Any, logged: Logged
) -> None:
    with pytest.raises(errors.StorageError):
        handler({"input": put("StorageError reset")}, context)
    (line,) = logged()
    assert (line["errorType"], line["permanent"]) == ("StorageError", False)
    assert not out.exists()


def test_an_unforeseen_error_is_raised(handler: Handler, out: Path, put: Put, context: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        handler({"input": put("bug")}, context)
    assert not out.exists()


def test_a_record_that_cannot_be_written_is_raised(
    handler: Handler, out: Path, put: Put, context: Any, logged: Logged
) -> None:
    """Lambda then retries, and writes a record of its own."""
    out.parent.mkdir()
    out.touch()
    with pytest.raises(errors.StorageError):
        handler({"input": put("NotFitsError")}, context)
    assert [line["errorType"] for line in logged()] == ["NotFitsError"], "what happened is in the log"


@pytest.mark.parametrize("place", ["failures/{run}/{key}", "s3://b/{run}", "file:///{key}"])
def test_a_wrong_place_for_records_is_told_before_the_work(
    handler: Handler, out: Path, put: Put, context: Any, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("SKYFAN_FAILURES", place)
    with pytest.raises(errors.ConfigurationError, match="SKYFAN_FAILURES"):
        handler({"input": put("fine")}, context)
    assert not out.exists()


def test_a_failure_leaves_an_older_result_alone(
    handler: Handler, out: Path, put: Put, context: Any, path_of: PathOf
) -> None:
    """Whether the result or the failure counts is for its reader: both say when and of what they are."""
    first = handler({"input": put("fine")}, context)
    body = path_of(first["output"]).read_bytes()
    assert handler({"input": put("NotFitsError")}, context)["permanent"]
    assert path_of(first["output"]).read_bytes() == body


@pytest.mark.parametrize(
    "context", [None, object(), types.SimpleNamespace(memory_limit_in_mb=2048), {"memory": 1}]
)
def test_the_context_may_be_anything(handler: Handler, out: Path, put: Put, context: Any) -> None:
    assert handler({"input": put("fine")}, context)["memory"] in (None, 2048 << 20)
    assert handler({"input": put("NotFitsError")}, context)["errorType"] == "NotFitsError"


def test_a_result_that_is_no_json_is_an_error(out: Path, put: Put, context: Any) -> None:
    def process(job: Job[Request]) -> dict[str, Any]:
        return {"path": Path("/x")}

    with pytest.raises(TypeError, match="not JSON serializable"):
        lambda_handler(process)({"input": put("")}, context)
    assert not out.exists()
