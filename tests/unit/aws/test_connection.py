"""HTTP as far as Invoke needs it, however the bytes come."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyfan.aws.connection import Response, _parse

PLAIN = b"HTTP/1.1 202 Accepted\r\nX-Amzn-RequestId: a-b\r\nContent-Length: 0\r\n\r\n"
BODY = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nConnection: close\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN


@pytest.mark.parametrize(
    ("data", "whole", "keep"),
    [
        (PLAIN, Response(202, {"x-amzn-requestid": "a-b", "content-length": "0"}, b""), True),
        (BODY, Response(404, {"content-length": "2", "connection": "close"}, b"{}"), False),
        (CHUNKED, Response(500, {"transfer-encoding": "chunked"}, b"abcde"), True),
        (CONTINUED, Response(202, {"x-amzn-requestid": "a-b", "content-length": "0"}, b""), True),
    ],
)
def test_an_answer_is_whole_or_waited_for(data: bytes, whole: Response, keep: bool) -> None:
    assert _parse(data, closed=False) == (whole, keep)
    assert all(_parse(data[:end], closed=False)[0] is None for end in range(len(data) - 2))


def test_without_a_length_the_end_of_the_connection_ends_the_body() -> None:
    data = b"HTTP/1.0 502 Bad\r\n\r\npart"
    assert _parse(data, closed=False) == (None, False)
    assert _parse(data, closed=True) == (Response(502, {}, b"part"), False)


@given(st.binary(max_size=60).filter(lambda data: b"\r\n\r\n" in data + b"\r\n\r\n"))
def test_what_is_no_http_is_an_error_of_one_kind(data: bytes) -> None:
    with suppress(ValueError):
        _parse(data + b"\r\n\r\n", closed=False)
