"""URIs and keys of inputs, and object keys of results."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import LocalStore

from skyfan.errors import InputError
from skyfan.storage import uris
from skyfan.storage.place import Place
from skyfan.storage.uris import Results

TEMPLATE = "s3://some-bucket/runs/{run}/catalogs/{key}.cat.fits"


@given(st.text(min_size=1))
def test_a_result_is_recognised_by_its_object_key(key: str) -> None:
    of_run = Results.of(uris.below_bucket(TEMPLATE), "r1")
    assert of_run.object_key(key) == f"runs/r1/catalogs/{key}.cat.fits"
    assert of_run.key(of_run.object_key(key)) == key


@pytest.mark.parametrize(
    "object_key",
    [
        "runs/r1/catalogs/a.fits.preview.png",
        "runs/r1/catalogs/.cat.fits",
        "runs/r2/catalogs/a.fits.cat.fits",
        "runs/r1/catalogs.cat.fits",
    ],
)
def test_other_objects_are_no_results(object_key: str) -> None:
    assert Results.of(uris.below_bucket(TEMPLATE), "r1").key(object_key) is None


def test_the_prefix_ends_at_a_folder_wherever_the_key_begins(tmp_path: Path) -> None:
    of_run = Results.of("runs/{run}/of-{key}.json", "r1")
    assert of_run.prefix == "runs/r1/"
    place = Place(str(tmp_path), LocalStore(tmp_path))
    for name in ("of-a/b.fits.json", "of-c.json", "run.json"):
        place.put(f"runs/r1/{name}", b"{}")
    assert sorted(key for key, _ in of_run.list(place)) == ["a/b.fits", "c"]


def test_a_folder_instead_of_the_bucket_is_percent_encoded() -> None:
    folder = Path("/data/out put {key}")
    assert uris.localise(TEMPLATE, folder) == (
        "file:///data/out%20put%20%7Bkey%7D/runs/{run}/catalogs/{key}.cat.fits"
    )
    of_run = Results.of(uris.below_bucket(TEMPLATE), "r1")
    path = folder / of_run.object_key(uris.key("file:///sky/m%2031.fits"))
    assert path == folder / "runs/r1/catalogs/sky/m 31.fits.cat.fits"


@pytest.mark.parametrize("uri", ["file:///sky/a..fits", "s3://bucket/a", "file:///a%20%23b%3F.fits"])
def test_an_input_has_a_key(uri: str) -> None:
    path = uris.local_path(uri)
    assert uris.key(uri) == (str(path)[1:] if path else "bucket/a")


@pytest.mark.parametrize(
    "uri", ["s3://bucket", "s3://bucket/", "file://a", "https://a/b", "s3://bucket/a/../b", "file:///a//b"]
)
def test_a_uri_without_a_key_is_named(uri: str) -> None:
    with pytest.raises(InputError, match=uri):
        uris.key(uri)


@given(st.binary(min_size=1).filter(lambda name: not set(name) & set(b"\0/") and name not in {b".", b".."}))
def test_a_file_name_may_be_any_bytes(name: bytes) -> None:
    path = Path("/sky", os.fsdecode(name))
    uri = uris.from_path(path)
    assert uris.local_path(uri) == path
    key = uris.key(uri).removeprefix("sky/")
    assert key == name.decode(errors="backslashreplace")
