"""SepExtract's reads and writes over HTTP: a real S3 server behind a proxy that listens, and breaks it."""

import gzip
import http.client
import http.server
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import boto3
import numpy as np
import pytest
from astropy.io import fits
from standins import aws as stand_in_aws

from sep_extract.errors import AccessDeniedError, InputNotFoundError, StorageError, TruncatedError
from sep_extract.handler import handler
from sep_extract.storage import open_input, write

Handled = dict[str, Any]


class Seen(NamedTuple):
    command: str
    headers: Message


class Proxy:
    """Passes requests on to the S3 server and keeps them; ``spoil(handler, reply)`` may answer instead."""

    def __init__(self, upstream: str) -> None:
        self.seen: list[Seen] = []
        self.spoil: Callable[[Any, bytes], bool] | None = None
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                proxy.seen.append(Seen(self.command, self.headers))
                connection = http.client.HTTPConnection(upstream)
                connection.request(self.command, self.path, body, dict(self.headers))
                reply = connection.getresponse()
                content = reply.read()
                connection.close()
                if proxy.spoil and proxy.spoil(self, content):
                    return
                self.send_response_only(reply.status, reply.reason)
                for key, value in reply.getheaders():
                    if key.lower() not in {"connection", "transfer-encoding"}:
                        self.send_header(key, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def ranges(self) -> list[tuple[int, int]]:
        """First and last byte of each GET so far."""
        given = [seen.headers.get("range", "") for seen in self.seen if seen.command == "GET"]
        found = [re.fullmatch(r"bytes=(\d+)-(\d+)", value) for value in given]
        return [(int(m[1]), int(m[2])) for m in found if m]


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with stand_in_aws.moto() as url:
        yield url.removeprefix("http://")


@pytest.fixture(scope="module")
def s3(upstream: str) -> Iterator[Any]:
    """boto3's client of the server itself, with the buckets sky (public) and out."""
    client = boto3.Session("test", "test", region_name="us-east-1").client(
        "s3", endpoint_url=f"http://{upstream}"
    )
    client.create_bucket(Bucket="sky", ACL="public-read")
    client.create_bucket(Bucket="out")
    yield client
    client.close()


@pytest.fixture
def proxy(upstream: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with Proxy(upstream) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", running.url)
        yield running


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


def content(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


def get(uri: str, access: Any = "anonymous") -> bytes:
    with open_input(uri, access) as source:
        return source.file.read()


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_anonymous_requests_are_not_signed(s3: Any, proxy: Proxy, account: None) -> None:
    """Not even where there are credentials: the archive's bucket refuses those of other accounts."""
    s3.put_object(Bucket="sky", Key="a.fits", Body=b"light", ACL="public-read")
    assert get("s3://sky/a.fits") == b"light"
    assert [request.command for request in proxy.seen] == ["HEAD", "GET"]
    for request in proxy.seen:
        assert "authorization" not in request.headers
        assert "x-amz-request-payer" not in request.headers


def test_signed_requests_are_signed(s3: Any, proxy: Proxy, account: None) -> None:
    s3.put_object(Bucket="sky", Key="private.fits", Body=b"light", ACL="private")
    assert get("s3://sky/private.fits", "signed") == b"light"
    for request in proxy.seen:
        assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIATEST/")
        assert "x-amz-request-payer" not in request.headers


def test_the_requester_pays_when_told_to(s3: Any, proxy: Proxy, account: None) -> None:
    s3.put_object(Bucket="sky", Key="paid.fits", Body=b"light", ACL="private")
    assert get("s3://sky/paid.fits", "requester-pays") == b"light"
    assert {request.command for request in proxy.seen} == {"HEAD", "GET"}
    for request in proxy.seen:
        assert request.headers["x-amz-request-payer"] == "requester"
        assert "authorization" in request.headers


def test_signing_without_credentials(s3: Any, proxy: Proxy) -> None:
    s3.put_object(Bucket="sky", Key="a.fits", Body=b"light")
    with pytest.raises(AccessDeniedError, match="no AWS credentials: set AWS_ACCESS_KEY_ID"):
        get("s3://sky/a.fits", "signed")


@pytest.mark.parametrize("uri", ["s3://sky/nil.fits", "s3://no-such-bucket/a.fits"])
def test_what_is_not_there(s3: Any, proxy: Proxy, account: None, uri: str) -> None:
    with pytest.raises(InputNotFoundError, match=f"{uri}: no such object"):
        get(uri, "signed")
    assert len(proxy.seen) == 1, "not worth a second try"


def test_what_may_not_be_read(s3: Any, proxy: Proxy) -> None:
    s3.put_object(Bucket="sky", Key="proprietary.fits", Body=b"light", ACL="private")
    with pytest.raises(AccessDeniedError) as caught:
        get("s3://sky/proprietary.fits")
    assert "s3://sky/proprietary.fits: access denied with access 'anonymous'; it may be proprietary" in str(
        caught.value
    )
    assert len(proxy.seen) == 1


@pytest.mark.parametrize("working", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_either_endpoint_variable(
    s3: Any, upstream: str, monkeypatch: pytest.MonkeyPatch, working: str
) -> None:
    s3.put_object(Bucket="sky", Key="a.fits", Body=b"light", ACL="public-read")
    monkeypatch.setenv(working, f"http://{upstream}")
    assert get("s3://sky/a.fits") == b"light"


def test_the_endpoint_of_s3_goes_before_the_general_one(
    s3: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put_object(Bucket="sky", Key="a.fits", Body=b"light", ACL="public-read")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port()}")
    assert get("s3://sky/a.fits") == b"light"
    assert proxy.seen


def test_the_version_is_the_etag(s3: Any, proxy: Proxy) -> None:
    etag = s3.put_object(Bucket="sky", Key="a.fits", Body=b"light", ACL="public-read")["ETag"]
    with open_input("s3://sky/a.fits") as source:
        assert (source.size, source.version) == (5, f"etag={etag.strip(chr(34))}")


KEYS = ["deep/er/plain.fits", "with space.fits", "100%25.fits", "100%.fits", "夜空.fits", "a+b&c=d?e#f.fits"]


@pytest.mark.parametrize("key", KEYS)
def test_any_key_is_read_and_written_as_it_is(s3: Any, proxy: Proxy, account: None, key: str) -> None:
    s3.put_object(Bucket="sky", Key=key, Body=b"light", ACL="public-read")
    assert get(f"s3://sky/{key}") == b"light"
    write(f"s3://out/run/{key}.cat.fits", b"catalog")
    assert s3.get_object(Bucket="out", Key=f"run/{key}.cat.fits")["Body"].read() == b"catalog"


@pytest.mark.parametrize("size", [0, 1, (8 << 20) - 1, 8 << 20, (8 << 20) + 1, (20 << 20) + 3])
def test_a_read_of_any_size_is_exact(s3: Any, proxy: Proxy, size: int) -> None:
    body = content(size)
    s3.put_object(Bucket="sky", Key="big.fits", Body=body, ACL="public-read")
    with open_input("s3://sky/big.fits") as source:
        assert source.size == size
        assert source.file.read(size) == body
        assert source.file.read(1) == b""
    covered = sorted(proxy.ranges())
    assert sum(last - first + 1 for first, last in covered) == size, "no byte is fetched twice"
    assert all(last - first < 8 << 20 for first, last in covered)


def test_reads_in_any_order_are_exact(s3: Any, proxy: Proxy) -> None:
    body = content(20 << 20)
    s3.put_object(Bucket="sky", Key="big.fits", Body=body, ACL="public-read")
    rng = np.random.default_rng(1)
    with open_input("s3://sky/big.fits") as source:
        for _ in range(30):
            at = int(rng.integers(0, len(body)))
            count = int(10 ** rng.uniform(0, 7.2))
            source.file.seek(at)
            assert source.file.read(count) == body[at : at + count]
            assert source.file.tell() == min(at + count, len(body))
        source.file.seek(0)
        before = len(proxy.seen)
        assert source.file.read() == body
        assert len(proxy.seen) - before <= 4, "without a size, too, in parts of megabytes"
        source.file.seek(-5, 2)
        assert source.file.read() == body[-5:]
        source.file.seek(10 << 20, 1)
        assert source.file.read(5) == b"", "past the end there is nothing, as in a file"


def test_a_header_costs_no_whole_file(s3: Any, proxy: Proxy) -> None:
    s3.put_object(Bucket="sky", Key="big.fits", Body=content(20 << 20), ACL="public-read")
    with open_input("s3://sky/big.fits") as source:
        source.file.read(2880)
    assert sum(last - first + 1 for first, last in proxy.ranges()) <= 1 << 20


def read_slowly(uri: str, meanwhile: Callable[[], Any]) -> None:
    with open_input(uri) as source:
        source.file.read(100)
        meanwhile()
        source.file.read()


def test_an_object_that_changes_while_it_is_read(s3: Any, proxy: Proxy) -> None:
    big = {"Bucket": "sky", "Key": "big.fits", "ACL": "public-read"}
    s3.put_object(Body=content(4 << 20), **big)
    with pytest.raises(StorageError, match=r"s3://sky/big\.fits changed while it was being read") as caught:
        read_slowly("s3://sky/big.fits", lambda: s3.put_object(Body=content((4 << 20) + 1), **big))
    assert not caught.value.permanent


def test_an_object_that_vanishes_while_it_is_read(s3: Any, proxy: Proxy) -> None:
    s3.put_object(Bucket="sky", Key="gone.fits", Body=content(4 << 20), ACL="public-read")
    with pytest.raises(InputNotFoundError):
        read_slowly("s3://sky/gone.fits", lambda: s3.delete_object(Bucket="sky", Key="gone.fits"))


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch, account: None) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{closed_port()}")
    started = time.monotonic()
    with pytest.raises(StorageError, match=r"cannot read s3://sky/a\.fits: ") as caught:
        get("s3://sky/a.fits")
    assert not caught.value.permanent
    with pytest.raises(StorageError, match=r"cannot write s3://out/a\.cat\.fits: "):
        write("s3://out/a.cat.fits", b"catalog")
    assert time.monotonic() - started < 30, "an invocation has a limit, and is billed"


def broken(times: float) -> Callable[[Any, bytes], bool]:
    """Cuts the connection in the middle of the body, so many times."""
    left = [times]

    def spoil(request: Any, reply: bytes) -> bool:
        if request.command != "GET" or left[0] <= 0:
            return False
        left[0] -= 1
        request.send_response_only(206)
        request.send_header("content-length", str(len(reply)))
        request.send_header("content-range", f"bytes 0-{len(reply) - 1}/{len(reply)}")
        request.end_headers()
        request.wfile.write(reply[: len(reply) // 2])
        request.wfile.flush()
        request.connection.shutdown(socket.SHUT_RDWR)
        request.close_connection = True
        return True

    return spoil


def test_a_connection_that_breaks_once_is_mended(s3: Any, proxy: Proxy) -> None:
    body = content(3 << 20)
    s3.put_object(Bucket="sky", Key="big.fits", Body=body, ACL="public-read")
    proxy.spoil = broken(1)
    assert get("s3://sky/big.fits") == body


def test_a_connection_that_always_breaks(s3: Any, proxy: Proxy) -> None:
    s3.put_object(Bucket="sky", Key="big.fits", Body=content(3 << 20), ACL="public-read")
    proxy.spoil = broken(np.inf)
    with pytest.raises(StorageError, match=r"cannot read s3://sky/big\.fits: ") as caught:
        get("s3://sky/big.fits")
    assert not caught.value.permanent


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_in_trouble_is_asked_again(s3: Any, proxy: Proxy, status: int) -> None:
    s3.put_object(Bucket="sky", Key="a.fits", Body=b"light", ACL="public-read")
    left = [2]

    def spoil(request: Any, _: bytes) -> bool:
        left[0] -= 1
        if left[0] < 0:
            return False
        request.send_response(status)
        request.send_header("content-length", "0")
        request.end_headers()
        return True

    proxy.spoil = spoil
    assert get("s3://sky/a.fits") == b"light"
    assert [request.command for request in proxy.seen] == ["HEAD", "HEAD", "HEAD", "GET"]


def test_a_catalog_is_one_put(s3: Any, proxy: Proxy, account: None) -> None:
    body = content(12 << 20)
    write("s3://out/big.cat.fits", body)
    assert [request.command for request in proxy.seen] == ["PUT"]
    assert s3.get_object(Bucket="out", Key="big.cat.fits")["Body"].read() == body


def test_a_bucket_that_is_not_there_to_be_written(s3: Any, proxy: Proxy, account: None) -> None:
    with pytest.raises(StorageError, match="cannot write s3://no-such-bucket/x: "):
        write("s3://no-such-bucket/x", b"catalog")


@pytest.fixture
def extract(
    s3: Any, proxy: Proxy, account: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, bytes], Handled]:
    """Puts an image into the bucket and runs the handler on it."""
    monkeypatch.setenv("SKYFAN_OUTPUT", "s3://out/runs/{run}/catalogs/{key}.cat.fits")

    def run(key: str, body: bytes, **event: Any) -> Handled:
        s3.put_object(Bucket="sky", Key=key, Body=body, ACL="public-read")
        return handler({"input": f"s3://sky/{key}", **event}, None)

    return run


def test_the_catalog_is_that_of_the_local_file(
    extract: Callable[..., Handled],
    s3: Any,
    demo_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = demo_data / "j8bt06nyq_flt.fits"
    remote = extract("hst/j8bt06nyq_flt.fits", image.read_bytes(), run="r1", outputs=["preview", "parquet"])
    assert remote["output"] == "s3://out/runs/r1/catalogs/sky/hst/j8bt06nyq_flt.fits.cat.fits"
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="out", Prefix="runs/r1/")["Contents"]]
    stem = "runs/r1/catalogs/sky/hst/j8bt06nyq_flt.fits"
    assert sorted(keys) == [f"{stem}.cat.fits", f"{stem}.cat.parquet", f"{stem}.preview.png"]
    assert {uri.removeprefix("s3://out/") for uri in remote["outputs"].values()} == set(keys[1:])

    monkeypatch.setenv("SKYFAN_OUTPUT", f"file://{tmp_path}/{{run}}/{{key}}.cat.fits")
    local = handler({"input": image.as_uri(), "run": "r1"}, None)
    got = tmp_path / "remote.fits"
    got.write_bytes(s3.get_object(Bucket="out", Key=keys[0])["Body"].read())
    kept = Path(local["output"].removeprefix("file://"))
    assert fits.FITSDiff(got, kept, ignore_keywords=["SRCURI", "SRCVER"]).identical
    header = fits.getheader(got)
    assert header["SRCURI"] == "s3://sky/hst/j8bt06nyq_flt.fits"
    etag = s3.head_object(Bucket="sky", Key="hst/j8bt06nyq_flt.fits")["ETag"].strip('"')
    assert header["SRCVER"] == f"etag={etag}"


def test_gzip_over_http(extract: Callable[..., Handled], demo_data: Path) -> None:
    body = (demo_data / "ib6o23rsq_flt.fits").read_bytes()
    plain, packed = extract("a_flt.fits", body), extract("a_flt.fits.gz", gzip.compress(body, 1))
    assert plain["chips"] == packed["chips"]
    with pytest.raises(TruncatedError, match=r"cut\.fits\.gz is truncated"):
        extract("cut.fits.gz", gzip.compress(body, 1)[:-1000])


def test_a_truncated_object(extract: Callable[..., Handled], s3: Any, demo_data: Path) -> None:
    body = (demo_data / "ib6o23rsq_flt.fits").read_bytes()
    with pytest.raises(TruncatedError, match=r"cut_flt\.fits is truncated"):
        extract("cut_flt.fits", body[: len(body) // 2], run="cut")
    assert "Contents" not in s3.list_objects_v2(Bucket="out", Prefix="runs/cut/")


def test_a_connection_that_breaks_in_the_pixels_is_not_called_damage(
    extract: Callable[..., Handled], proxy: Proxy, demo_data: Path
) -> None:
    proxy.spoil = broken(np.inf)
    with pytest.raises(StorageError, match=r"cannot read s3://sky/a_flt\.fits"):
        extract("a_flt.fits", (demo_data / "ib6o23rsq_flt.fits").read_bytes())
