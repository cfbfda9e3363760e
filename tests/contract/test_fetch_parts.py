"""Extensions and cut-outs by ranges of bytes, beside astropy on the whole file."""

import gzip
import re
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from standins.bucket import Bucket, serving

from skyfan.api import fetch
from skyfan.fetch.result import Result

pytestmark = pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
FULL = ("ib6o23rsq_flt.fits.gz", "j8bt06nyq_sip_flt.fits.gz", "j8bt06nyq_square_drz.fits.gz")


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    (tmp_path / "files").mkdir()
    bucket = Bucket(tmp_path / "files")
    with serving(bucket) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield bucket


def put(bucket: Bucket, path: Path, name: str = "") -> tuple[str, bytes]:
    """An object like a file, unpacked if `name` does not end in gz; its URI and content."""
    body = path.read_bytes()
    if path.suffix == ".gz" and not name.endswith(".gz"):
        body = gzip.decompress(body)
    name = name or path.name.removesuffix(".gz")
    bucket.put(name, body, {})
    return f"s3://b/{name}", body


def fetched(result: Result) -> Path:
    (file,) = result.files
    assert file.state == "fetched", file.reason
    return Path(result.destination, file.name)


def verify(path: Path) -> None:
    with warnings.catch_warnings(), fits.open(path) as found:
        warnings.simplefilter("error", fits.verify.VerifyWarning)
        found.verify("exception")
        for hdu in found:
            _ = hdu.data


def test_chosen_extensions_are_those_of_the_file_byte_by_byte(
    bucket: Bucket, tmp_path: Path, demo_data: Path
) -> None:
    uri, body = put(bucket, demo_data / "ib4606c6q_flc.fits")
    result = fetch(uri, tmp_path / "to", extensions="SCI,DQ,2")
    path = fetched(result)
    assert path.name == "ib4606c6q_flc_SCI-DQ2.fits"
    verify(path)
    content = path.read_bytes()
    with fits.open(demo_data / "ib4606c6q_flc.fits") as whole, fits.open(path) as part:
        assert [(hdu.name, hdu.ver) for hdu in part[:4]] == [
            ("PRIMARY", 1), ("SCI", 1), ("SCI", 2), ("DQ", 2)
        ]  # fmt: skip
        assert {hdu.name for hdu in part[4:]} == {"WCSDVARR", "D2IMARR"}  # which the WCS of SCI needs
        assert part[0].header["NEXTEND"] == len(part) - 1
        assert "ERR 1" in " ".join(part[0].header["HISTORY"])
        for hdu in part[1:]:
            info, source = hdu.fileinfo(), whole[hdu.name, hdu.ver].fileinfo()
            span = slice(info["hdrLoc"], info["datLoc"] + info["datSpan"])
            assert content[span] == body[source["hdrLoc"] : source["datLoc"] + source["datSpan"]]
        sky = WCS(part["SCI", 1].header, part).pixel_to_world(3, 4)
        assert sky == WCS(whole["SCI", 1].header, whole).pixel_to_world(3, 4)


@pytest.mark.skipif(not shutil.which("fitsverify"), reason="fitsverify is not installed")
@pytest.mark.parametrize("what", [{"extensions": "SCI,DQ"}, {"size": "3s"}], ids=["extensions", "cut-out"])
def test_fitsverify_finds_nothing_that_the_source_does_not_have(
    bucket: Bucket, tmp_path: Path, demo_data: Path, what: dict[str, str]
) -> None:
    def found(path: Path) -> tuple[int, int]:
        said = subprocess.run(["fitsverify", path], capture_output=True, text=True, check=False).stdout
        match = re.search(r"Verification found (\d+) warning\(s\) and (\d+) error\(s\)", said)
        assert match, said
        return int(match[1]), int(match[2])

    for name in ("j8bt06nyq_flt.fits", "ib4606c6q_flc.fits"):
        uri, _ = put(bucket, demo_data / name)
        with fits.open(demo_data / name) as whole:
            place = WCS(whole["SCI", 1].header, whole).pixel_to_world(30, 40)
        at = {"cutout": (place.ra.deg, place.dec.deg)} if "size" in what else {}
        part = found(fetched(fetch(uri, tmp_path / "to", **what, **at)))
        assert all(ours <= theirs for ours, theirs in zip(part, found(demo_data / name), strict=True))


