"""What functions read and write over HTTP: a real S3 server behind a proxy that listens, and breaks it."""

import gzip
import http.client
import http.server
import io
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.message import Message
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import boto3
import numpy as np
import pytest
from astropy.io import fits
from botocore.exceptions import ClientError
from standins import aws as stand_in_aws

from fits_summary.handler import handler as summarise
from sep_extract import beside, image
from sep_extract import handler as sep_handler
from sep_extract.chip import chips
from sep_extract.handler import handler
from sep_extract.whole import Tiling
from skyfan_contract import PROBE, key_of
from skyfan_function.errors import (
    AccessDeniedError,
    InputNotFoundError,
    OutputRefusedError,
    RunCancelledError,
    StorageError,
    TruncatedError,
)
from skyfan_function.storage import open_input, write

Handled = dict[str, Any]


class Seen(NamedTuple):
    command: str
    path: str
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
                proxy.seen.append(Seen(self.command, self.path, self.headers))
                connection = http.client.HTTPConnection(upstream)
                connection.request(self.command, self.path, body, dict(self.headers))
                self.reply = connection.getresponse()
                content = self.reply.read()
                connection.close()
                if proxy.spoil and proxy.spoil(self, content):
                    return
                self.send_reply()
                self.wfile.write(content)

            def send_reply(self) -> None:
                """Status and headers of the server's reply."""
                self.send_response_only(self.reply.status, self.reply.reason)
                for key, value in self.reply.getheaders():
                    if key.lower() not in {"connection", "transfer-encoding"}:
                        self.send_header(key, value)
                self.end_headers()

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
    client.put_bucket_versioning(Bucket="out", VersioningConfiguration={"Status": "Enabled"})
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
    assert [request.command for request in proxy.seen] == ["GET"]
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
    assert [request.command for request in proxy.seen] == ["GET"]
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


def test_a_bucket_that_the_stack_does_not_read_is_refused_by_name(
    s3: Any, proxy: Proxy, account: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put_object(Bucket="sky", Key="listed.fits", Body=b"SIMPLE", ACL="public-read")
    for named in ("sky", "stpubdata,sky", ""):
        monkeypatch.setenv("SKYFAN_INPUTS", named)
        with open_input("s3://sky/listed.fits") as source:
            assert source.size == 6
    monkeypatch.setenv("SKYFAN_INPUTS", "stpubdata,my-sky,sky.old")
    monkeypatch.setenv("SKYFAN_OUTPUT", "s3://out/runs/{run}/summaries/{key}.json")
    monkeypatch.setenv("SKYFAN_FAILURES", "s3://out/runs/{run}/failures/{key}.json")
    proxy.seen.clear()
    for access in ("anonymous", "signed", "requester-pays"):
        failed = summarise({"input": "s3://sky/listed.fits", "access": access}, None)
        assert (failed["errorType"], failed["permanent"]) == ("AccessDeniedError", True)
        assert "stpubdata, my-sky, sky.old" in failed["errorMessage"]
        assert "InputBuckets" in failed["errorMessage"]
    assert not [seen for seen in proxy.seen if seen.path.startswith("/sky")], "no byte was asked for"


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
    covered = [(first, min(last, size - 1)) for first, last in proxy.ranges()]
    assert sum(last - first + 1 for first, last in covered) == size, "no byte is fetched twice"
    assert all(last - first < 12 << 20 for first, last in covered)
    assert len(proxy.seen) <= 3


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
        assert source.file.read() == body
        assert sum(last - first + 1 for first, last in proxy.ranges()) == len(body), "no byte twice"
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
    assert caught.value.cure == "retry"


def test_an_object_that_vanishes_while_it_is_read(s3: Any, proxy: Proxy) -> None:
    s3.put_object(Bucket="sky", Key="gone.fits", Body=content(4 << 20), ACL="public-read")
    with pytest.raises(InputNotFoundError):
        read_slowly("s3://sky/gone.fits", lambda: s3.delete_object(Bucket="sky", Key="gone.fits"))


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch, account: None) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{closed_port()}")
    started = time.monotonic()
    with pytest.raises(StorageError, match=r"cannot read s3://sky/a\.fits: ") as caught:
        get("s3://sky/a.fits")
    assert caught.value.cure == "retry"
    with pytest.raises(StorageError, match=r"cannot write s3://out/a\.cat\.fits: "):
        write("s3://out/a.cat.fits", b"catalog")
    assert time.monotonic() - started < 30, "an invocation has a limit, and is billed"


