"""The published light of point sources, and what is not in the tables."""

import numpy as np
import pytest

from sep_extract.encircled import encircled, vega
from sep_extract.instruments import instrument, table

CAMERAS = [("WFC3", "IR", 14000.0), ("WFC3", "UVIS", 6000.0), ("ACS", "WFC", 5922.0), ("ACS", "HRC", 5922.0)]


@pytest.mark.parametrize(("name", "detector", "wavelength"), CAMERAS)
def test_shares_rise_with_the_radius_and_fit_the_range_of_stars(
    name: str, detector: str, wavelength: float
) -> None:
    row = instrument("HST", name, detector)
    found = encircled(row.name, wavelength, 0.04)
    assert found is not None
    assert (np.diff(found.radii) > 0).all()
    assert (np.diff(found.shares) >= 0).all()
    assert found.shares[-1] <= 1
    index = 2.5 * np.log10(np.divide(*found.share(np.array(row.pair[::-1]) / 0.04)))
    # Not all tables reach down to the smaller circle, where the share is unknown.
    assert np.isnan(index) or row.stars[0] <= index <= row.stars[1]


def test_a_share_is_that_of_the_table() -> None:
    """Bohlin 2016, F606W: 79.5 % within 0.15 arcsec; between two radii and two pivots in between."""
    found = encircled("HST/ACS/WFC", 5922.0, 0.05)
    assert found is not None
    assert found.share(3.0) == pytest.approx(0.795)
    assert found.share(2.5) == pytest.approx((0.661 + 0.795) / 2)
    assert np.isnan(found.share(0.5))
    assert found.share(1000.0) == found.shares[-1]
    between = encircled("HST/ACS/WFC", (5922.0 + 6312.0) / 2, 0.05)
    assert between is not None
    assert between.share(2.0) == pytest.approx((0.661 + 0.655) / 2)


@pytest.mark.parametrize(
    ("name", "wavelength", "scale"),
    [
        ("HST/ACS/WFC", None, 0.05),
        ("HST/ACS/WFC", 5922.0, None),
        ("JWST", 20000.0, 0.03),
        ("HST/ACS/WFC", 3000.0, 0.05),
        ("HST/ACS/WFC", 11000.0, 0.05),
    ],
)
def test_nothing_is_made_up(name: str, wavelength: float | None, scale: float | None) -> None:
    assert encircled(name, wavelength, scale) is None


def test_vega_is_known_where_a_table_has_it() -> None:
    # -2.5 log10(2.869e-9) - 5 log10(5922) - 2.408
    assert vega("HST/ACS/WFC", "f606w") == pytest.approx(0.0848, abs=1e-3)
    assert vega("HST/WFC3/IR", "F160W") == pytest.approx(1.2514)
    assert vega("HST/WFC3/IR", "F999W") is None
    assert vega("JWST", "F200W") is None


def test_both_circles_of_an_instrument_are_in_order() -> None:
    for row in table():
        assert len(row.pair) in (0, 2)
        assert len(row.stars) in (0, 2)
        assert list(row.pair) == sorted(row.pair)
        assert not row.stars or row.pair
