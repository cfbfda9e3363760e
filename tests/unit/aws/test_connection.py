"""HTTP as far as Invoke needs it, however the bytes arrive; the ways to Lambda, through a proxy or not."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from contextlib import nullcontext, suppress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyfan import network
from skyfan.aws import connection as connections
from skyfan.aws.connection import (
    BrokenError,
    Connection,
    Endpoint,
    NotSentError,
    RefusedError,
    Response,
    _check,
    _parse,
)
from skyfan.network import Proxy

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
def test_a_response_is_complete_or_waited_for(data: bytes, whole: Response, keep: bool) -> None:
    assert _parse(data, closed=False) == (whole, keep)
    assert all(_parse(data[:end], closed=False)[0] is None for end in range(len(data)))


def test_without_a_length_the_end_of_the_connection_ends_the_body() -> None:
    data = b"HTTP/1.0 502 Bad\r\n\r\npart"
    assert _parse(data, closed=False) == (None, False)
    assert _parse(data, closed=True) == (Response(502, {}, b"part"), False)


def test_a_chunk_without_a_size_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        _parse(b"HTTP/1.1 200 Oh\r\nTransfer-Encoding: chunked\r\n\r\n\r\nabc\r\n", closed=False)


@given(st.binary(max_size=60).filter(lambda data: b"\r\n\r\n" in data + b"\r\n\r\n"))
def test_other_data_is_a_value_error(data: bytes) -> None:
    with suppress(ValueError):
        _parse(data + b"\r\n\r\n", closed=False)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        *((status, None) for status in (200, 299)),
        *((status, RefusedError) for status in (199, 300, 403, 407, 428, 430, 499)),
        *((status, ConnectionError) for status in (429, 500, 502)),
    ],
)
@pytest.mark.parametrize("user", ["", "somebody"])
def test_what_a_proxy_says_is_final_or_may_pass(
    status: int, error: type[Exception] | None, user: str
) -> None:
    proxy = SimpleNamespace(scheme="http", host="proxy", port=3128, user=user, variable="HTTPS_PROXY")
    with nullcontext() if error is None else pytest.raises(error) as caught:
        _check(proxy, status)  # type: ignore[arg-type]
    if caught is not None and error is ConnectionError:
        assert not isinstance(caught.value, RefusedError)
    if status == 407:
        assert ("user and a password" in str(caught.value)) == (not user)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://lambda.us-east-1.amazonaws.com", "lambda.us-east-1.amazonaws.com"),
        ("http://127.0.0.1:9001/", "127.0.0.1:9001"),
    ],
)
def test_the_host_header_has_the_port_of_the_url(url: str, host: str) -> None:
    assert Endpoint(url, "us-east-1").host == host


REQUEST = b"POST /2015-03-31/functions/F/invocations HTTP/1.1\r\nhost: x\r\nContent-Length: 2\r\n\r\n{}"
ANSWER = Response(202, {"x-amzn-requestid": "a-b", "content-length": "0"}, b"")
HTTP, HTTPS = "http://lambda.test:9001", "https://lambda.test"
TLS: Any = SimpleNamespace(name="trusted certificates")
PROXY = Proxy("http", "proxy", 3128, "", "HTTPS_PROXY")
OK = b"HTTP/1.1 200 Connection established\r\nVia: me\r\n\r\n"


class Transport:
    """One TCP connection: `answers` are the pieces that come back for each write, None closes it."""

    def __init__(self, protocol: Any, answers: list[Any]) -> None:
        self.protocol, self.answers = protocol, answers
        self.written: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written.append(data)
        for piece in self.answers.pop(0) if self.answers else ():
            asyncio.get_running_loop().call_soon(self._receive, piece)

    def _receive(self, piece: bytes | Exception | None) -> None:
        if isinstance(piece, bytes):
            self.protocol.data_received(piece)
        else:
            self.protocol.connection_lost(piece)

    def abort(self) -> None:
        if not self.aborted:
            self.aborted = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)


class Network:
    """Opens connections in this process, and notes to where and with which certificates."""

    def __init__(self, *answers: list[Any]) -> None:
        """`answers` are those of each connection to each of its writes; or an error, or seconds to wait."""
        self.answers = list(answers)
        self.opened: list[tuple[str, int, Any]] = []
        self.upgraded: list[tuple[Any, Any, str]] = []
        self.transports: list[Transport] = []

    async def create_connection(self, factory: Any, host: str, port: int, *, ssl: Any) -> tuple[Any, Any]:
        self.opened.append((host, port, ssl))
        answers = self.answers.pop(0)
        if isinstance(answers, Exception):
            raise answers
        if isinstance(answers, float):
            await asyncio.sleep(answers)
            answers = []
        protocol = factory()
        transport = Transport(protocol, answers)
        self.transports.append(transport)
        protocol.connection_made(transport)
        return transport, protocol

    async def start_tls(self, transport: Transport, protocol: Any, tls: Any, *, server_hostname: str) -> Any:
        self.upgraded.append((transport, tls, server_hostname))
        inner = Transport(protocol, transport.answers)
        if inner.answers and isinstance(inner.answers[0], Exception):
            raise inner.answers.pop(0)
        self.transports.append(inner)
        return inner

    def use(
        self, clock: Any, endpoint: Endpoint, work: Callable[[Connection], Coroutine[Any, Any, Any]]
    ) -> Any:
        async def run() -> Any:
            loop: Any = asyncio.get_running_loop()
            loop.create_connection, loop.start_tls = self.create_connection, self.start_tls
            connection = Connection(endpoint)
            try:
                return await work(connection)
            finally:
                connection.close()
                await asyncio.sleep(0)

        return clock.run(run())

    def post(self, clock: Any, endpoint: Endpoint, number: int = 1) -> Any:
        """The response to the last of so many requests, one after the other."""

        async def work(connection: Connection) -> Response:
            for _ in range(number):
                response = await connection.post(REQUEST, 30.0)
            return response

        return self.use(clock, endpoint, work)


def at(url: str, proxy: Proxy | None = None) -> Endpoint:
    return Endpoint(url, "us-east-1", TLS, proxy)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (HTTP, ("lambda.test", 9001, None)),
        ("http://lambda.test", ("lambda.test", 80, None)),
        (HTTPS, ("lambda.test", 443, TLS)),
        ("https://lambda.test:8443", ("lambda.test", 8443, TLS)),
    ],
)
def test_without_a_proxy_it_connects_to_the_endpoint(clock: Any, url: str, place: tuple[Any, ...]) -> None:
    net = Network([[PLAIN], [PLAIN]])
    assert net.post(clock, at(url), 2) == ANSWER
    assert net.opened == [place], "one connection for both requests"
    assert net.transports[0].written == [REQUEST, REQUEST]
    assert net.transports[0].aborted, "closed at the end"


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("user", ["", "anna:s%25t"])
def test_plain_http_goes_to_the_proxy_with_the_whole_url(clock: Any, scheme: str, user: str) -> None:
    net = Network([[PLAIN]])
    assert net.post(clock, at(f"{HTTP}/", Proxy(scheme, "proxy", 3128, user, "HTTP_PROXY"))) == ANSWER
    assert net.opened == [("proxy", 3128, TLS if scheme == "https" else None)]
    first, *rest = net.transports[0].written[0].split(b"\r\n")
    assert first == b"POST http://lambda.test:9001/2015-03-31/functions/F/invocations HTTP/1.1"
    login = [b"Proxy-Authorization: Basic YW5uYTpzJXQ="] if user else []
    assert rest == [*login, *REQUEST.split(b"\r\n")[1:]]


def test_a_proxy_that_wants_another_user_is_final_and_other_answers_are_lambdas(clock: Any) -> None:
    refusal = b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(RefusedError, match="407"):
        Network([[refusal]]).post(clock, at(HTTP, PROXY))
    assert Network([[refusal]]).post(clock, at(HTTP)).status == 407
    assert Network([[BODY]]).post(clock, at(HTTP, PROXY)).status == 404


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("user", ["", "anna:s%25t"])
@pytest.mark.parametrize("pieces", [[OK], [OK[:9], OK[9:-1], OK[-1:]]])
def test_tls_goes_through_a_tunnel(clock: Any, scheme: str, user: str, pieces: list[bytes]) -> None:
    net = Network([pieces, [PLAIN], [PLAIN]])
    assert net.post(clock, at(HTTPS, Proxy(scheme, "proxy", 3128, user, "HTTPS_PROXY")), 2) == ANSWER
    assert net.opened == [("proxy", 3128, TLS if scheme == "https" else None)]
    tunnel, wire = net.transports
    login = b"Proxy-Authorization: Basic YW5uYTpzJXQ=\r\n" if user else b""
    host = b"lambda.test:443"
    assert tunnel.written == [b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (host, host, login)]
    assert net.upgraded == [(tunnel, TLS, "lambda.test")]
    assert wire.written == [REQUEST, REQUEST], "no proxy sees it"


@pytest.mark.parametrize(
    ("pieces", "error", "match"),
    [
        ([b"HTTP/1.1 407 No\r\n\r\n"], RefusedError, "407"),
        ([b"HTTP/1.1 403 No\r\n\r\n"], RefusedError, "403"),
        ([b"HTTP/1.1 503 No\r\n\r\n"], NotSentError, "503"),
        ([b"SSH-2.0\r\n\r\n"], NotSentError, "not HTTP"),
        ([b"HTTP/1.1 200", None], NotSentError, "it closed the connection"),
        ([ConnectionResetError("reset by peer")], NotSentError, "reset by peer"),
        ([OK, None], NotSentError, "no tunnel"),
    ],
)
def test_a_tunnel_that_is_not_opened_sends_nothing(
    clock: Any, pieces: list[Any], error: type[Exception], match: str
) -> None:
    net = Network([pieces, OSError("no tunnel")])
    with pytest.raises(error, match=match) as caught:
        net.post(clock, at(HTTPS, PROXY))
    assert "proxy http://proxy:3128" in str(caught.value)
    assert net.transports[0].aborted, "it is not left open"
    assert isinstance(caught.value, RefusedError) == (error is RefusedError)


@pytest.mark.parametrize("proxy", [None, PROXY])
def test_a_certificate_that_is_not_trusted_is_final_and_named(clock: Any, proxy: Proxy | None) -> None:
    error = ssl.SSLCertVerificationError("no")
    error.verify_message = "self-signed certificate"
    net = Network([[OK], error] if proxy else error)
    with pytest.raises(RefusedError, match="self-signed certificate") as caught:
        net.post(clock, at(HTTPS, proxy))
    assert HTTPS in str(caught.value)
    assert ("proxy http" in str(caught.value)) == (proxy is not None)
    assert network.UNTRUSTED in str(caught.value)


@pytest.mark.parametrize("proxy", [None, PROXY])
def test_where_nobody_answers_in_ten_seconds_nothing_was_sent(clock: Any, proxy: Proxy | None) -> None:
    with pytest.raises(NotSentError, match="no connection in time") as caught:
        Network(1e3).post(clock, at(HTTP, proxy))
    assert str(proxy or HTTP) in str(caught.value)
    assert clock.now == pytest.approx(10.0)
    with pytest.raises(NotSentError, match="refused"):
        Network(ConnectionRefusedError("refused")).post(clock, at(HTTP, proxy))


@pytest.mark.parametrize("end", [None, ConnectionResetError("reset by peer")])
@pytest.mark.parametrize(
    "begun", [b"", PLAIN[:-2], b"HTTP/1.1 200 Oh\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"]
)
def test_a_response_that_breaks_off_may_be_an_acceptance(clock: Any, begun: bytes, end: Any) -> None:
    net = Network([[begun, end]], [[PLAIN]])

    async def work(connection: Connection) -> Response:
        with pytest.raises(BrokenError) as caught:
            await connection.post(REQUEST, 30.0)
        if begun != b"" and b"chunked" not in begun:
            assert ("reset by peer" if end else "the connection was closed") in str(caught.value)
        return await connection.post(REQUEST, 30.0)

    assert net.use(clock, at(HTTP), work) == ANSWER, "over a new connection"
    assert len(net.opened) == 2


def test_the_end_of_the_connection_may_end_the_response(clock: Any) -> None:
    whole = b"HTTP/1.1 502 Oh\r\n\r\na page"
    net = Network([[whole, None]], [[PLAIN]])
    assert net.post(clock, at(HTTP), 2) == ANSWER
    assert Network([[whole, None]]).post(clock, at(HTTP)) == Response(502, {}, b"a page")


def test_a_connection_that_lambda_closes_is_opened_again(clock: Any) -> None:
    closing = PLAIN.replace(b"Content-Length", b"Connection: close\r\nContent-Length")
    net = Network([[closing]], [[PLAIN, None]], [[PLAIN]])
    assert net.post(clock, at(HTTP), 3) == ANSWER
    assert len(net.opened) == 3


def test_a_request_times_out_when_it_is_checked(clock: Any) -> None:
    net = Network([[], [PLAIN]], [[PLAIN]])

    async def work(connection: Connection) -> Response:
        connection.check_timeout(1e9)  # nothing is open
        waiting = asyncio.create_task(connection.post(REQUEST, 30.0))
        await asyncio.sleep(5.0)
        connection.check_timeout(30.0)
        await asyncio.sleep(0.0)
        assert not waiting.done()
        connection.check_timeout(30.1)
        with pytest.raises(BrokenError, match="no response in time"):
            await waiting
        response = await connection.post(REQUEST, 30.0)
        connection.check_timeout(1e9)  # no request is under way
        return response

    assert net.use(clock, at(HTTP), work) == ANSWER
    assert len(net.opened) == 2


def test_a_request_that_is_cancelled_closes_its_connection(clock: Any) -> None:
    net = Network([[]], [[PLAIN]])

    async def work(connection: Connection) -> Response:
        waiting = asyncio.create_task(connection.post(REQUEST, 30.0))
        await asyncio.sleep(1.0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert net.transports[0].aborted
        return await connection.post(REQUEST, 30.0)

    assert net.use(clock, at(HTTP), work) == ANSWER


@pytest.mark.parametrize("surplus", [PLAIN, b"x"])
def test_data_that_nobody_asked_for_closes_it(clock: Any, surplus: bytes) -> None:
    net = Network([[PLAIN, surplus]], [[PLAIN]])

    async def work(connection: Connection) -> Response:
        await connection.post(REQUEST, 30.0)
        await asyncio.sleep(0.1)
        assert net.transports[0].aborted
        return await connection.post(REQUEST, 30.0)

    assert net.use(clock, at(HTTP), work) == ANSWER


def test_data_before_a_request_closes_it(clock: Any) -> None:
    net = Network([[PLAIN]])

    async def work(connection: Connection) -> None:
        wire = await connections._connect(at(HTTP))
        wire.data_received(b"x")
        assert wire.closed
        wire.connection_lost(None)  # nothing waits for a response

    net.use(clock, at(HTTP), work)


def test_an_answer_that_is_not_http_breaks_it(clock: Any) -> None:
    net = Network([[b"SSH-2.0\r\n\r\n"]])
    with pytest.raises(BrokenError, match="not HTTP"):
        net.post(clock, at(HTTP))
    assert net.transports[0].aborted


def test_the_endpoint_is_boto3s_with_its_certificates_and_proxy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    read: list[Any] = []
    monkeypatch.setattr(connections, "tls", lambda path: read.append(path) or TLS)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    found = connections.endpoint()
    assert (found.url, found.region, found.proxy) == (
        "https://lambda.eu-west-1.amazonaws.com",
        "eu-west-1",
        None,
    )
    assert found.tls is TLS
    assert read[-1].name == "cacert.pem", "botocore's own"
    (tmp_path / "ca.pem").write_text("")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    found = connections.endpoint()
    assert found.proxy == PROXY
    assert read[-1] == tmp_path / "ca.pem"
