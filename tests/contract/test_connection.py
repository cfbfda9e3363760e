"""The connection to Lambda against endpoints that answer in pieces, late, wrongly or not at all."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from skyfan.aws.connection import BrokenError, Connection, Endpoint, NotSentError, Response

REQUEST = b"POST /path HTTP/1.1\r\nHost: lambda\r\nContent-Length: 2\r\n\r\n{}"
BODY = b'{"Message": "a body of more than sixteen bytes"}'
LENGTH = b"HTTP/1.1 202 Accepted\r\nX-Amzn-RequestId: id\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
CHUNKED = (
    b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"%x\r\n%s\r\n%X;note=1\r\n%s\r\n0\r\n\r\n" % (20, BODY[:20], len(BODY) - 20, BODY[20:])
)
TO_THE_END = b"HTTP/1.1 202 Accepted\r\n\r\n" + BODY
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH
CLOSING = LENGTH.replace(b"Content-Length", b"Connection: close\r\nContent-Length")


class Server:
    """Answers each request with the next pieces; a None among them closes the connection."""

    def __init__(self, *answers: list[bytes | None]) -> None:
        self.answers, self.connections, self.requests = list(answers), 0, 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n{}"):
                self.requests += 1
                for piece in self.answers.pop(0):
                    if piece is None:
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.001)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def use(server: Server, work: Callable[[Connection], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        connection = Connection(Endpoint(url, "us-east-1"))
        try:
            return await asyncio.wait_for(work(connection), 30)
        finally:
            connection.close()
            listening.close()

    return asyncio.run(run())


async def once(connection: Connection) -> Response:
    return await connection.post(REQUEST, 10.0)


async def twice(connection: Connection) -> list[Response]:
    return [await once(connection), await once(connection)]


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    "answer",
    [LENGTH, CHUNKED, TO_THE_END, CONTINUED, CLOSING],
    ids=["length", "chunked", "end", "100", "close"],
)
def test_a_response_in_any_pieces_is_one_response(answer: bytes, size: int) -> None:
    pieces: list[bytes | None] = [answer[at : at + size] for at in range(0, len(answer), size)]
    response = use(Server([*pieces, None] if answer is TO_THE_END else pieces), once)
    assert (response.status, response.body) == (202, BODY)


def test_header_names_are_in_lower_case_and_values_are_stripped() -> None:
    assert use(Server([LENGTH]), once).headers["x-amzn-requestid"] == "id"


@pytest.mark.parametrize(
    ("answer", "connections"),
    [(LENGTH, 1), (CHUNKED, 1), (CLOSING, 2), (LENGTH.replace(b"HTTP/1.1", b"HTTP/1.0"), 2)],
    ids=["length", "chunked", "close", "1.0"],
)
def test_a_connection_is_kept_where_the_response_allows_it(answer: bytes, connections: int) -> None:
    server = Server([answer], [answer])
    assert [response.body for response in use(server, twice)] == [BODY, BODY]
    assert (server.connections, server.requests) == (connections, 2)


@pytest.mark.parametrize(
    "pieces", [[None], [LENGTH[:-3], None], [b"SSH-2.0\r\n\r\n"], [LENGTH[:30], None], [CHUNKED[:-4], None]]
)
def test_a_response_that_breaks_off_or_is_not_http_may_have_been_accepted(pieces: list[bytes | None]) -> None:
    server = Server(pieces, [LENGTH])

    async def work(connection: Connection) -> Response:
        with pytest.raises(BrokenError):
            await once(connection)
        return await once(connection)

    assert use(server, work).status == 202, "over a new connection"
    assert server.connections == 2


def test_bytes_that_nobody_asked_for_close_the_connection() -> None:
    # The next response would otherwise be theirs.
    server = Server([LENGTH, LENGTH.replace(b"202 Accepted", b"500 Wrong")], [LENGTH])

    async def work(connection: Connection) -> Response:
        await once(connection)
        while not connection._wire or not connection._wire.closed:
            await asyncio.sleep(0.001)
        return await once(connection)

    assert use(server, work).status == 202
    assert server.connections == 2


def test_a_silent_endpoint_is_given_up_when_its_time_is_over() -> None:
    server = Server([], [LENGTH])

    async def work(connection: Connection) -> Response:
        now = asyncio.get_running_loop().time()
        waiting = asyncio.create_task(connection.post(REQUEST, 60.0))
        while not server.requests:
            await asyncio.sleep(0.001)
        connection.check_timeout(now + 59)
        await asyncio.sleep(0.01)
        assert not waiting.done()
        connection.check_timeout(now + 120)
        with pytest.raises(BrokenError, match="no response in time"):
            await waiting
        connection.check_timeout(now + 1e6)  # no request is under way
        return await once(connection)

    assert use(server, work).status == 202


def test_an_idle_connection_does_not_time_out() -> None:
    server = Server([LENGTH], [LENGTH])

    async def work(connection: Connection) -> None:
        connection.check_timeout(1e12)
        await once(connection)
        connection.check_timeout(1e12)
        await once(connection)

    use(server, work)
    assert server.connections == 1


def test_a_request_that_is_interrupted_leaves_no_connection_to_be_used_again() -> None:
    server = Server([], [LENGTH])

    async def work(connection: Connection) -> Response:
        waiting = asyncio.create_task(once(connection))
        while not server.requests:
            await asyncio.sleep(0.001)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return await once(connection)

    assert use(server, work).status == 202
    assert server.connections == 2


def test_where_nobody_listens_nothing_was_sent() -> None:
    async def run() -> None:
        await once(Connection(Endpoint("http://127.0.0.1:1", "us-east-1")))

    with pytest.raises(NotSentError, match=r"http://127\.0\.0\.1:1"):
        asyncio.run(run())
