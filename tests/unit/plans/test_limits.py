"""Attempts, delays, and when a service counts as down."""

import pytest

from skyfan.errors import UsageError
from skyfan.plans.limits import ArchiveLimits, CircuitBreaker


def test_there_is_a_delay_after_each_attempt_but_the_last() -> None:
    delays = list(ArchiveLimits(attempts=4, first_delay=0.5, longest_delay=0.8).delays())
    assert delays[-1] is None
    assert len(delays) == 4
    assert all(delay is not None and 0 <= delay <= 0.8 for delay in delays[:-1])
    assert list(ArchiveLimits(attempts=1).delays()) == [None]


def test_the_server_can_be_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYFAN_MAST", "http://127.0.0.1:8000/")
    assert ArchiveLimits.from_environment().server == "http://127.0.0.1:8000"
    monkeypatch.setenv("SKYFAN_MAST", "mast.stsci.edu")
    with pytest.raises(UsageError, match=r"SKYFAN_MAST.*'mast\.stsci\.edu'"):
        ArchiveLimits.from_environment()


def test_the_breaker_opens_after_failures_in_a_row() -> None:
    breaker = CircuitBreaker(maximum=2)
    breaker.record_failure()
    breaker.record_success()
    breaker.record_failure()
    assert not breaker.is_open
    breaker.record_failure()
    assert breaker.is_open
