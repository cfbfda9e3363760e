"""Waves: whatever finishes when, the queue holds no more seconds of work than allowed."""

from hypothesis import given
from hypothesis import strategies as st

from skyfan.aws.watch import Waves
from skyfan.engine import Call

SECONDS = {"small": 2.0, "large": 300.0}


def call(name: str, files: int = 1) -> Call:
    return Call(name, tuple(f"s3://b/{at}" for at in range(files)), b"")


def work(one: Call) -> float:
    return SECONDS[one.function] * len(one.uris)


@given(
    sizes=st.lists(st.sampled_from(["small", "large"]), max_size=60),
    limit_s=st.floats(1.0, 1000.0),
    steps=st.lists(st.integers(0, 5), max_size=200),
)
def test_the_queue_is_bounded_and_everything_is_sent(
    sizes: list[str], limit_s: float, steps: list[int]
) -> None:
    waiting, queue, finished = list(sizes), list[str](), 3
    waves = Waves(limit_s, work, lambda: finished)
    for step in [*steps, *[1] * len(sizes)]:
        while waiting and waves.is_open():
            assert sum(SECONDS[name] for name in queue) < limit_s or not queue
            queue.append(waiting.pop(0))
            waves.add(call(queue[-1]))
        done = min(step, len(queue))
        del queue[:done]
        finished += done
    assert not waiting


def test_a_batch_is_finished_when_all_of_its_files_are() -> None:
    finished = 0
    waves = Waves(10.0, work, lambda: finished)
    waves.add(call("small", 5))
    assert not waves.is_open()
    finished = 4
    assert not waves.is_open()
    finished = 5
    assert waves.is_open()


def test_files_of_earlier_calls_are_in_the_queue() -> None:
    finished = 0
    waves = Waves(100.0, work, lambda: finished, queued=(50, 120.0))
    assert not waves.is_open()
    finished = 50
    assert waves.is_open()
