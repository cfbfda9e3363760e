"""The same work under other conditions, and the recommended memory size."""

import re
from dataclasses import replace

import numpy as np
import pytest

from skyfan.bill import costs, prices, whatif
from skyfan.bill.records import Records, Results
from skyfan.bill.report_lines import NONE, Report
from skyfan.bill.whatif import Advice, Variation
from skyfan.errors import UsageError
from skyfan.runs import digests

from .conftest import records as records_of

OURS = prices.load()


def made(*groups: tuple[int, float, int], used: int = 100, init: float = NONE) -> Records:
    """Groups of (memory in MB, duration in ms, number)."""
    start = 0.0 if np.isnan(init) else init
    return records_of(
        *(
            Report(f"id-{memory}-{n}", duration, duration + start, memory, used, init, time=1.79e9)
            for memory, duration, count in groups
            for n in range(count)
        )
    )


def compute(records: Records, variation: Variation, **more: object) -> float:
    found = whatif.what_if(records, OURS, variation, **more)  # type: ignore[arg-type]
    return next(line.usd for line in found.charges.lines if line.name == "compute")


def test_half_the_memory_takes_twice_the_time_and_costs_the_same() -> None:
    records = made((1769, 1000, 10), init=500.0)
    half = whatif.scaled(records, 884)
    assert half.duration_ms[0] == pytest.approx(1000 * 1769 / 884)
    assert half.init_ms[0] == pytest.approx(500 * 1769 / 884)
    bill = costs.bill(records, OURS)
    assert compute(records, Variation(memory_mb=884)) == pytest.approx(bill.charges.lines[0].usd, rel=1e-3)


def test_more_than_one_cpu_is_dearer_and_no_faster() -> None:
    records = made((1769, 1000, 10))
    assert whatif.scaled(records, 3538).duration_ms[0] == 1000
    assert compute(records, Variation(memory_mb=3538)) == pytest.approx(2 * compute(records, Variation()))


def test_the_size_that_it_has_changes_nothing() -> None:
    records = made((1769, 1000.4, 10))
    there = whatif.what_if(records, OURS, Variation(memory_mb=1769))
    assert there.charges == costs.bill(records, OURS).charges


def test_another_architecture_and_number_of_files() -> None:
    records = made((1024, 1000, 100))
    assert compute(records, Variation(arch="arm64")) == pytest.approx(100 * 0.0000133334)
    many = whatif.what_if(records, OURS, Variation(files=122_078), model="2018")
    assert many.files == 122_078
    assert many.usd == pytest.approx(122_078 * 1.0 * 0.00001667)
    assert "122,078 files" in many.assumptions[-1]
    free = whatif.what_if(records, OURS, Variation(files=500_000), free_tier=True)
    assert next(line.usd for line in free.charges.lines) == pytest.approx(100_000 * 0.0000166667)


def test_the_article_at_its_own_scale() -> None:
    """A hundred invocations of 1.1 s at 1,024 MB, and 122,078 files like them: 2.24 USD."""
    records = made((1024, 1060.45, 100))
    whole = whatif.what_if(records, OURS, Variation(files=122_078), model="2018")
    assert f"{whole.usd:.2f}" == "2.24"


def test_what_would_not_fit_is_an_assumption() -> None:
    found = whatif.what_if(made((1769, 1000, 3), used=900), OURS, Variation(memory_mb=512))
    assert any("3 invocations" in text and "512 MB" in text for text in found.assumptions)


@pytest.mark.parametrize("wrong", [{"memory_mb": 64}, {"memory_mb": 20_000}, {"files": 0}])
def test_what_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        Variation(**wrong)


def advise(records: Records) -> Advice:
    """The advice of a log with one tier."""
    (advice,) = whatif.advise(records, OURS)
    return advice


def same_images(*groups: tuple[int, float, int], used: int = 100) -> Records:
    """As made(), and image n of each group is the same one."""
    found = made(*groups, used=used)
    pairs = [(digests.digest(f"id-{memory}-{n}"), n + 1) for memory, _, count in groups for n in range(count)]
    return replace(found, results=Results.of([], [], [], pairs))


def test_one_size_tells_nothing_of_others() -> None:
    """Computed: as cheap with less memory, and faster with more up to a CPU."""
    for size, next_size in ((1024, 1769), (1769, 1024), (10240, 1769)):
        advice = advise(made((size, 1000, 200)))
        assert (advice.tier_mb, advice.memory_mb) == (size, size)
        assert advice.sure.startswith("cannot tell")
        assert f"{next_size} MB" in advice.sure
        assert {row.memory_mb: row.measured for row in advice.sizes if row.measured} == {size: 200}


def test_too_few_images_say_how_many_more() -> None:
    assert "measure 80 more at 1769 MB" in advise(made((1769, 1000, 20))).sure
    assert "measure 1 more" in advise(made((1769, 1000, 99))).sure
    assert "more at" not in advise(made((1769, 1000, 100))).sure


