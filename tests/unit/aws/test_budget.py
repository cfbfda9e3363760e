"""The budget: whatever the plan, the estimate of all that was let through stays within the limit."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import count, takewhile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from skyfan.aws.budget import Attempts, Budget, Sizes, conditions_of
from skyfan.aws.invocations import calls
from skyfan.aws.stack import Deployed, Functions, Stack
from skyfan.bill.estimate import Conditions, estimate
from skyfan.engine import Call, File
from skyfan.errors import UsageError
from skyfan.plans.plan import Item
from skyfan.plans.tiers import sending_tier
from skyfan.storage.place import Place
from skyfan.task import Task

FUNCTIONS = Functions(
    {"standard": Deployed("s-F", 1769, 300.0), "large": Deployed("s-FLarge", 10240, 900.0)}, 1000, "", ()
)
KINDS = st.sampled_from([("drz", 10**9), ("flt", 4_000_000), ("flt", None), ("drc", 2 * 10**8), ("x", 0)])
SLACK = 1 + 1e-12


def plan_of(kinds: Iterable[tuple[str, int | None]], bucket: str = "stpubdata") -> list[Item]:
    return [Item(f"s3://{bucket}/{at:05}_{kind}.fits", size) for at, (kind, size) in enumerate(kinds)]


def budget_of(limit: float, items: list[Item], concurrency: int = 1000, batch: int = 1) -> Budget:
    conditions = Conditions(FUNCTIONS.memory_mb, concurrency=concurrency, batch=batch)
    return Budget(limit, conditions, FUNCTIONS, Sizes(Place("s3://r", MemoryStore()), "r", items))


def calls_of(items: list[Item], batch: int = 1, task: Task | None = None) -> list[Call]:
    tiers = [sending_tier(item, FUNCTIONS.memory_mb) for item in items]
    files = (File(item.uri, FUNCTIONS.tiers[tier].name) for item, tier in zip(items, tiers, strict=True))
    return list(calls(files, task or Task(), batch))


def upper_limit(items: list[Item], sent: list[Call], concurrency: int, batch: int) -> float:
    """What the estimate says of the files of these calls, each as often as it was sent."""
    known = {item.uri: item for item in items}
    graded = [
        replace(known[uri], tier=FUNCTIONS.tier_of[call.function]) for call in sent for uri in call.uris
    ]
    return estimate(graded, Conditions(FUNCTIONS.memory_mb, concurrency=concurrency, batch=batch)).usd_most


@settings(deadline=None, max_examples=60)
@given(
    kinds=st.lists(KINDS, max_size=40),
    share=st.floats(0, 1.2),
    concurrency=st.sampled_from([1, 7, 1000]),
    batch=st.sampled_from([1, 4]),
    lost=st.sets(st.integers(0, 30)),
    starts=st.lists(st.integers(0, 12), max_size=5),
)
def test_the_estimate_of_what_was_let_through_is_within_the_limit_across_kills(
    kinds: list[tuple[str, int | None]],
    share: float,
    concurrency: int,
    batch: int,
    lost: set[int],
    starts: list[int],
) -> None:
    items = plan_of(kinds)
    limit = share * estimate(items, Conditions(FUNCTIONS.memory_mb)).usd_most
    sent: list[Call] = []
    waiting, requests = calls_of(items, batch), count()
    for stop in [*starts, 1000]:  # after so many requests it is killed, and begins again
        budget = budget_of(limit, items, concurrency, batch)
        budget.spent(sent)
        for _ in range(stop):
            if not waiting or not budget.spend(waiting[0]):
                break
            sent.append(waiting[0])
            if next(requests) not in lost:  # a lost response: it is sent again, though it may have arrived
                del waiting[0]
        assert upper_limit(items, sent, concurrency, batch) <= limit * SLACK
        assert budget.usd <= limit * SLACK


@settings(deadline=None, max_examples=30)
@given(kinds=st.lists(KINDS, min_size=1, max_size=40), concurrency=st.sampled_from([1, 7, 1000]))
def test_a_limit_that_is_the_estimate_lets_the_whole_plan_through(
    kinds: list[tuple[str, int | None]], concurrency: int
) -> None:
    items = plan_of(kinds)
    limit = upper_limit(items, calls_of(items), concurrency, 1)
    budget = budget_of(limit * SLACK, items, concurrency)
    assert all(budget.spend(call) for call in calls_of(items))
    assert budget.usd == pytest.approx(limit)


def test_names_that_fill_an_event_are_several_requests_for_estimate_and_budget() -> None:
    """Seven names of 700 bytes, and room for three beside the settings: 3 requests for a batch of 100."""
    items = [Item(f"s3://stpubdata/{at}{'x' * 684}", 0) for at in range(7)]
    task = Task(config={"a": "x" * 253_300})
    assert len(items[0].uri) == 700
    assert 3 * 703 <= task.room < 4 * 700
    conditions = conditions_of(Stack("s", "us-east-1", {}), FUNCTIONS, task, 100)
    budget = Budget(1.0, conditions, FUNCTIONS, Sizes(Place("s3://r", MemoryStore()), "r", items))
    assert [len(call.uris) for call in calls_of(items, 100, task) if budget.spend(call)] == [3, 3, 1]
    made = estimate(items, conditions)
    (requests,) = (line.quantity for line in made.low.lines if line.name == "requests")
    assert requests == 3
    assert budget.usd == pytest.approx(made.usd_most)


def test_the_conditions_of_a_stack_are_those_of_its_functions_and_the_task() -> None:
    task = Task("r", "requester-pays", {"a": 1}, ("preview", "parquet"))
    stack = Stack("s", "us-east-1", {"ProcessorArchitecture": "arm64"})
    found = conditions_of(stack, replace(FUNCTIONS, concurrency=7, concurrency_source="as told"), task, 4)
    assert (found.memory_mb, found.arch) == ({"standard": 1769, "large": 10240}, "arm64")
    assert (found.prices.region, found.concurrency, found.concurrency_source) == ("us-east-1", 7, "as told")
    assert (found.batch, found.outputs, found.requester_pays) == (4, ("preview", "parquet"), True)
    around = (
        '{"inputs":[],"run":"r","access":"requester-pays","config":{"a":1},"outputs":["preview","parquet"]}'
    )
    assert found.room == 256_000 - len(around) + 1
    usual = conditions_of(Stack("s", "us-east-1", {}), FUNCTIONS, Task(), 1)
    assert (usual.arch, usual.outputs, usual.requester_pays) == ("x86_64", (), False)


def test_large_files_before_small_ones_do_not_break_the_limit() -> None:
    """The average file of this plan costs a fortieth of one of its first hundred."""
    items = plan_of([("drz", 2 * 10**9)] * 100 + [("flt", 4_000_000)] * 9900)
    budget = budget_of(2.0, items)
    through = list(takewhile(budget.spend, calls_of(items)))
    sent, more = (upper_limit(items, calls_of(items)[: len(through) + each], 1000, 1) for each in (0, 1))
    assert sent <= 2.0 < more
    assert 5 < len(through) < 100
    assert budget.usd == pytest.approx(sent)


def test_receipts_count_with_the_files_they_name() -> None:
    items = plan_of([("drz", 2 * 10**9), ("flt", 4_000_000), ("flt", 4_000_000), ("flt", 4_000_000)])
    large, *small = calls_of(items)
    by_calls, by_receipts = budget_of(9.0, items), budget_of(9.0, items)
    by_calls.spent([large, small[0], small[0], Call("s-F", small[1].uris + small[2].uris, b"")])
    names = [large.uris, small[0].uris, small[0].uris, small[1].uris, small[2].uris]
    table = {
        "uri": [uri for (uri,) in names],
        "function": ["s-FLarge"] + ["s-F"] * 4,
        "request_id": ["a", "b", "c", "d", "d"],
    }
    by_receipts.receipts(pa.table(table))
    assert by_receipts.usd == pytest.approx(by_calls.usd)
    unknown = budget_of(9.0, items)
    unknown.receipts(pa.table({**table, "function": ["gone"] * 5}))
    assert unknown.usd > by_receipts.usd  # as the largest function


@pytest.mark.parametrize("limit", [-0.01, float("nan")])
def test_a_limit_that_is_none_is_refused(limit: float) -> None:
    with pytest.raises(UsageError, match="max-cost"):
        budget_of(limit, [])


def test_of_two_sizes_the_known_and_the_larger_one_counts() -> None:
    place = Place("s3://r", MemoryStore())
    items = [Item("s3://b/a", None), Item("s3://b/a", 5), Item("s3://b/a", 3), Item("s3://b/c", None)]
    assert Sizes(place, "r", items).of(["s3://b/c", "s3://b/a", "s3://b/none"]).tolist() == [-1, 5, -1]


def test_attempts_survive_a_kill(tmp_path: Path) -> None:
    call, other = Call("f", ("s3://b/1", "s3://b/ü"), b"{}"), Call("f", ("s3://b/2",), b"{}")
    killed = Attempts(tmp_path).__enter__()
    accepted, _, refused = killed.began(call), killed.began(other), killed.began(call)
    killed.ended(accepted)
    killed.ended(refused)
    killed.began(call)
    killed.__exit__(None, None, None)  # closes the file, no more
    with (tmp_path / "attempts").open("ab") as file:
        file.write(b"\n[99")  # half a line
    with Attempts(tmp_path) as attempts:
        assert [one.uris for one in attempts.unresolved()] == [other.uris, call.uris]
        attempts.ended(attempts.began(call))
        attempts.began(other)
    with Attempts(tmp_path) as attempts:
        assert [one.uris for one in attempts.unresolved()] == [other.uris, call.uris, other.uris]


def test_the_file_of_attempts_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skyfan.aws.budget._COMPACT_AFTER", 10)
    with Attempts(tmp_path) as attempts:
        attempts.began(Call("f", ("s3://b/lost",), b""))
        for _ in range(100):
            attempts.ended(attempts.began(Call("f", ("s3://b/1",), b"")))
        assert len((tmp_path / "attempts").read_bytes().splitlines()) <= 10
        assert len(attempts.unresolved()) == 1
