"""The bill: the article's figures, AWS's rules, and what must hold of any bill."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyfan.bill import costs
from skyfan.bill.costs import Unlogged
from skyfan.bill.report_lines import NONE, Report

from .conftest import NOW, OURS, amount, collect, records, report


def article(files: int) -> list[str]:
    """The article's invocation, so many times: 1.1 s billed at 1,024 MB."""
    form = "REPORT RequestId: id-{}  \nDuration: 1060.45 ms  \nBilled Duration: 1100 ms Memory Size: 1024 MB"
    form += "\tMax Memory Used: 164 MB"
    return [form.format(number) for number in range(files)]


def test_the_article_s_figures_to_the_digit_and_those_of_today() -> None:
    hundred = collect([[(text, NONE) for text in article(100)]])
    old = costs.bill(hundred, OURS, model="2018")
    assert [line.name for line in old.charges.lines] == ["compute"]
    assert f"{old.usd:.7f}" == "0.0018337"
    today = costs.bill(hundred, OURS)
    assert today.rebilled == 100  # 1,061 ms, not 1,100
    assert amount(today, "compute") == pytest.approx(100 * 1.061 * 0.0000166667)
    assert amount(today, "requests") == pytest.approx(100 * 0.2e-6)
    assert amount(today, "S3 PUT") == pytest.approx(100 * 0.005e-3)
    whole = hundred.select(np.arange(122_078) % 100)
    assert f"{costs.bill(whole, OURS, model='2018').usd:.2f}" == "2.24"
    assert f"{costs.bill(whole, OURS, model='2018').usd:.5f}" == "2.23854"


def test_retries_under_one_request_id_are_all_billed() -> None:
    tries = [report(1, status="error", error_type="ImageError"), report(1, status="timeout"), report(1)]
    made = costs.bill(records(*tries, report(2)), OURS)
    assert (made.invocations, made.retries, made.images) == (4, 2, 2)
    assert made.usage.gb_seconds == 4
    assert [(one.kind, one.count) for one in made.failures] == [("ImageError", 1), ("timeout", 1)]
    each = 0.0000166667 + 0.2e-6
    assert (made.waste.failures, made.waste.timeouts) == pytest.approx((each, each))
    assert made.usd_per_image == pytest.approx(made.usd / 2)


def test_a_cold_start_is_waste_and_is_billed_once() -> None:
    made = costs.bill(records(report(1, duration=1000, init_ms=500.0), report(2)), OURS)
    assert made.cold_starts == 1
    assert made.usage.gb_seconds == 2.5
    assert made.waste.cold_starts == pytest.approx(0.5 * 0.0000166667)


def test_a_failed_start_is_counted_and_has_no_bill() -> None:
    start = Report("", 0, NONE, 0, 0, 300.0, status="error", error_type="Runtime.ImportModuleError", time=NOW)
    made = costs.bill(records(start, report(1)), OURS)
    assert (made.failed_starts, made.invocations, made.failures) == (1, 1, ())
    assert made.usd == costs.bill(records(report(1)), OURS).usd


def test_usage_that_logs_do_not_show_is_on_the_bill() -> None:
    made = costs.bill(
        records(report(1)),
        OURS,
        arch="arm64",
        unlogged=Unlogged(images=3, gets=10, puts=6, lists=2, tmp_mb=1536),
    )
    assert made.images == 3
    assert amount(made, "compute") == pytest.approx(0.0000133334)
    assert amount(made, "ephemeral storage") == pytest.approx(0.0000000309)
    assert amount(made, "S3 GET") == pytest.approx(10 * 0.0004e-3)
    assert amount(made, "S3 PUT") == pytest.approx(6 * 0.005e-3)
    assert amount(made, "S3 LIST") == pytest.approx(2 * 0.005e-3)


def test_concurrency_and_percentiles() -> None:
    # Three at once for a second, then one alone.
    rows = [report(n, duration=1000.0, time=NOW + 1) for n in range(3)] + [report(4, time=NOW + 3)]
    made = costs.bill(records(*rows), OURS)
    assert made.concurrency
    assert made.concurrency.peak == 3
    assert (made.concurrency.began, made.concurrency.ended) == (NOW, NOW + 3)
    assert made.concurrency.points[5][1] == pytest.approx(3)
    assert made.concurrency.points[30][1] == pytest.approx(0)
    assert made.concurrency.points[-1][1] == pytest.approx(1)
    assert made.percentiles["duration_ms"]["median"] == 1000
    assert "init_ms" not in made.percentiles


