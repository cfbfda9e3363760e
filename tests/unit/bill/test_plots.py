"""The picture of a bill: four panels, each with units, whatever the log holds."""

from pathlib import Path

import numpy as np
import pytest

from skyfan.bill import plots
from skyfan.bill.statement import Costs
from skyfan.commands import costs
from skyfan.errors import UsageError

_REPORT = (
    "REPORT RequestId: r{n}\tDuration: {ms:.2f} ms\tBilled Duration: {ms:.0f} ms\tMemory Size: 1024 MB\t"
    "Max Memory Used: {mb} MB{status}\n"
)
_WITH_TIME = "\tStart Time: 2026-11-22T10:00:{n:02}.000Z"


def _costs(tmp_path: Path, lines: list[str]) -> Costs:
    log = tmp_path / "a.log"
    log.write_text("".join(lines))
    return costs.costs(log=[log])


def _line(n: int, ms: float = 2000, mb: int = 100, status: str = "") -> str:
    return _REPORT.format(n=n, ms=ms, mb=mb, status=status)


def test_four_panels_with_units_and_both_outcomes(tmp_path: Path) -> None:
    bad = "\tStatus: error\tError Type: Bad"
    lines = [
        _line(n, 1000 + 100 * n, 100 + n, (bad if n % 4 == 0 else "") + _WITH_TIME.format(n=n))
        for n in range(20)
    ]
    figure = plots.draw(_costs(tmp_path, lines))
    durations, memory, running, parts = figure.axes
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels == ["duration (s)", "memory (MB)", "time since the first (s)", "cost (USD)"]
    assert [text.get_text() for text in durations.get_legend().get_texts()] == ["15 succeeded", "5 failed"]
    heights = np.sum([bar.get_height() for group in durations.containers for bar in group])
    assert heights == 20
    assert memory.get_xlim()[1] > 1024
    assert running.get_ylim()[1] > 2
    amounts = [bar.get_width() for bar in parts.patches]
    assert amounts[0] == max(amounts)
    assert len(amounts) == len(parts.get_yticklabels())


@pytest.mark.parametrize(
    "lines",
    [
        [_line(0)],
        [_line(0, 0.01), _line(1, 900_000)],
        [_line(n, mb=0) for n in range(3)],
        ["INIT_REPORT Init Duration: 316.80 ms\tPhase: init\tStatus: error\n"],
    ],
)
def test_few_and_strange_records_are_drawn(tmp_path: Path, lines: list[str]) -> None:
    plots.draw(_costs(tmp_path, lines)).draw_without_rendering()


def test_the_file_is_whole_or_not_there(tmp_path: Path) -> None:
    made = _costs(tmp_path, [_line(0)])
    plots.write(tmp_path / "p.png", made)
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="cannot write"):
        plots.write(tmp_path / "no" / "p.png", made)
    assert not list(tmp_path.glob(".*.part"))