def test_only_the_bytes_of_chosen_extensions_are_transferred(
    bucket: Bucket, tmp_path: Path, demo_data: Path
) -> None:
    uri, body = put(bucket, demo_data / "j8bt06nyq_flt.fits")
    result = fetch(uri, tmp_path / "to", extensions="DQ")
    assert fetched(result).stat().st_size < result.received < len(body) / 3
    bucket.requests.clear()
    assert fetch(uri, tmp_path / "to", extensions="DQ").counts == {"unchanged": 1}
    assert not [request for request in bucket.requests if request.method == "GET"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no FITS file" * 500, "not a FITS file"),
        (b"", "not a FITS file"),
        ("cut", "cut off"),
        ("SAMP", "has no SAMP, but PRIMARY, SCI 1, ERR 1, DQ 1"),
    ],
)
def test_a_file_without_the_extensions_is_named(
    bucket: Bucket, tmp_path: Path, demo_data: Path, content: bytes | str, reason: str
) -> None:
    whole = (demo_data / "j8bt06nyq_flt.fits").read_bytes()
    if isinstance(content, str):
        content = whole[:-3000] if content == "cut" else whole
    bucket.put("a.fits", content, {})
    (file,) = fetch("s3://b/a.fits", tmp_path / "to", extensions="SAMP").files
    assert file.state == "failed"
    assert reason in file.reason
    assert not list((tmp_path / "to").iterdir())


def compare(path: Path, whole: fits.HDUList, ra: float, dec: float, size: units.Quantity) -> int:
    """Compares each image of a cut-out with Cutout2D of the whole file; returns their number."""
    count = 0
    verify(path)
    with fits.open(path) as found:
        for hdu in found:
            if not hdu.is_image or hdu.data is None or hdu.name in ("WCSDVARR", "D2IMARR"):
                continue
            origin = whole[0] if hdu is found[0] else whole[hdu.name, hdu.ver]
            named = ("SCI", hdu.ver, origin.shape)
            anchor = next((one for one in whole if (one.name, one.ver, one.shape) == named), origin)
            own = WCS(anchor.header, whole)
            cut = Cutout2D(origin.data, SkyCoord(ra, dec, unit="deg"), size, own, mode="trim")
            assert hdu.data.dtype == origin.data.dtype
            np.testing.assert_array_equal(hdu.data, cut.data)
            assert (hdu.header["BITPIX"], hdu.header.get("BZERO")) == (
                origin.header["BITPIX"], origin.header.get("BZERO")
            )  # fmt: skip
            y, x = np.mgrid[0 : cut.shape[0] : 3, 0 : cut.shape[1] : 3]
            here = WCS(hdu.header, found).all_pix2world(x, y, 0)
            (x0, y0) = cut.origin_original
            there = WCS(origin.header, whole).all_pix2world(x + x0, y + y0, 0)
            np.testing.assert_allclose(here, there, rtol=0, atol=1e-9)
            count += 1
    return count


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
@pytest.mark.parametrize("place", [(0.5, 0.5, 8), (0.98, 0.1, 20), (0.3, 0.7, 500)])
def test_a_cut_out_is_that_of_cutout2d(
    bucket: Bucket, tmp_path: Path, shared_data: Path, name: str, place: tuple[float, float, float]
) -> None:
    uri, body = put(bucket, shared_data / name)
    with fits.open(shared_data / name) as whole:
        rows, columns = whole["SCI"].shape
        wcs = WCS(whole["SCI"].header, whole)
        ra, dec = map(float, wcs.all_pix2world(place[0] * columns, place[1] * rows, 0))
        size = place[2] * units.arcsec
        result = fetch(uri, tmp_path / "to", cutout=(ra, dec), size=size)
        assert compare(fetched(result), whole, ra, dec, size) >= 3
    if place[2] < 10:
        assert result.received < len(body) / 3
    assert ("partly outside" in " ".join(result.files[0].notes)) == (place[2] > 10)


@pytest.mark.slow
def test_lookup_tables_move_with_the_chips(bucket: Bucket, tmp_path: Path, shared_data: Path) -> None:
    uri, _ = put(bucket, shared_data / "ib4606c6q_10x10_flc.fits")
    with fits.open(shared_data / "ib4606c6q_10x10_flc.fits") as whole:
        for chip in (1, 2):
            wcs = WCS(whole["SCI", chip].header, whole)
            ra, dec = map(float, wcs.all_pix2world(6, 3, 0))
            size = 5 * wcs.proj_plane_pixel_scales()[0]
            result = fetch(uri, tmp_path / f"to{chip}", cutout=(ra, dec), size=size)
            assert compare(fetched(result), whole, ra, dec, size) >= 3


