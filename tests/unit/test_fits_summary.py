"""The smallest function, on real files and on broken ones."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from fits_summary import errors
from fits_summary.handler import handler
from fits_summary.storage import key_of

Summarise = Callable[..., dict[str, Any]]


@pytest.fixture
def summarise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Summarise:
    """Calls the handler on a local file, with results under tmp_path/out."""
    monkeypatch.setenv("SKYFAN_OUTPUT", f"file://{tmp_path}/out/runs/{{run}}/summaries/{{key}}.json")
    return lambda path, **more: handler({"input": path.as_uri(), **more}, None)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A small image with a science extension."""
    primary = fits.PrimaryHDU()
    primary.header["INSTRUME"] = "WFC3"
    science = fits.ImageHDU(np.arange(4000, dtype="f4").reshape(40, 100), name="SCI")
    science.header["PHOTFLAM"] = 1.5e-20
    path = tmp_path / "x.fits"
    fits.HDUList([primary, science]).writeto(path)
    return path


def test_a_real_image(summarise: Summarise, demo_data: Path) -> None:
    result = summarise(demo_data / "j8bt06nyq_flt.fits", run="first")
    with fits.open(demo_data / "j8bt06nyq_flt.fits") as hdus:
        told = [(row["ext"], row["name"], row["ver"], row["type"], row["cards"]) for row in result["hdus"]]
        assert told == [row[:5] for row in hdus.info(output=False)]
    assert result["header"]["INSTRUME"] == "ACS"
    assert result["header"]["PHOTFLAM"] > 0, "which stands in the first extension only"


def test_the_result_is_written_and_returned(summarise: Summarise, image: Path, tmp_path: Path) -> None:
    result = summarise(image, run="r1")
    path = tmp_path / f"out/runs/r1/summaries/{str(image)[1:]}.json"
    assert result["output"] == path.as_uri()
    written = json.loads(path.read_text())
    assert written["hdus"][1] == {
        "ext": 1,
        "name": "SCI",
        "ver": 1,
        "type": "ImageHDU",
        "cards": 9,
        "shape": [100, 40],  # as fits.info shows it: x first
        "format": "float32",
    }
    assert written["header"] == {"INSTRUME": "WFC3", "PHOTFLAM": 1.5e-20}
    assert [path.name for path in path.parent.iterdir()] == ["x.fits.json"], "no half-written file is left"


def test_gzipped_and_fpacked_files(summarise: Summarise, image: Path, tmp_path: Path) -> None:
    packed = tmp_path / "x.fits.gz"
    packed.write_bytes(gzip.compress(image.read_bytes()))
    assert summarise(packed)["hdus"] == summarise(image)["hdus"]
    tiled = tmp_path / "x.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(np.zeros((64, 64), "f4"), name="SCI")]).writeto(tiled)
    assert summarise(tiled)["hdus"][1]["type"] == "CompImageHDU"


def test_odd_names_have_their_own_place(summarise: Summarise, image: Path, tmp_path: Path) -> None:
    odd = tmp_path / "50%41 é #1?.fits"
    odd.write_bytes(image.read_bytes())
    summarise(odd)
    assert (tmp_path / f"out/runs/default/summaries/{str(odd)[1:]}.json").exists()


def test_bytes_after_the_last_extension_are_noted(summarise: Summarise, image: Path) -> None:
    image.write_bytes(image.read_bytes() + b"\0" * 2880)
    assert "bytes after the last extension" in summarise(image)["notes"][0]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("keep", [4000, 5760, 7000, -1])
def test_a_truncated_file_is_never_a_whole_one(
    summarise: Summarise, image: Path, keep: int, packed: bool
) -> None:
    body = image.read_bytes()[:keep]
    image.write_bytes(gzip.compress(body) if packed else body)
    with pytest.raises(errors.TruncatedError, match=r"x\.fits (ends before|breaks off)"):
        summarise(image)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.999])
def test_a_gzip_file_that_breaks_off(summarise: Summarise, image: Path, share: float) -> None:
    packed = gzip.compress(image.read_bytes())
    image.write_bytes(packed[: int(len(packed) * share)])
    with pytest.raises(errors.TruncatedError):
        summarise(image)


@pytest.mark.parametrize("content", [b"", b"SIMPLE", b"<html>" * 1000, b"\x1f\x8b rubbish", bytes(2880)])
def test_what_is_no_fits(summarise: Summarise, image: Path, content: bytes) -> None:
    image.write_bytes(content)
    with pytest.raises(errors.SummaryError) as caught:
        summarise(image)
    assert type(caught.value) in {errors.NotFitsError, errors.TruncatedError}
    assert str(image) in str(caught.value)
    assert caught.value.permanent


def test_a_missing_file(summarise: Summarise, tmp_path: Path) -> None:
    with pytest.raises(errors.InputNotFoundError, match=r"nope\.fits does not exist"):
        summarise(tmp_path / "nope.fits")


def test_a_broken_real_file(summarise: Summarise, shared_data: Path) -> None:
    with pytest.raises(errors.TruncatedError, match="149760 bytes"):
        summarise(shared_data / "odd_icwz15e7q_truncated_hdrlet.fits")


def test_every_other_real_file_has_its_summary(summarise: Summarise, shared_data: Path) -> None:
    for path in sorted(shared_data.glob("*.fits*")):
        if "truncated" not in path.name:
            assert summarise(path)["hdus"][0]["type"] == "PrimaryHDU"


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({}, "input must be"),
        ({"input": 3}, "input must be"),
        ({"input": "relative.fits"}, "input must be"),
        ({"input": "s3://bucket"}, "input must be"),
        ({"input": "https://example.org/x"}, "input must be"),
        ({"input": "s3://b/k", "config": {}}, "unknown key 'config'"),
        ({"input": "s3://b/k", "run": "../x"}, "run must be"),
        ({"input": "s3://b/k", "access": "open"}, "access must be one of anonymous, signed, requester-pays"),
    ],
)
def test_a_wrong_event_is_refused(event: dict[str, Any], told: str) -> None:
    with pytest.raises(errors.EventError, match=told):
        handler(event, None)


def test_keys_mirror_inputs() -> None:
    assert key_of("s3://stpubdata/hst/a%20b.fits") == "stpubdata/hst/a%20b.fits"
    assert key_of("file:///data/a%20b.fits") == "data/a b.fits"