@pytest.mark.parametrize("duration", [0.0, 1000.0])
def test_one_invocation_is_one_at_once(duration: float) -> None:
    found = costs.bill(records(report(duration=duration, time=NOW)), OURS).concurrency
    assert found
    assert (found.peak, found.ended) == (1, NOW)
    assert [value for _, value in found.points] == pytest.approx([1.0] * 60, abs=1e-4)


def test_nothing_costs_nothing() -> None:
    made = costs.bill(records(), OURS)
    assert (made.usd, made.invocations, made.images, made.usd_per_image) == (0, 0, 0, None)
    assert made.concurrency is None


REPORTS = st.builds(
    report,
    number=st.integers(0, 5),
    duration=st.integers(1, 90_000_000).map(lambda number: number / 100),
    memory=st.integers(128, 10240),
    init_ms=st.just(NONE) | st.integers(1, 1_000_000).map(lambda number: number / 100),
    status=st.sampled_from(["", "success", "failure", "error", "timeout"]),
    error_type=st.sampled_from(["", "Runtime.OutOfMemory", "ImageError"]),
    time=st.floats(1.7e9, 1.8e9),
)
MANY = st.lists(REPORTS, max_size=20)
MODELS = st.sampled_from(["today", "2018"])


@settings(deadline=None, max_examples=40)
@given(MANY, MANY, MODELS, st.booleans(), st.sampled_from(["x86_64", "arm64"]))
def test_the_sum_of_lines_is_the_total_and_costs_never_fall_when_work_grows(
    some: list[Report], more: list[Report], model: str, free: bool, arch: str
) -> None:
    # None may repeat another: it would be counted once.
    apart = [one._replace(time=NOW + 10 * at) for at, one in enumerate([*some, *more])]
    some, more = apart[: len(some)], apart[len(some) :]
    less = costs.bill(records(*some), OURS, model=model, free_tier=free, arch=arch)
    both = costs.bill(records(*some, *more), OURS, model=model, free_tier=free, arch=arch)
    assert both.usd == pytest.approx(sum(line.usd for line in both.charges.lines), rel=1e-12)
    assert both.usd >= less.usd
    for line, was in zip(both.charges.lines, less.charges.lines, strict=True):
        assert line.usd >= was.usd
    assert both.waste.failures + both.waste.timeouts == pytest.approx(sum(one.usd for one in both.failures))
    assert sum(vars(both.waste).values()) <= both.usd * (1 + 1e-9)
    if not free:  # below the first tier's end parts add up
        rest = costs.bill(records(*more), OURS, model=model, arch=arch)
        assert less.usage.gb_seconds + rest.usage.gb_seconds == pytest.approx(
            both.usage.gb_seconds, rel=1e-12
        )
        for name in ("compute", "requests") if model == "today" else ("compute",):
            assert amount(less, name) + amount(rest, name) == pytest.approx(amount(both, name), rel=1e-9)


@settings(deadline=None, max_examples=40)
@given(MANY, MODELS, st.randoms(use_true_random=False))
def test_the_order_of_reports_means_nothing(some: list[Report], model: str, rng: object) -> None:
    made = costs.bill(records(*some), OURS, model=model)
    shuffled = list(some)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    again = costs.bill(records(*shuffled), OURS, model=model)
    assert again.charges == made.charges
    assert again.percentiles == made.percentiles
    assert again.failures == made.failures


@settings(deadline=None, max_examples=40)
@given(MANY)
def test_a_longer_or_larger_invocation_never_costs_less(some: list[Report]) -> None:
    base = costs.bill(records(*some), OURS, model="2018").usd
    longer = [one._replace(duration_ms=one.duration_ms + 37) for one in some]
    larger = [one._replace(memory_mb=one.memory_mb + 64) for one in some]
    assert costs.bill(records(*longer), OURS, model="2018").usd >= base
    assert costs.bill(records(*larger), OURS, model="2018").usd >= base


def test_computing_never_gets_cheaper_through_all_tiers() -> None:
    model = OURS.model("today")
    amounts = [OURS.compute(seconds, "x86_64", model) for seconds in np.linspace(0, 3e10, 50)]
    assert np.all(np.diff(amounts) > 0)
