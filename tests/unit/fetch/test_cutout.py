"""Cut-outs of made images, beside astropy's Cutout2D of the whole."""

import asyncio
import io
import warnings

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from skyfan.fetch.cutout import Cutout
from skyfan.fetch.job import OutsideError
from skyfan.fetch.recipe import Copy
from skyfan.fetch.source import Version

SHAPE = (40, 50)


class Memory:
    """Reads ranges of bytes in memory, and counts them."""

    def __init__(self, body: bytes) -> None:
        self.body, self.received = body, 0

    async def read(self, uri: str, version: Version, start: int, stop: int) -> bytes:
        self.received += stop - start
        return self.body[start:stop]


def cut(body: bytes, ra: float, dec: float, size: float) -> bytes:
    recipe, _ = asyncio.run(
        Cutout(ra, dec, size).recipe(Memory(body), "s3://b/a.fits", Version(len(body), '"1"'))  # type: ignore[arg-type]
    )
    made = bytearray(recipe.size)
    for at, own in recipe.own():
        made[at : at + len(own)] = own
    for piece in recipe.pieces():
        start, stop = piece.source
        gathered = piece.gather(body[start:stop])
        made[piece.at : piece.at + len(gathered)] = gathered
    return bytes(made)


def image(projection: str, angle: float, crval: tuple[float, float], bend: float, kind: str) -> bytes:
    """A file with SCI and DQ: its WCS is turned, and bent by SIP or a lookup table."""
    header = fits.Header()
    suffix = "-SIP" if kind == "sip" else ""
    header["CTYPE1"], header["CTYPE2"] = f"RA---{projection}{suffix}", f"DEC--{projection}{suffix}"
    header["CRVAL1"], header["CRVAL2"] = crval
    header["CRPIX1"], header["CRPIX2"] = 20.25, 25.5
    cos, sin = 1e-4 * np.cos(angle), 1e-4 * np.sin(angle)
    header["CD1_1"], header["CD1_2"], header["CD2_1"], header["CD2_2"] = -cos, sin, sin, cos
    if kind == "sip":
        for name in ("A", "B"):
            header[f"{name}_ORDER"], header[f"{name}_2_0"], header[f"{name}_1_1"] = (
                2,
                bend * 1e-3,
                -bend * 5e-4,
            )
    data = np.arange(SHAPE[0] * SHAPE[1], dtype="float32").reshape(SHAPE)
    hdus = [
        fits.PrimaryHDU(),
        fits.ImageHDU(data, header, "SCI"),
        fits.ImageHDU(data.astype("int16"), None, "DQ"),
    ]
    hdus[0].header["NEXTEND"] = 4
    if kind == "lookup":
        for axis in (1, 2):
            header = hdus[1].header
            header[f"CPDIS{axis}"] = "Lookup"
            for record in ("NAXES: 2", "AXIS.1: 1", "AXIS.2: 2", f"EXTVER: {axis}"):
                header.append((f"DP{axis}", record), end=True)
            table = np.linspace(-bend, bend, 36, dtype="float32").reshape(6, 6) * (3 - 2 * axis)
            hdus.append(fits.ImageHDU(table, name="WCSDVARR", ver=axis))
            for number in (1, 2):
                one = hdus[-1].header
                one[f"CRPIX{number}"], one[f"CRVAL{number}"], one[f"CDELT{number}"] = 1.0, 1.0, 10.0
    out = io.BytesIO()
    fits.HDUList(hdus).writeto(out)
    return out.getvalue()


@settings(max_examples=40)
@given(
    st.sampled_from(["TAN", "SIN", "ARC", "ZEA", "STG"]),
    st.floats(0, 6.3),
    st.sampled_from([(150.0, 2.0), (0.0, -80.0), (359.9999, 60.0), (10.0, 89.9)]),
    st.floats(-1, 1),
    st.sampled_from(["plain", "sip", "lookup"]),
    st.tuples(st.floats(-4, 54), st.floats(-4, 44)),
    st.floats(1, 60),
)
@pytest.mark.slow
def test_a_cut_out_has_the_pixels_and_the_sky_of_cutout2d(
    projection: str,
    angle: float,
    crval: tuple[float, float],
    bend: float,
    kind: str,
    place: tuple[float, float],
    side: float,
) -> None:
    body = image(projection, angle, crval, bend, kind)
    with warnings.catch_warnings(), fits.open(io.BytesIO(body)) as whole:
        warnings.simplefilter("ignore")
        wcs = WCS(whole["SCI"].header, whole)
        ra, dec = map(float, wcs.all_pix2world(*place, 0))
        size = side * 1e-4
        try:
            expected = Cutout2D(whole["SCI"].data, SkyCoord(ra, dec, unit="deg"), size * units.deg, wcs)
        except Exception:
            with pytest.raises(OutsideError):
                cut(body, ra, dec, size)
            return
        with fits.open(io.BytesIO(cut(body, ra, dec, size))) as found:
            found.verify("exception")
            np.testing.assert_array_equal(found["SCI"].data, expected.data)
            np.testing.assert_array_equal(found["DQ"].data, expected.data.astype("int16"))
            assert found[0].header["NEXTEND"] == len(found) - 1
            y, x = np.mgrid[0 : expected.shape[0] : 4, 0 : expected.shape[1] : 4]
            (x0, y0) = expected.origin_original
            here = WCS(found["SCI"].header, found).all_pix2world(x, y, 0)
            there = wcs.all_pix2world(x + x0, y + y0, 0)
            np.testing.assert_allclose(np.cos(np.radians(here[1])) * (here[0] - there[0]), 0, atol=1e-9)
            np.testing.assert_allclose(here[1], there[1], rtol=0, atol=1e-9)


def test_only_the_rows_of_a_cut_out_are_read() -> None:
    body = image("TAN", 0.5, (150.0, 2.0), 0.5, "sip")
    memory = Memory(body)
    recipe, notes = asyncio.run(
        Cutout(150.0, 2.0, 4e-4).recipe(memory, "s3://b/a.fits", Version(len(body), '"1"'))  # type: ignore[arg-type]
    )
    assert [part.count for part in recipe.parts if isinstance(part, Copy)] == [4, 4]
    assert "columns" in notes[0]
