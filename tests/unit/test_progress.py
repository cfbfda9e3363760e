"""Progress on stderr, as lines where it is no terminal."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from skyfan import events, progress


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    return Console(file=io.StringIO(), width=40)


def lines(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_stages_have_counts_and_notes(console: Console) -> None:
    with progress.Stages(console) as stages:
        stages("reading catalogs", 1200, 5000)
        stages("listing", 7)
        stages("sent", 3, 4, "2 files/s")
    assert lines(console) == ["reading catalogs: 1,200 of 5,000", "listing: 7", "sent: 3 of 4, 2 files/s"]


def test_lines_are_rare(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 3600.0)
    with progress.Stages(console) as stages:
        stages("reading", 1, 2)
    assert lines(console) == []


def test_a_local_run_counts_files_retries_and_failures(console: Console) -> None:
    error = {"errorType": "NotFitsError", "errorMessage": "HTML"}
    with progress.RunProgress(console) as run:
        run.on_event(events.Started(5, 2))
        run.on_event(events.AlreadyDone("a"))
        run.on_event(events.Retrying("b", error, 1, 0.5))
        assert "1 waiting" in lines(console)[-1]
        run.on_event(events.Done("b", {}, 1.0, 2))
        run.on_event(events.Failed("c", error, 1, Path("c.json")))
    assert "3 of 5" in lines(console)[-1]
    assert "1 failed" in lines(console)[-1]
    assert "waiting" not in lines(console)[-1]
    assert any("c" in line and "NotFitsError" in line for line in lines(console))


@pytest.mark.parametrize(("size", "remaining"), [(1000, "1:10"), (None, "0:10")])
def test_remaining_time_is_by_bytes_if_all_sizes_are_known(
    console: Console, monkeypatch: pytest.MonkeyPatch, size: int | None, remaining: str
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with progress.RunProgress(console) as run:
        run.on_event(events.Started(5, 2, bytes=size))
        run.on_event(events.AlreadyDone("a", 200))
        clock[0] = 10.0
        run.on_event(events.Done("b", {}, 10.0, 1, 60))
        run.on_event(events.Failed("c", {"errorType": "E"}, 1, Path("c.json"), 40))
    # 100 bytes and two files in 10 s; 700 bytes and two files remain
    assert f", {remaining} remaining" in run.note()


def test_only_the_first_failures_are_listed(console: Console) -> None:
    with progress.RunProgress(console) as run:
        for number in range(progress.LISTED + 5):
            run.on_event(events.Failed(f"{number}.fits", {"errorType": "E"}, 1, Path("record")))
    assert sum(".fits" in line for line in lines(console)) == progress.LISTED


def test_a_run_on_aws_counts_sent_and_finished_files(console: Console) -> None:
    with progress.RunProgress(console) as run:
        run.on_event(events.Dispatched(files=9, before=2, sent=3, planned=None, done=0, failed=0, late=0))
        assert "5 of 9" in lines(console)[-1]
        run.on_event(events.Dispatched(files=9, before=2, sent=7, planned=20, done=11, failed=2, late=1))
    sent, finished = lines(console)[-2:]
    assert "9 of 9" in sent
    assert "13 of 20" in finished
    assert "2 failed, 1 late" in finished


def test_a_wait_says_what_since_when_and_until_when(console: Console) -> None:
    counts = events.Dispatched(files=9, before=0, sent=3, planned=9, done=1, failed=1, late=0)
    with progress.RunProgress(console) as run:
        run.on_event(replace(counts, send_wait="nothing accepted since 13:45:00"))
        run.on_event(replace(counts, sent=9, result_wait="waiting for 7 results"))
    text = "\n".join(lines(console))
    assert "sent: 3 of 9, nothing accepted since 13:45:00" in text
    assert lines(console)[-1] == "finished: 2 of 9, 1 failed, waiting for 7 results"
