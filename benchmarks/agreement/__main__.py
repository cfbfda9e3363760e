"""How SepExtract and SExtractor agree on real images: python benchmarks/agreement [--json] [FILE…]

Same pixels, mask, threshold, kernel, mesh and deblending, no DQ mask. Of SExtractor's detections with S/N
above 10 and FLAGS below 4: the share with a counterpart within 0.5 pixel, and for those the median
differences of MAG_AUTO and position (pixels). --checks: how the images beside a catalog agree with
SExtractor's check images, in sigma of a pixel, and their bytes per pixel. --dual: relative differences of
fluxes in dual-image mode, on one grid, neither deblended nor cleaned, so that both detect the same. Without
FILE: images of the demo, and the whole files of $SKYFAN_SHARED_DATA (or ../shared/data) where they are.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("functions/runtime", "functions/sep_extract", "benchmarks")]

import sextractor  # noqa: E402

from sep_extract.event import Config  # noqa: E402

DEMO = ("abell2744_f105w_drz.fits", "j8bt06nyq_drz.fits", "j8bt06nyq_flt.fits")
WHOLE = (
    "abell_2744_cd_galaxy_f105w.fits.gz",
    "ib6o23rtq_sci1_blt.fits.gz",
    "j8bt06nyq_sip_flt.fits.gz",
    "j8bt06nyq_square_drz.fits.gz",
    "sep_image.fits",
    "ib6o23rsq_flt.fits.gz",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks/agreement"
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--dual", action="store_true", help="dual-image mode instead")
    parser.add_argument("--checks", action="store_true", help="images beside the catalog instead")
    options = parser.parse_args()
    if sextractor.PROGRAM is None:
        sys.exit("SExtractor is not installed (Debian: source-extractor)")
    shared = Path(os.environ.get("SKYFAN_SHARED_DATA") or ROOT.parent / "shared/data")
    files = options.files or [
        *(ROOT / "tests/data/demo" / n for n in DEMO),
        *(shared / n for n in WHOLE if (shared / n).exists()),
    ]
    if options.dual:
        simple = Config(good_bits=0xFFFF, deblend_mincont=1.0, clean=False)
        rows = [{"image": f.name, **sextractor.dual_agreement(f, simple)} for f in files]
        print(json.dumps(rows, indent=1) if options.json else "\n".join(map(str, rows)))
        return
    if options.checks:
        show_checks(files, as_json=options.json)
        return
    rows = [{"image": f.name, **sextractor.agreement(f, Config(good_bits=0xFFFF))} for f in files]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'image':36}  sources  SExtractor  compared  matched  |dMAG_AUTO|  shift")
    for r in rows:
        print(
            f"{r['image']:36}  {r['sources']:7}  {r['sextractor']:10}  {r['reference']:8}  "
            f"{r['matched']:7.2%}  {r['median_dmag']:11.5f}  {r['median_shift']:.5f}"
        )


def show_checks(files: list[Path], *, as_json: bool) -> None:
    usual = Config(good_bits=0xFFFF)
    simple = replace(usual, deblend_mincont=1.0, clean=False)
    rows = [
        {"image": f.name, "deblended": config is usual, **sextractor.checks_agreement(f, config)}
        for f in files
        for config in (usual, simple)
    ]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        how = "default" if row.pop("deblended") else "neither deblended nor cleaned"
        print(f"{row.pop('image')}, {how}:")
        print("    " + "; ".join(f"{name} {value:.4f}" for name, value in row.items()))


if __name__ == "__main__":
    main()
