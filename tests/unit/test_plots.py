"""Charts of results: what is drawn, read back from matplotlib's axes."""

from collections.abc import Iterator

import numpy as np
import pytest

from skyfan import plots
from skyfan.errors import UsageError

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _without_a_window(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


def test_a_field_at_0_h_is_not_torn_apart() -> None:
    axes = plots.sky(None, [359.9, 0.1, np.nan], [10.0, 10.1, 0.0])
    drawn = axes.collections[0].get_offsets()
    assert len(drawn) == 2
    assert abs(drawn[0, 0] - drawn[1, 0]) == pytest.approx(0.2)
    west, east = axes.get_xlim()
    assert west > east


def test_brighter_sources_are_larger() -> None:
    sizes = plots.sky(None, [1.0, 1.1, 1.2], [0, 0, 0], [20.0, 24.0, np.nan]).collections[0].get_sizes()
    assert sizes[0] > sizes[1] > sizes[2] > 0


def test_number_counts_count_every_source_once() -> None:
    rng = np.random.default_rng(1)
    magnitudes = {"F606W": rng.normal(24, 1, 500), "": np.array([np.nan, 20.0])}
    axes = plots.number_counts(None, magnitudes)
    values = [patch.get_data().values for patch in axes.patches]
    assert [sum(one) for one in values] == [500, 1]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["F606W", "no filter"]


def test_bars_show_their_values_the_first_on_top() -> None:
    axes = plots.bars(None, {"done": 12345, "failed": 1}, "files")
    assert [patch.get_width() for patch in axes.patches] == [12345, 1]
    assert [text.get_text() for text in axes.texts] == ["12,345", "1"]
    low, high = axes.get_ylim()
    assert low > high


def test_axes_of_the_caller_are_used() -> None:
    axes = pyplot.subplots()[1]
    assert plots.bars(axes, {"a": 1}, "files") is axes


@pytest.mark.parametrize(
    "draw",
    [lambda: plots.sky(None, [np.nan], [1.0]), lambda: plots.number_counts(None, {"F": np.array([np.nan])})],
)
def test_nothing_to_plot_is_said(draw: object) -> None:
    with pytest.raises(UsageError, match="nothing to plot"):
        draw()  # type: ignore[operator]
