"""Columns and summary of a chip with values made by hand: each column against its definition."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sep_extract import catalog
from sep_extract.catalog import _position_angle, _quality_of, join, summary_of, table_of
from sep_extract.columns import COLUMNS
from sep_extract.event import Config
from sep_extract.exposures import Exposure
from sep_extract.extract import Measurement
from sep_extract.ladder import Step
from sep_extract.noise import SharedNoise
from sep_extract.quality import Quality
from sep_extract.sources import Isophotal, Photometry, Sources

N, UNIT, ZERO, SCALE = 3, 4.0, 25.0, 0.5  # sources, image units per sigma, magnitude, arcsec per pixel
# Pixel to sky: x is west to east by 2 degrees a pixel, y is north by 3, so that axes cannot be confused.
JACOBIAN = np.array([[2.0, 0.0], [0.0, 3.0]])


def column(start: float) -> np.ndarray:
    return start + np.arange(N) / 8


def isophotal(**more: np.ndarray) -> Isophotal:
    values = {name: column(10.0 * k) for k, name in enumerate(Isophotal.__dataclass_fields__, start=1)}
    values |= {"flags": np.array([0, 1, 2], "i2"), "dq": np.array([0, 4, 5], "i4")}
    values |= {"area": np.arange(N) + 30, "area_filtered": np.arange(N) + 50}
    return Isophotal(**(values | more))


def measurement(step: Step = Step.AS_ASKED, **more: Any) -> Measurement:
    values = {name: column(1000.0 + k) for k, name in enumerate(Photometry.__dataclass_fields__)}
    values |= {"flux_pair": np.ones((N, 2)) * [2.0, 4.0], "flux_error_pair": np.ones((N, 2)) * [0.3, 0.5]}
    values |= {"flux_aper": np.ones((N, 2)) * [0.1, 9.0], "flux_error_aper": np.ones((N, 2)) * [2.0, 3.0]}
    values |= {"flux_auto": np.array([100.0, 0.0, -5.0]), "flux_error_auto": np.array([10.0, 3.0, 4.0])}
    sources = Sources(isophotal(), Photometry(**values), np.array([1, 2, 3]), column(5.0), column(6.0))
    image = np.zeros((20, 30), "f4")
    return Measurement(
        **(
            {"sources": sources, "image": image, "unit": UNIT, "background": 7.0, "rms": 2.0, "step": step}
            | more
        )
    )


def chip(zeropoint: float | None = ZERO, scale: float | None = SCALE, quality: Quality = Quality.NONE) -> Any:
    sky = SimpleNamespace(
        scale=scale,
        world=lambda x, y: np.column_stack([2 * np.asarray(x), 3 * np.asarray(y)]),
        jacobian=lambda x, _: np.broadcast_to(JACOBIAN, (len(x), 2, 2)),
    )
    calibration = SimpleNamespace(
        zeropoint=zeropoint,
        unit="electron/s",
        exptime=100.0,
        system="AB",
        zeropoint_st=None,
        zeropoint_vega=None,
    )
    return SimpleNamespace(
        hdu=4,
        extver=2,
        shape=(20, 30),
        sky=sky,
        calibration=calibration,
        quality=quality,
        exposure=Exposure(2, 55000.0, 55000.5),
        pair=(1.0, 3.0),
    )


def test_each_column_is_its_quantity_in_sextractors_convention() -> None:
    table = table_of(chip(), found := measurement())
    c, p = found.sources.isophotal, found.sources.photometry
    assert set(table) == {one.name for one in COLUMNS}
    expected = {
        "EXPOSURE": [2] * 3, "MJD_START": [55000.0] * 3, "MJD_END": [55000.5] * 3,
        "NEXP": [np.nan] * 3, "NSAMP": [np.nan] * 3,
        "NUMBER": [1, 2, 3], "EXT_NUMBER": [4, 4, 4], "X_IMAGE": c.x + 1, "Y_IMAGE": c.y + 1,
        "XWIN_IMAGE": p.xwin + 1, "YWIN_IMAGE": p.ywin + 1, "ERRX2_IMAGE": c.x2, "ERRY2_IMAGE": c.y2,
        "ERRXY_IMAGE": c.xy, "ERRX2WIN_IMAGE": p.x2win, "ERRY2WIN_IMAGE": p.y2win, "ERRXYWIN_IMAGE": p.xywin,
        "ALPHA_J2000": 2 * c.x, "DELTA_J2000": 3 * c.y, "ALPHAWIN_J2000": 2 * p.xwin,
        "DELTAWIN_J2000": 3 * p.ywin,
        "ERRX2_WORLD": 4 * c.x2, "ERRY2_WORLD": 9 * c.y2, "ERRX2WIN_WORLD": 4 * p.x2win,
        "ERRY2WIN_WORLD": 9 * p.y2win, "A_IMAGE": c.a, "B_IMAGE": c.b, "THETA_IMAGE": np.degrees(c.theta),
        "ELONGATION": c.a / c.b, "FWHM_IMAGE": 2.3548200 * np.sqrt((c.a**2 + c.b**2) / 2),
        "ISOAREA_IMAGE": [30, 31, 32], "ISOAREAF_IMAGE": [50, 51, 52], "KRON_RADIUS": p.kron_radius,
        "BLENDED_SHARE": p.blended_share,
        "FLUX_RADIUS": p.half_light_radius, "BACKGROUND": 4 * column(5.0), "BACKGROUND_RMS": 4 * column(6.0),
        "FLAGS": [1, 2, 3], "CLASS": [0, 64, 64], "IMAFLAGS_ISO": [0, 4, 5], "EXTRACT_STEP": [0, 0, 0],
        "FLUX_ISO": 4 * c.flux, "FLUXERR_ISO": 4 * c.flux_error, "FLUX_AUTO": [400, 0, -20],
        "FLUXERR_AUTO": [40, 12, 16], "FLUX_APER": [[0.4, 36]] * 3, "FLUXERR_APER": [[8, 12]] * 3,
    }  # fmt: skip
    for name, values in expected.items():
        np.testing.assert_allclose(table[name], values, rtol=1e-6, err_msg=name)
    # Of 2 and 4 in the unit of one sigma, with errors of 0.3 and 0.5.
    np.testing.assert_allclose(table["MAG_APER1"], 25 - 2.5 * np.log10(8))
    np.testing.assert_allclose(table["MAGERR_APER2"], 1.0857362 * 0.5 / 4, rtol=1e-6)
    np.testing.assert_allclose(table["CI"], 2.5 * np.log10(2))
    np.testing.assert_allclose(table["CIERR"], 1.0857362 * np.hypot(0.3 * 0.25, 0.4 / 4), rtol=1e-6)
    for name in ("FLUX_TOTAL", "FLUXERR_TOTAL", "MAG_TOTAL", "MAGERR_TOTAL"):
        assert np.isnan(table[name]).all(), name
    # 25 - 2.5 log10(400), and 2.5 / ln 10 of a tenth; no light has none.
    np.testing.assert_allclose(table["MAG_AUTO"], [25 - 6.5051500, np.nan, np.nan])
    np.testing.assert_allclose(table["MAGERR_AUTO"], [0.1085736, np.nan, np.nan], rtol=1e-6)
    np.testing.assert_allclose(table["SNR_AUTO"], [10, 0, -1.25])
    np.testing.assert_allclose(table["MAG_APER"][0], [25 + 0.9948500, 25 - 3.8907563], rtol=1e-8)
    np.testing.assert_allclose(table["MAGERR_APER"][0], np.array([2 / 0.1, 3 / 9]) * 1.0857362, rtol=1e-6)
    # The peak per square arcsecond: a pixel has a quarter of one.
    np.testing.assert_allclose(table["MU_MAX"], 25 - 2.5 * np.log10(c.peak * 4 / 0.25), rtol=1e-8)


def test_each_flux_has_its_own_error_unit_and_magnitude(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "totals", lambda *_: (column(7.0), column(0.5)))
    table = table_of(chip(), found := measurement())
    c, p = found.sources.isophotal, found.sources.photometry
    for name, flux, error in (
        ("ISO", c.flux, c.flux_error),
        ("APER1", p.flux_pair[:, 0], p.flux_error_pair[:, 0]),
        ("APER2", p.flux_pair[:, 1], p.flux_error_pair[:, 1]),
        ("TOTAL", column(7.0), column(0.5)),
    ):
        np.testing.assert_allclose(table[f"MAG_{name}"], 25 - 2.5 * np.log10(4 * flux), rtol=1e-9)
        np.testing.assert_allclose(table[f"MAGERR_{name}"], 1.0857362 * error / flux, rtol=1e-6)
    np.testing.assert_allclose(table["FLUX_TOTAL"], 4 * column(7.0))
    np.testing.assert_allclose(table["FLUXERR_TOTAL"], 4 * column(0.5))
    assert not {"FLUX_APER1", "FLUX_APER2"} & set(table)


def test_the_counts_of_exposures_and_reads_are_columns() -> None:
    table = table_of(chip(), measurement(), {"context": column(3.0), "samples": column(12.0)})
    np.testing.assert_array_equal(table["NEXP"], column(3.0))
    np.testing.assert_array_equal(table["NSAMP"], column(12.0))


def test_without_a_zero_point_or_a_scale_there_are_no_magnitudes() -> None:
    table = table_of(chip(zeropoint=None), measurement())
    for name in ("MAG_AUTO", "MAGERR_AUTO", "MAG_APER", "MAGERR_APER", "MAG_ISO", "MAGERR_ISO", "MU_MAX"):
        assert np.isnan(table[name]).all(), name
    table = table_of(chip(scale=None), measurement())
    assert np.isnan(table["MU_MAX"]).all()
    assert np.isfinite(table["MAG_AUTO"][0])


@pytest.mark.parametrize("theta", [-80.0, -45.0, 0.0, 30.0, 60.0, 90.0])
def test_the_position_angle_is_that_of_the_axis_on_the_sky(theta: float) -> None:
    # East is left and north up: an axis at theta from x lies at theta + 90 from north, eastwards.
    angle = math.radians(theta)
    mirrored = np.array([[[-1.0, 0.0], [0.0, 1.0]]])
    (found,) = _position_angle(mirrored, np.array([3.0]), np.array([1.0]), np.array([angle]))
    assert (found - theta) % 180 == pytest.approx(90, abs=1e-6)
    # Pixels twice as wide as high turn it: of a thin axis, tan(angle) is that of the stretched one.
    stretched = np.array([[[2.0, 0.0], [0.0, 1.0]]])
    (found,) = _position_angle(stretched, np.array([3.0]), np.array([1e-4]), np.array([angle]))
    east, north = 2 * math.cos(angle), math.sin(angle)
    assert (found - math.degrees(math.atan2(east, north)) + 90) % 180 == pytest.approx(90, abs=1e-3)
    # In an image that is turned by 30 degrees the axis is turned with it.
    cos, sin = math.cos(math.radians(30)), math.sin(math.radians(30))
    turned = np.array([[[cos, -sin], [sin, cos]]])
    (found,) = _position_angle(turned, np.array([3.0]), np.array([1.0]), np.array([angle]))
    assert (found + theta + 30) % 180 == pytest.approx(90, abs=1e-6)


@pytest.mark.parametrize("shared", [SharedNoise(), SharedNoise((1.0, 1000.0), (3.0, 3.0), True)])
def test_the_depth_is_5_sigma_in_the_middle_aperture_with_the_noise_that_pixels_share(
    shared: SharedNoise,
) -> None:
    config = Config(phot_apertures=(1.0, 2.0, 6.0))
    found = summary_of(chip(), measurement(shared=shared), config)
    # A diameter of 2 arcsec is a radius of 2 pixels; the noise of a pixel is 2.
    factor = 3.0 if shared.measured else 1.0
    assert found.depth == pytest.approx(25 - 2.5 * math.log10(5 * 2 * math.sqrt(math.pi * 4) * factor))
    assert found.depth_aperture == 2.0
    assert summary_of(chip(), measurement(), Config(phot_apertures=(1.0, 2.0))).depth_aperture == 2.0


def test_the_depth_is_unknown_where_noise_scale_or_zero_point_are() -> None:
    config = Config(phot_apertures=(2.0,))
    assert summary_of(chip(), measurement(), config).depth is not None
    assert summary_of(chip(), measurement(rms=0.0), config).depth is None
    assert summary_of(chip(zeropoint=None), measurement(), config).depth is None
    assert summary_of(chip(scale=None), measurement(), config).depth is None


def test_a_summary_has_the_chips_values_and_the_corners_of_its_pixels() -> None:
    found = summary_of(chip(), measurement(poisson=0.25), Config())
    assert found.poisson == 0.25 * UNIT
    assert (found.hdu, found.extver, found.sources, found.background, found.rms, found.step) == (
        4,
        2,
        3,
        7.0,
        2.0,
        0,
    )
    assert (found.unit, found.zeropoint, found.exptime, found.scale, found.system) == (
        "electron/s",
        25,
        100,
        0.5,
        "AB",
    )
    corners = [[-0.5, -0.5], [29.5, -0.5], [29.5, 19.5], [-0.5, 19.5]]
    np.testing.assert_allclose(found.corners, np.array(corners) * [2, 3])


def test_the_quality_of_a_summary_is_that_of_chip_measurement_and_step() -> None:
    masked = chip(quality=Quality.MASKED)
    assert summary_of(masked, measurement(), Config()).quality == Quality.MASKED
    fallback = measurement(Step.MORE_PIXELS, quality=Quality.NOISE_FALLBACK)
    assert summary_of(masked, fallback, Config()).quality == (
        Quality.MASKED | Quality.NOISE_FALLBACK | Quality.DETECTION_STEP
    )


def test_a_chip_without_sources_says_so() -> None:
    class Nothing(SimpleNamespace):
        def __len__(self) -> int:
            return 0

    found: Any = Nothing(quality=Quality.MASKED, step=Step.AS_ASKED)
    assert _quality_of(found) == Quality.MASKED | Quality.NO_SOURCES


def test_tables_of_chips_are_joined_and_numbered_through() -> None:
    one, two = (table_of(chip(), measurement()) for _ in range(2))
    whole = join([one, two])
    assert whole["NUMBER"].tolist() == [1, 2, 3, 4, 5, 6]
    assert whole["X_IMAGE"].tolist() == [*one["X_IMAGE"], *two["X_IMAGE"]]
