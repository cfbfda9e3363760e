"""Billed time and the charges for it."""

from dataclasses import replace

import pytest

from skyfan.bill import costs
from skyfan.bill.charges import Usage, billed_ms, charge, stored_gb_months
from skyfan.bill.costs import Unlogged
from skyfan.bill.report_lines import NONE, Report

from .conftest import OURS, amount, records, report


@pytest.mark.parametrize(
    ("one", "today", "old"),
    [
        (report(duration=2.37, init_ms=423.98, billed=427), 427, 100),
        (report(duration=600000, init_ms=516.31, billed=600517), 600517, 600000),
        (report(duration=2338.66, restore_ms=398.97, billed_restore_ms=182.0, billed=2521), 2521, 2582),
        # Before 2025-08, INIT was left out of the bill.
        (report(duration=11.642, init_ms=174.055, billed=12, time=1.716e9), 186, 100),
        (report(duration=11.642, init_ms=174.055, billed=12, time=NONE), 186, 100),
        # Lambda rounds what it prints: its own figure counts.
        (report(duration=426.0, billed=427, time=NONE), 427, 500),
        # Since then AWS's word is taken for whatever it says, provisioned environments for one.
        (report(duration=11.642, init_ms=174.055, billed=12), 12, 100),
        (report(duration=1100.0, billed=1100), 1100, 1100),
    ],
)
def test_billed_time_by_either_rule(one: Report, today: int, old: int) -> None:
    assert billed_ms(records(one), OURS.model("today")).tolist() == [today]
    assert billed_ms(records(one), OURS.model("2018")).tolist() == [old]


def test_the_free_tier() -> None:
    made = costs.bill(records(*[report(n) for n in range(100)]), OURS, free_tier=True)
    assert (amount(made, "compute"), amount(made, "requests")) == (0, 0)
    big = [report(n, duration=900_000.0, memory=10240) for n in range(45)]
    made = costs.bill(records(*big), OURS, free_tier=True)
    assert amount(made, "compute") == pytest.approx((45 * 9000 - 400_000) * 0.0000166667)


def test_every_line_of_a_bill_by_hand() -> None:
    used = Usage(
        gb_seconds=1000,
        requests=1e6,
        tmp_gb_seconds=1e6,
        restore_gb=10,
        gets=1000,
        puts=1000,
        lists=1000,
        log_gb=2,
        log_gb_months=stored_gb_months(2),
    )
    # AWS's price list for us-east-1, 2026-11.
    wanted = {
        "compute": 0.0166667,
        "requests": 0.20,
        "ephemeral storage": 0.0309,
        "SnapStart restores": 0.001397998,
        "S3 GET": 0.0004,
        "S3 PUT": 0.005,
        "S3 LIST": 0.005,
        "log ingestion": 1.00,
        "log storage": 0.009,  # 2 GB, stored in 0.3 GB, x 0.03
    }
    charges = charge(used, OURS, OURS.model("today"))
    assert {line.name: line.usd for line in charges.lines} == pytest.approx(wanted, rel=1e-12)
    assert charges.usd == pytest.approx(1.268364698, rel=1e-12)


def test_compute_by_hand_through_the_price_tiers() -> None:
    model = OURS.model("today")
    # 6e9 x 0.0000166667 + 1e9 x 0.000015
    assert OURS.compute(7e9, "x86_64", model) == pytest.approx(115_000.2)
    # 6e9 x 0.0000166667 + 9e9 x 0.000015 + 1e9 x 0.0000133334
    assert OURS.compute(16e9, "x86_64", model) == pytest.approx(248_333.6)
    # 7.5e9 x 0.0000133334 + 0.5e9 x 0.0000120001
    assert OURS.compute(8e9, "arm64", model) == pytest.approx(106_000.55)


def test_logs_are_ingested_whole_and_stored_compressed() -> None:
    made = costs.bill(replace(records(report(1)), log_bytes=10**9), OURS)
    assert amount(made, "log ingestion") == pytest.approx(0.50)
    assert amount(made, "log storage") == pytest.approx(0.0045)  # 0.15 GB x 0.03
    kept = costs.bill(replace(records(report(1)), log_bytes=10**9), OURS, unlogged=Unlogged(log_months=4))
    assert amount(kept, "log storage") == pytest.approx(0.018)


def test_a_restore_of_snapstart_is_billed() -> None:
    made = costs.bill(records(report(1, restore_ms=400.0, billed_restore_ms=182.0, memory=2048)), OURS)
    assert amount(made, "SnapStart restores") == pytest.approx(0.0002795996)  # 2 GB


def test_the_rule_of_a_line_names_its_price() -> None:
    made = costs.bill(records(report()), OURS, arch="arm64", free_tier=True)
    rules = {line.name: line.rule for line in made.charges.lines}
    assert rules["compute"].startswith("0.0000133334 USD per GB-s beyond 400,000 free per month")
    assert rules["requests"].startswith("0.2 USD per million beyond 1,000,000 free")
    assert rules["S3 GET"].startswith("0.0004 USD per thousand")
    old = costs.bill(records(report()), OURS, model="2018")
    assert old.charges.lines[0].rule.startswith(
        "0.00001667 USD per GB-s, rounded up to 100 ms, cold starts not"
    )


def test_no_usage_costs_nothing() -> None:
    made = charge(Usage(), OURS, OURS.model("today"))
    assert {line.quantity for line in made.lines} == {0}
    assert made.usd == 0
