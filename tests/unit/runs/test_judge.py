"""The state of files as a pure function: neither order nor duplicates of its input change it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from skyfan.runs import digests
from skyfan.runs.judge import DONE, FAILED, STATES, FailureRows, Limits, judge
from skyfan.runs.receipts import NONE, Receipts

NOW = 1_000_000.0
NAMES = [f"bucket/{number}.fits" for number in range(8)]
FILES = digests.digests(NAMES[:6])  # the last two are in no plan

times = st.integers(int(NOW) - 30_000, int(NOW) + 100).map(lambda seconds: seconds * 1000)
requests = st.sampled_from([f"request-{number}" for number in range(6)])
receipt_rows = st.lists(st.tuples(st.sampled_from(NAMES), times, requests), max_size=20)
# FailureRows of one request have one time: duplicates are copies.
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


def records_of(rows: list[tuple[str, int, str, bool, bool]]) -> FailureRows:
    records = FailureRows()
    # As the reader does: sorted by key, whatever the order of the listing.
    for number, (name, time, request, alone, stopped) in enumerate(sorted(rows)):
        records.add(digests.digest(name), time, digests.digest(request), alone, number, stopped)
    return records


def states(
    receipts: list[tuple[str, int, str]], records: list[tuple[str, int, str, bool, bool]], done: list[bool]
) -> list[int]:
    flags = np.array(done, bool)
    verdict = judge(FILES, flags, receipts_of(receipts), records_of(records), NOW, Limits())
    return verdict.state.tolist()


done_flags = st.lists(st.booleans(), min_size=6, max_size=6)


@given(receipt_rows, record_rows, done_flags, st.randoms(use_true_random=False))
def test_order_and_duplicates_change_nothing(receipts, records, done, shuffler) -> None:
    once = states(receipts, records, done)
    doubled = receipts + shuffler.sample(receipts, len(receipts) // 2)
    more_records = records + shuffler.sample(records, len(records) // 2)
    shuffler.shuffle(doubled)
    shuffler.shuffle(more_records)
    assert states(doubled, more_records, done) == once


@given(receipt_rows, record_rows, done_flags)
def test_each_file_has_one_state_and_results_win(receipts, records, done) -> None:
    found = states(receipts, records, done)
    assert len(found) == 6
    assert set(found) <= set(range(len(STATES)))
    assert [state == DONE for state in found] == done


@given(receipt_rows, record_rows, done_flags)
def test_after_a_new_receipt_no_file_is_failed(receipts, records, done) -> None:
    sent_again = [(name, int(NOW * 1000) + 200_000, "a new request") for name in NAMES]
    found = states(receipts + sent_again, records, done)
    assert FAILED not in found


@given(receipt_rows, done_flags)
def test_a_failure_of_the_newest_request_counts_whatever_its_time(receipts, done) -> None:
    newest = [(name, int(NOW * 1000) + 200_000, "a new request") for name in NAMES]
    records = [(name, 1000, "a new request", True, False) for name in NAMES]
    found = states(receipts + newest, records, done)
    assert found == [DONE if flag else FAILED for flag in done]


def test_an_empty_run_has_an_empty_verdict() -> None:
    verdict = judge(np.empty(0, np.uint64), np.empty(0, bool), NONE, FailureRows(), NOW, Limits())
    assert len(verdict.state) == 0


def test_how_long_a_file_may_take_in_all() -> None:
    # Three tries of 15 minutes, pauses of 1 and 2 minutes, 10 minutes in the queue; then 6 hours.
    assert (Limits().late_s, Limits().missing_s) == (3480.0, 25080.0)
    assert Limits(timeout_s=60, retries=0, queue_s=5, age_s=100).missing_s == 345.0


def test_a_file_is_late_or_missing_only_beyond_the_limit() -> None:
    ages = [3_480_000, 3_480_001, 25_080_000, 25_080_001]
    names = NAMES[: len(ages)]
    rows = [(name, int(NOW * 1000) - age, "r") for name, age in zip(names, ages, strict=True)]
    files = digests.digests(names)
    verdict = judge(files, np.zeros(4, bool), receipts_of(rows), FailureRows(), NOW, Limits())
    at = [int(digests.find(files, digests.each([name]))[0]) for name in names]
    assert [STATES[verdict.state[k]] for k in at] == ["sent", "late", "late", "missing"]
    assert [int(verdict.sent[k]) for k in at] == [sent for _, sent, _ in rows]


def test_a_receipt_of_the_first_millisecond_is_a_receipt() -> None:
    files = digests.digests(NAMES[:1])
    verdict = judge(files, np.zeros(1, bool), receipts_of([(NAMES[0], 0, "r")]), FailureRows(), 1.0, Limits())
    assert STATES[verdict.state[0]] == "sent"


def test_a_record_without_a_receipt_counts_from_the_millisecond_of_the_newest_receipt_on() -> None:
    sent = int(NOW * 1000)
    for time, expected in ((sent - 1, "sent"), (sent, "failed"), (sent + 1, "failed")):
        found = states([(NAMES[0], sent, "r")], [(NAMES[0], time, "lost", True, False)], [False] * 6)
        assert STATES[found[list(FILES).index(digests.digest(NAMES[0]))]] == expected


def test_the_newest_record_decides_and_one_of_the_file_alone_before_any() -> None:
    at = list(FILES).index(digests.digest(NAMES[0]))
    sent = int(NOW * 1000) - 5000
    early, late = (NAMES[0], sent + 1, "a", True, False), (NAMES[0], sent + 2, "b", True, True)
    batch = (NAMES[0], sent + 3, "c", False, False)
    for records, expected in (
        ([early, late], "cancelled"),
        ([early, batch, late], "cancelled"),
        ([batch], "failed"),
    ):
        assert STATES[states([(NAMES[0], sent, "r")], records, [False] * 6)[at]] == expected
    verdict = judge(
        FILES,
        np.zeros(6, bool),
        receipts_of([(NAMES[0], sent, "r")]),
        records_of([early, late]),
        NOW,
        Limits(),
    )
    assert [int(number) for number in verdict.failure if number >= 0] == [1]
