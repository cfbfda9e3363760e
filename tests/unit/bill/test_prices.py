"""The price file and its reader."""

from pathlib import Path

import pytest

from skyfan.bill import prices
from skyfan.errors import UsageError

OWN = prices.OWN.read_text(encoding="utf-8")


def changed(folder: Path, old: str, new: str) -> Path:
    assert old in OWN
    path = folder / "prices.toml"
    path.write_text(OWN.replace(old, new), encoding="utf-8")
    return path


def test_the_price_list_of_us_east_1() -> None:
    """The AWS price list of 2026-11 once more: a slip of the finger in the file shows."""
    ours = prices.load()
    assert (ours.region, ours.source, ours.collected) == ("us-east-1", "AWS price list", "2026-11")
    assert ours.request * 1e6 == pytest.approx(0.20)
    assert ours.tmp_gb_second == 0.0000000309
    assert (ours.s3_get * 1000, ours.s3_put * 1000) == pytest.approx((0.0004, 0.005))
    assert (ours.s3_gb_month, ours.log_gb, ours.log_gb_month) == (0.023, 0.50, 0.03)
    assert (ours.free_requests, ours.free_gb_seconds) == (1e6, 400_000)
    x86, arm = ours.gb_second["x86_64"], ours.gb_second["arm64"]
    assert [(t.up_to, t.price) for t in x86[:2]] == [(6e9, 0.0000166667), (15e9, 0.000015)]
    assert [(t.up_to, t.price) for t in arm[:2]] == [(7.5e9, 0.0000133334), (18.75e9, 0.0000120001)]
    assert (x86[2].price, arm[2].price) == (0.0000133334, 0.0000106667)


@pytest.mark.parametrize(
    ("arch", "gb_seconds", "usd"),
    [
        ("x86_64", 0, 0.0),
        ("x86_64", 6e9, 100_000.2),
        ("x86_64", 16e9, 100_000.2 + 9e9 * 0.000015 + 1e9 * 0.0000133334),
        ("arm64", 8e9, 7.5e9 * 0.0000133334 + 0.5e9 * 0.0000120001),
    ],
)
def test_tiers(arch: str, gb_seconds: float, usd: float) -> None:
    ours = prices.load()
    assert ours.compute(gb_seconds, arch, ours.model("today")) == pytest.approx(usd, rel=1e-12)


def test_a_file_of_ones_own_with_another_region(tmp_path: Path) -> None:
    path = changed(tmp_path, "us-east-1", "mars-north-1")
    assert prices.load(path).region == "mars-north-1"  # the only one
    assert prices.load(path, "mars-north-1").request == prices.load().request


@pytest.mark.parametrize(
    ("old", "new", "fact"),
    [
        ("log_gb = 0.50", "", "'log_gb'"),
        ("s3_gb_month = 0.023", 's3_gb_month = "cheap"', "cheap"),
        ("s3_gb_month = 0.023", "s3_gb_month = -1.0", "-1.0"),
        ("up_to = 15e9", "up_to = 1e9", "x86_64"),
        ("granularity_ms = 100", "granularity_ms = 0", "granularity_ms"),
        ('charges = ["compute"]', 'charges = ["computing"]', "computing"),
        ("[free]", "[free", "line"),
    ],
)
def test_a_message_has_the_file_and_what_is_wrong_with_it(
    tmp_path: Path, old: str, new: str, fact: str
) -> None:
    path = changed(tmp_path, old, new)
    with pytest.raises(UsageError, match=fact) as caught:
        prices.load(path)
    assert str(path) in str(caught.value)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml"):
        prices.load("nowhere.toml")
    with pytest.raises(UsageError, match=r"mars-north-1.*us-east-1.*--prices"):
        prices.load(region="mars-north-1")
    with pytest.raises(UsageError, match=r"1999.*today, 2018"):
        prices.load().model("1999")
    with pytest.raises(UsageError, match=r"vax.*x86_64, arm64"):
        prices.load().compute(1, "vax", prices.load().model("today"))
