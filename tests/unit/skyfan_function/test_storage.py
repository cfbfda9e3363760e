"""file:// in and out; s3:// is in tests/contract/test_functions_s3.py."""

import os
import resource
import threading
from pathlib import Path

import pytest

from skyfan_contract import key_of
from skyfan_function.errors import (
    AccessDeniedError,
    ConfigurationError,
    EventError,
    InputNotFoundError,
    StorageError,
)
from skyfan_function.storage import open_input, output_uri, write

NAMES = [
    "plain.fits",
    "with space.fits",
    "100%.fits",
    "100%25.fits",
    "a%20b.fits",
    "what?no.fits",
    "no#1.fits",
    "a&b=c;d+e.fits",
    "nächtlich.fits",
    "夜空.fits",
    "tab\tand\nline.fits",
    "{run}{key}.fits",
    "\\back\\slash.fits",
]


@pytest.mark.parametrize(
    ("uri", "key"),
    [
        ("s3://bucket/key.fits", "bucket/key.fits"),
        ("s3://bucket/a b%20c#d?e.fits", "bucket/a b%20c#d?e.fits"),
        ("file:///data/a%20b.fits", "data/a b.fits"),
        ("file:///data/100%25.fits", "data/100%.fits"),
        ("file:///data/%E5%A4%9C.fits", "data/夜.fits"),
        ("file:///data/夜.fits", "data/夜.fits"),
        ("file:////data/x.fits", "data/x.fits"),
    ],
)
def test_key(uri: str, key: str) -> None:
    assert key_of(uri) == key


@pytest.mark.parametrize("name", NAMES)
def test_any_file_name_is_read_and_mirrored(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "in put" / name
    source.parent.mkdir()
    source.write_bytes(b"light")
    monkeypatch.setenv(
        "SKYFAN_OUTPUT", f"{(tmp_path / 'out 100%').as_uri()}/runs/{{run}}/catalogs/{{key}}.cat.fits"
    )
    with open_input(source.as_uri()) as opened:
        assert opened.file.read() == b"light"
    write(output_uri("r1", key_of(source.as_uri())), b"catalog")
    expected = tmp_path / "out 100%" / "runs" / "r1" / "catalogs" / f"{str(source)[1:]}.cat.fits"
    assert expected.read_bytes() == b"catalog"
    assert [path for path in (tmp_path / "out 100%").rglob("*") if path.is_file()] == [expected]


@pytest.mark.parametrize("key", ["b/a%20b.fits", "b/%2e%2e/%2e%2e/x.fits", "b/a?b#c.fits"])
def test_an_s3_key_is_mirrored_as_it_is(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYFAN_OUTPUT", f"file://{tmp_path}/{{run}}/{{key}}.cat.fits")
    write(output_uri("r", key_of(f"s3://{key}")), b"x")
    assert (tmp_path / "r" / f"{key}.cat.fits").is_file()


def test_an_s3_output_is_not_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYFAN_OUTPUT", "s3://out/runs/{run}/{key}.cat.fits")
    assert output_uri("r", "data/a b%.fits") == "s3://out/runs/r/data/a b%.fits.cat.fits"


@pytest.mark.parametrize(
    "template",
    ["", "out/{run}/{key}", "/out/{run}/{key}", "file://out/{run}/{key}", "s3://b/{run}", "file:///o/{key}"],
)
def test_an_output_that_cannot_be_is_refused(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYFAN_OUTPUT", template)
    with pytest.raises(ConfigurationError, match="SKYFAN_OUTPUT must say where results go"):
        output_uri("r", "k")
    monkeypatch.delenv("SKYFAN_OUTPUT")
    with pytest.raises(ConfigurationError, match="SKYFAN_OUTPUT must say where results go"):
        output_uri("r", "k")


def test_a_source_knows_its_size_and_version(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    os.utime(path, (1e9, 1e9))
    with open_input(path.as_uri()) as source:
        assert (source.size, source.version) == (5, "size=5 mtime=1000000000")
    os.utime(path, (1e9, 1e9 + 1))
    with open_input(path.as_uri()) as source:
        assert source.version == "size=5 mtime=1000000001"
    assert source.file.closed


def test_a_missing_file_and_a_folder_have_a_name(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="no such file"), open_input((tmp_path / "nil").as_uri()):
        pass
    with pytest.raises(InputNotFoundError, match="is a folder"), open_input(tmp_path.as_uri()):
        pass
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputNotFoundError, match="no such file"),
        open_input((tmp_path / "file" / "x").as_uri()),
    ):
        pass


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch()
    path.chmod(0)
    me = os.geteuid()
    if me == 0:  # root may read everything: be someone else for a while
        os.seteuid(65534)
    try:
        with pytest.raises(AccessDeniedError, match="secret: you may not read"), open_input(path.as_uri()):
            pass
    finally:
        os.seteuid(me)


def test_what_the_reader_of_a_source_raises_stays_itself(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.touch()
    with pytest.raises(ZeroDivisionError), open_input(path.as_uri()):
        raise ZeroDivisionError


def test_no_reader_ever_sees_half_a_catalog(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "catalog"
    bodies = [bytes([65 + i]) * (4 << 20) for i in range(2)]
    write(path.as_uri(), bodies[0])
    done = threading.Event()

    def rewrite() -> None:
        for i in range(40):
            write(path.as_uri(), bodies[i % 2])
        done.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    seen = set()
    while not done.is_set():
        body = path.read_bytes()
        assert body in bodies
        seen.add(body[:1])
    writer.join()
    assert seen == {b"A", b"B"}, "the reader was too slow for this to prove anything"
    assert list(path.parent.iterdir()) == [path]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask, "others may read it"


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "catalog"
    write(path.as_uri(), b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(StorageError, match=f"cannot write {path}: File too large"):
            write(path.as_uri(), bytes(2 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write .*/file/catalog"):
        write((tmp_path / "file" / "catalog").as_uri(), b"")
    (tmp_path / "folder" / "x").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"cannot write .*/folder"):
        write((tmp_path / "folder").as_uri(), b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("text", [None, "no certificate"], ids=["missing", "not PEM"])
def test_certificates_that_cannot_be_read_are_named(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(path))
    with (
        pytest.raises(ConfigurationError, match=str(path)),
        open_input("s3://stpubdata/a.fits", "anonymous"),
    ):
        pass


def test_a_file_is_no_input_where_results_go_to_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Lambda there are only the function's own files."""
    monkeypatch.setenv("SKYFAN_OUTPUT", "s3://results/runs/{run}/{key}")
    with pytest.raises(EventError), open_input("file:///proc/self/environ"):
        pass
