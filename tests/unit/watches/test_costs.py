"""The Watcher's table of costs is the estimate of plan, and never below it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from skyfan import formatting
from skyfan.aws.budget import Spending
from skyfan.bill import prices
from skyfan.bill.estimate import Conditions
from skyfan.plans.plan import LARGE, STANDARD
from skyfan.plans.tiers import LAYOUTS, MEMORY_MB, tier
from skyfan.watches import costs
from skyfan_watch.definition import Watch
from skyfan_watch.ledger import Ledger
from skyfan_watch.query import Query

CONDITIONS = Conditions(MEMORY_MB)
WATCH = Watch(
    "new",
    Query(),
    "",
    budget=5.0,
    functions={STANDARD: "f", LARGE: "F"},
    costs=costs.file_costs(CONDITIONS),
    limits=costs.standard_limits(MEMORY_MB),
)
names = st.sampled_from(
    [f"x_{product}.fits{end}" for product in (*LAYOUTS, "ABC") for end in ("", ".gz", ".fz")]
)


@settings(deadline=None, max_examples=60)
@given(names, st.floats(2, 34).map(lambda power: int(2**power)))
def test_the_table_is_never_below_the_estimate(name: str, size: int) -> None:
    chosen = WATCH.tier(name, size)
    spending = Spending(Conditions(MEMORY_MB, concurrency=1000))
    spending.spend(chosen, ["s3://stpubdata/a"] * 1000, [size] * 1000, invocations=1000)
    own = costs.accepted_usd(prices.load(), "x86_64")
    expected = spending.usd / 1000 + own
    assert expected * (1 - 1e-9) <= WATCH.cost(name, size) / 1e9 <= expected * 1.05 + 2e-9


@settings(deadline=None)
@given(names, st.integers(0, 1 << 36))
def test_a_file_goes_to_the_function_that_a_plan_sends_it_to(name: str, size: int) -> None:
    assert WATCH.tier(name, size) == (tier(name, size, MEMORY_MB) or LARGE)


def test_the_requests_are_those_that_the_watcher_makes() -> None:
    import runpy
    from pathlib import Path

    counted = runpy.run_path(
        str(Path(__file__).parents[3] / "benchmarks/watch/__main__.py"), run_name="watch"
    )
    assert dict(counted["requests"](1)) == {"get": 5, "put": 5, "invoke": 1, "list": 1}
    assert dict(counted["requests"](1, "drz")) == {"get": 3, "put": 1, "list": 1}


def test_what_the_watcher_did_is_said_with_its_cost() -> None:
    rates = prices.load()
    ledger = Ledger(counts={"accepted": 1000, "duplicate": 400}, skipped={"another product type": 600})
    usd = 1000 * costs.accepted_usd(rates, "x86_64") + 1000 * costs.skipped_usd(rates, "x86_64")
    assert 0.05 < usd < 0.08
    said = costs.spent(ledger, rates, "x86_64")
    assert "2,000 messages" in said
    assert formatting.usd(usd) in said
