"""What Lambda's answers mean."""

import pytest

from skyfan.aws import answers
from skyfan.aws.answers import Verdict
from skyfan.aws.calls import Call
from skyfan.aws.connection import Response


@pytest.mark.parametrize(
    ("status", "kind", "verdict"),
    [
        (202, "", Verdict.ACCEPTED),
        (429, "TooManyRequestsException", Verdict.THROTTLED),
        (400, "ThrottlingException", Verdict.THROTTLED),
        (403, "ExpiredTokenException:http://internal.amazon.com/", Verdict.EXPIRED),
        (403, "AccessDeniedException", Verdict.FATAL),
        (404, "ResourceNotFoundException", Verdict.FATAL),
        (413, "RequestTooLargeException", Verdict.FATAL),
        (200, "", Verdict.FATAL),
        (500, "ServiceException", Verdict.UNCERTAIN),
        (502, "", Verdict.UNCERTAIN),
        (408, "", Verdict.UNCERTAIN),
    ],
)
def test_each_answer_has_its_verdict(status: int, kind: str, verdict: Verdict) -> None:
    headers = {"x-amzn-errortype": kind} if kind else {}
    assert answers.verdict(Response(status, headers, b"")) is verdict


@pytest.mark.parametrize("key", ["__type", "Type"])
def test_the_type_may_be_in_the_body(key: str) -> None:
    body = f'{{"{key}": "com.amazon#ExpiredTokenException"}}'.encode()
    assert answers.verdict(Response(403, {}, body)) is Verdict.EXPIRED


@pytest.mark.parametrize("body", [b'{"Message": "no right"}', b'{"message": "no right"}', b"no right"])
def test_a_refusal_is_told_with_what_to_do(body: bytes) -> None:
    response = Response(403, {"x-amzn-errortype": "AccessDeniedException"}, body)
    told = answers.told(Call("skyfan-F", ("s3://b/k",), b"{}"), response)
    assert told.startswith("Lambda refused skyfan-F: AccessDeniedException: no right (")
    assert "lambda:InvokeFunction" in told


def test_a_body_that_is_no_object_is_told_as_it_is() -> None:
    assert "HTTP 418: [1]" in answers.told(Call("f", (), b""), Response(418, {}, b"[1]"))
