"""Failure records of Lambda, of batches and of the local engine, and damaged ones."""

import json

import pytest

from skyfan.runs import failures
from skyfan_function import errors
from skyfan_function.failures import described

from .conftest import Handmade, document


def parsed(**more: object) -> failures.Failure:
    body = json.dumps(document("s3://b/k", request="id", time=1.5, **more)).encode()  # type: ignore[arg-type]
    return failures.parse("key", body).failure


def test_lambdas_record_is_read() -> None:
    record = failures.parse(
        "k", json.dumps(document("s3://b/1", "s3://b/2", request="id", time=1.5)).encode()
    )
    assert (record.inputs, record.run) == (("s3://b/1", "s3://b/2"), "r")
    failure = record.failure
    assert (failure.record, failure.request_id, failure.function, failure.time) == (
        "k",
        "id",
        "skyfan-SepExtract",
        1500,
    )
    assert (failure.error_type, failure.message, failure.condition) == (
        "StorageError",
        "it broke",
        "RetriesExhausted",
    )


def test_the_condition_is_the_type_of_a_record_without_a_response() -> None:
    failure = parsed(error="", condition="EventAgeExceeded")
    assert (failure.error_type, failure.never_ran, failure.is_permanent) == ("EventAgeExceeded", True, False)
    assert "event age" in failure.message


@pytest.mark.parametrize(
    ("error", "message", "exhausted", "permanent"),
    [
        ("Runtime.OutOfMemory", "Runtime exited", True, False),
        ("Sandbox.Timedout", "Task timed out after 300.00 seconds", True, False),
        ("Runtime.ExitError", "RequestId: 1 Error: Runtime exited with error: signal: killed", True, False),
        ("Unknown", "2026-11-22T10:00:00Z 1 Task timed out after 3.00 seconds", True, False),
        ("ImageTooLargeError", "needs 4 GB", True, False),
        ("MemoryError", "", True, False),
        ("EventError", "no 'input'", False, True),
        ("ConfigurationError", "SKYFAN_FAILURES is not set", False, True),
        ("StorageError", "reset", False, None),
        ("KeyError", "'SCI'", False, None),
    ],
)
def test_the_cure_of_records_that_name_none(
    error: str, message: str, exhausted: bool, permanent: bool | None
) -> None:
    failure = parsed(error=error, message=message)
    assert (failure.is_exhausted, failure.is_permanent) == (exhausted, permanent)


def test_records_that_say_only_whether_the_error_is_permanent() -> None:
    record = document("s3://b/k", request="id", time=1.5, error="PixelError")
    for reported in (True, False):
        record["responsePayload"]["permanent"] = reported
        assert failures.parse("k", json.dumps(record).encode()).failure.is_permanent is reported
    record["responsePayload"] |= {"errorType": "ImageTooLargeError", "permanent": True}
    assert failures.parse("k", json.dumps(record).encode()).failure.is_exhausted


@pytest.mark.parametrize("cure", failures.CURES)
@pytest.mark.parametrize("error", ["PixelError", "Runtime.OutOfMemory", "EventError"])
def test_a_cure_in_the_record_decides(error: str, cure: str) -> None:
    failure = parsed(error=error, message="signal: killed", cure=cure)
    assert failure.cure == cure
    assert (failure.is_exhausted, failure.is_permanent) == (cure == "larger", cure == "never")