def broken(times: float) -> Callable[[Any, bytes], bool]:
    """Cuts the connection in the middle of an input's body, so many times."""
    left = [times]

    def spoil(request: Any, reply: bytes) -> bool:
        if request.command != "GET" or left[0] <= 0 or request.path.endswith("/cancel.json"):
            return False
        left[0] -= 1
        request.send_reply()
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


@pytest.mark.slow
def test_a_connection_that_always_breaks(s3: Any, proxy: Proxy) -> None:
    s3.put_object(Bucket="sky", Key="big.fits", Body=content(3 << 20), ACL="public-read")
    proxy.spoil = broken(np.inf)
    with pytest.raises(StorageError, match=r"cannot read s3://sky/big\.fits: ") as caught:
        get("s3://sky/big.fits")
    assert caught.value.cure == "retry"


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
    assert [request.command for request in proxy.seen] == ["GET", "GET", "GET"]


def test_a_catalog_is_one_put(s3: Any, proxy: Proxy, account: None) -> None:
    body = content(12 << 20)
    write("s3://out/big.cat.fits", body)
    assert [request.command for request in proxy.seen] == ["PUT"]
    assert s3.get_object(Bucket="out", Key="big.cat.fits")["Body"].read() == body


def test_a_bucket_that_is_not_there_to_be_written(s3: Any, proxy: Proxy, account: None) -> None:
    with pytest.raises(OutputRefusedError, match="cannot write s3://no-such-bucket/x: NoSuchBucket: "):
        write("s3://no-such-bucket/x", b"catalog")


@pytest.mark.parametrize(
    ("code", "said", "error"),
    [
        ("AccessDenied", "not authorized to perform: kms:GenerateDataKey", OutputRefusedError),
        ("AccessDenied", "Access Denied", OutputRefusedError),
        ("RequestTimeTooSkewed", "the clock is wrong", StorageError),
    ],
)
def test_a_refused_write_does_not_mend(
    proxy: Proxy, account: None, code: str, said: str, error: type[Exception]
) -> None:
    """A clock or keys may mend with the next environment; a permission or a KMS key does not."""
    body = f"<Error><Code>{code}</Code><Message>{said}</Message></Error>".encode()

    def refuse(request: Any, _: bytes) -> bool:
        request.send_response(403)
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
        return True

    proxy.spoil = refuse
    with pytest.raises(error, match=f"cannot write s3://out/a: {code}: {said}") as caught:
        write("s3://out/a", b"catalog")
    assert caught.value.cure == ("never" if error is OutputRefusedError else "retry")


@pytest.mark.parametrize("event", [{"input": "s3://sky/none.fits", "run": "kms"}, {"probe": "kms"}], ids=str)
def test_a_bucket_that_refuses_results_is_known_before_any_work(
    s3: Any, proxy: Proxy, account: None, monkeypatch: pytest.MonkeyPatch, event: dict[str, Any]
) -> None:
    """The error is raised, for its record would be refused, too: Lambda's own goes to another bucket."""
    monkeypatch.setenv("SKYFAN_OUTPUT", "s3://out/runs/{run}/catalogs/{key}.cat.fits")
    monkeypatch.setenv("SKYFAN_FAILURES", "s3://out/runs/{run}/failures/{key}.json")
    # What an environment has proven it remembers.
    monkeypatch.setattr("skyfan_function.storage._proven", set())
    body = b"<Error><Code>AccessDenied</Code><Message>not authorized: kms:GenerateDataKey</Message></Error>"

    def refuse(request: Any, _: bytes) -> bool:
        if request.command != "PUT":
            return False
        request.send_response(403)
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
        return True

    proxy.spoil = refuse
    for _ in range(2):
        with pytest.raises(OutputRefusedError, match=r"s3://out/runs/kms/catalogs/probe.*GenerateDataKey"):
            handler(event, None)
    assert not [
        seen.path for seen in proxy.seen if "none.fits" in seen.path and "/failures/" not in seen.path
    ]
    proxy.spoil = None
    if "probe" in event:
        assert handler(event, None) == {"probe": "s3://out/runs/kms/catalogs/probe"}
        count = len(proxy.seen)
        handler(event, None)
        assert len(proxy.seen) == count, "an environment asks once"


