"""Failure records as Lambda, a batch and the local engine write them, and as nobody should."""

import json

import pytest

from fits_summary import errors as summary_errors
from sep_extract import errors
from skyfan.runs import failures

from .conftest import document


def parsed(**more: object) -> failures.Failure:
    body = json.dumps(document("s3://b/k", request="id", time=1.5, **more)).encode()  # type: ignore[arg-type]
    return failures.parse("key", body).failure


def test_lambdas_record_is_read() -> None:
    record = failures.parse(
        "k", json.dumps(document("s3://b/1", "s3://b/2", request="id", time=1.5)).encode()
    )
    assert (record.inputs, record.run) == (("s3://b/1", "s3://b/2"), "r")
    told = record.failure
    assert (told.record, told.request_id, told.function, told.time) == ("k", "id", "skyfan-SepExtract", 1500)
    assert (told.error_type, told.message, told.condition) == ("StorageError", "it broke", "RetriesExhausted")


def test_a_record_without_an_answer_is_named_by_its_condition() -> None:
    told = parsed(error="", condition="EventAgeExceeded")
    assert (told.error_type, told.never_ran, told.is_permanent) == ("EventAgeExceeded", True, False)
    assert "longer than the maximum event age" in told.message


@pytest.mark.parametrize(
    ("error", "message", "exhausted", "permanent"),
    [
        ("Runtime.OutOfMemory", "Runtime exited", True, False),
        ("Sandbox.Timedout", "Task timed out after 300.00 seconds", True, False),
        ("Runtime.ExitError", "RequestId: 1 Error: Runtime exited with error: signal: killed", True, False),
        ("Unknown", "2026-11-22T10:00:00Z 1 Task timed out after 3.00 seconds", True, False),
        ("ImageTooLargeError", "needs 4 GB", True, False),
        ("MemoryError", "", True, False),
        ("NotFitsError", "no FITS", False, True),
        ("StorageError", "reset", False, None),
        ("KeyError", "'SCI'", False, None),
    ],
)
def test_what_a_retry_can_mend(error: str, message: str, exhausted: bool, permanent: bool | None) -> None:
    told = parsed(error=error, message=message)
    assert (told.is_exhausted, told.is_permanent) == (exhausted, permanent)


def test_what_the_function_says_of_itself_counts() -> None:
    made = document("s3://b/k", request="id", time=1.5, error="PixelError")
    for said in (True, False):
        made["responsePayload"]["permanent"] = said
        assert failures.parse("k", json.dumps(made).encode()).failure.is_permanent is said


def test_permanent_errors_are_those_of_the_functions() -> None:
    kinds = {
        kind
        for module in (errors, summary_errors)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }
    told = {kind.__name__ for kind in kinds if getattr(kind, "permanent", False)}
    bases = {"SepExtractError", "SummaryError"}  # never raised themselves
    assert told - failures.EXHAUSTED - bases == failures.PERMANENT


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"text"'])
def test_what_is_no_record_is_a_failure_of_its_own_kind(body: bytes) -> None:
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
    ],
)
def test_a_record_with_a_part_that_is_wrong_is_still_read(wrong: dict[str, object]) -> None:
    made = {**document("s3://b/k", request="id", time=1.5), **wrong}
    failures.parse("k", json.dumps(made).encode(), modified=7.0)