@pytest.mark.parametrize("wrong", ["often", 3, ["never"], {}])
def test_a_cure_that_is_none_says_nothing(wrong: object) -> None:
    assert failures.cure_of({"errorType": "PixelError", "errorMessage": "", "cure": wrong}) is None


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (errors.NotFitsError("no FITS"), "never"),
        (errors.OutOfMemoryError("4 GB"), "larger"),
        (errors.StorageError("reset"), "retry"),
        (MemoryError(), "larger"),
        (KeyError("SCI"), "retry"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_invoker_reads_the_cure_that_the_function_wrote(error: Exception, cure: str) -> None:
    report = described(error)
    assert (report["cure"], failures.cure_of(report)) == (cure, cure)
    assert report["permanent"] == (cure != "retry")


@pytest.mark.parametrize(
    ("payload", "error", "message", "cure"),
    [
        ("2026-11-20 id Task timed out after 3.00 seconds", "Unhandled", "timed out after 3.00", "larger"),
        ("RequestId: id Error: signal: killed\nRuntime.ExitError", "Runtime.ExitError", "killed", "larger"),
        ('{"errorType": "PixelError", "errorMessage": "NaN"}', "PixelError", "NaN", None),
        ("", "Unhandled", "RetriesExhausted", None),
        (None, "Unhandled", "Unhandled", None),
    ],
)
def test_a_response_that_is_text_or_null_keeps_what_it_says(
    payload: str | None, error: str, message: str, cure: str | None
) -> None:
    record = document("s3://b/k", request="id", time=1.5)
    record |= {"responsePayload": payload, "responseContext": {"functionError": "Unhandled"}}
    record["requestContext"]["condition"] = "RetriesExhausted"
    failure = failures.parse("k", json.dumps(record).encode()).failure
    assert (failure.error_type, failure.cure, failure.never_ran) == (error, cure, False)
    assert message in failure.message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"text"', b"[" * 200_000])
def test_a_body_that_is_no_record_is_a_failure_of_its_own_type(body: bytes) -> None:
    record = failures.parse("k", body, modified=7.0)
    assert (record.failure.error_type, record.failure.time, record.inputs) == ("UnreadableRecord", 7000, ())


@pytest.mark.parametrize(
    "wrong",
    [
        {"requestContext": None},
        {"requestPayload": "text"},
        {"responsePayload": ["list"]},
        {"timestamp": "yesterday"},
        {"requestPayload": {"inputs": 3}},
        {"responsePayload": "[" * 100_000},
    ],
)
def test_a_record_with_a_wrong_field_is_still_read(wrong: dict[str, object]) -> None:
    record = {**document("s3://b/k", request="id", time=1.5), **wrong}
    parsed_record = failures.parse("k", json.dumps(record).encode(), modified=7.0)
    assert parsed_record.run == ("r" if "requestPayload" not in wrong else "default")


def test_a_message_has_at_most_500_characters_and_a_function_its_deployed_name() -> None:
    failure = parsed(message="x" * 600)
    assert (len(failure.message), failure.function) == (500, "skyfan-SepExtract")
    body = {**document("s3://b/k", request="id", time=1.5), "requestContext": {"functionArn": "just-a-name"}}
    assert failures.parse("k", json.dumps(body).encode()).failure.function == "just-a-name"


def test_a_time_without_zone_is_utc_and_a_missing_one_that_of_the_object() -> None:
    record = document("s3://b/k", request="id", time=1.5)
    for text, expected in (("1970-01-01T00:00:02.345", 2345), ("1970-01-01T01:00:00+01:00", 0), (None, 7250)):
        body = json.dumps({**record, "timestamp": text}).encode()
        assert failures.parse("k", body, modified=7.25).failure.time == expected


def test_lambdas_records_are_listed_from_the_day_on(handmade: Handmade) -> None:
    day = 1_700_000_000 // 86400 * 86400
    keys = [handmade.record("s3://b/k", request="r", time=day + seconds) for seconds in (-1, 0, 86399, 86400)]
    handmade.lambdas.put("aws/lambda/async/another/2999/01/01/x", b"{}")
    for since in (day, day + 86399):
        found = failures.list_lambda(handmade.lambdas, ["skyfan-SepExtract"], since)
        assert sorted(item.key for item in found) == keys[1:]


def test_what_is_known_of_a_group_follows_from_its_cure() -> None:
    for cure, permanent, exhausted in ((None, None, False), ("never", True, False), ("larger", False, True)):
        group = failures.FailureGroup("E", 2, "s3://b/k", "m", "s3://f/r", cure)
        assert (group.permanent, group.exhausted) == (permanent, exhausted)
        assert (group.document()["permanent"], group.document()["exhausted"]) == (permanent, exhausted)
    for error, cancelled in (("RunCancelledError", True), ("StorageError", False)):
        assert parsed(error=error).is_cancelled is cancelled
    assert parsed(error="", condition="ZeroReservedConcurrency").is_cancelled