@pytest.mark.parametrize("kind", ["uint16", "cube", "RICE_1", "GZIP_2", "primary", "galactic", "flipped"])
def test_cut_outs_of_other_kinds_of_images(bucket: Bucket, tmp_path: Path, kind: str) -> None:
    header = fits.Header()
    for axis, (ctype, crval) in enumerate((("RA---TAN", 150.0), ("DEC--TAN", 2.0)), start=1):
        header[f"CTYPE{axis}"], header[f"CRVAL{axis}"] = ctype, crval
        header[f"CRPIX{axis}"], header[f"CDELT{axis}"] = 30.5, (-1) ** axis * 1e-4
    header["CRPIX1P"], header["CRVAL1P"], header["LTV1"] = 10.0, 3.0, -5.0
    if kind == "galactic":
        header["CTYPE1"], header["CTYPE2"] = "GLON-TAN", "GLAT-TAN"
    if kind == "flipped":
        header["CTYPE1"], header["CTYPE2"] = "DEC--TAN", "RA---TAN"
        header["CRVAL1"], header["CRVAL2"] = 2.0, 150.0
    shape = (3, 50, 60) if kind == "cube" else (50, 60)
    data = np.arange(np.prod(shape)).reshape(shape).astype("uint16" if kind == "uint16" else "int32")
    hdu = fits.ImageHDU(data, header, "SCI")
    if kind in ("RICE_1", "GZIP_2"):
        hdu = fits.CompImageHDU(data, header, "SCI", compression_type=kind)
    whole = fits.HDUList([fits.PrimaryHDU(), hdu])
    if kind == "primary":
        whole = fits.HDUList([fits.PrimaryHDU(data, header), fits.ImageHDU(data, header, "B")])
    whole.writeto(tmp_path / "whole.fits", checksum=True)
    uri, _ = put(bucket, tmp_path / "whole.fits")
    with fits.open(tmp_path / "whole.fits") as opened:
        image = opened[0] if kind == "primary" else opened["SCI"]
        wcs = WCS(image.header, naxis=2)
        sky = wcs.pixel_to_world(20.2, 33.9).icrs
        result = fetch(uri, tmp_path / "to", cutout=sky, size="3arcsec")
        path = fetched(result)
        verify(path)
        with fits.open(path) as found:
            cut = Cutout2D(np.atleast_3d(image.data.T).T[0], (20.2, 33.9), 3 * units.arcsec, wcs)
            (x0, y0), (height, width) = cut.origin_original, cut.shape
            one = found[0] if kind == "primary" else found["SCI"]
            expected = image.data[..., y0 : y0 + height, x0 : x0 + width]
            np.testing.assert_array_equal(one.data, expected)
            assert one.data.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")
            assert one.header["CRPIX1P"] == 10 - x0
            assert one.header["LTV1"] == -5 - x0
            there = WCS(one.header, naxis=2).pixel_to_world(1, 2).icrs
            assert there.separation(wcs.pixel_to_world(1 + x0, 2 + y0).icrs).deg < 1e-9


def test_positions_outside_are_named_counted_and_not_written(
    bucket: Bucket, tmp_path: Path, demo_data: Path
) -> None:
    uri, _ = put(bucket, demo_data / "j8bt06nyq_flt.fits")
    for around in ((0.0, 89.0), (6.0, 72.0), (186.0, 72.08)):
        result = fetch(uri, tmp_path / "to", cutout=around, size="5s")
        assert result.counts == {"outside": 1}
        assert result.is_complete
    assert not list((tmp_path / "to").iterdir())


def test_a_gzipped_file_is_read_whole_and_the_part_is_not_gzipped(
    bucket: Bucket, tmp_path: Path, shared_data: Path
) -> None:
    uri, body = put(bucket, shared_data / FULL[1], FULL[1])
    result = fetch(uri, tmp_path / "to", extensions="DQ")
    path = fetched(result)
    assert path.name == "j8bt06nyq_sip_flt_DQ.fits"
    assert result.received == len(body)
    assert "read whole" in result.files[0].notes[0]
    verify(path)
