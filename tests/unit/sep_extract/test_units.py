"""BUNIT in its spellings: what one unit is, and whether per second."""

from __future__ import annotations

import pytest

from sep_extract.units import Unit, parse


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("ELECTRONS", Unit("electrons", False)),
        ("e-/s", Unit("electrons", True)),
        ("counts", Unit("counts", False)),
        ("DN s-1", Unit("counts", True)),
        ("cps", Unit("counts", True)),
        ("eps", Unit("electrons", True)),
        ("Jy", Unit("jansky", True)),
        ("uJy/pixel", Unit("jansky", True, 1e-6)),
        ("kJy", Unit("jansky", True, 1e3)),
        ("megajansky", Unit("jansky", True, 1e6)),
        ("mJy", Unit("jansky", True, 1e-3)),
        ("µJy", Unit("jansky", True, 1e-6)),
        ("nJy", Unit("jansky", True, 1e-9)),
        ("pJy", Unit("jansky", True, 1e-12)),
        ("10*nJy", Unit("jansky", True, 1e-8)),
        ("10^(-20) erg/s/cm2/A", Unit("flam", True, 1e-20)),
        ("maggy", Unit("jansky", True, 3631.0)),
        ("nanomaggies", Unit("jansky", True, 3631e-9)),
        ("electrons per second per pixel", Unit("electrons", True)),
        ("nanojansky", Unit("jansky", True, 1e-9)),
        ("MJy/sr", Unit("surface", True, 1e6)),
        ("mJy sr^-1", Unit("surface", True, 1e-3)),
        ("erg/s/cm2/A", Unit("flam", True)),
        ("ergs s^-1 cm^-2 Angstrom^-1", Unit("flam", True)),
        ("", None),
        ("Jy/beam", None),
        ("mag", None),
    ],
)
def test_a_unit_is_known_or_none(text: str, unit: Unit | None) -> None:
    found = parse(text)
    assert found == (unit and unit._replace(factor=pytest.approx(unit.factor, rel=1e-12)))


@pytest.mark.parametrize("factor", ["0", "0.0", "1e999"])
def test_a_number_in_front_is_finite_and_above_zero(factor: str) -> None:
    assert parse(f"{factor} Jy") is None
