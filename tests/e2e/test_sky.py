"""Coordinates: against astropy.wcs on the HDU list, against arithmetic by hand, and in odd places."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from planting import Planted, Scene, star
from recovery import catalog_of, measured
from scenes import FLT, INDEPENDENT

from sep_extract.chip import chips
from sep_extract.image import open_image
from sep_extract.sky import Sky
from skyfan_function.storage import open_input

Floats = NDArray[np.float64]
MICROARCSEC = 1e-6

DEMO = (
    "abell2744_f105w_drz.fits",
    "ib4606c6q_flc.fits",
    "ib6o23rsq_flt.fits",
    "j8bt06nyq_drz.fits",
    "j8bt06nyq_flt.fits",
)
SHARED = (
    "abell_2744_cd_galaxy_f105w.fits.gz",
    "ib4606c6q_10x10_flc.fits",
    "ib4606cpq_10x10_flt.fits",
    "ib6o23rsq_flt.fits.gz",
    "ib6o23rtq_sci1_blt.fits.gz",
    "j8bt06nyq_sip_flt.fits.gz",
    "j8bt06nyq_square_drz.fits.gz",
)
TWO_CHIPS = "ib4606c6q_flc.fits"


def apart(ra: Floats, dec: Floats, ra2: Floats, dec2: Floats) -> Floats:
    """Separations in arcsec of positions that are close."""
    east = ((ra - ra2 + 180) % 360 - 180) * np.cos(np.radians(dec2))
    return np.hypot(east, dec - dec2) * 3600


def astropys(hdus: fits.HDUList, index: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Right ascension and declination of 0-based positions by astropy.wcs, lookup tables included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ra, dec = WCS(hdus[index].header, hdus, naxis=2).all_pix2world(x, y, 0)
    return ra, dec


def compare(path: Path) -> Iterator[tuple[int, float]]:
    """Each chip's HDU, and the largest separation from astropy over a grid that goes past the corners."""
    with open_input(path.as_uri()) as source, open_image(source) as image:
        # All DQ bits are good here, so that no chip of ten pixels is passed over.
        skies = {
            chip.hdu: (chip.sky, chip.data.shape)
            for chip in chips(image, 0xFFFF)
            if not isinstance(chip, str)
        }
    with warnings.catch_warnings(), fits.open(path) as hdus:
        warnings.simplefilter("ignore")
        for index, (sky, (ny, nx)) in skies.items():
            y, x = np.meshgrid(np.linspace(-0.5, ny - 0.5, 23), np.linspace(-0.5, nx - 0.5, 29))
            x, y = x.ravel(), y.ravel()
            yield index, float(apart(*sky.world(x, y).T, *astropys(hdus, index, x, y)).max())


@pytest.mark.parametrize("name", DEMO)
def test_real_files_agree_with_astropy(name: str, demo_data: Path) -> None:
    separations = dict(compare(demo_data / name))
    print(f"\n{name}: {separations} arcsec")
    assert len(separations) == (2 if name == TWO_CHIPS else 1)
    assert max(separations.values()) < MICROARCSEC


@pytest.mark.parametrize("name", SHARED)
def test_whole_real_files_agree_with_astropy(name: str, shared_data: Path) -> None:
    separations = dict(compare(shared_data / name))
    print(f"\n{name}: {separations} arcsec")
    assert len(separations) == (2 if "flc" in name else 1)
    assert max(separations.values()) < MICROARCSEC


@pytest.mark.parametrize("name", [name for name in DEMO if name != TWO_CHIPS])
def test_catalogs_of_real_files_agree_with_astropy(name: str, demo_data: Path) -> None:
    """The columns, that is: X_IMAGE counts from 1, ALPHA_J2000 is of the very X_IMAGE beside it."""
    rows = catalog_of(demo_data / name)
    assert len(rows) > 20
    with fits.open(demo_data / name) as hdus:
        for win in ("", "WIN"):
            x, y = rows[f"X{win}_IMAGE"] - 1, rows[f"Y{win}_IMAGE"] - 1
            ra, dec = astropys(hdus, int(rows["EXT_NUMBER"][0]), x, y)
            off = apart(rows[f"ALPHA{win}_J2000"], rows[f"DELTA{win}_J2000"], ra, dec)
            assert off.max() < MICROARCSEC


