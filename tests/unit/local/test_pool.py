"""The time that a process of a function may take, as on Lambda."""

import os
from types import SimpleNamespace

import pytest

from skyfan.local import pool


def test_a_cold_start_has_10_seconds_beside_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    receive, send = os.pipe()
    process = SimpleNamespace(started=100.0, replies=receive, close=lambda: None)
    monkeypatch.setattr(pool, "Process", lambda *_: process)
    function = SimpleNamespace(name="F", timeout_s=3.0)
    workers = pool.Pool(function, {"AWS_REGION": "us-east-1"}, 1, print)  # type: ignore[arg-type]
    workers.give(SimpleNamespace())  # type: ignore[arg-type]
    assert [worker.deadline for worker in workers._workers.values()] == [113.0]
    assert not workers.can_take()
    workers.close()
    os.close(receive)
    os.close(send)
