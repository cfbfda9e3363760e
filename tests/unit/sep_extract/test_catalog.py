"""The catalog: SExtractor's conventions, FITS that every reader takes, and where it is from."""

import json
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import astropy
import numpy as np
import pytest
import sep
from astropy.io import fits
from astropy.io.votable.ucd import check_ucd
from astropy.table import QTable, Table
from astropy.units import Unit
from astropy.wcs import WCS

import sep_extract
from sep_extract.columns import COLUMNS
from sep_extract.event import Config
from sep_extract.handler import handler
from skyfan_contract import key_of

Make = Callable[..., Any]
DEMO = [
    *("abell2744_f105w_drz.fits", "ib4606c6q_flc.fits", "ib6o23rsq_flt.fits"),
    *("j8bt06nyq_drz.fits", "j8bt06nyq_flt.fits"),
]
SCALE = 3.6e-5 * 3600
ZEROPOINT = -2.5 * math.log10(1.4737e-20) - 5 * math.log10(13922.907) - 2.408


def path_of(summary: dict[str, Any]) -> Path:
    return Path("/", key_of(summary["output"]))


def two_chips(flt: Make, stars: Make) -> fits.HDUList:
    first, second = flt(stars(seed=1)), flt(stars(seed=2, at=[(30, 40), (70, 60)]))
    for hdu in second[1:]:
        hdu.ver = 2
    return fits.HDUList([*first, *second[1:]])


@pytest.fixture
def many(extract: Make, flt: Make, stars: Make, demo_data: Path) -> dict[str, dict[str, Any]]:
    """Summaries of catalogs of all kinds."""
    images = {name: demo_data / name for name in DEMO} | {
        "two chips": two_chips(flt, stars),
        "no sources": flt(stars(at=[])),
        "no sky": flt(science={"CTYPE1": None, "CTYPE2": None}),
        "no unit": flt(science={"BUNIT": None}),
        "counts": flt(science={"BUNIT": "COUNTS"}, primary={"INSTRUME": "WFPC2", "CCDGAIN": 7.0}),
        "夜 空 100%": flt(),
        "x" * 150: flt(primary={"TARGNAME": "y" * 60, "RA_TARG": 1e-300}),
    }
    return {
        name: extract(image, name=f"{number}{name}.fits", config={"phot_apertures": [0.1, 0.5]})
        for number, (name, image) in enumerate(images.items())
    }


