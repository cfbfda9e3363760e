"""Files grouped into invocations, and the meaning of Lambda's responses."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyfan.aws import invocations
from skyfan.aws.connection import Response
from skyfan.aws.invocations import Verdict, calls
from skyfan.engine import AwsOptions, Call, File
from skyfan.errors import UsageError
from skyfan.task import MAX_EVENT, Task
from skyfan_contract import MAX_INPUTS

names = st.builds(
    File,
    st.text(min_size=1, max_size=20).map(lambda text: f"s3://b/{text}"),
    st.sampled_from("fg"),
    st.booleans(),
    st.none(),
)


@given(files=st.lists(names, max_size=60), batch=st.integers(1, 9))
def test_every_file_is_in_one_call_of_its_function(files: list[File], batch: int) -> None:
    made = list(calls(files, Task("r", config={"a": 1}), batch))
    sent = sorted((uri, call.function) for call in made for uri in call.uris)
    assert sent == sorted((file.uri, file.function) for file in files)
    single = []
    for call in made:
        event = json.loads(call.payload)
        if "input" in event:
            single.append(File(event["input"], call.function, True))
            assert "inputs" not in event
        assert event.get("inputs", [event.get("input")]) == list(call.uris)
        assert (event["run"], event["config"]) == ("r", {"a": 1})
        assert len(call.uris) <= batch
    alone = [file._replace(is_alone=True) for file in files if batch == 1 or file.is_alone]
    assert sorted(single) == sorted(alone), "they share no invocation, and in a batch of 1 all are alone"
    for function in "fg":
        batches = [call for call in made if call.function == function and b'"inputs"' in call.payload]
        assert all(len(call.uris) == batch for call in batches[:-1])


@pytest.mark.parametrize(("length", "expected"), [(85_321, [3, 3, 1]), (85_322, [2, 2, 2, 1])])
def test_a_batch_ends_before_its_event_costs_a_second_request(length: int, expected: list[int]) -> None:
    """Three of 85,321 bytes in quotes, two commas and {"inputs":[],"run":"default"} are 256,000 bytes."""
    files = [File(f"s3://b/{at}{'x' * (length - 8)}", "f") for at in range(7)]
    made = list(calls(files, Task(), 100))
    assert [len(call.uris) for call in made] == expected
    assert MAX_EVENT == 256_000
    assert max(len(call.payload) for call in made) <= MAX_EVENT
    assert [uri for call in made for uri in call.uris] == [file.uri for file in files]


@pytest.mark.parametrize("batch", [1, 5])
def test_a_file_whose_event_exceeds_the_limit_is_refused(batch: int) -> None:
    with pytest.raises(UsageError, match="at most 256000"):
        list(calls([File("s3://b/" + "x" * MAX_EVENT, "f")], Task(), batch))


@pytest.mark.parametrize(
    ("status", "kind", "verdict"),
    [
        (202, "", Verdict.ACCEPTED),
        (429, "TooManyRequestsException", Verdict.THROTTLED),
        (400, "ThrottlingException", Verdict.THROTTLED),
        (409, "ResourceConflictException", Verdict.NOT_READY),
        (409, "SnapStartNotReadyException", Verdict.NOT_READY),
        (403, "ExpiredTokenException:http://internal.amazon.com/", Verdict.EXPIRED),
        (403, "AccessDeniedException", Verdict.FATAL),
        (404, "ResourceNotFoundException", Verdict.FATAL),
        (413, "RequestTooLargeException", Verdict.FATAL),
        (200, "", Verdict.FATAL),
        (500, "ServiceException", Verdict.UNCERTAIN),
        (502, "", Verdict.UNCERTAIN),
        (502, "KMSAccessDeniedException", Verdict.FATAL),
        (502, "InvalidSubnetIDException", Verdict.FATAL),
        (502, "ENILimitReachedException", Verdict.THROTTLED),
        (502, "ResourceNotReadyException", Verdict.NOT_READY),
        (408, "", Verdict.UNCERTAIN),
    ],
)
def test_each_response_has_its_verdict(status: int, kind: str, verdict: Verdict) -> None:
    headers = {"x-amzn-errortype": kind} if kind else {}
    assert invocations.verdict(Response(status, headers, b"")) is verdict


@pytest.mark.parametrize("key", ["__type", "Type"])
def test_the_error_type_may_be_in_the_body(key: str) -> None:
    body = f'{{"{key}": "com.amazon#ExpiredTokenException"}}'.encode()
    assert invocations.verdict(Response(403, {}, body)) is Verdict.EXPIRED


@pytest.mark.parametrize("body", [b'{"Message": "no right"}', b'{"message": "no right"}', b"no right"])
def test_an_error_message_names_function_type_and_remedy(body: bytes) -> None:
    response = Response(403, {"x-amzn-errortype": "AccessDeniedException"}, body)
    message = invocations.error_message(Call("skyfan-F", ("s3://b/k",), b"{}"), response)
    for part in ("skyfan-F", "AccessDeniedException", "no right", "lambda:InvokeFunction"):
        assert part in message


def test_the_reason_of_a_throttle_is_told() -> None:
    reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
    body = json.dumps({"Reason": reason, "Type": "User", "message": "Rate Exceeded."}).encode()
    message = invocations.error_message(Call("f", (), b""), Response(429, {}, body))
    assert f"{reason}: Rate Exceeded." in message


def test_the_page_of_a_proxy_is_known_as_such() -> None:
    page = b"<html><head><TITLE>Access\n denied</TITLE></head>" + b"<p>blah" * 200
    message = invocations.error_message(Call("f", (), b""), Response(403, {}, page))
    assert "'Access denied'" in message
    assert "blah" not in message


def test_a_body_that_is_no_object_is_part_of_the_message() -> None:
    message = invocations.error_message(Call("f", (), b""), Response(418, {}, b"[1]"))
    assert "418" in message
    assert "[1]" in message


def test_the_sender_knows_the_bound() -> None:
    with pytest.raises(UsageError):
        AwsOptions(batch=MAX_INPUTS + 1)
    with pytest.raises(UsageError):
        next(calls([File("s3://b/k", "F")], Task(), MAX_INPUTS + 1))
