"""Completeness, bias and pull by S/N as one picture, from the document that benchmarks/science prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Of one colour for a program: full for stars of a Gaussian, dashed for those with a halo.
_COLOURS = {"SepExtract": "#0b6e8a", "SExtractor": "#c2571a"}
_DASHES = {"gaussian": "-", "core + halo": "--"}
_TICKS = (0.3, 1, 3, 10, 30)
# Rows of panels: what is drawn of each program, the label of the axis, its range, and what would be right.
_PANELS: tuple[tuple[dict[str, str], str, tuple[float, float], float], ...] = (
    ({"SepExtract": "complete", "SExtractor": "complete"}, "completeness", (0, 1.05), 1),
    ({"SepExtract": "TOTAL bias", "SExtractor": "AUTO bias"}, "bias of the total flux", (-0.5, 0.3), 0),
    ({"SepExtract": "TOTAL pull", "SExtractor": "AUTO pull"}, "pull of the total flux", (0.2, 40), 1),
    ({"SepExtract": "XWIN pull", "SExtractor": "XWIN pull"}, "pull of XWIN_IMAGE", (0.3, 6), 1),
)


def draw(document: dict[str, Any], path: Path) -> None:
    """Write the picture, in the format of the path's suffix, with a column of panels for each image."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "skyfan"})
    images = document["images"]
    size = (2.9 * len(images) + 0.6, 2.1 * len(_PANELS) + 0.6)
    figure, axes = plt.subplots(
        len(_PANELS), len(images), figsize=size, sharex=True, sharey="row", squeeze=False
    )
    for column, (name, entry) in enumerate(images.items()):
        axes[0][column].set_title(name, fontsize=10)
        for row, (drawn, label, limits, right) in enumerate(_PANELS):
            panel = axes[row][column]
            panel.axhline(right, color="0.75", linewidth=0.8, zorder=0)
            for shape, dashes in _DASHES.items():
                for program, quantity in drawn.items():
                    if program in entry[shape]:
                        points = entry[shape][program]
                        at = [point["S/N over"] for point in points]
                        values = [point.get(quantity) for point in points]
                        panel.plot(
                            at,
                            [float("nan") if value is None else value for value in values],
                            dashes,
                            color=_COLOURS[program],
                            marker="o",
                            markersize=3,
                            linewidth=1.4,
                            label=f"{program}, {shape}",
                        )
            panel.set_xscale("log")
            if "pull" in label:
                panel.set_yscale("log")
                panel.set_yticks([tick for tick in _TICKS if limits[0] <= tick <= limits[1]])
                panel.yaxis.set_major_formatter("{x:g}")
            panel.set_ylim(*limits)
            panel.set_xticks(at, [f"{value:g}" for value in at])
            panel.minorticks_off()
            panel.grid(alpha=0.25, linewidth=0.5)
            for side in ("top", "right"):
                panel.spines[side].set_visible(False)
            if column == 0:
                panel.set_ylabel(label)
        axes[-1][column].set_xlabel("S/N, lower end of the range")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=2, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.94))
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