def test_each_size_is_a_tier_of_other_images() -> None:
    """A run of two tiers: a thousand images of 20 s at 1,769 MB, ten of 200 s at 10,240 MB."""
    first, second = whatif.advise(made((1769, 20_000, 1000), (10240, 200_000, 10)), OURS)
    assert (first.tier_mb, first.memory_mb, second.tier_mb, second.memory_mb) == (1769, 1769, 10240, 10240)
    usd = {row.memory_mb: row.usd_per_image for row in first.sizes}
    assert usd[1769] == pytest.approx(20 * 1769 / 1024 * 0.0000166667 + 5.2e-6)
    assert usd[10240] == pytest.approx(20 * 10 * 0.0000166667 + 5.2e-6)
    assert "measure 90 more at 10240 MB" in second.sure


def test_the_same_images_at_two_sizes_are_compared_and_others_follow_from_both() -> None:
    """At half of 2 x 884 MB all takes 1.5 times as long: half of the time is computed, half waits.

    At 512 MB it then takes 0.5 + 0.5 x 1769 / 512 = 2.2275 times as long for 0.2894 of the memory: 0.6447.
    """
    advice = advise(same_images((1769, 1000, 200), (884, 500 + 500 * 1769 / 884, 200)))
    usd = {row.memory_mb: row.usd_per_image - 5.2e-6 for row in advice.sizes}
    assert usd[512] / usd[1769] == pytest.approx(0.6447, rel=2e-3)
    assert advice.memory_mb == 884
    assert "512 MB may be cheaper" in advice.sure
    measured = same_images((1769, 1000, 200), (884, 1500, 150), (512, 2227.5, 100))
    advice = advise(measured)
    assert advice.memory_mb == 512
    assert advice.sure.startswith("certain: 3 sizes")
    assert {row.memory_mb: row.measured for row in advice.sizes if row.measured} == {
        1769: 200,
        884: 150,
        512: 100,
    }


def test_of_different_images_nothing_is_compared() -> None:
    """The mistake of old: 3,008 MB had the small images, and so seemed cheap."""
    assert len(whatif.advise(made((1769, 9000, 200), (3008, 1000, 200)), OURS)) == 2
    few = same_images((1769, 1000, 200), (3008, 1000, 99))
    assert len(whatif.advise(few, OURS)) == 2


def test_advice_leaves_room_above_what_was_used() -> None:
    advice = advise(made((3008, 1000, 200), used=1600))
    assert min(size.memory_mb for size in advice.sizes) == 3008
    assert "1600 MB" in advice.why
    assert advice.sure.startswith("certain"), "a smaller size has no room"


def test_sizes_at_which_lambda_would_end_an_image_are_left_out() -> None:
    advice = advise(made((1769, 400_000, 200)))
    assert [row.memory_mb for row in advice.sizes] == [1024, 1769, 3008, 5120, 10240]
    assert "900 s" in advice.why


def test_the_function_s_own_time_limit_counts() -> None:
    """At 1,024 MB an image of 180 s takes 311 s; standard images may take 300 s, large ones 900 s."""
    limits = whatif.TimeLimits({1769: 300.0, 3008: 900.0}, "of F")
    small, large = whatif.advise(made((1769, 180_000, 300), (3008, 500_000, 200)), OURS, limits=limits)
    assert [row.memory_mb for row in small.sizes] == [1769, 3008, 5120, 10240]
    assert "without 2 at which images would take longer than 300 s, the time limit of F" in small.why
    assert [row.memory_mb for row in large.sizes] == [1024, 1769, 3008, 5120, 10240]
    assert "longer than 900 s" in large.why
    assert "not known" not in small.why + large.why
    assert "time limit is not known" in advise(made((1769, 1000, 200))).why
    (other,) = whatif.advise(made((2048, 180_000, 200)), OURS, limits=limits)
    assert other.sizes[0].memory_mb == 512, (
        "622 s: the limit is that of the function to which these images would be sent"
    )


def test_what_the_function_s_own_time_limit_would_end_is_priced_to_its_end() -> None:
    limits = whatif.TimeLimits({1769: 300.0, 3008: 900.0}, "of F")
    variation = Variation(memory_mb=884, limits=limits)
    found = whatif.what_if(made((1769, 200_000, 2), (3008, 200_000, 1)), OURS, variation)
    line = next(line for line in found.charges.lines if line.name == "compute")
    assert line.quantity == pytest.approx((2 * 300 + 200 * 1769 / 884) * 884 / 1024, rel=1e-4)
    assert any("2 invocations would take longer than 300 s, the time" in text for text in found.assumptions)


SIZES = np.array(whatif.SIZES_MB)


def cost(memory: int, waits: float, computes: float) -> float:
    """GB-s of an image that waits and computes for so many seconds."""
    return memory / 1024 * (waits + computes / min(1.0, memory / 1769))


