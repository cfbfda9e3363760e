"""Planted sources against what the handler makes of them: bias, pulls, completeness and purity.

    python benchmarks/truth [--json] [--pictures N]

benchmarks/planting.py says how real it is. Backgrounds are cut-outs that ship, frames of JWST and TESS that
are made (benchmarks/frames.py), and the whole files of $SKYFAN_SHARED_DATA (or ../shared/data) where they
are. A pull is (measured - true) / error; its robust width is 1 where errors are right.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("functions/runtime", "functions/sep_extract", "benchmarks")]

from recovery import empty_apertures, losses, table, width  # noqa: E402
from scenes import AS_THEY_ARE, INDEPENDENT, MADE, WHOLE, Background  # noqa: E402

DEMO = ROOT / "tests/data/demo"
SHARED = Path(os.environ.get("SKYFAN_SHARED_DATA", ROOT.parent / "shared/data"))
# Of S/N, each from the number on to the next.
RANGES = (5, 10, 20, 50, 200, 1e9)


def figures(background: Background, folder: Path, pictures: int | None) -> dict[str, Any]:
    """All figures of one background."""
    result = background.recover(folder, pictures)
    empty, independent = empty_apertures(result.scene)
    pulls = []
    for least, most in itertools.pairwise(RANGES):
        if result.count(least, most) >= 20:
            widths = {name: round(width(p), 3) for name, p in result.pulls(least, most).items()}
            pulls.append({"S/N over": least, "sources": result.count(least, most)} | widths)
    return {
        "background": background.name,
        "meaning": background.meaning,
        "planted": len(result.flux),
        "bias of MAG_AUTO at S/N > 50": round(result.bias(), 4),
        "bias of MAG_APER at S/N > 50": round(result.bias_in_aperture(), 4),
        "scatter of empty apertures / that of independent pixels": round(empty / independent, 2),
        "pulls": pulls,
        "curve": result.curve(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks/truth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--pictures", type=int, help="pictures a background, in place of each one's own number"
    )
    args = parser.parse_args()
    wanted = [(b, DEMO) for b in (*INDEPENDENT, *AS_THEY_ARE, *MADE)]
    wanted += [(b, SHARED) for b in WHOLE if (SHARED / b.file).exists()]
    lost = losses(INDEPENDENT[0].make(DEMO / INDEPENDENT[0].file))
    if args.json:
        document = {
            "backgrounds": [figures(b, folder, args.pictures) for b, folder in wanted],
            "MAG_AUTO - total": lost,
        }
        # JSON knows no NaN: a bin with nothing in it has no purity.
        print(json.dumps(json.loads(json.dumps(document), parse_constant=lambda _: None), indent=1))
        return
    for background, folder in wanted:
        show(figures(background, folder, args.pictures))
    print(f"MAG_AUTO - total magnitude, S/N > 100: what lies outside the Kron ellipse\n\n{table([lost])}")


def show(found: dict[str, Any]) -> None:
    """Print the figures of one background."""
    print(f"{found['background']}: {found['meaning']}; {found['planted']} sources planted")
    for name, value in found.items():
        if name.startswith("bias"):
            print(f"  {name}: {value:+}")
        elif name.startswith("scatter"):
            print(f"  {name}: {value}")
    print("\nwidths of pulls, by S/N\n")
    named = [row["S/N over"] for row in found["pulls"]]
    for key in [name for name in found["pulls"][0] if name != "S/N over"]:
        values = "".join(f"{row[key]:>9}" for row in found["pulls"])
        print(f"  {key:<46}{values}")
    print(f"  {'(S/N over)':<46}{''.join(f'{value:>9}' for value in named)}")
    print(f"\ncompleteness by true magnitude, purity by MAG_AUTO\n\n{table(found['curve'])}\n")


if __name__ == "__main__":
    main()
