"""The state of files as a pure function: no order and no doubling of what was read changes it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from skyfan.runs import digests
from skyfan.runs.judge import DONE, FAILED, STATES, Limits, Records, judge
from skyfan.runs.receipts import NONE, Receipts

NOW = 1_000_000.0
NAMES = [f"bucket/{number}.fits" for number in range(8)]
FILES = digests.digests(NAMES[:6])  # the last two are in no plan

times = st.integers(int(NOW) - 30_000, int(NOW) + 100).map(lambda seconds: seconds * 1000)
requests = st.sampled_from([f"request-{number}" for number in range(6)])
receipt_rows = st.lists(st.tuples(st.sampled_from(NAMES), times, requests), max_size=20)
# A request's records are of one time: doubled deliveries are copies.
record_rows = st.lists(
    st.tuples(st.sampled_from(NAMES), times, requests, st.booleans(), st.booleans()), max_size=20
)


def receipts_of(rows: list[tuple[str, int, str]]) -> Receipts:
    return Receipts(
        digests.each(name for name, _, _ in rows).astype(np.uint64),
        np.array([sent for _, sent, _ in rows], np.int64),
        digests.each(request for _, _, request in rows).astype(np.uint64),
        frozenset(),
    )


def records_of(rows: list[tuple[str, int, str, bool, bool]]) -> Records:
    records = Records()
    # As the reader does it: in the order of the records' names, which a listing gives in any order.
    for number, (name, time, request, alone, stopped) in enumerate(sorted(rows)):
        records.add(digests.digest(name), time, digests.digest(request), alone, number, stopped)
    return records


def states(
    receipts: list[tuple[str, int, str]], records: list[tuple[str, int, str, bool, bool]], done: list[bool]
) -> list[int]:
    given_done = np.array(done, bool)
    verdict = judge(FILES, given_done, receipts_of(receipts), records_of(records), NOW, Limits())
    return verdict.state.tolist()


done_flags = st.lists(st.booleans(), min_size=6, max_size=6)


@given(receipt_rows, record_rows, done_flags, st.randoms(use_true_random=False))
def test_any_order_and_any_doubling_gives_one_answer(receipts, records, done, shuffler) -> None:
    once = states(receipts, records, done)
    doubled = receipts + shuffler.sample(receipts, len(receipts) // 2)
    again = records + shuffler.sample(records, len(records) // 2)
    shuffler.shuffle(doubled)
    shuffler.shuffle(again)
    assert states(doubled, again, done) == once


@given(receipt_rows, record_rows, done_flags)
def test_each_file_is_in_one_state_and_done_is_done(receipts, records, done) -> None:
    found = states(receipts, records, done)
    assert len(found) == 6
    assert set(found) <= set(range(len(STATES)))
    assert [state == DONE for state in found] == done


@given(receipt_rows, record_rows, done_flags)
def test_a_new_receipt_makes_what_failed_history(receipts, records, done) -> None:
    sent_again = [(name, int(NOW * 1000) + 200_000, "a new request") for name in NAMES]
    found = states(receipts + sent_again, records, done)
    assert FAILED not in found


@given(receipt_rows, done_flags)
def test_a_failure_of_the_newest_request_counts_whatever_the_clocks_say(receipts, done) -> None:
    newest = [(name, int(NOW * 1000) + 200_000, "a new request") for name in NAMES]
    records = [(name, 1000, "a new request", True, False) for name in NAMES]
    found = states(receipts + newest, records, done)
    assert found == [DONE if flag else FAILED for flag in done]


def test_nothing_at_all_is_no_trouble() -> None:
    verdict = judge(np.empty(0, np.uint64), np.empty(0, bool), NONE, Records(), NOW, Limits())
    assert len(verdict.state) == 0
