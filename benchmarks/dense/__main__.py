"""What a second detection finds in the light of large sources: python benchmarks/dense [--json] [FILE…]

Of each image: the sources of the first and of the second detection (the setting faint_size); what the second
one finds in the negative of what it works on, where nothing is real; the peaks above 4 sigma that the first
one misses inside its segments, inside the largest of them, and in the negative; how many of these the second
one finds; CPU time relative to one detection. A peak stands out of the median of 9 x 9 pixels, smoothed, and
sigma is the median deviation in 31 x 31 pixels.

For stars planted inside segments, by S/N: completeness with one detection and with two, and of those that the
second one found the median error of FLUX_AUTO and the width of its pull. Without FILE: the demo's cluster of
galaxies, and whole files of $SKYFAN_SHARED_DATA (or ../shared/data) where they are.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("functions/runtime", "functions/sep_extract", "benchmarks")]

import numpy as np  # noqa: E402
from fields import one_sigma, planted, read, rows_of, stars  # noqa: E402
from planting import star  # noqa: E402
from recovery import width  # noqa: E402

from sep_extract import extract, faint  # noqa: E402
from sep_extract.chip import Chip  # noqa: E402
from sep_extract.event import Config  # noqa: E402
from sep_extract.flags import Flag  # noqa: E402

DEMO = ("abell2744_f105w_drz.fits",)
WHOLE = (
    "j8bt06nyq_square_drz.fits.gz",
    "ib6o23rtq_sci1_blt.fits.gz",
)
ONCE, TWICE = Config(), Config(faint_size=7)
RANGES = ((5, 10), (10, 20), (20, 50), (50, 100), (100, 400), (400, 1000))
FWHM, SPACING, ENOUGH, TURNS = 2.3, 40, 80, 5


def medians(image: np.ndarray, size: int, step: int = 1) -> np.ndarray:
    """The median of the square of ``size`` pixels about each pixel, of every ``step``-th of its pixels."""
    padded = np.pad(image, size // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))[:, :, ::step, ::step]
    return np.stack([np.median(row.reshape(len(row), -1), axis=1) for row in windows])


def peaks(image: np.ndarray, inside: np.ndarray, sign: int, least: float = 4.0) -> np.ndarray:
    """0-based positions (n, 2) of the peaks, or with ``sign`` -1 of the dips, above ``least`` sigma."""
    wide = np.pad(sign * (image - medians(image, 9)), 1)
    rows = wide[:-2] + 2 * wide[1:-1] + wide[2:]
    smooth = rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]
    noise = 1.4826 * medians(np.abs(smooth), 31, 3)
    squares = np.lib.stride_tricks.sliding_window_view(np.pad(smooth, 2, constant_values=-np.inf), (5, 5))
    y, x = np.nonzero((smooth == squares.max(axis=(2, 3))) & (smooth > least * noise) & inside)
    return np.stack([x, y], axis=1)


def distances(places: np.ndarray, rows: dict[str, Any], use: Any = ...) -> np.ndarray:
    """To the nearest row, in pixels, (n,)."""
    x, y = rows["X_IMAGE"][use] - 1, rows["Y_IMAGE"][use] - 1
    if not len(x):
        return np.full(len(places), np.inf)
    return np.stack([np.hypot(x - a, y - b).min() for a, b in places]) if len(places) else np.zeros(0)


def detections(chip: Chip) -> tuple[dict[str, Any], np.ndarray]:
    """Figures of both detections, and the segmentation map of the first."""
    seen: dict[str, Any] = {}
    whole = extract.detect_fainter

    def watched(image: Any, sigma: Any, mask: Any, objects: Any, segments: Any, config: Config) -> Any:
        halo = faint._medians(image, TWICE.faint_size)
        negative = np.where(mask, np.float32(0), 2 * halo - image)
        with patch.object(faint, "_medians", lambda *_: halo.copy()):
            seen["false"] = len(whole(negative, sigma, mask, objects, segments, config).objects)
        seen.update(image=image, segments=np.maximum(segments, 0), objects=objects)
        return whole(image, sigma, mask, objects, segments, config)

    with patch.object(extract, "detect_fainter", watched):
        rows = rows_of(chip, TWICE)
    second = (rows["FLAGS"] & Flag.SECOND) != 0
    inside = (seen["segments"] > 0) & ~chip.mask
    missed, dips = (
        found[distances(found, rows, ~second) > 3]
        for found in (peaks(seen["image"], inside, sign) for sign in (1, -1))
    )
    again = distances(missed, rows, second) < 2
    largest = seen["segments"][missed[:, 1], missed[:, 0]] == np.argmax(seen["objects"]["npix"]) + 1
    figures = {
        "first": int((~second).sum()),
        "second": int(second.sum()),
        "of the negative": seen["false"],
        "missed": len(missed),
        "recovered": int(again.sum()),
        "missed in the largest": int(largest.sum()),
        "recovered there": int((again & largest).sum()),
        "dips": len(dips),
    }
    return figures, seen["segments"]


def cost(chip: Chip) -> float:
    """CPU time of two detections relative to one: the median over turns."""

    def cpu(config: Config) -> float:
        before = os.times()
        rows_of(chip, config)
        after = os.times()
        return sum(after[:4]) - sum(before[:4])

    return statistics.median(cpu(TWICE) / cpu(ONCE) for _ in range(TURNS))


def completeness(chip: Chip, inside: np.ndarray) -> list[dict[str, Any]]:
    """What both make of planted stars, by S/N."""
    rng, unit = np.random.default_rng(1), one_sigma(extract.measure(chip.pixels, ONCE).rms)
    table = []
    for least, most in RANGES:
        found: dict[str, list[Any]] = {"once": [], "twice": [], "error": [], "pull": []}
        while len(found["once"]) < ENOUGH:
            sources = stars(inside, star(FWHM), (least * unit, most * unit), rng, SPACING)
            picture = planted(chip, sources, rng)
            for name, config in (("once", ONCE), ("twice", TWICE)):
                rows = rows_of(picture, config)
                for x, y, flux in zip(sources.x, sources.y, sources.flux, strict=True):
                    distance = np.hypot(rows["X_IMAGE"] - 1 - x, rows["Y_IMAGE"] - 1 - y)
                    row = distance.argmin()
                    found[name].append(distance[row] < 1.5)
                    if found[name][-1] and rows["FLAGS"][row] & Flag.SECOND:
                        off = rows["FLUX_AUTO"][row] - flux
                        found["error"].append(off / flux)
                        found["pull"].append(off / rows["FLUXERR_AUTO"][row])
        enough = len(found["pull"]) >= 10
        table.append(
            {
                "S/N": f"{least} to {most}",
                "planted": len(found["once"]),
                "once": round(float(np.mean(found["once"])), 3),
                "twice": round(float(np.mean(found["twice"])), 3),
                "error": round(float(np.median(found["error"])), 3) if enough else None,
                "pull": round(width(np.array(found["pull"])), 2) if enough else None,
            }
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks/dense"
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    shared = Path(os.environ.get("SKYFAN_SHARED_DATA") or ROOT.parent / "shared/data")
    files = options.files or [
        *(ROOT / "tests/data/demo" / name for name in DEMO),
        *(shared / name for name in WHOLE if (shared / name).exists()),
    ]
    documents = []
    for file in files:
        chip = read(file)
        figures, segments = detections(chip)
        figures = {"image": file.name, **figures, "CPU": round(cost(chip), 2)}
        documents.append(figures | {"planted": completeness(chip, (segments > 0) & ~chip.mask)})
        if not options.json:
            print("  ".join(f"{name}: {value}" for name, value in figures.items()))
            for row in documents[-1]["planted"]:
                print("    " + "  ".join(f"{name} {value}" for name, value in row.items()))
            print(flush=True)
    if options.json:
        print(json.dumps(documents, indent=1))


if __name__ == "__main__":
    main()