@pytest.mark.parametrize("names_it", [True, False], ids=["header", "body"])
def test_a_bucket_of_another_region_is_named_and_not_tried_again(
    proxy: Proxy, account: None, names_it: bool
) -> None:
    """S3 answers 301 with the region in a header, or 400 with it in the body."""
    body = (
        b""
        if names_it
        else b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'us-east-1' is wrong; "
        b"expecting 'eu-west-1'</Message><Region>eu-west-1</Region></Error>"
    )

    def elsewhere(request: Any, _: bytes) -> bool:
        request.send_response(301 if names_it else 400)
        request.send_header("x-amz-bucket-region", "eu-west-1")
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)
        return True

    proxy.spoil = elsewhere
    words = "in eu-west-1, and this function in us-east-1"
    with pytest.raises(OutputRefusedError, match=words):
        write("s3://out/a", b"catalog")
    if names_it:
        with pytest.raises(AccessDeniedError, match=words), open_input("s3://sky/a.fits", "signed"):
            pass


def written(s3: Any, run: str) -> list[str]:
    """Keys of all objects of a run."""
    return [
        item["Key"] for item in s3.list_objects_v2(Bucket="out", Prefix=f"runs/{run}/").get("Contents", [])
    ]


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
    keys = [key for key in written(s3, "r1") if not key.endswith("/catalogs/probe")]
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
    assert written(s3, "cut") == ["runs/cut/catalogs/probe"]


def test_a_connection_that_breaks_in_the_pixels_is_not_called_damage(
    extract: Callable[..., Handled], proxy: Proxy, demo_data: Path
) -> None:
    proxy.spoil = broken(np.inf)
    with pytest.raises(StorageError, match=r"cannot read s3://sky/a_flt\.fits"):
        extract("a_flt.fits", (demo_data / "ib6o23rsq_flt.fits").read_bytes())


