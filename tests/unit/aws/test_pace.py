"""How many requests may be on their way."""

from hypothesis import given
from hypothesis import strategies as st

from skyfan.aws.pace import Pace


def test_it_doubles_until_the_first_throttle() -> None:
    pace = Pace(256)
    start = pace.window
    for _ in range(start):
        pace.accepted()
    assert pace.window == 2 * start
    pace.throttled(10.0)
    assert pace.window == int(2 * start * 0.7)
    before = pace.window
    for _ in range(before + 1):  # a round trip
        pace.accepted()
    assert pace.window == before + 1


def test_throttles_of_one_moment_count_once() -> None:
    pace = Pace(256)
    for _ in range(240):
        pace.accepted()
    pace.throttled(5.0)
    once = pace.window
    for _ in range(100):
        pace.throttled(5.5)
    assert pace.window == once
    pace.throttled(6.0)
    assert pace.window < once


@given(most=st.integers(1, 300), news=st.lists(st.booleans(), max_size=400))
def test_it_stays_between_one_and_the_most(most: int, news: list[bool]) -> None:
    pace = Pace(most)
    for at, good in enumerate(news):
        if good:
            pace.accepted()
        else:
            pace.throttled(float(at))
        assert 1 <= pace.window <= most