@pytest.fixture(scope="module")
def sky_of_stars(demo_data: Path) -> Scene:
    """Some 60 stars in real noise; the header is anybody's."""
    scene = INDEPENDENT[0].make(demo_data / FLT)
    rng = np.random.default_rng(5)
    x, y = scene.free_places(rng, 40)
    return scene.plant(Planted(x, y, np.full(len(x), 60.0), (star(2.2),) * len(x)), rng)


@pytest.fixture(scope="module")
def two_chips(sky_of_stars: Scene, demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WFC3/UVIS flc with its real headers, SIP and lookup tables, and room for stars.

    The real file that ships has chips of 10 x 10 pixels. These have 320 x 320, from another camera.
    """
    path = tmp_path_factory.mktemp("two") / "two_chips_flc.fits"
    with fits.open(demo_data / TWO_CHIPS) as hdus:
        made = fits.HDUList()
        for hdu in hdus:
            if hdu.name in ("SCI", "ERR", "DQ"):
                planes = {
                    "SCI": sky_of_stars.data,
                    "ERR": sky_of_stars.error,
                    "DQ": np.zeros(sky_of_stars.data.shape),
                }
                plane: Any = planes[hdu.name] * (1 if hdu.name == "DQ" else hdus[0].header["EXPTIME"])
                # The second chip is the first mirrored, so that a mix-up of chips shows.
                plane = plane[:, ::-1] if hdu.ver == 2 else plane
                kind = np.int16 if hdu.name == "DQ" else np.float32
                made.append(
                    fits.ImageHDU(plane.astype(kind), hdu.header.copy(strip=True), name=hdu.name, ver=hdu.ver)
                )
            else:
                made.append(hdu.copy())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.writeto(path, output_verify="silentfix")
    return path


def test_two_chips_with_lookup_tables(two_chips: Path) -> None:
    rows = catalog_of(two_chips)
    with fits.open(two_chips) as hdus:
        named = [i for i, hdu in enumerate(hdus) if hdu.name == "SCI"]
        assert sorted(set(rows["EXT_NUMBER"])) == named
        for index in named:
            chip = rows[rows["EXT_NUMBER"] == index]
            assert len(chip) > 40
            x, y = chip["X_IMAGE"] - 1, chip["Y_IMAGE"] - 1
            off = apart(chip["ALPHA_J2000"], chip["DELTA_J2000"], *astropys(hdus, index, x, y))
            assert off.max() < MICROARCSEC
            by_hand = apart(chip["ALPHA_J2000"], chip["DELTA_J2000"], *hand(hdus, index, x + 1, y + 1))
            print(
                f"\nHDU {index}: {len(chip)} stars, {off.max():.1e} arcsec from astropy, "
                f"{by_hand.max():.1e} from the tables, SIP and TAN by hand"
            )
            assert by_hand.max() < MICROARCSEC
            # The tables are worth checking: without them the same stars are elsewhere.
            without = hand(hdus, index, x + 1, y + 1, tables=False)
            assert apart(chip["ALPHA_J2000"], chip["DELTA_J2000"], *without).min() > 100 * MICROARCSEC


def hand(hdus: fits.HDUList, index: int, x: Floats, y: Floats, tables: bool = True) -> tuple[Floats, Floats]:
    """Right ascension and declination of 1-based positions, from the header's numbers alone.

    D2IM, then SIP (Shupe et al. 2005) and CPDIS side by side, CD matrix, and TAN (Calabretta & Greisen 2002,
    equations 54 and 2) without wcslib.
    """
    header = hdus[index].header
    if tables:
        x, y = x + _lookup(hdus, header, "D2IM", 1, x, y), y + _lookup(hdus, header, "D2IM", 2, x, y)
    u_, v = x - header["CRPIX1"], y - header["CRPIX2"]
    f, g = (
        sum(
            (header.get(f"{axis}_{p}_{q}", 0.0) * u_**p * v**q)
            for p in range(header.get(f"{axis}_ORDER", 0) + 1)
            for q in range(header.get(f"{axis}_ORDER", 0) + 1 - p)
        )
        for axis in "AB"
    )
    if tables:
        f, g = f + _lookup(hdus, header, "DP", 1, x, y), g + _lookup(hdus, header, "DP", 2, x, y)
    xi, eta = (
        np.radians(header.get(f"CD{i}_1", 0.0) * (u_ + f) + header.get(f"CD{i}_2", 0.0) * (v + g))
        for i in (1, 2)
    )
    ra0, dec0 = np.radians([header["CRVAL1"], header["CRVAL2"]])
    below = math.cos(dec0) - eta * math.sin(dec0)
    ra = ra0 + np.arctan2(xi, below)
    dec = np.arctan2(math.sin(dec0) + eta * math.cos(dec0), np.hypot(xi, below))
    return np.degrees(ra) % 360, np.degrees(dec)


def _lookup(
    hdus: fits.HDUList, header: fits.Header, kind: str, axis: int, x: Floats, y: Floats
) -> Floats | float:
    """The correction in pixels of a table at 1-based positions, interpolated; 0 without a table."""
    version = header.get(f"{kind}{axis}.EXTVER")
    if version is None:
        return 0.0
    table = hdus[{"D2IM": "D2IMARR", "DP": "WCSDVARR"}[kind], int(version)]
    cells = []
    for i, place in ((1, x), (2, y)):
        h = table.header
        cell = (place - h.get(f"CRVAL{i}", 0.0)) / h.get(f"CDELT{i}", 1.0) + h.get(f"CRPIX{i}", 0.0) - 1
        cells.append(np.clip(cell, 0, h[f"NAXIS{i}"] - 1))
    values = table.data.astype(float)
    column, row = (
        np.minimum(np.floor(c).astype(int), n - 2) for c, n in zip(cells, values.shape[::-1], strict=True)
    )
    fx, fy = cells[0] - column, cells[1] - row
    return (
        values[row, column] * (1 - fx) * (1 - fy)
        + values[row, column + 1] * fx * (1 - fy)
        + values[row + 1, column] * (1 - fx) * fy
        + values[row + 1, column + 1] * fx * fy
    )


@pytest.mark.parametrize("name", ["ib6o23rsq_flt.fits", "j8bt06nyq_flt.fits"])
def test_sip_and_tan_by_hand(name: str, demo_data: Path) -> None:
    rows = catalog_of(demo_data / name)
    with fits.open(demo_data / name) as hdus:
        truth = hand(hdus, int(rows["EXT_NUMBER"][0]), rows["X_IMAGE"], rows["Y_IMAGE"])
    off = apart(rows["ALPHA_J2000"], rows["DELTA_J2000"], *truth)
    print(f"\n{name}: {len(rows)} sources, {off.max():.1e} arcsec from SIP and TAN by hand")
    assert off.max() < MICROARCSEC


def north_up(lon: float = 150.0, lat: float = 2.2, scale: float = 0.1, **cards: Any) -> fits.Header:
    """A tangential header with pixel (160, 160) at these coordinates, north up."""
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRPIX1"], header["CRPIX2"], header["CRVAL1"], header["CRVAL2"] = 160.5, 160.5, lon, lat
    header["CD1_1"], header["CD2_2"] = -scale / 3600, scale / 3600
    header["BUNIT"], header["EXPTIME"] = "ELECTRONS/S", 1102.9
    header.update(cards)
    return header


FRAMES = {
    "Galactic": ({"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"}, {"frame": "galactic"}),
    "B1950": ({"RADESYS": "FK4", "EQUINOX": 1950.0}, {"frame": "fk4", "equinox": "B1950"}),
    "B1950, by name only": ({"RADESYS": "FK4"}, {"frame": "fk4", "equinox": "B1950"}),
    "B1950, the old way": ({"EPOCH": 1950.0}, {"frame": "fk4", "equinox": "B1950"}),
    "FK5 of 1975": ({"RADESYS": "FK5", "EQUINOX": 1975.0}, {"frame": "fk5", "equinox": "J1975"}),
}


@pytest.mark.parametrize("frame", FRAMES)
def test_other_frames_come_out_as_icrs(frame: str, sky_of_stars: Scene) -> None:
    cards, known = FRAMES[frame]
    header = north_up(120.0, 31.0, **cards)
    scene = replace(sky_of_stars, header=header)
    rows = measured(scene)
    # The frame's own coordinates by hand: what computes them knows of no frame.
    lon, lat = hand(fits.HDUList([fits.PrimaryHDU(header=header)]), 0, rows["X_IMAGE"], rows["Y_IMAGE"])
    truth = SkyCoord(lon * u.deg, lat * u.deg, **known).icrs
    off = apart(rows["ALPHA_J2000"], rows["DELTA_J2000"], truth.ra.deg, truth.dec.deg)
    print(f"\n{frame}: {off.max():.1e} arcsec")
    assert off.max() < MICROARCSEC
    # North is elsewhere in ICRS, so position angles must turn with the frame: y is the header's north.
    angle = SkyCoord(120.0 * u.deg, 31.0 * u.deg, **known)
    up = angle.directional_offset_by(0 * u.deg, 1 * u.arcsec).icrs
    north = angle.icrs.position_angle(up).deg
    turned = (rows["THETA_J2000"] - rows["THETA_IMAGE"] + 90 - north + 90) % 180 - 90
    assert np.abs(turned).max() < 0.2  # norths converge across the picture


def test_fk5_of_2000_and_no_frame_at_all_are_left_alone(sky_of_stars: Scene) -> None:
    """Hubble's older headers say FK5 or nothing. ICRS is within 0.03 arcsec; their pointing was off by 1."""
    for cards in ({"RADESYS": "FK5", "EQUINOX": 2000.0}, {"EQUINOX": 2000.0}, {"RADESYS": "ICRS"}, {}):
        header = north_up(10.0, 20.0, **cards)
        rows = measured(replace(sky_of_stars, header=header))
        lon, lat = hand(fits.HDUList([fits.PrimaryHDU(header=header)]), 0, rows["X_IMAGE"], rows["Y_IMAGE"])
        assert apart(rows["ALPHA_J2000"], rows["DELTA_J2000"], lon, lat).max() < MICROARCSEC
        truth = SkyCoord(lon * u.deg, lat * u.deg, frame="fk5").icrs
        assert apart(lon, lat, truth.ra.deg, truth.dec.deg).max() < 0.032


def test_declination_first(sky_of_stars: Scene) -> None:
    header = north_up(20.0, 30.0, CTYPE1="DEC--TAN", CTYPE2="RA---TAN", CRVAL1=30.0, CRVAL2=20.0)
    header["CD1_2"], header["CD2_1"] = header["CD2_2"], header["CD1_1"]
    header["CD1_1"] = header["CD2_2"] = 0.0
    rows = measured(replace(sky_of_stars, header=header))
    truth = hand(
        fits.HDUList([fits.PrimaryHDU(header=north_up(20.0, 30.0))]), 0, rows["X_IMAGE"], rows["Y_IMAGE"]
    )
    assert apart(rows["ALPHA_J2000"], rows["DELTA_J2000"], *truth).max() < MICROARCSEC


@pytest.mark.parametrize("lon", [0.0, 360.0, -0.001, 359.999])
def test_right_ascension_goes_round(lon: float, sky_of_stars: Scene) -> None:
    rows = measured(replace(sky_of_stars, header=north_up(lon, 40.0)))
    ra = rows["ALPHA_J2000"]
    assert ((ra >= 0) & (ra < 360)).all()
    assert (ra < 1).any()
    assert (ra > 359).any()
    check_errors(rows, 0.1)


@pytest.mark.parametrize("lat", [89.998, 90.0, -90.0])
def test_at_a_pole(lat: float, sky_of_stars: Scene) -> None:
    """Stars all round the pole: errors along the sky and the scale are as elsewhere."""
    header = north_up(45.0, lat, LONPOLE=180.0)  # the default at +90 is 0
    scene = replace(sky_of_stars, header=header)
    rows = measured(scene)
    lon, dec = hand(fits.HDUList([fits.PrimaryHDU(header=header)]), 0, rows["X_IMAGE"], rows["Y_IMAGE"])
    assert apart(rows["ALPHA_J2000"], rows["DELTA_J2000"], lon, dec).max() < MICROARCSEC
    assert np.ptp(rows["ALPHA_J2000"]) > 300
    check_errors(rows, 0.1)
    sky = Sky.read(header, fits.HDUList([fits.PrimaryHDU(header=header)]), scene.data.shape)
    assert sky.scale == pytest.approx(0.1, rel=1e-6)


def check_errors(rows: fits.FITS_rec, scale: float) -> None:
    """With square pixels the sum of both variances is the same on the sky as on the chip."""
    on_sky = (rows["ERRX2_WORLD"] + rows["ERRY2_WORLD"]).astype(float) * 3600**2
    on_chip = (rows["ERRX2_IMAGE"] + rows["ERRY2_IMAGE"]).astype(float) * scale**2
    assert on_sky == pytest.approx(on_chip, rel=1e-3)


def test_a_frame_that_leads_nowhere_gives_no_coordinates(sky_of_stars: Scene) -> None:
    rows = measured(replace(sky_of_stars, header=north_up(RADESYS="GAPPT")))
    assert len(rows) > 40
    assert np.isnan(rows["ALPHA_J2000"]).all()
    assert np.isnan(rows["THETA_J2000"]).all()
