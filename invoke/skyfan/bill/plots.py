"""A picture of a bill: durations, memory, how many ran at once, and what each part cost."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from .. import words
from ..errors import UsageError
from . import figures
from .charges import Line
from .records import Floats, Records

if TYPE_CHECKING:
    from .statement import Costs

# Okabe and Ito's colours (2008), which people with any colour vision tell apart; the red darker, for words.
_BLUE, _RED, _GREY = "#0072b2", "#b34700", "#595959"
_BINS, _MANY, _WIDE = 40, 2000, 100.0


def write(path: Path, costs: "Costs") -> None:
    """Writes the picture as PNG, whole or not at all. Raises UsageError where that cannot be."""
    body = BytesIO()
    draw(costs).savefig(body, format="png", dpi=150)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(body.getvalue())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def draw(costs: "Costs") -> Figure:
    """The same as a matplotlib figure, for notebooks."""
    bill, records = costs.bill, costs.records
    figure = Figure(figsize=(11, 7.5), facecolor="white")
    figure.set_layout_engine(ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.12))
    whose = f"Run {costs.run}" if costs.run else "Log files"
    figure.suptitle(
        f"{whose}: {bill.invocations:,} invocations, {bill.images:,} images, {words.usd(bill.usd)}",
        size=14,
        weight="bold",
    )
    (durations, memory), (running, parts) = figure.subplots(2, 2)
    _durations(durations, records)
    _memory(memory, records)
    _running(running, bill.concurrency)
    _parts(parts, [line for line in bill.charges.lines if line.usd > 0])
    for axes in (durations, memory, running, parts):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
        axes.grid(color="#d9d9d9", linewidth=0.6, axis="x" if axes is parts else "y")
    return figure


def _durations(axes: Axes, records: Records) -> None:
    """Succeeded and failed invocations differ in hatching, too."""
    seconds, bad = records.duration_ms / 1000, figures.failed(records)
    good = records.invoked & ~bad
    edges = _edges(seconds[records.invoked])
    axes.set(title="Duration", xlabel="duration (s)", ylabel="invocations")
    if edges is None:
        _nothing(axes, "no invocation")
        return
    kept = [np.clip(seconds[mask], edges[0], edges[-1]) for mask in (good, bad)]
    labels = [f"{int(mask.sum()):,} {name}" for mask, name in ((good, "succeeded"), (bad, "failed"))]
    axes.hist(kept, edges.tolist(), stacked=True, color=[_BLUE, _RED], label=labels, hatch=["", "////"])
    if edges[0] > 0 and edges[-1] / edges[0] > _WIDE:
        axes.set_xscale("log")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if bad.any():
        axes.legend(frameon=False)


def _memory(axes: Axes, records: Records) -> None:
    used = records.invoked & (records.used_mb > 0)
    axes.set(title="Memory used, and memory size (dashed)", xlabel="memory (MB)", ylabel="invocations")
    if not used.any():
        _nothing(axes, "no log line tells the memory used")
        return
    sizes = np.unique(records.memory_mb[used])
    most = float(max(sizes[-1], records.used_mb[used].max())) * 1.06
    axes.hist(records.used_mb[used], np.linspace(0, most, _BINS + 1).tolist(), color=_BLUE)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    for number, size in enumerate(sizes[:6]):
        axes.axvline(size, color=_RED, linestyle="--")
        height = 0.98 - 0.09 * number
        axes.text(
            size,
            height,
            f"{size:,.0f} MB ",
            transform=axes.get_xaxis_transform(),
            ha="right",
            va="top",
            color=_RED,
        )
    axes.set_xlim(0, most)


def _running(axes: Axes, found: figures.Concurrency | None) -> None:
    axes.set(title="Invocations at once", xlabel="time since the first (s)", ylabel="invocations at once")
    if found is None or found.ended <= found.began:
        _nothing(axes, "no log line tells the time")
        return
    edges = np.append([time for time, _ in found.points], found.ended - found.began)
    axes.stairs([value for _, value in found.points], edges, fill=True, color=_BLUE, alpha=0.35)
    axes.stairs([value for _, value in found.points], edges, color=_BLUE)
    axes.axhline(found.peak, color=_RED, linestyle="--")
    axes.text(
        1,
        found.peak,
        f"at most {found.peak:,}",
        transform=axes.get_yaxis_transform(),
        ha="right",
        va="bottom",
        color=_RED,
    )
    axes.set_ylim(0, found.peak * 1.15)
    axes.set_xlim(0, edges[-1])


def _parts(axes: Axes, lines: list[Line]) -> None:
    axes.set(title="Cost by part", xlabel="cost (USD)")
    if not lines:
        _nothing(axes, "nothing was charged")
        return
    amounts = [line.usd for line in lines]
    bars = axes.barh([line.name for line in lines], amounts, color=_BLUE)
    axes.bar_label(bars, [words.usd(usd) for usd in amounts], padding=4, color=_GREY)
    axes.invert_yaxis()
    axes.set_xlim(0, max(amounts) * 1.35)
    axes.xaxis.set_major_locator(MaxNLocator(4))


def _nothing(axes: Axes, why: str) -> None:
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color=_GREY)


def _edges(values: Floats) -> Floats | None:
    """Edges of bins; of many values, one in a thousand on either side goes into the bins at the ends."""
    if not len(values):
        return None
    rare = 0.001 if len(values) >= _MANY else 0.0
    low, high = map(float, np.quantile(values, (rare, 1 - rare)))
    if high <= low:
        low, high = low * 0.9, low * 1.1 or 1.0
    bins = min(_BINS, max(5, round(2 * float(len(values)) ** 0.5)))
    if low > 0 and high / low > _WIDE:
        return np.geomspace(low, high, bins + 1)
    return np.linspace(low, high, bins + 1)
