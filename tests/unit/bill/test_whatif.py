"""The same work elsewhere, and the memory size to use."""

import numpy as np
import pytest

from skyfan.bill import costs, prices, whatif
from skyfan.bill.collector import Collector
from skyfan.bill.records import Records
from skyfan.bill.reports import NONE, Report
from skyfan.bill.whatif import Elsewhere
from skyfan.errors import UsageError

OURS = prices.load()


def made(*groups: tuple[int, float, int], used: int = 100, init: float = NONE) -> Records:
    """Groups of (memory in MB, duration in ms, how many)."""
    collector = Collector()
    for memory, duration, count in groups:
        billed = duration + (0 if np.isnan(init) else init)
        for _ in range(count):
            name = f"id-{len(collector._others)}"
            collector._others.append(Report(name, duration, billed, memory, used, init, time=1.79e9))
    return collector.finish()


def compute(records: Records, elsewhere: Elsewhere, **more: object) -> float:
    found = whatif.what_if(records, OURS, elsewhere, **more)  # type: ignore[arg-type]
    return next(line.usd for line in found.charges.lines if line.name == "compute")


def test_half_the_memory_takes_twice_the_time_and_costs_the_same() -> None:
    records = made((1769, 1000, 10), init=500.0)
    half = whatif.at(records, 884)
    assert half.duration_ms[0] == pytest.approx(1000 * 1769 / 884)
    assert half.init_ms[0] == pytest.approx(500 * 1769 / 884)
    bill = costs.bill(records, OURS)
    assert compute(records, Elsewhere(memory_mb=884)) == pytest.approx(bill.charges.lines[0].usd, rel=1e-3)


def test_more_than_one_cpu_is_dearer_and_no_faster() -> None:
    records = made((1769, 1000, 10))
    assert whatif.at(records, 3538).duration_ms[0] == 1000
    assert compute(records, Elsewhere(memory_mb=3538)) == pytest.approx(2 * compute(records, Elsewhere()))


def test_the_size_that_it_has_changes_nothing() -> None:
    records = made((1769, 1000.4, 10))
    there = whatif.what_if(records, OURS, Elsewhere(memory_mb=1769))
    assert there.charges == costs.bill(records, OURS).charges


def test_another_architecture_and_number_of_files() -> None:
    records = made((1024, 1000, 100))
    assert compute(records, Elsewhere(arch="arm64")) == pytest.approx(100 * 0.0000133334)
    many = whatif.what_if(records, OURS, Elsewhere(files=122_078), model="2018")
    assert many.files == 122_078
    assert many.usd == pytest.approx(122_078 * 1.0 * 0.00001667)
    assert "failures and cold starts in the same share" in many.assumptions[-1]
    free = whatif.what_if(records, OURS, Elsewhere(files=500_000), free_tier=True)
    assert next(line.usd for line in free.charges.lines) == pytest.approx(100_000 * 0.0000166667)


def test_the_article_at_its_own_scale() -> None:
    """A hundred invocations of 1.1 s at 1,024 MB, and 122,078 files like them: 2.24 USD."""
    records = made((1024, 1060.45, 100))
    whole = whatif.what_if(records, OURS, Elsewhere(files=122_078), model="2018")
    assert f"{whole.usd:.2f}" == "2.24"


def test_what_would_not_fit_is_told() -> None:
    found = whatif.what_if(made((1769, 1000, 3), used=900), OURS, Elsewhere(memory_mb=512))
    assert any(said.startswith("3 invocations used more than 512 MB") for said in found.assumptions)


@pytest.mark.parametrize("wrong", [{"memory_mb": 64}, {"memory_mb": 20_000}, {"files": 0}])
def test_what_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        Elsewhere(**wrong)


def test_advice_from_the_speed_curve_is_one_cpu_and_not_very_sure() -> None:
    advice = whatif.advise(made((1024, 1000, 200)), OURS)
    assert advice.memory_mb == 1769  # as cheap as less, and faster; more is dearer
    assert advice.sure.startswith("not sure")
    assert {size.memory_mb: size.measured for size in advice.sizes}[1024] == 200
    assert whatif.advise(made((1769, 1000, 200)), OURS).sure.startswith("fairly sure")
    assert whatif.advise(made((1769, 1000, 20)), OURS).sure.startswith("a guess")


def test_advice_from_durations_that_were_measured_at_several_sizes() -> None:
    # Half the memory takes only a tenth more here: the work waits for its bytes, whatever the curve says.
    advice = whatif.advise(made((1769, 1000, 200), (1024, 1100, 200)), OURS)
    assert advice.memory_mb == 1024
    assert advice.sure.startswith("sure: 2 sizes")


def test_advice_leaves_room_above_what_was_used() -> None:
    advice = whatif.advise(made((3008, 1000, 200), used=1600), OURS)
    assert min(size.memory_mb for size in advice.sizes) == 3008
    assert "1600 MB were used at most" in advice.why


def test_no_advice_without_a_good_invocation() -> None:
    with pytest.raises(UsageError, match="nothing to go by"):
        whatif.advise(made(), OURS)
    with pytest.raises(UsageError, match="nothing to scale"):
        whatif.what_if(made(), OURS, Elsewhere(files=5))
