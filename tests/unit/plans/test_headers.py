"""What FITS headers say of files, read without pixels."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from skyfan.errors import InputError
from skyfan.pictures import images
from skyfan.plans import headers, plan, tiers
from skyfan_contract.headers import Header


def write(path: Path, *planes: tuple[int, int], kind: type = fits.ImageHDU, **cards: object) -> Path:
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for name, value in cards.items():
        hdus[0].header[name] = value
    for shape in planes:
        hdus.append(kind(np.zeros(shape, np.float32)))
    hdus.append(fits.BinTableHDU.from_columns([fits.Column("A", "1000000B", array=np.zeros((1, 1_000_000)))]))
    hdus.writeto(path)
    return path


def test_the_largest_plane_counts_and_tables_do_not(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", (10, 20), (30, 40), (5, 5))
    found = headers.local(path)
    assert found
    assert found.pixels == 1200
    (tmp_path / "a.fits.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert headers.local(tmp_path / "a.fits.gz") == Header(found.columns, 200)  # the first plane


def test_a_compressed_plane_has_its_own_size(tmp_path: Path) -> None:
    found = headers.local(write(tmp_path / "a.fits.fz", (300, 500), kind=fits.CompImageHDU))
    assert found
    assert found.pixels == 150_000


@pytest.mark.parametrize(
    ("cards", "columns"),
    [
        (
            {
                "TELESCOP": "HST",
                "INSTRUME": "ACS",
                "DETECTOR": "WFC",
                "FILTER1": "CLEAR1L",
                "FILTER2": "F814W",
            },
            {"obs_collection": "HST", "instrument_name": "ACS/WFC", "filters": "F814W"},
        ),
        (
            {"TELESCOP": "JWST", "INSTRUME": "NIRCAM", "EXP_TYPE": "NRC_IMAGE", "FILTER": "F150W2"}
            | {"PUPIL": "F162M", "PROGRAM": "02282", "XPOSURE": 10, "DETECTOR": "NRCA1"},
            {"obs_collection": "JWST", "instrument_name": "NIRCAM/IMAGE", "filters": "F150W2;F162M"}
            | {"proposal_id": "02282", "t_exptime": 10.0},
        ),
        (
            {"TELESCOP": "TESS", "INSTRUME": "TESS Photometer", "EXPOSURE": 0.0125},
            {
                "obs_collection": "TESS",
                "instrument_name": "Photometer",
                "filters": "TESS",
                "t_exptime": 1080.0,
            },
        ),
        (
            {"PROPOSID": 12498, "TARGNAME": "O'Neill / 2"},
            {"proposal_id": "12498", "target_name": "O'Neill / 2"},
        ),
        ({"EXPTIME": 1.5e3, "OBJECT": ""}, {"t_exptime": 1500.0}),
    ],
)
def test_columns_of_the_plan(tmp_path: Path, cards: dict[str, object], columns: dict[str, object]) -> None:
    found = headers.local(write(tmp_path / "a.fits", (2, 2), **cards))
    assert found
    assert found.columns == pytest.approx(columns)


def test_what_is_no_fits_file_has_no_header(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.fits", (10, 20)).read_bytes()
    contents = {"text": b"x" * 9000, "empty": b"", "short": whole[:200], "bad.gz": b"x" * 100}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        assert headers.local(tmp_path / name) is None
    (tmp_path / "cut").write_bytes(whole[: 2 * 2880 + 100])  # the pixels are cut
    cut = headers.local(tmp_path / "cut")
    assert cut
    assert cut.pixels == 200


def test_the_tier_is_that_of_the_plane() -> None:
    assert tiers.tier("a.fits", 2_000_000_000) == plan.LARGE
    assert tiers.tier("a.fits", 2_000_000_000, pixels=1_000_000) == plan.STANDARD
    assert tiers.tier("a.fits", 100, pixels=10**10) is None
    item = plan.Item("s3://b/a.fits", 2_000_000_000, plan.STANDARD, 1_000_000)
    assert tiers.sending_tier(item, tiers.MEMORY_MB) == plan.STANDARD


@pytest.mark.parametrize(
    ("cards", "reason"),
    [
        ({"NAXIS": 10**9}, "must be a number from 0 to 999"),
        ({"NAXIS": "'x'"}, "must be a number from 0 to 999"),
        ({"NAXIS": 1, "NAXIS1": -5760}, "negative"),
        ({"NAXIS": 1, "NAXIS1": 2880, "GCOUNT": -2}, "negative"),
        ({"NAXIS": 2, "NAXIS1": 10**18, "NAXIS2": 10**18}, "is not a FITS file"),
    ],
    ids=str,
)
def test_sizes_that_are_none_end_the_reading(tmp_path: Path, cards: dict[str, object], reason: str) -> None:
    path = tmp_path / "a.fits"
    lines = [f"{name:8}= {value:>20}" for name, value in {"SIMPLE": "T", "BITPIX": 8, **cards}.items()]
    path.write_bytes("".join(line.ljust(80) for line in [*lines, "END"]).ljust(2880).encode())
    assert headers.local(path) is None
    with pytest.raises(InputError, match=reason), path.open("rb") as file:
        headers.check("a.fits", file)


@pytest.mark.skipif(os.name != "posix", reason="FIFOs are files of POSIX")
def test_what_waits_for_a_writer_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.fits")
    assert headers.local(tmp_path / "a.fits") is None
    with pytest.raises(InputError, match="no regular file"):
        images.load(str(tmp_path / "a.fits"))
