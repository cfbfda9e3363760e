"""A standing query: in any order, with duplicates and deaths, each file once and within the budget."""

import json
from collections import deque
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st
from unit.skyfan_watch.memory import Died, World

from skyfan_watch import ledger as ledgers
from skyfan_watch.definition import NANO, Watch, version_of
from skyfan_watch.messages import CREATED, REMOVED, ObjectEvent
from skyfan_watch.ports import Found
from skyfan_watch.query import Query
from skyfan_watch.standing import Standing

BUCKET = "stpubdata"
COSTS = {"standard": ((1.0, 1e9), (0.01, 0.01))}


def watch(**values: object) -> Watch:
    query = Query("HST", (BUCKET,), "hst/public/", ("FLT",))
    about = {
        "name": "new",
        "query": query,
        "created": "2026-11-27",
        "budget": 1.0,
        "functions": {"standard": "f"},
        "costs": COSTS,
        "limits": {"*": 10**12},
    }
    return Watch(**{**about, **values})  # type: ignore[arg-type]


def key(number: int) -> str:
    return f"hst/public/icsc/icsca0v{number:02}/icsca0v{number:02}_flt.fits"


def world(files: int, **values: object) -> World:
    found = {(BUCKET, key(number)): Found(1000, f"etag{number}") for number in range(files)}
    return World(files=found, **values)  # type: ignore[arg-type]


def event(number: int, kind: str = CREATED) -> ObjectEvent:
    return ObjectEvent(BUCKET, key(number), kind, "ObjectCreated:Put")


def deliver(place: World, definition: Watch, messages: list[int], batch: int = 3) -> None:
    """Delivers messages as SQS does: what fails, or was with a process that died, comes again, later."""
    queue, tries = deque(messages), 0
    while queue:
        some = [queue.popleft() for _ in range(min(batch, len(queue)))]
        tries += 1
        assert tries < 200, "a message comes again for ever"
        try:
            standing = Standing(place, definition, place, place, now=lambda: place.now)
            failed = standing.handle([event(number) for number in some]).failed
        except Died:
            failed = set(range(len(some)))
        queue.extend(some[index] for index in sorted(failed))
        place.now += 400.0 if failed else 1.0


def ledger_of(place: World) -> ledgers.Ledger:
    return ledgers.read(place, "watches/new/ledger.json")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=14),
    st.sets(st.integers(0, 120), max_size=4),
    st.sets(st.integers(0, 60), max_size=2),
    st.integers(1, 4),
)
def test_each_file_is_accepted_once_whatever_dies(
    messages: list[int], dies: set[int], lost: set[int], batch: int
) -> None:
    place = world(6, dies=dies, lost=lost)
    deliver(place, watch(), messages, batch)
    wanted = {version_of(f"s3://{BUCKET}/{key(number)}", f"etag{number}") for number in messages}
    plans = {name.removesuffix(".planned") for name in place.names("runs/new/plans/")}
    receipts = {name.removesuffix(".sent") for name in place.names("runs/new/receipts/")}
    assert plans == receipts == wanted
    assert set(place.times()) == wanted
    assert max(place.times().values()) <= ledgers.MAX_SENDS
    assert sum(place.times().values()) <= len(wanted) + len(dies)
    assert ledger_of(place).spent >= len(place.sent) * NANO // 100
    assert not ledger_of(place).open


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=20),
    st.sets(st.integers(0, 120), max_size=4),
    st.integers(0, 6),
)
def test_no_more_is_sent_than_the_budget_pays(messages: list[int], dies: set[int], pays: int) -> None:
    place, definition = world(10, dies=dies), watch(budget=pays * 0.01)
    deliver(place, definition, messages)
    assert len(place.sent) <= pays
    assert len(set(messages)) == len(list(place.names("runs/new/plans/"))), "what it does not pay waits"
    place.dies.clear()
    place.now += 40 * 86_400  # next month
    deliver(place, watch(budget=1.0), [messages[0]])
    assert set(place.times()) == {
        version_of(f"s3://{BUCKET}/{key(number)}", f"etag{number}") for number in messages
    }


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 3))
def test_two_at_once_do_not_send_twice(first: int, second: int, pays: int) -> None:
    place, definition = world(4), watch(budget=pays * 0.01)

    def other() -> None:
        Standing(place, definition, place, place, now=lambda: place.now).handle(
            [event(0), event(1), event(2)]
        )

    place.meanwhile = {first: other, first + second + 1: other}
    deliver(place, definition, [0, 1, 2, 3])
    assert set(place.times().values()) <= {1}
    assert len(place.sent) == min(pays, 4)


def test_a_new_version_is_another_file_and_a_replay_is_none() -> None:
    place = world(1)
    deliver(place, watch(), [0, 0])
    place.files[BUCKET, key(0)] = Found(1000, "reprocessed")
    deliver(place, watch(), [0, 0])
    place.now += 300 * 86_400
    deliver(place, watch(), [0])
    assert [file.etag for file in place.sent] == ["etag0", "reprocessed"]


def test_the_budget_says_once_that_it_is_reached() -> None:
    place, definition = world(5), watch(budget=0.02)
    deliver(place, definition, [0, 1, 2, 3, 4], batch=1)
    lines = [
        json.loads(line)
        for name in place.names("watches/new/log/")
        for line in place.objects[f"watches/new/log/{name}"][0].splitlines()
    ]
    assert [line["decision"] for line in lines].count("stopped") == 1
    assert [line["decision"] for line in lines].count("waiting") == 3
    assert (ledger_of(place).waiting, len(place.sent)) == (3, 2)
    deliver(place, watch(budget=0.04), [0], batch=1)  # a raised budget
    assert len(place.sent) == 4


def test_a_pause_keeps_files_and_its_end_sends_them() -> None:
    place = world(3)
    deliver(place, watch(paused="2026-11-27"), [0, 1])
    assert not place.sent
    deliver(place, watch(), [2])
    assert len(place.sent) == 3


def test_a_file_that_never_confirms_is_not_sent_for_ever() -> None:
    place = world(1)
    for _ in range(10):
        if len(place.sent) < ledgers.MAX_SENDS:
            place.dies = {place.moments + 5}  # after plan, ledger and sending, before it is confirmed
        with suppress(Died):
            Standing(place, watch(), place, place, now=lambda: place.now).handle([event(0)])
        place.now += 1000
    assert len(place.sent) == ledgers.MAX_SENDS


def test_what_is_not_wanted_is_counted_by_reason() -> None:
    place = world(1)
    place.files[BUCKET, key(1)] = Found(1000, "x", None)
    standing = Standing(place, watch(), place, place, now=lambda: place.now)
    events = [
        ObjectEvent(BUCKET, key(0).replace("_flt", "_drz"), CREATED, "ObjectCreated:Put"),
        ObjectEvent(BUCKET, "jwst/public/a_cal.fits", CREATED, "ObjectCreated:Put"),
        ObjectEvent("elsewhere", key(0), CREATED, "ObjectCreated:Put"),
        ObjectEvent(BUCKET, key(0), REMOVED, "ObjectRemoved:Delete"),
        event(1),
        event(7),
        ObjectEvent(BUCKET, "hst/public/../icsca0v00_flt.fits", CREATED, "ObjectCreated:Put"),
    ]
    done = standing.handle(events)
    assert not done.failed
    assert not place.sent
    assert done.skipped == {"another product type": 1, "another mission, or not public": 1, "deleted": 1}
    assert [one["decision"] for one in done.decisions] == ["refused", "undecided", "gone", "malformed"]