@pytest.mark.parametrize("seed", range(20))
def test_who_follows_the_advice_arrives_at_the_size_that_is_best_in_truth(seed: int) -> None:
    """A simulation: images wait and compute for times of their own, with noise of 1 %."""
    rng = np.random.default_rng(seed)
    waits, computes = rng.lognormal(1, 0.8, (2, 150)) * rng.choice([0.02, 0.3, 1.0, 5.0], (2, 1))
    used = int(rng.choice([100, 500, 900, 1500]))
    truth = {
        int(size): sum(cost(int(size), *times) for times in zip(waits, computes, strict=True))
        + 150 * 5.2e-6 / 16.7e-6
        for size in SIZES
        if size >= used * 1.25
    }
    measured = [int(rng.choice(list(truth)))]
    for _ in range(len(SIZES)):
        parts = []
        for size in measured:
            took = (waits + computes / min(1.0, size / 1769)) * rng.normal(1, 0.01, 150)
            parts.append([(size, 1000 * seconds, n) for n, seconds in enumerate(took)])
        reports = [
            Report(f"{size}-{n}", ms, np.ceil(ms), size, used, NONE, time=1.79e9)
            for part in parts
            for size, ms, n in part
        ]
        pairs = [(digests.digest(f"{size}-{n}"), n + 1) for part in parts for size, _, n in part]
        advice = advise(replace(records_of(*reports), results=Results.of([], [], [], pairs)))
        asked = re.search(r"cannot tell: (\d+) MB", advice.sure)
        if not asked:
            break
        assert int(asked[1]) not in measured
        measured.append(int(asked[1]))
    assert advice.sure.startswith("certain")
    assert truth[advice.memory_mb] <= min(truth.values()) * 1.05


def test_no_advice_without_a_good_invocation() -> None:
    with pytest.raises(UsageError, match="no invocation"):
        whatif.advise(made(), OURS)
    with pytest.raises(UsageError, match="no file"):
        whatif.what_if(made(), OURS, Variation(files=5))


def test_the_sizes_that_advice_compares() -> None:
    advice = advise(made((1769, 1000, 200)))
    assert [size.memory_mb for size in advice.sizes] == [512, 1024, 1769, 3008, 5120, 10240]
    # 1.769 / 1.024 GB for 1 s, a request, a PUT; none of the log is in it.
    usd = {size.memory_mb: size.usd_per_image for size in advice.sizes}
    assert usd[1769] == pytest.approx(1769 / 1024 * 0.0000166667 + 0.2e-6 + 5e-6, rel=1e-9)
    seconds = {size.memory_mb: size.seconds for size in advice.sizes}
    assert (seconds[512], seconds[1769], seconds[10240]) == pytest.approx((1769 / 512, 1.0, 1.0))


def test_failed_invocations_say_nothing_of_the_best_size() -> None:
    good = made((1024, 1000, 5))
    bad = records_of(
        *(Report(f"bad-{n}", 9e5, 9e5, 512, 500, NONE, NONE, NONE, "error", "E", 1.79e9) for n in range(50))
    )
    starts = records_of(
        *(Report("", NONE, NONE, 0, 0, 1e4, NONE, NONE, "timeout", "", 1.79e9) for _ in range(9))
    )
    advice = advise(good + bad + starts)
    assert {size.memory_mb: size.measured for size in advice.sizes if size.measured} == {1024: 5}
    assert "95 more" in advice.sure
    assert "500 MB" in advice.why, "what failed used memory all the same"


def test_an_invocation_that_used_all_of_its_memory_fits() -> None:
    for used, over in ((512, 0), (513, 3)):
        found = whatif.what_if(made((1769, 1000, 3), used=used), OURS, Variation(memory_mb=512))
        assert any(f"{over} invocations" in text for text in found.assumptions) == bool(over)


def test_of_sizes_within_2_percent_the_fastest_is_advised() -> None:
    # Measured: 1,769 MB for 1 s, and 3,008 MB for as many GB-s and 1 or 5 % more.
    for more, best in ((1.01, 3008), (1.05, 1769)):
        records = same_images((1769, 1000, 300), (3008, 1000 * 1769 / 3008 * more, 200))
        assert advise(records).memory_mb == best


def test_a_log_without_a_finished_image_has_its_cost() -> None:
    bad = [Report(f"b-{n}", 9e3, 9e3, 512, 50, NONE, NONE, NONE, "error", "E", 1.79e9) for n in range(10)]
    found = whatif.what_if(records_of(*bad), OURS, Variation(memory_mb=1024))
    assert found.files == 0
    assert found.usd == pytest.approx(10 * (4.5 * 0.0000166667 + 0.2e-6), rel=1e-6)
    assert any("no file is done" in text for text in found.assumptions)


def test_what_lambda_would_end_is_priced_to_its_end() -> None:
    found = whatif.what_if(made((1769, 800_000, 2)), OURS, Variation(memory_mb=128))
    line = next(line for line in found.charges.lines if line.name == "compute")
    assert line.quantity == pytest.approx(2 * 900 / 8)
    assert any("2 invocations would take longer than 900 s" in text for text in found.assumptions)
