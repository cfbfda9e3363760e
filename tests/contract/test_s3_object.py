"""How an object of S3 is read: in few requests, of one version, in bounded memory; a stand-in counts."""

import gzip
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standins.bucket import Bucket, Request, chain, serving

from fits_summary.handler import process as summarise
from sep_extract.child import Child
from sep_extract.chip import Chip, chips
from sep_extract.event import Request as Extraction
from sep_extract.handler import process as extract
from sep_extract.image import open_image
from skyfan_function import patience, s3_object
from skyfan_function.errors import FunctionError, InputNotFoundError, StorageError
from skyfan_function.event import Request as Event
from skyfan_function.fits_input import open_fits
from skyfan_function.handler import Job
from skyfan_function.storage import Source, open_input

SIZE = 40_000
Spoil = Callable[[Request, dict[str, str], bytes], bytes]


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    bucket = Bucket(tmp_path)
    with serving(bucket) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        yield bucket


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges of some thousand bytes, so that files can be small."""
    for name, value in {"_FIRST": 3000, "_AHEAD": 300, "_PART": 4000, "_HELD": 12_000}.items():
        monkeypatch.setattr(s3_object, name, value)


@pytest.fixture
def body(bucket: Bucket) -> bytes:
    content = np.random.default_rng(1).bytes(SIZE)
    (bucket.folder / "x").write_bytes(content)
    return content


def x() -> Any:
    return open_input("s3://b/x")


@contextmanager
def unreadable_x(error: type[FunctionError], words: str) -> Iterator[Source]:
    """An opened x that cannot be read to its end."""
    with pytest.raises(error, match=words) as caught, x() as source:
        yield source
    assert caught.value.cure == ("retry" if error is StorageError else "never")


def read_all(source: Source, steps: int = 10) -> bytes:
    return b"".join(source.file.read(SIZE // steps) for _ in range(steps))


OFFSET = st.integers(0, SIZE + 100)
STEP = st.one_of(
    st.tuples(st.just("read"), OFFSET, st.integers(0, 9000)),
    st.tuples(st.just("announce"), OFFSET, OFFSET),
    st.tuples(st.just("memory"), st.integers(0, 20_000), st.just(0)),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=12))
def test_any_reads_are_exact_whatever_was_announced(
    bucket: Bucket, small: None, body: bytes, steps: list[tuple[str, int, int]]
) -> None:
    with x() as source:
        for what, start, other in steps:
            if what == "announce":
                source.prefetch([(start, other)])
            elif what == "memory":
                source.prefetch([(0, SIZE)], start)
            else:
                source.file.seek(start)
                assert source.file.read(other) == body[start : start + other]


def test_what_is_announced_is_fetched_once_in_few_ranges(bucket: Bucket, small: None, body: bytes) -> None:
    with x() as source:
        source.prefetch([(0, 9000), (20_000, SIZE)])
        source.file.read(9000)
        source.file.seek(20_000)
        assert source.file.read(20_000) == body[20_000:]
    fetched = sorted((request.start, request.sent) for request in bucket.requests)
    assert fetched == [(0, 3000), (3000, 3000), (6000, 3000), *((20_000 + 4000 * i, 4000) for i in range(5))]


def test_read_ahead_is_never_more_than_what_was_read(bucket: Bucket) -> None:
    (bucket.folder / "x").write_bytes(bytes(8 << 20))
    with x() as source:
        for start in (1 << 20, 2 << 20):
            source.file.seek(start)
            source.file.read(2880)
        assert [request.sent for request in bucket.requests] == [256 << 10, 32 << 10, 32 << 10]
        bucket.requests.clear()
        source.file.seek(4 << 20)
        for count in range(1, 200):
            source.file.read(2880)
            asked = sum(request.sent for request in bucket.requests)
            assert asked <= 2 * count * 2880 + (32 << 10)
        assert len(bucket.requests) <= 5


def test_memory_bounds_what_is_fetched_ahead(bucket: Bucket, small: None, body: bytes) -> None:
    read, most = 0, [0]

    def note(request: Request, _: dict[str, str], reply: bytes) -> bytes:
        asked[0] += len(reply)
        most[0] = max(most[0], asked[0] - read)
        return reply

    asked = [0]
    bucket.spoil = note
    with x() as source:
        source.prefetch([(0, SIZE)], 13_000)
        for start in range(0, SIZE, 1000):
            assert source.file.read(1000) == body[start : start + 1000]
            read += 1000
    assert asked[0] == SIZE, "no byte twice"
    assert most[0] <= 13_000 + s3_object.BLOCK + 1000, "and what is just being read"


def test_what_nobody_reads_makes_room(bucket: Bucket, small: None, body: bytes) -> None:
    with x() as source:
        source.prefetch([(3000, SIZE)], 8000)
        source.file.seek(30_000)
        assert source.file.read() == body[30_000:]


def status(code: int) -> Spoil:
    """Answers with an error to ranges behind the middle."""

    def spoil(request: Request, headers: dict[str, str], reply: bytes) -> bytes:
        if request.start < SIZE // 2:
            return reply
        request.status = code
        headers["Content-Length"] = "0"
        return b""

    return spoil


def half(request: Request, _: dict[str, str], reply: bytes) -> bytes:
    """Breaks connections off in ranges behind the middle."""
    return reply if request.start < SIZE // 2 else reply[: len(reply) // 2]


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (status(404), InputNotFoundError, "no such object"),
        (status(412), StorageError, "changed while it was being read"),
        pytest.param(half, StorageError, "cannot read s3://b/x", marks=pytest.mark.slow),
    ],
)
def test_an_error_in_the_background_has_its_name_when_its_bytes_are_read(
    bucket: Bucket, small: None, body: bytes, spoil: Spoil, error: type[FunctionError], words: str
) -> None:
    bucket.spoil = spoil
    with unreadable_x(error, words) as source:
        source.prefetch([(0, SIZE)], SIZE)
        assert source.file.read(15_000) == body[:15_000]
        source.file.read()


def test_a_range_that_breaks_off_is_fetched_again(bucket: Bucket, small: None, body: bytes) -> None:
    broken: list[int] = []

    def thrice(request: Request, _: dict[str, str], reply: bytes) -> bytes:
        if len(broken) == 3:
            return reply
        broken.append(request.start)
        return reply[: len(reply) // 2]

    bucket.spoil = thrice
    with x() as source:
        assert source.file.read() == body
    assert len(broken) == 3


def test_a_new_version_is_refused_in_the_background(bucket: Bucket, small: None, body: bytes) -> None:
    with unreadable_x(StorageError, "changed while it was being read") as source:
        os.utime(bucket.folder / "x", (1, 1))
        source.prefetch([(0, SIZE)])
        source.file.read()
    # 0: a request that was given up when another one had been refused.
    assert {request.status for request in bucket.requests} - {0} == {206, 412}


def other_etag(headers: dict[str, str]) -> None:
    headers["ETag"] = '"other"'


def no_etag(headers: dict[str, str]) -> None:
    del headers["ETag"]


def other_size(headers: dict[str, str]) -> None:
    headers["Content-Range"] += "0"


@pytest.mark.parametrize("change", [other_etag, no_etag, other_size])
def test_a_server_that_ignores_if_match_mixes_no_versions(
    bucket: Bucket, small: None, body: bytes, change: Callable[[dict[str, str]], None]
) -> None:
    def spoil(request: Request, headers: dict[str, str], reply: bytes) -> bytes:
        if request.start:
            change(headers)
        return reply

    bucket.spoil = spoil
    with unreadable_x(StorageError, "changed while it was being read") as source:
        source.file.read()


def test_an_error_is_raised_whatever_a_reader_takes_it_for(bucket: Bucket, small: None, body: bytes) -> None:
    def hidden() -> None:
        with x() as source:
            bucket.spoil = status(404)
            with suppress(InputNotFoundError):
                source.file.read()

    def named_otherwise() -> None:
        with x() as source:
            try:
                source.file.read()
            except InputNotFoundError:
                raise OSError("damaged") from None

    for reader in (hidden, named_otherwise):
        with pytest.raises(InputNotFoundError):
            reader()


@pytest.mark.parametrize("change", [-1, 1])
def test_a_body_of_another_length_than_its_headers_say_is_the_store_s_fault(
    bucket: Bucket, small: None, body: bytes, change: int
) -> None:
    def other_length(times: float) -> Spoil:
        left = [times]

        def spoil(request: Request, headers: dict[str, str], reply: bytes) -> bytes:
            if left[0] <= 0:
                return reply
            left[0] -= 1
            reply = reply[:change] if change < 0 else reply + b"x"
            headers["Content-Length"] = str(len(reply))
            return reply

        return spoil

    bucket.spoil = other_length(2)
    with x() as source:
        assert source.file.read() == body
    bucket.spoil = other_length(math.inf)
    with unreadable_x(StorageError, "bytes came instead of") as source:
        source.file.read()


def test_without_an_etag_size_and_date_are_the_version(bucket: Bucket, small: None, body: bytes) -> None:
    def spoil(_: Request, headers: dict[str, str], reply: bytes) -> bytes:
        no_etag(headers)
        return reply

    bucket.spoil = spoil
    os.utime(bucket.folder / "x", (1e9, 1e9))
    with unreadable_x(StorageError, "changed while it was being read") as source:
        assert source.version == f"size={SIZE} modified=1000000000"
        assert source.file.read(20_000) == body[:20_000]
        os.utime(bucket.folder / "x", (2e9, 2e9))
        source.file.read()


def test_a_connection_that_stalls_is_given_up(
    bucket: Bucket, small: None, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unreadable_x(StorageError, r"b/x: no complete answer within 0\.3 s") as source:
        bucket.latency = 3600
        monkeypatch.setattr(patience, "PATIENCE_S", 0.3)
        source.file.read()


def test_a_child_works_while_ranges_are_fetched(bucket: Bucket, small: None, body: bytes) -> None:
    bucket.latency = 0.01
    with x() as source:
        source.prefetch([(0, SIZE)], SIZE)
        for start in range(0, SIZE, 4000):
            child = Child(lambda _, number: np.arange(number).sum(), 100)
            assert child.answer(1000, 10, None) == 499_500
            child.close()
            assert source.file.read(4000) == body[start : start + 4000]


# Images


def exposure(path: Path, side: int, names: str, chips: int = 1) -> None:
    """An image with these planes of ``side`` x ``side`` pixels per chip, 4 bytes each, 2 of DQ and SAMP."""
    rng = np.random.default_rng(1)
    hdus = [fits.PrimaryHDU(header=fits.Header({"TELESCOP": "HST", "INSTRUME": "WFC3", "DETECTOR": "IR"}))]
    noise = rng.normal(10, 1, (side, side)).astype("f4")
    for chip in range(1, chips + 1):
        for name in names.split():
            plane = np.zeros(noise.shape, "i2") if name in ("DQ", "SAMP") else noise
            hdus.append(fits.ImageHDU(plane, fits.Header({"EXTVER": chip, "BUNIT": "ELECTRONS"}), name=name))
    fits.HDUList(hdus).writeto(path)


def read(name: str) -> list[Chip | str]:
    with open_input(f"s3://b/{name}") as source, open_image(source, 2 << 30) as image:
        return list(chips(image))


def sent(bucket: Bucket) -> int:
    return sum(request.sent for request in bucket.requests)


def test_a_small_file_is_fetched_whole_gzipped_or_not(bucket: Bucket) -> None:
    path = bucket.folder / "i_flt.fits"
    exposure(path, 700, "SCI ERR DQ SAMP TIME")
    (bucket.folder / "i_flt.fits.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    (plain,) = read("i_flt.fits")
    assert (len(bucket.requests), sent(bucket)) == (2, path.stat().st_size)
    bucket.requests.clear()
    (packed,) = read("i_flt.fits.gz")
    assert len(bucket.requests) == 2
    assert isinstance(plain, Chip)
    assert isinstance(packed, Chip)
    assert np.array_equal(plain.data, packed.data)


def test_a_compressed_image_is_measured_in_a_process_that_has_no_connections(bucket: Bucket) -> None:
    path = bucket.folder / "i.fits.fz"
    pixels = np.random.default_rng(1).normal(10, 1, (3000, 1000)).astype("f4")
    image = fits.CompImageHDU(pixels, name="SCI", compression_type="GZIP_1", quantize_level=0)
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)
    assert path.stat().st_size > 8 << 20, "it is not fetched whole at once"
    found = []
    for uri in ("s3://b/i.fits.fz", path.as_uri()):
        with open_input(uri) as source:
            found.append(extract(Job(Extraction.parse({"input": uri}), source, "o.cat.fits", 2 << 30)))
    assert found[0].summary == found[1].summary


def test_of_an_exposure_the_planes_in_use_are_fetched_behind_the_headers(bucket: Bucket) -> None:
    """As in a flt of WFC3/IR."""
    exposure(bucket.folder / "i_flt.fits", 1014, "SCI ERR DQ SAMP TIME")
    (chip,) = read("i_flt.fits")
    assert isinstance(chip, Chip)
    assert sent(bucket) <= 1.01 * (4 + 4 + 2 + 2) * 1014**2
    assert len(bucket.requests) <= 10


@pytest.mark.slow
def test_headers_are_read_two_at_a_time(bucket: Bucket) -> None:
    """For planes are followed by others of their size."""
    exposure(bucket.folder / "i_flt.fits", 1014, "SCI ERR DQ SAMP TIME")
    bucket.latency = 1.0
    with open_input("s3://b/i_flt.fits") as source, open_fits(source) as hdus:
        assert len(hdus) == 6
    assert chain(bucket.requests) <= 4, "one after another they would be 7"


def test_of_a_large_file_only_the_planes_in_use_are_fetched(bucket: Bucket) -> None:
    exposure(bucket.folder / "cal.fits", 1500, "SCI ERR DQ VAR_POISSON VAR_RNOISE VAR_FLAT")
    (chip,) = read("cal.fits")
    assert isinstance(chip, Chip)
    used = (4 + 4 + 2) * 1500**2
    assert sent(bucket) <= 1.01 * used
    assert len(bucket.requests) <= 12
    bucket.requests.clear()
    with open_input("s3://b/cal.fits") as source:
        found = summarise(Job(Event(""), source, "", None))
    assert len(found["hdus"]) == 7
    assert sent(bucket) < 600_000, "headers alone"


def test_a_chip_is_fetched_while_another_is_measured(bucket: Bucket) -> None:
    exposure(bucket.folder / "u_flt.fits", 1000, "SCI ERR DQ", chips=4)
    with open_input("s3://b/u_flt.fits") as source, open_image(source, 2 << 30) as image:
        reading = chips(image)
        next(reading)
        give_up = time.monotonic() + 60
        while sum(request.sent for request in bucket.requests if request.ended < math.inf) < source.size:
            assert time.monotonic() < give_up, "nothing is fetched unless it is asked for"
            time.sleep(0.01)
        count = len(bucket.requests)
        assert len(list(reading)) == 3
        assert len(bucket.requests) == count
