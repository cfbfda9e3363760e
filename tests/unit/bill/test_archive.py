"""The simulated run of the whole archive: benchmarks/archive."""

from itertools import islice

import pytest
from archive import __main__ as archive

from skyfan.bill import prices


def test_the_article_s_bill_by_its_rules_and_no_environment_does_two_things_at_once() -> None:
    work, rates = archive.article(archive.measured()), prices.load()
    run = archive.simulate(work, archive.ARTICLE_MB, step_ms=100)
    assert archive.bill(run, work, archive.ARTICLE_MB, rates, "2018", "x86_64")["total"] == pytest.approx(
        2.24, abs=0.005
    )
    starts = [start for _, start in islice(work.durations(archive.ARTICLE_MB), run.starts)]
    assert run.starts == archive.ENVIRONMENTS
    busy = archive.IMAGES * archive.ARTICLE_S + sum(starts)
    longest = archive.ARTICLE_S + max(starts)
    assert busy / archive.ENVIRONMENTS <= run.seconds <= busy / archive.ENVIRONMENTS + longest + 1