@pytest.fixture
def mosaic(s3: Any, account: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Puts a FITS file with three planes of 4 MB as sky/big #1?.fits, and gives its size."""
    monkeypatch.setenv("SKYFAN_OUTPUT", "s3://out/runs/{run}/summaries/{key}.json")

    def put() -> int:
        planes = [fits.ImageHDU(np.zeros((1000, 1000), "f4"), name=name) for name in ("SCI", "ERR", "DQ")]
        body = io.BytesIO()
        fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(body)
        s3.put_object(Bucket="sky", Key="big #1?.fits", Body=body.getvalue(), ACL="public-read")
        return len(body.getvalue())

    return put


def test_a_summary_fetches_headers_alone(mosaic: Callable[[], int], s3: Any, proxy: Proxy) -> None:
    size = mosaic()
    summary = summarise({"input": "s3://sky/big #1?.fits", "run": "r"}, None)
    assert [hdu["name"] for hdu in summary["hdus"]] == ["PRIMARY", "SCI", "ERR", "DQ"]
    fetched = sum(last - first + 1 for first, last in proxy.ranges())
    assert 0 < fetched <= 4 << 20 < size / 2
    assert s3.head_object(Bucket="out", Key="runs/r/summaries/sky/big #1?.fits.json")


def test_a_summary_is_of_one_version(mosaic: Callable[[], int], s3: Any, proxy: Proxy) -> None:
    """Headers of two versions would make a summary of a file that never was."""
    mosaic()

    def replace(request: Any, _: bytes) -> bool:
        if request.command == "GET" and len(proxy.ranges()) == 1:
            s3.put_object(Bucket="sky", Key="big #1?.fits", Body=b"SIMPLE" * 10**6, ACL="public-read")
        return False

    proxy.spoil = replace
    with pytest.raises(StorageError) as caught:
        summarise({"input": "s3://sky/big #1?.fits", "run": "changed"}, None)
    assert caught.value.cure == "retry"
    assert written(s3, "changed") == ["runs/changed/summaries/probe"]


# Batches that are delivered again


class KilledError(BaseException):
    """The function was killed."""


@pytest.fixture
def batches(s3: Any, proxy: Proxy, account: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three images; the function writes to the bucket out."""
    monkeypatch.setenv("SKYFAN_OUTPUT", "s3://out/runs/{run}/catalogs/{key}.cat.fits")
    monkeypatch.setenv("SKYFAN_FAILURES", "s3://out/runs/{run}/failures/{key}.json")
    for name in "abc":
        put_image(s3, name, sigma=1.0)
    for key in [item["Key"] for item in s3.list_objects_v2(Bucket="out").get("Contents", [])]:
        s3.delete_object(Bucket="out", Key=key)
    return [f"s3://sky/{name}.fits" for name in "abc"]


def put_image(s3: Any, name: str, sigma: float) -> None:
    image = io.BytesIO()
    pixels = np.random.default_rng(1).normal(0, sigma, (100, 100)).astype("f4")
    fits.PrimaryHDU(pixels).writeto(image)
    s3.put_object(Bucket="sky", Key=f"{name}.fits", Body=image.getvalue(), ACL="public-read")


def catalogs_put(proxy: Proxy) -> list[str]:
    names = [seen.path.rpartition("/")[2] for seen in proxy.seen if seen.command == "PUT"]
    return [name[0] for name in names if name != PROBE]


def deliver(proxy: Proxy, event: dict[str, Any]) -> tuple[Handled, list[str]]:
    """Delivers a batch; returns the answer and the names of the images whose catalogs were written."""
    proxy.seen.clear()
    return handler(event, None), catalogs_put(proxy)


def test_a_batch_that_was_killed_goes_on_where_it_stopped(
    s3: Any, proxy: Proxy, batches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = beside.measure

    def killed(*arguments: Any, **options: Any) -> Any:
        if len(catalogs_put(proxy)) == 2:
            raise KilledError
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(beside, "measure", killed)
        with pytest.raises(KilledError):
            handler({"inputs": batches}, None)
    assert catalogs_put(proxy) == ["a", "b"]
    answer, written = deliver(proxy, {"inputs": batches})
    assert written == ["c"]
    assert [result["input"] for result in answer["results"]] == batches
    assert ["finished" in result for result in answer["results"]] == [True, True, False]
    assert deliver(proxy, {"inputs": batches})[1] == []


def test_a_result_of_another_configuration_or_version_is_not_taken_for_it(
    s3: Any, proxy: Proxy, batches: list[str]
) -> None:
    assert deliver(proxy, {"inputs": batches})[1] == ["a", "b", "c"]
    assert deliver(proxy, {"inputs": batches, "config": {"detect_thresh": 1.5}})[1] == []
    assert deliver(proxy, {"inputs": batches, "config": {"detect_thresh": 4.0}})[1] == ["a", "b", "c"]
    put_image(s3, "b", sigma=2.0)
    assert deliver(proxy, {"inputs": batches, "config": {"detect_thresh": 4.0}})[1] == ["b"]
    s3.put_object(Bucket="out", Key="runs/default/catalogs/sky/a.fits.cat.fits", Body=b"by hand")
    assert deliver(proxy, {"inputs": batches, "config": {"detect_thresh": 4.0}})[1] == ["a"]


def test_an_overwritten_catalog_can_be_had_again(s3: Any, batches: list[str]) -> None:
    """As docs/permissions.md says: the version before stays, and is copied onto the newer one."""
    key = "runs/mine/catalogs/sky/a.fits.cat.fits"
    handler({"input": batches[0], "run": "mine"}, None)
    mine = s3.get_object(Bucket="out", Key=key)["Body"].read()
    handler({"input": batches[0], "run": "mine", "config": {"detect_thresh": 9.0}}, None)
    assert s3.get_object(Bucket="out", Key=key)["Body"].read() != mine
    newest, before = s3.list_object_versions(Bucket="out", Prefix=key)["Versions"]
    assert newest["IsLatest"]
    source = {"Bucket": "out", "Key": key, "VersionId": before["VersionId"]}
    s3.copy_object(Bucket="out", Key=key, CopySource=source)
    assert s3.get_object(Bucket="out", Key=key)["Body"].read() == mine


def test_a_bucket_with_versions_is_emptied_as_the_documentation_says(proxy: Proxy, account: None) -> None:
    bucket = boto3.resource("s3").Bucket("old")
    bucket.create()
    bucket.Versioning().enable()
    for _ in range(2):
        write("s3://old/runs/r/a", b"a")
    bucket.objects.delete()
    with pytest.raises(ClientError, match="BucketNotEmpty"):
        bucket.delete()
    page = Path(__file__).parents[2] / "docs/deploy.md"
    (command,) = re.findall(r"python -c \"(.*)\"", page.read_text(encoding="utf-8"))
    exec(command.replace("NAME", "old"), {})
    bucket.delete()


def test_an_image_alone_is_always_processed(proxy: Proxy, batches: list[str]) -> None:
    """Whoever sends one file again wants it so; and a look at the result would cost each of them time."""
    deliver(proxy, {"inputs": batches})
    assert deliver(proxy, {"input": batches[0]})[1] == ["a"]


def test_a_doubtful_result_costs_one_put_more_and_any_other_none(
    s3: Any, proxy: Proxy, batches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKYFAN_DOUBTFUL", "s3://out/runs/{run}/doubtful/{key}")
    handler({PROBE: "marked"}, None)

    def puts(uri: str) -> list[str]:
        proxy.seen.clear()
        handler({"input": uri, "run": "marked"}, None)
        return [seen.path.removeprefix("/out/runs/marked/") for seen in proxy.seen if seen.command == "PUT"]

    catalog, none = "catalogs/sky/a.fits.cat.fits", "doubtful/none/sky/a.fits"
    mark, catalog_put = puts(batches[0])
    assert catalog_put == catalog
    assert re.fullmatch(r"doubtful/[A-Z_-]*NO_SKY[A-Z_-]*/sky/a\.fits", mark)
    assert s3.head_object(Bucket="out", Key=f"runs/marked/{mark}")["ContentLength"] == 0
    monkeypatch.setattr(sep_handler, "doubts", lambda _: "")
    assert puts(batches[1]) == ["catalogs/sky/b.fits.cat.fits"]
    assert puts(batches[0]) == [catalog, catalog, none], "refused as it exists, then replaced and outvoted"

    def break_off(request: Any, _: bytes) -> bool:
        if request.command != "PUT" or not request.headers.get("if-none-match"):
            return False
        request.send_response_only(501)  # a store without conditional writes
        request.send_header("content-length", "0")
        request.end_headers()
        return True

    proxy.spoil = break_off
    path = "catalogs/sky/c.fits.cat.fits"
    assert set(puts(batches[2])) == {path, "doubtful/none/sky/c.fits"}
    assert s3.head_object(Bucket="out", Key=f"runs/marked/{path}")["Metadata"]["skyfan-origin"]


@pytest.fixture
def cancelled(s3: Any, account: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Writes a run's cancel.json, and gives the run's name."""
    monkeypatch.setenv("SKYFAN_OUTPUT", "s3://out/runs/{run}/summaries/{key}.json")
    monkeypatch.setenv("SKYFAN_FAILURES", "s3://out/runs/{run}/failures/{key}.json")

    def write(run: str, *ends: float | None) -> str:
        body = json.dumps([{"began": 1.0, "reserved": {}, "ended": end} for end in ends])
        s3.put_object(Bucket="out", Key=f"runs/{run}/cancel.json", Body=body)
        return run

    return write


@pytest.mark.parametrize("key", ["input", "inputs"])
def test_an_input_of_a_cancelled_run_is_recorded_and_not_read(
    cancelled: Callable[..., str], s3: Any, proxy: Proxy, key: str
) -> None:
    run, uri = cancelled("halted", 2.0, None), "s3://sky/a.fits"
    found = summarise({key: uri if key == "input" else [uri], "run": run}, None)
    (failure,) = [found] if key == "input" else found["failures"]
    assert (failure["errorType"], failure["permanent"]) == ("RunCancelledError", False)
    assert [seen.command for seen in proxy.seen] == ["GET", "PUT"]
    record = json.loads(
        s3.get_object(Bucket="out", Key="runs/halted/failures/sky/a.fits.json")["Body"].read()
    )
    assert record["requestContext"]["condition"] == "Cancelled"
    assert record["requestPayload"]["input"] == uri


def test_without_a_place_for_records_a_cancelled_input_is_an_error(
    cancelled: Callable[..., str], proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SKYFAN_FAILURES")
    with pytest.raises(RunCancelledError, match="halted"):
        summarise({"input": "s3://sky/a.fits", "run": cancelled("halted", None)}, None)


def test_after_a_cancel_has_ended_its_run_goes_on(
    cancelled: Callable[..., str], s3: Any, proxy: Proxy, demo_data: Path
) -> None:
    s3.put_object(
        Bucket="sky", Key="a.fits", Body=(demo_data / "j8bt06nyq_flt.fits").read_bytes(), ACL="public-read"
    )
    found = summarise({"input": "s3://sky/a.fits", "run": cancelled("ended", 2.0, 3.0)}, None)
    assert found["output"] == "s3://out/runs/ended/summaries/sky/a.fits.json"


def test_a_damaged_cancel_is_tried_again(cancelled: Callable[..., str], s3: Any, proxy: Proxy) -> None:
    s3.put_object(Bucket="out", Key="runs/odd/cancel.json", Body=b"{")
    with pytest.raises(StorageError, match=r"odd/cancel\.json"):
        summarise({"input": "s3://sky/a.fits", "run": "odd"}, None)


def test_a_role_that_may_not_read_cancels_says_so_and_works(
    cancelled: Callable[..., str],
    s3: Any,
    proxy: Proxy,
    demo_data: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def forbid(handler: Any, reply: bytes) -> bool:
        if not handler.path.endswith("/cancel.json"):
            return False
        handler.send_response_only(403)
        handler.send_header("content-length", "0")
        handler.end_headers()
        return True

    s3.put_object(
        Bucket="sky", Key="a.fits", Body=(demo_data / "j8bt06nyq_flt.fits").read_bytes(), ACL="public-read"
    )
    proxy.spoil = forbid
    found = summarise({"input": "s3://sky/a.fits", "run": cancelled("hidden", None)}, None)
    assert found["output"].endswith("sky/a.fits.json")
    warning = json.loads(capsys.readouterr().out.splitlines()[0])
    assert warning["level"] == "WARNING"
    assert "s3://out/runs/hidden/cancel.json" in warning["message"]


def test_a_mosaic_in_tiles_has_the_catalog_of_its_file(
    s3: Any, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = 700, 900
    y, x = np.indices(shape)
    light = 60 * np.exp(-((y % 90 - 40) ** 2 + (x % 90 - 45) ** 2) / 8)
    data = (np.random.default_rng(1).normal(5, 1, shape) + light).astype(np.float32)
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(data, name="SCI"), fits.ImageHDU(np.ones_like(data), name="WHT")]
    path = tmp_path / "mosaic.fits"
    fits.HDUList(hdus).writeto(path)
    s3.put_object(Bucket="sky", Key=path.name, Body=path.read_bytes(), ACL="public-read")
    monkeypatch.setenv("SKYFAN_OUTPUT", f"{tmp_path.as_uri()}/{{run}}/{{key}}.cat.fits")
    monkeypatch.setattr(image, "TILED_ABOVE", 0)
    monkeypatch.setattr(image, "_WHOLE", 0)
    tiling = Tiling(core=256, margins=(64, 128), block=128)
    monkeypatch.setattr(sep_handler, "chips", partial(chips, tiling=tiling))
    tables = []
    for uri in (path.as_uri(), f"s3://sky/{path.name}"):
        summary = handler({"input": uri}, None)
        assert "measured in tiles" in summary["notes"][-1]
        assert summary["sources"] > 60
        with fits.open(Path("/", key_of(summary["output"]))) as written:
            tables.append(written["SOURCES"].data.tobytes())
    assert tables[0] == tables[1]
