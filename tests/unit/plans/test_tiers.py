"""Tiers against what the function itself says it needs."""

import pytest

from sep_extract import image
from skyfan import template
from skyfan.plans import tiers
from skyfan.plans.plan import LARGE, STANDARD


def test_the_memory_sizes_are_the_templates() -> None:
    there = template.read(template.find())
    names = {STANDARD: "SepExtract", LARGE: "SepExtractLarge"}
    given = {tier: there.function(name).memory_mb for tier, name in names.items()}
    assert given == tiers.MEMORY_MB


@pytest.mark.parametrize("tier", [STANDARD, LARGE])
def test_the_capacity_is_what_the_function_takes(tier: str) -> None:
    pixels, memory = tiers.capacity(tier), tiers.MEMORY_MB[tier] << 20
    assert pixels * image.BYTES_PER_PIXEL + image.BYTES_BASE <= memory
    assert (pixels + 1) * image.BYTES_PER_PIXEL + image.BYTES_BASE > memory


@pytest.mark.parametrize(
    ("name", "size", "tier"),
    [
        ("a_drz.fits", 13_000_000, STANDARD),
        ("a_flc.fits", 168_000_000, STANDARD),
        ("a_drc.fits", 215_000_000, STANDARD),
        ("a_drz.fits", 1_000_000_000, LARGE),
        ("a_drz.fits", 3_000_000_000, None),
        ("a_drz.fits.gz", 100_000_000, LARGE),
        ("anything.fits", 200_000_000, LARGE),
        ("anything.fits", 2_000_000_000, LARGE),
        ("anything.fits", 5_000_000_000, None),
        ("unknown_drz.fits", None, STANDARD),
    ],
)
def test_tiers(name: str, size: int | None, tier: str | None) -> None:
    assert tiers.tier(name, size) == tier
