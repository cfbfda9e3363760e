"""The smallest function, on real files and on broken ones."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from fits_summary.handler import handler
from skyfan_function import errors

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


def test_what_fills_the_last_block_is_no_extension(summarise: Summarise, image: Path) -> None:
    whole = summarise(image)["hdus"]
    image.write_bytes(image.read_bytes() + b"\0" * 2880)
    assert summarise(image)["hdus"] == whole


def test_an_extension_that_was_cut_off_is_not_left_out(summarise: Summarise, image: Path) -> None:
    image.write_bytes(image.read_bytes() + b"XTENSION= 'IMAGE   '")
    with pytest.raises(errors.TruncatedError):
        summarise(image)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("keep", [4000, 5760, 7000, -2000])
def test_a_truncated_file_is_never_a_whole_one(
    summarise: Summarise, image: Path, keep: int, packed: bool
) -> None:
    body = image.read_bytes()[:keep]
    image.write_bytes(gzip.compress(body) if packed else body)
    with pytest.raises(errors.TruncatedError, match=r"x\.fits is truncated"):
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
    with pytest.raises(errors.InputError) as caught:
        summarise(image)
    kinds = {errors.NotFitsError, errors.TruncatedError, errors.UnreadableError}
    assert type(caught.value) in kinds
    assert image.name in str(caught.value)
    assert caught.value.cure == "never"


def test_a_missing_file(summarise: Summarise, tmp_path: Path) -> None:
    with pytest.raises(errors.InputNotFoundError, match=r"nope\.fits"):
        summarise(tmp_path / "nope.fits")


def test_a_broken_real_file(summarise: Summarise, shared_data: Path) -> None:
    with pytest.raises(errors.TruncatedError, match="149760"):
        summarise(shared_data / "odd_icwz15e7q_truncated_hdrlet.fits")


def test_every_other_real_file_has_its_summary(summarise: Summarise, shared_data: Path) -> None:
    for path in sorted(shared_data.glob("*.fits*")):
        if "truncated" not in path.name:
            assert summarise(path)["hdus"][0]["type"] == "PrimaryHDU"


@pytest.mark.parametrize("name", ["a #1?.fits", "100%.fits", "50%41 é+夜.fits"])
def test_odd_names_are_read_and_mirrored(
    summarise: Summarise, image: Path, tmp_path: Path, name: str
) -> None:
    odd = image.rename(tmp_path / name)
    summarise(odd)
    assert (tmp_path / f"out/runs/default/summaries/{str(odd)[1:]}.json").is_file()


def test_it_takes_no_configuration(summarise: Summarise, image: Path) -> None:
    with pytest.raises(errors.EventError, match="'config'"):
        summarise(image, config={})


def test_a_file_that_is_no_fits_is_a_recorded_failure(
    summarise: Summarise, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKYFAN_FAILURES", f"file://{tmp_path}/out/runs/{{run}}/failures/{{key}}.json")
    image.write_bytes(b"no stars")
    answer = summarise(image, run="r1")
    assert (answer["errorType"], answer["permanent"], "output" in answer) == ("NotFitsError", True, False)
    assert (tmp_path / f"out/runs/r1/failures/{str(image)[1:]}.json").is_file()
