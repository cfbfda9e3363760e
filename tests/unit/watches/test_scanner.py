"""Files of a watched folder are taken when they are complete, whatever clock their times are of."""

import os
import time
from pathlib import Path

import pytest

from skyfan.watches.local import Scanner


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("skew", [-86_400, 0, 86_400])
def test_a_file_is_taken_once_it_has_not_changed_for_the_time(
    tmp_path: Path, clock: list[float], skew: float
) -> None:
    scanner = Scanner(tmp_path, tmp_path / "runs", settle_s=60.0)
    path = tmp_path / "a.fits"
    for body in ("half", "whole file"):
        path.write_text(body)
        os.utime(path, (time.time() + skew, time.time() + skew))
        assert scanner.take() == []
        assert scanner.unsettled == 1
        clock[0] += 59
        if skew >= 0:
            assert scanner.take() == []
            assert scanner.unsettled == 1
    clock[0] += 1
    assert scanner.take() == [str(path)]
    assert scanner.unsettled == 0
    scanner.taken(str(path))
    assert (scanner.take(), scanner.unsettled) == ([], 0)