@pytest.mark.skipif(not shutil.which("fitsverify"), reason="fitsverify is not installed")
def test_fitsverify_has_nothing_to_say(many: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    for number, summary in enumerate(many.values()):
        (tmp_path / f"{number}.fits").write_bytes(path_of(summary).read_bytes())
    files = sorted(tmp_path.glob("*.fits"))
    assert len(files) == len(many)
    for options in ([], ["-H"]):
        done = subprocess.run(["fitsverify", *options, *files], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        assert done.stdout.count("Verification found 0 warning(s) and 0 error(s)") == len(files), done.stdout


def test_astropy_reads_all_of_them_without_a_warning(many: dict[str, dict[str, Any]]) -> None:
    for summary in many.values():
        with fits.open(path_of(summary), checksum=True) as hdus:
            hdus.verify("exception")
            assert [hdu.name for hdu in hdus] == ["PRIMARY", "SOURCES"]
            assert "DATASUM" in hdus[1].header
        table = QTable.read(path_of(summary), hdu="SOURCES")
        assert len(table) == summary["sources"]


def test_every_column_has_its_unit_ucd_and_meaning(extract: Make, flt: Make) -> None:
    header = fits.getheader(path_of(extract(flt())), "SOURCES")
    assert header["TFIELDS"] == len(COLUMNS)
    for i, column in enumerate(COLUMNS, start=1):
        assert header[f"TTYPE{i}"] == column.name
        assert check_ucd(header[f"TUCD{i}"], check_controlled_vocabulary=True), header[f"TUCD{i}"]
        assert header[f"TCOMM{i}"] == column.meaning
        unit = header.get(f"TUNIT{i}", "")
        assert unit == {"flux": "ct/s"}.get(column.unit, column.unit)
        assert Unit(unit, format="fits").to_string("fits") is not None
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    mains = [column.name for column in COLUMNS if column.ucd.endswith("meta.main")]
    assert len(mains) == len({next(c.ucd for c in COLUMNS if c.name == name) for name in mains})


@pytest.mark.parametrize(
    ("science", "unit", "tunit"),
    [
        ({}, "electron/s", "ct/s"),
        ({"BUNIT": "ELECTRONS"}, "electron/s", "ct/s"),
        ({"BUNIT": None}, "electron/s", "ct/s"),
        ({"BUNIT": "furlong"}, "", None),
    ],
)
def test_the_unit_of_fluxes(
    extract: Make, catalog: Make, flt: Make, science: dict[str, Any], unit: str, tunit: str | None
) -> None:
    table = catalog(extract(flt(science=science)))
    assert table.meta["PRIMARY"]["FLUXUNIT"] == unit
    for name in ("FLUX_AUTO", "FLUXERR_APER", "BACKGROUND"):
        assert table[name].unit == (Unit(tunit) if tunit else None)


def test_the_issues_columns_are_there() -> None:
    names = {column.name for column in COLUMNS}
    wanted = """
    NUMBER EXT_NUMBER X_IMAGE Y_IMAGE XWIN_IMAGE YWIN_IMAGE ALPHA_J2000 DELTA_J2000 ERRX2_IMAGE
    ERRX2WIN_IMAGE ERRX2_WORLD A_IMAGE B_IMAGE THETA_IMAGE THETA_J2000 ELONGATION FWHM_IMAGE ISOAREA_IMAGE
    FLUX_ISO FLUX_AUTO FLUXERR_AUTO MAG_AUTO MAGERR_AUTO KRON_RADIUS FLUX_RADIUS FLUX_APER FLUXERR_APER
    MAG_APER MAGERR_APER MU_MAX BACKGROUND BACKGROUND_RMS SNR_AUTO FLAGS IMAFLAGS_ISO EXTRACT_STEP"""
    assert set(wanted.split()) <= names


def test_pixels_are_counted_from_one(extract: Make, catalog: Make, flt: Make, stars: Make) -> None:
    table = catalog(extract(flt(stars(at=[(40.3, 30.7)], noise=0.1, flux=5000.0), err=0.1)))
    assert len(table) == 1
    row = table[0]
    for prefix in ("", "WIN"):
        assert row[f"X{prefix}_IMAGE"] == pytest.approx(41.3, abs=0.01)
        assert row[f"Y{prefix}_IMAGE"] == pytest.approx(31.7, abs=0.01)
    # CRPIX, 48, is counted from one, too
    assert row["DELTA_J2000"] == pytest.approx(2.2 + (31.7 - 48) * 3.6e-5, abs=1e-6)
    assert row["ALPHA_J2000"] == pytest.approx(
        150.1 - (41.3 - 48) * 3.6e-5 / math.cos(math.radians(2.2)), abs=1e-6
    )


def test_fluxes_and_magnitudes(extract: Make, catalog: Make, flt: Make, stars: Make) -> None:
    image = stars(at=[(40.0, 30.0), (70.0, 60.0)], noise=0.1, flux=5000.0)
    table = catalog(extract(flt(image, err=0.1)))
    for row in table:
        assert row["FLUX_AUTO"] == pytest.approx(5000, rel=0.02)
        assert row["MAG_AUTO"] == pytest.approx(ZEROPOINT - 2.5 * math.log10(row["FLUX_AUTO"]), abs=1e-4)
        relative = row["FLUXERR_AUTO"] / row["FLUX_AUTO"]
        assert row["MAGERR_AUTO"] == pytest.approx(1.0857 * relative, rel=1e-3)
        assert row["SNR_AUTO"] == pytest.approx(1 / relative, rel=1e-4)
        assert row["FLUX_RADIUS"] == pytest.approx(1.177 * 1.5, rel=0.03)
        # moments are those of the filtered image, as in SExtractor: its kernel adds a variance of a half
        assert row["FWHM_IMAGE"] == pytest.approx(2.355 * math.sqrt(1.5**2 + 0.5), rel=0.02)
        assert row["BACKGROUND"] == pytest.approx(10, abs=0.1)
        assert row["MU_MAX"] == pytest.approx(
            ZEROPOINT - 2.5 * math.log10(5000 / (2 * math.pi * 1.5**2) / SCALE**2), abs=0.05
        )
        # a circle of this diameter holds so much of a Gaussian
        radii = np.array([0.3, 0.5, 0.8, 1.5]) / 2 / SCALE
        expected = 5000 * (1 - np.exp(-(radii**2) / 2 / 1.5**2))
        np.testing.assert_allclose(row["FLUX_APER"][1:], expected[1:], rtol=0.03)
        assert row["FLUX_APER"][0] == pytest.approx(expected[0], rel=0.1), "a circle of five pixels"
        np.testing.assert_allclose(row["MAG_APER"], ZEROPOINT - 2.5 * np.log10(row["FLUX_APER"]), atol=1e-4)


def test_totals_become_rates_by_the_exposure_time(
    extract: Make, catalog: Make, flt: Make, stars: Make
) -> None:
    image = stars()
    rates = catalog(extract(flt(image)))
    totals = catalog(extract(flt(image * 100, err=100.0, science={"BUNIT": "ELECTRONS"})))
    for name in ("FLUX_AUTO", "MAG_AUTO", "FLUXERR_AUTO", "MU_MAX", "BACKGROUND"):
        np.testing.assert_allclose(totals[name], rates[name], rtol=1e-4)


@pytest.mark.parametrize(
    ("theta", "position_angle"), [(30.0, 120.0), (-60.0, 30.0), (0.0, 90.0), (90.0, 0.0)]
)
def test_the_position_angle_runs_from_north_through_east(
    extract: Make, catalog: Make, flt: Make, theta: float, position_angle: float
) -> None:
    """North is up and east left here: an axis along x lies at 90 degrees."""
    y, x = np.mgrid[:96, :96] - 48.0
    angle = math.radians(theta)
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    image = 100 * np.exp(-(along**2) / 2 / 5**2 - across**2 / 2 / 2**2)
    image += np.random.default_rng(1).normal(0, 0.1, image.shape)
    (row,) = catalog(extract(flt(image.astype("f4"), err=0.1)))
    assert (row["THETA_IMAGE"] - theta + 90) % 180 - 90 == pytest.approx(0, abs=1)
    assert (row["THETA_J2000"] - position_angle + 90) % 180 - 90 == pytest.approx(0, abs=1)
    assert row["ELONGATION"] == pytest.approx(2.5, rel=0.05)
    assert row["ERRX2_WORLD"] == pytest.approx(row["ERRX2_IMAGE"] * 3.6e-5**2, rel=1e-3)


def test_a_line_of_pixels_has_an_error_across(extract: Make, catalog: Make, flt: Make, stars: Make) -> None:
    """Variance of the flux / 12 / flux^2: 5 pixels of 60 with a noise of 1 and 60 / 100 s of Poisson.

    Along the line, the edge of the isophote adds to that.
    """
    image = stars(at=[])
    image[40:45, 50] += 60
    (row,) = catalog(extract(flt(image), config={"filter": False, "detect_thresh": 5}))
    assert row["ISOAREA_IMAGE"] == 5
    assert row["ERRX2_IMAGE"] > 5 * 1.6 / 12 / 300**2
    assert row["ERRY2_IMAGE"] > 10 * row["ERRX2_IMAGE"]


def test_errors_across_a_line_are_the_same_along_both_diagonals(
    extract: Make, catalog: Make, flt: Make, stars: Make
) -> None:
    def determinant(slope: int) -> float:
        image = stars(at=[])
        for step in range(-2, 3):
            image[42 + step, 52 + slope * step] += 60
        (row,) = catalog(extract(flt(image), config={"filter": False, "detect_thresh": 5}))
        assert row["ISOAREA_IMAGE"] == 5
        return float(row["ERRX2_IMAGE"] * row["ERRY2_IMAGE"] - row["ERRXY_IMAGE"] ** 2)

    assert determinant(-1) == pytest.approx(determinant(1), rel=0.1)
    assert determinant(1) > determinant(0), "the place within a pixel adds across a diagonal, too"


def test_what_has_no_light_has_no_magnitude(extract: Make, catalog: Make, flt: Make, stars: Make) -> None:
    image = stars(at=[(30.0, 30.0), (60.0, 60.0)], flux=600.0)
    around = np.zeros(image.shape, bool)
    around[24:37, 24:37] = True
    around[28:33, 28:33] = False
    image[around] -= 30  # sigma: these are no dead pixels
    table = catalog(extract(flt(image)))
    for name in ("AUTO", "APER", "ISO"):
        flux, magnitude = (np.ma.filled(table[f"{k}_{name}"], np.nan) for k in ("FLUX", "MAG"))
        assert np.array_equal(np.isfinite(magnitude), flux > 0)
    assert list(table["FLUX_AUTO"] <= 0) == [True, False]


@pytest.mark.parametrize("diameters", [[0.4], [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0]])
def test_as_many_apertures_as_asked_for(
    extract: Make, catalog: Make, flt: Make, diameters: list[float]
) -> None:
    table = catalog(extract(flt(), config={"phot_apertures": diameters}))
    header = table.meta["PRIMARY"]
    assert [header[f"PHOTAP{i}"] for i in range(1, len(diameters) + 1)] == diameters
    assert f"PHOTAP{len(diameters) + 1}" not in header
    for name in ("FLUX_APER", "FLUXERR_APER", "MAG_APER", "MAGERR_APER"):
        assert table[name].shape == (16, len(diameters))


@pytest.mark.parametrize(
    ("filter_card", "config", "contrast"),
    [("F140W", {}, 0.0005), ("G141", {}, 0.005), ("G141", {"deblend_mincont": 0.0005}, 0.0005)],
)
def test_the_contrast_of_deblending_is_that_of_the_kind_of_image_unless_set(
    extract: Make, catalog: Make, flt: Make, filter_card: str, config: dict[str, float], contrast: float
) -> None:
    rows, columns = np.indices((96, 96))
    image = 0.1 * np.random.default_rng(2).normal(size=(96, 96))
    image += 1000 * np.exp(-np.hypot(columns - 40, rows - 48) / 5)
    image += 100 * np.exp(-((columns - 60) ** 2 + (rows - 48) ** 2) / 2)  # with 0.004 of the galaxy's light
    table = catalog(extract(flt(image, primary={"FILTER": filter_card}), config=config))
    assert table.meta["PRIMARY"]["MINCONT"] == contrast
    assert len(table) == (2 if contrast < 0.001 else 1)


def test_two_chips_are_one_catalog(extract: Make, catalog: Make, flt: Make, stars: Make) -> None:
    summary = extract(two_chips(flt, stars))
    table = catalog(summary)
    assert [chip["sources"] for chip in summary["chips"]] == [16, 2]
    assert list(table["NUMBER"]) == list(range(1, 19))
    assert list(table["EXT_NUMBER"]) == [1] * 16 + [4] * 2
    header = table.meta["PRIMARY"]
    assert (header["NCHIPS"], header["NSOURCES"]) == (2, 18)
    assert [header[f"{key}{i}"] for i in (1, 2) for key in ("HDU", "EXTVER", "NSRC")] == [1, 1, 16, 4, 2, 2]
    assert header["S_REGION"].count("POLYGON ICRS") == 2


def test_the_outline_is_that_of_the_pixels(extract: Make, catalog: Make, flt: Make) -> None:
    image = flt()
    outline = catalog(extract(image)).meta["PRIMARY"]["S_REGION"].removeprefix("POLYGON ICRS ").split()
    footprint = WCS(image[1].header).calc_footprint(center=False)
    np.testing.assert_allclose(np.array(outline, float).reshape(4, 2), footprint[[0, 3, 2, 1]], atol=1e-7)
    nowhere = flt(science=dict.fromkeys(("CTYPE1", "CTYPE2")))
    assert "S_REGION" not in catalog(extract(nowhere)).meta["PRIMARY"]


def test_where_it_is_from(extract: Make, catalog: Make, flt: Make) -> None:
    config = {"detect_thresh": 3.0, "phot_apertures": [0.4, 0.8, 1.2]}
    summary = extract(flt(primary={"ROOTNAME": "ib6o23rsq", "PROPOSID": 11696}), config=config, run="night-1")
    header = catalog(summary).meta["PRIMARY"]
    path = Path(summary["input"].removeprefix("file://"))
    assert header["SRCURI"] == summary["input"]
    assert header["SRCVER"] == f"size={path.stat().st_size} mtime={int(path.stat().st_mtime)}"
    assert header["RUN"] == "night-1"
    assert [header[key] for key in ("V_SKYFAN", "V_SEP", "V_NUMPY", "V_ASTRO")] == [
        *(sep_extract.__version__, sep.__version__, np.__version__, astropy.__version__)
    ]
    given = json.loads(header["CONFIG"])
    assert {key: given[key] for key in config} == config
    full = Config(**{**given, **{k: tuple(v) for k, v in given.items() if isinstance(v, list)}})
    assert full.digest() == header["CONFHASH"]
    assert (header["TELESCOP"], header["ROOTNAME"], header["PROPOSID"]) == ("HST", "ib6o23rsq", 11696)
    chip = summary["chips"][0]
    assert header["BACK1"] == pytest.approx(chip["background"])
    assert header["RMS1"] == pytest.approx(chip["rms"])
    assert header["DEPTH1"] == pytest.approx(chip["depth"], abs=1e-3)
    assert header["ZEROPT1"] == pytest.approx(ZEROPOINT, abs=1e-6)
    assert header["SCALE1"] == pytest.approx(SCALE)
    assert header["EXPTIM1"] == 100


def test_the_depth_is_that_of_five_sigma(extract: Make, flt: Make, stars: Make) -> None:
    """White noise of 1 a pixel: 5 sigma in the middle aperture, 0.8 arcsec wide."""
    (chip,) = extract(flt(stars((400, 400), at=[(30.0, 30.0)])))["chips"]
    pixels = math.pi * (0.4 / SCALE) ** 2
    assert chip["depth"] == pytest.approx(ZEROPOINT - 2.5 * math.log10(5 * math.sqrt(pixels)), abs=0.1)


def test_the_same_gives_the_same_bytes(extract: Make, save: Make, flt: Make) -> None:
    path = save(flt())
    one = path_of(extract(path, config={"back_size": 32, "clean": True})).read_bytes()
    two = path_of(extract(path, config={"clean": True, "back_size": 32})).read_bytes()
    assert one == two
    assert len(one) % 2880 == 0


def test_any_name_is_in_the_header(extract: Make, catalog: Make, flt: Make) -> None:
    for name in ("夜 空.fits", "it's 100% 'quoted'.fits", "a" * 200 + ".fits"):
        summary = extract(flt(), name=name)
        assert catalog(summary).meta["PRIMARY"]["SRCURI"] == summary["input"]


def test_a_uri_with_letters_that_no_header_takes(save: Make, extract: Make, flt: Make) -> None:
    extract(flt())
    path = save(flt(), "夜.fits")
    header = fits.getheader(path_of(handler({"input": f"file://{path}"}, None)))
    assert header["SRCURI"] == path.as_uri()


def test_a_good_table_of_real_stars(extract: Make, catalog: Make, demo_data: Path) -> None:
    """Not one value in it that no source can have."""
    table: Table = catalog(extract(demo_data / "j8bt06nyq_flt.fits"))
    assert len(table) > 400
    for name in set(table.colnames) - {"NEXP", "NSAMP"}:  # which an exposure of a CCD does not count
        values = np.ma.filled(table[name], np.nan) if table[name].dtype.kind == "f" else table[name]
        assert np.mean(np.isfinite(values)) > 0.9, name
    assert (table["X_IMAGE"] >= 0.5).all()
    assert (table["X_IMAGE"] <= 384.5).all()
    assert (table["A_IMAGE"] >= table["B_IMAGE"]).all()
    assert (np.abs(table["THETA_IMAGE"]) <= 90).all()
    assert ((table["THETA_J2000"] >= 0) & (table["THETA_J2000"] < 180)).all()
    assert (table["KRON_RADIUS"] >= 3.5).all()
    assert (table["FLUXERR_AUTO"] > 0).all()
    assert (table["ISOAREA_IMAGE"] <= table["ISOAREAF_IMAGE"]).any()
    assert set(np.unique(table["FLAGS"] & ~0x25F)) == {0}
    assert ((table["FLAGS"] & 4) > 0).any(), "some stars of 47 Tuc are saturated"
