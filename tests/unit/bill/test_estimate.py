"""Estimates: a range that holds what was measured, and never falls when work grows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sep_extract.completeness import MOST_ROUNDS
from skyfan.bill.charges import Charges
from skyfan.bill.estimate import WORK, Conditions, Sums, estimate
from skyfan.bill.speeds import Speeds, measured, past
from skyfan.errors import UsageError
from skyfan.plans.plan import Item

MEMORY = {"standard": 1769, "large": 10240}
# Figures that are easy to compute with; speeds.toml has those that were measured.
TABLE = Speeds(
    origin="made up",
    kinds={"i_flt.fits": [(16e6, 0), (168e6, 1)]},
    names=("IR flt", "UVIS flt"),
    known=np.array([(0.25, 0.5, 1.0, 1.5, 9), (1.0, 1.0, 8.0, 8.0, 30)]),
    sizes=np.array([1e6, 4e6, 1.7e8, 4.5e8]),
    few=np.array([0.1, 0.2, 7.5, 18.0]),
    many=np.array([0.6, 1.6, 58.0, 155.0]),
    start=(0.5, 1.0),
    waits=(0.0, 0.0),
    network=78e6,
    read_share=(0.8, 1.5),
    gets=(3, 17),
    bytes_per_get=(8.4e6, 4.2e6),
    log_bytes=(600, 2300),
    image_log_bytes=(400, 700),
    failing=(0.0, 0.03),
    doubtful=(0.0, 1.0),
    spread=0.1,
)
SIZES = st.lists(st.one_of(st.none(), st.integers(0, 2 * 10**9)), max_size=30)


def items(sizes: list[int | None], bucket: str = "stpubdata", tier: str = "standard") -> list[Item]:
    return [Item(f"s3://{bucket}/{number}.fits", size, tier) for number, size in enumerate(sizes)]


@settings(deadline=None, max_examples=40)
@given(SIZES, SIZES, st.sampled_from([1, 5]), st.sampled_from([1, 1000, 3000]))
def test_a_range_that_never_falls_when_work_grows(
    some: list[int | None], more: list[int | None], batch: int, concurrency: int
) -> None:
    smaller = estimate(items(some), Conditions(MEMORY, batch=batch, concurrency=concurrency))
    larger = estimate(items(some + more), Conditions(MEMORY, batch=batch, concurrency=concurrency))
    for one in (smaller, larger):
        assert 0 <= one.usd_low <= one.usd_high
        assert 0 <= one.seconds_low <= one.seconds_high
        assert one.usd_low == one.low.usd
        assert one.usd_high == pytest.approx(sum(line.usd for line in one.high.lines), rel=1e-12)
    assert larger.files == len(some) + len(more)
    slack = 1 + 1e-12
    assert smaller.usd_low <= larger.usd_low * slack
    assert smaller.usd_high <= larger.usd_high * slack
    assert smaller.seconds_high <= larger.seconds_high * slack


@settings(deadline=None)
@given(st.integers(0, 2 * 10**9), st.integers(0, 10**9), st.sampled_from([512, 1024, 1769, 10240]))
def test_a_larger_file_never_takes_less(size: int, more: int, memory: int) -> None:
    table = measured()
    (low, lower), (high, higher) = table.seconds([size, size + more], memory)
    assert low <= lower * (1 + 1e-12)
    assert high <= higher * (1 + 1e-12)
    assert low <= high


# Seconds that benchmarks/memory printed for images at 512, 1,024 and 1,769 MB, and the names of their files.
MEASURED = {
    ("ib6o23rtq_blt.fits", 4144320): (0.600, 0.395, 0.331),
    ("ib6o23rtq_flt.fits", 16534080): (0.820, 0.530, 0.469),
    ("ib6o23rsq_flt.fits", 16534080): (1.192, 0.715, 0.575),
    ("j8bt06nyq_flt.fits", 10546560): (4.100, 2.176, 1.387),
    ("j8bt06nyq_drz.fits", 15883200): (4.423, 2.323, 1.539),
}


@pytest.mark.parametrize(("file", "seconds"), MEASURED.items())
def test_the_table_holds_what_was_measured(file: tuple[str, int], seconds: tuple[float, ...]) -> None:
    table, (name, size) = measured(), file
    kind = table.kind_of(f"s3://stpubdata/hst/public/{name}", size)
    for memory, each in zip((512, 1024, 1769), seconds, strict=True):
        for kinds in ([kind], None):
            (low,), (high,) = table.seconds([size], memory, kinds)
            assert low / 1.1 <= each <= high * 1.1


def test_a_kind_is_known_by_the_name_and_size_of_a_file() -> None:
    def seconds(name: str, size: int) -> list[float]:
        kind = TABLE.kind_of(f"s3://stpubdata/hst/public/{name}", size)
        return [float(end[0]) for end in TABLE.seconds([size], 884.5, [kind])]

    any_kind = [float(end) for end in TABLE.seconds(16_500_000, 884.5)]
    # 0.25 and 0.5 s of waiting; half a CPU takes twice 1.0 and 1.5 s.
    assert seconds("ib60/ib6o23rsq/ib6o23rsq_flt.fits", 16_500_000) == pytest.approx([2.25, 3.5])
    assert seconds("IB6O23RSQ_FLT.FITS", 168_000_000) == pytest.approx([17.0, 17.0])
    for other in ("jb6o23rsq_flt.fits", "ib6o23rsq_flc.fits", "ib6o23rsq_1_flt.fits", "i_flt.fits"):
        assert seconds(other, 16_500_000) == any_kind
    assert seconds("ib6o23rsq_flt.fits", 40_000_000) != any_kind
    assert TABLE.kind_of("s3://b/ib6o23rsq_flt.fits", 40_000_000) == -1
    assert TABLE.kind_of("s3://b/ib6o23rsq_flt.fits", None) == -1


def test_a_measured_kind_narrows_the_range_but_not_the_limit() -> None:
    """A thousand files of 16.5 MB: of a kind that was measured, and of none."""
    conditions = Conditions(MEMORY, speeds=TABLE)
    names = [f"s3://stpubdata/ib6o{number:05}_flt.fits" for number in range(1000)]
    known = estimate([Item(name, 16_500_000) for name in names], conditions)
    other = estimate([Item(name.replace("_flt", "_raw"), 16_500_000) for name in names], conditions)
    assert other.usd_low < known.usd_low < known.usd_high < other.usd_high
    assert other.usd_high == other.usd_most == known.usd_most
    assert (known.busy_seconds_high, known.files) == (other.busy_seconds_high, other.files)
    assert any("1,000 files like those measured" in text and "IR flt" in text for text in known.assumptions)
    assert any("1,000 files of other kinds" in text for text in other.assumptions)


def test_half_the_memory_is_half_as_fast_and_more_than_one_cpu_no_faster() -> None:
    half, one, much = (TABLE.seconds(0, memory)[0] for memory in (884.5, 1769, 10240))
    assert half == pytest.approx(2 * one)
    assert much == one


def test_memory_of_the_tier_batches_and_another_bucket() -> None:
    plain = estimate(items([10**7] * 100), Conditions(MEMORY))
    large = estimate(items([10**7] * 100, tier="large"), Conditions(MEMORY))
    assert large.low.lines[0].quantity == pytest.approx(plain.low.lines[0].quantity * 10240 / 1769)
    assert estimate(items([10**7] * 100), Conditions(MEMORY, batch=10)).usd_high < plain.usd_high
    gets = {line.name: line.usd for line in estimate(items([10**7], "mine"), Conditions(MEMORY)).low.lines}
    assert gets["S3 GET"] > 0.0004e-3
    # The archive pays for its images; one request per file looks for a cancel.
    free = next(line.usd for line in plain.low.lines if line.name == "S3 GET")
    assert free == pytest.approx(100 * 0.0004e-3)


def test_files_of_unknown_size_are_an_assumption() -> None:
    made = estimate(items([None, 5]), Conditions(MEMORY))
    assert any(text.startswith("1 file of unknown size") for text in made.assumptions)


def test_a_past_run_narrows_the_range() -> None:
    rng = np.random.default_rng(1)
    sizes = rng.uniform(1e7, 2e7, 500)
    history = past(sizes, sizes / 1e7 * rng.uniform(0.95, 1.05, 500), 1769, "first")
    guess = estimate(items([15_000_000] * 1000), Conditions(MEMORY))
    known = estimate(items([15_000_000] * 1000), Conditions(MEMORY, speeds=history))
    assert "500 files of the run first" in known.assumptions[0]
    assert known.usd_high / known.usd_low < guess.usd_high / guess.usd_low
    low, high = history.seconds(15_000_000, 1769)
    assert 1.3 < low < 1.5 < high < 1.7


def test_wrong_use_is_refused() -> None:
    with pytest.raises(UsageError, match="large"):
        estimate(items([1], tier="large"), Conditions({"standard": 1769}))
    with pytest.raises(UsageError, match="concurrency"):
        Conditions(MEMORY, concurrency=0)
    with pytest.raises(ValueError, match="no file"):
        past([], [], 1769, "first")


def lines(charges: Charges) -> dict[str, float]:
    return {line.name: line.usd for line in charges.lines}


# A thousand files of 4 MB, for which TABLE has 0.20 and 1.6 CPU seconds, at 1,769 MB = 1.727539 GB and
# one CPU. 4 MB at 78 MB/s are 0.051282 s, of which 0.8 or 1.5 times is read. At most 100 invocations at once.
def test_a_thousand_small_files_by_hand() -> None:
    made = estimate(items([4_000_000] * 1000), Conditions(MEMORY, speeds=TABLE, concurrency=100))
    # Low: each file 0.20 + 0.041026 = 0.241026 s; 50 environments start in 0.5 s each: 266.026 s, which are
    # 459.570 GB-s.
    assert lines(made.low) == pytest.approx(
        {
            "compute": 0.00765951,  # 459.570 x 0.0000166667
            "requests": 0.0002,  # 1,000 x 0.20 per million
            "ephemeral storage": 0,
            "S3 GET": 0.0004,  # the archive pays for images; 1,000 looks for a cancel x 0.0004 per thousand
            "S3 PUT": 0.005,  # 1,000 x 0.005 per thousand
            "S3 LIST": 0.00002,  # 2 for the listing of an empty run, 2 for that of 1,000 catalogs
            "log ingestion": 0.0005,  # 1,000 x (600 + 400) bytes x 0.50 per GB
            "log storage": 0.0000045,  # 0.15 of that x 0.03 per GB-month
        },
        rel=1e-5,
    )
    assert made.usd_low == pytest.approx(0.01378401, rel=1e-5)
    # 266.026 s on 100 environments; the longest takes 0.741 s.
    assert made.seconds_low == pytest.approx(2.66026, rel=1e-5)
    # High: each file 1.6 + 0.076923 s; 3 % fail in three attempts: x 1.06. 200 cold starts of 1 s each:
    # 1,677.538 x 1.06 is 1,777.538; with 200 it is 1,977.538 s = 3,416.274 GB-s.
    assert lines(made.high) == pytest.approx(
        {
            "compute": 0.05693804,  # 3,416.274 x 0.0000166667
            "requests": 0.000212,  # 1,060
            "ephemeral storage": 0,
            "S3 GET": 0.000424,  # 1,060
            "S3 PUT": 0.01,  # a catalog and the mark of a doubtful one, each
            "S3 LIST": 0.0002,  # 40
            "log ingestion": 0.00159,  # 1,060 x (2,300 + 700) bytes
            "log storage": 0.00001431,
        },
        rel=1e-5,
    )
    assert made.usd_high == pytest.approx(0.06937835, rel=1e-5)
    assert made.busy_seconds_high == pytest.approx(1977.538, rel=1e-5)
    # 19.775 s, three attempts of 2.677 s, and the pauses of 60 and 120 s between them.
    assert made.seconds_high == pytest.approx(207.806, rel=1e-5)


def test_a_batch_saves_requests_and_lambda_s_lines_but_not_the_handler_s() -> None:
    made = estimate(items([4_000_000] * 1000), Conditions(MEMORY, speeds=TABLE, batch=10))
    low, high = lines(made.low), lines(made.high)
    assert low["requests"] == pytest.approx(0.00002)  # 100 x 0.20 per million
    assert low["log ingestion"] == pytest.approx(0.00023)  # 100 x 600 + 1,000 x 400 bytes = 460,000
    assert high["log ingestion"] == pytest.approx(0.0004929)  # 106 x 2,300 + 1,060 x 700 = 985,800
    # 100 invocations cannot have more than 100 cold starts: 1,777.538 + 100 = 1,877.538 s = 3,243.520 GB-s.
    assert high["compute"] == pytest.approx(0.05405877, rel=1e-5)
    assert (low["S3 PUT"], high["S3 PUT"]) == pytest.approx((0.005, 0.01))


def test_a_file_of_unknown_size_counts_as_one_of_170_mb() -> None:
    unknown, known = (
        estimate(items([size, 1]), Conditions(MEMORY, speeds=TABLE)) for size in (None, 170_000_000)
    )
    assert (unknown.low, unknown.high) == (known.low, known.high)
    assert (unknown.unknown, known.unknown) == (1, 0)
    assert any("1 file of unknown size: 170 MB each" in text for text in unknown.assumptions)
    assert not any("unknown" in text for text in known.assumptions)


def test_less_memory_is_less_of_a_cpu_for_files_and_cold_starts() -> None:
    # 512 MB are 0.289429 of a CPU: 0.20 s are 0.691016 s, with 0.041026 s of reading 0.732042 s. Half a cold
    # start of 0.5 s is 0.863770 s. Together 1.595812 s at half a GB: 0.797906 GB-s at 0.0000166667.
    low = lines(estimate(items([4_000_000]), Conditions({"standard": 512}, speeds=TABLE)).low)
    assert low["compute"] == pytest.approx(1.329844e-5, rel=1e-5)


@pytest.mark.parametrize(("room", "events"), [(256_001, 1), (200, 4), (100, 10), (10, 10)])
def test_a_batch_that_is_too_long_is_several_requests(room: int, events: int) -> None:
    """URIs of ten images: 57 bytes, 59 in quotes and 60 with a comma. Three are 180 bytes."""
    files = [Item(f"s3://stpubdata/{at:042}", 4_000_000) for at in range(10)]
    assert len(files[0].uri) == 57
    made = estimate(files, Conditions(MEMORY, speeds=TABLE, batch=100, room=room))
    assert lines(made.low)["requests"] == pytest.approx(events * 0.2e-6)
    # 6 % of attempts beyond the first: a file in 33 fails, in all three.
    assert lines(made.high)["requests"] == pytest.approx(events * 1.06 * 0.2e-6)
    assert lines(made.low)["log ingestion"] == pytest.approx((events * 600 + 10 * 400) * 0.5e-9)


def test_a_large_file_in_a_bucket_of_ours_by_hand() -> None:
    # 900 MB is twice the table's last size: 155 x 2 = 310 s, and 1.5 x 11.538 s of reading: 327.308 s; x 1.06
    # is 346.946 s, and a cold start of 1 s; at 10,240 MB = 10 GB 3,479.462 GB-s.
    made = estimate(
        items([900_000_000], "ours", "large"), Conditions(MEMORY, speeds=TABLE, outputs=("preview",))
    )
    high = lines(made.high)
    assert high["compute"] == pytest.approx(0.05799114, rel=1e-5)
    # 17 requests, one per 4.2 MB, and one for cancels: 232.286, x 1.06 = 246.223, at 0.0004 per thousand.
    assert high["S3 GET"] == pytest.approx(0.0000984892, rel=1e-5)
    assert high["S3 PUT"] == pytest.approx(0.000015)  # catalog, preview and mark
    theirs = estimate(items([900_000_000], tier="large"), Conditions(MEMORY, speeds=TABLE))
    assert lines(theirs.high)["S3 GET"] == pytest.approx(1.06 * 0.0004e-3)
    paying = estimate(
        items([900_000_000], tier="large"), Conditions(MEMORY, speeds=TABLE, requester_pays=True)
    )
    assert lines(paying.high)["S3 GET"] == high["S3 GET"]


def test_planted_stars_cost_their_measuring() -> None:
    """As above, measured 1 + 16 times at most: 327.308 s x 17 x 1.06 and a cold start of 1 s, at 10 GB."""
    assert WORK["completeness"] == (0, MOST_ROUNDS)
    files = items([900_000_000], "ours", "large")
    made = estimate(files, Conditions(MEMORY, speeds=TABLE, outputs=("completeness",)))
    assert lines(made.high)["compute"] == pytest.approx(0.05799114 * 58_990.9 / 3479.462, rel=1e-5)
    assert any("16 rounds" in text for text in made.assumptions)
    plain = estimate(files, Conditions(MEMORY, speeds=TABLE))
    assert lines(made.low)["compute"] == lines(plain.low)["compute"]


def test_where_the_concurrency_is_from_is_an_assumption() -> None:
    assumed = estimate(items([1]), Conditions(MEMORY, speeds=TABLE))
    assert any("1,000 invocations" in text and "assumed" in text for text in assumed.assumptions)
    asked = estimate(
        items([1]), Conditions(MEMORY, speeds=TABLE, concurrency=10, concurrency_source="the account's limit")
    )
    assert any("10 invocations" in text and "the account's limit" in text for text in asked.assumptions)


def test_sums_add_up() -> None:
    assert Sums(1.0, 2.0, 3.0, 4, 5.0) + Sums(10.0, 20.0, 30.0, 40, 50.0) == Sums(11.0, 22.0, 33.0, 44, 55.0)


def test_the_tiers_of_a_plan_add_up() -> None:
    small, large = items([10**7] * 3), items([10**9], tier="large")
    one, other, both = (
        estimate(some, Conditions(MEMORY, speeds=TABLE)) for some in (small, large, small + large)
    )
    assert both.busy_seconds_high == pytest.approx(one.busy_seconds_high + other.busy_seconds_high)
    assert lines(both.high)["compute"] == pytest.approx(
        lines(one.high)["compute"] + lines(other.high)["compute"]
    )


@pytest.mark.parametrize(("concurrency", "ramp_s"), [(500, 0.0), (1000, 0.0), (1500, 5.0), (3000, 20.0)])
def test_a_function_gains_a_thousand_environments_in_ten_seconds(concurrency: int, ramp_s: float) -> None:
    made = estimate(items([4_000_000]), Conditions(MEMORY, speeds=TABLE, concurrency=concurrency))
    # Three attempts of 1.6 + 0.076923 + 1 s, and the pauses of 60 and 120 s between them.
    expected = made.busy_seconds_high / concurrency + 3 * 2.676923 + 180 + ramp_s
    assert made.seconds_high == pytest.approx(expected, rel=1e-6)
