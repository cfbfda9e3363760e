"""Cut the demo's images out of whole Hubble files: python tests/data/make_demo.py ORIGINALS [OUTPUT].

README.md beside this file says where the originals come from. No pixel value changes (the one float64 image
is stored as float32), headers are kept whole, and the world coordinates move with the pixels. The same
originals give the same bytes.
"""

import argparse
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Cutout:
    """`corner` and `shape` are (y, x) in 0-based pixels; no shape keeps the whole image."""

    original: str
    name: str
    keep: tuple[str, ...]  # extensions by name; PRIMARY is always kept
    corner: tuple[int, int] = (0, 0)
    shape: tuple[int, int] | None = None


CUTOUTS = (
    # Crowded, the least saturated part of its chip; SIP, calibrated error, DQ.
    Cutout("j8bt06nyq_sip_flt.fits.gz", "j8bt06nyq_flt.fits", ("SCI", "ERR", "DQ"), (512, 128), (384, 384)),
    # Half of the same stars, drizzled, with the upper edge where WHT is 0.
    Cutout("j8bt06nyq_square_drz.fits.gz", "j8bt06nyq_drz.fits", ("SCI", "WHT"), (670, 150), (384, 384)),
    # One plane and no weight: a bright galaxy and faint ones in its light.
    Cutout("abell_2744_cd_galaxy_f105w.fits.gz", "abell2744_f105w_drz.fits", ()),
    # Grism traces rather than stars: what a catalog of a wrong product looks like.
    Cutout("ib6o23rsq_flt.fits.gz", "ib6o23rsq_flt.fits", ("SCI", "ERR", "DQ"), (570, 400), (320, 320)),
    # Two chips of 10 x 10 pixels with every lookup table of the full distortion model.
    Cutout("ib4606c6q_10x10_flc.fits", "ib4606c6q_flc.fits", ("SCI", "ERR", "DQ", "WCSDVARR", "D2IMARR")),
)


def make(cutout: Cutout, originals: Path, output: Path) -> Path:
    """Write one cut-out into `output` and return its path. Overwrites."""
    with fits.open(originals / cutout.original, do_not_scale_image_data=True) as hdus:
        kept = [hdu for hdu in hdus if hdu.name == "PRIMARY" or hdu.name in cutout.keep]
        made = fits.HDUList([cut(hdu, cutout) for hdu in kept])
        if "NEXTEND" in made[0].header:
            made[0].header["NEXTEND"] = len(made) - 1
        for line in history(cutout, [hdu.name for hdu in hdus if hdu not in kept]):
            made[0].header.add_history(line)
        path = output / cutout.name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VerifyWarning)  # the archive's own odd cards stay as they are
            made.writeto(path, overwrite=True, output_verify="ignore")
    return path


def cut(hdu: fits.PrimaryHDU | fits.ImageHDU, cutout: Cutout) -> fits.PrimaryHDU | fits.ImageHDU:
    """The HDU with the cut-out's pixels, and its header with the reference pixel moved by as much."""
    header, data = hdu.header.copy(), hdu.data
    for name in ("CHECKSUM", "DATASUM"):
        header.remove(name, ignore_missing=True)
    if data is not None and cutout.shape is not None:
        y, x = cutout.corner
        ny, nx = cutout.shape
        data = data[y : y + ny, x : x + nx]
        # CRPIXja: also of the alternate solutions (A to Z). SIP counts from CRPIX and so needs nothing.
        # LTVj = image pixel minus detector pixel.
        for axis, offset in ((1, x), (2, y)):
            for name in header:
                if name[:6] == f"CRPIX{axis}" or name == f"LTV{axis}":
                    header[name] -= offset
    if data is not None and data.dtype.itemsize == 8:
        data = data.astype(np.float32)
    return type(hdu)(data=data, header=header)


def history(cutout: Cutout, dropped: list[str]) -> Iterator[str]:
    yield f"Cut out of {cutout.original} by skyfan's make_demo.py:"
    if cutout.shape is None:
        yield "all pixels."
    else:
        (y, x), (ny, nx) = cutout.corner, cutout.shape
        yield f"pixels [{x + 1}:{x + nx},{y + 1}:{y + ny}]; CRPIX and LTV moved by as much."
    if dropped:
        yield f"Without {', '.join(sorted(set(dropped)))}."


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("originals", type=Path, help="folder of the whole files")
    parser.add_argument("output", type=Path, nargs="?", default=HERE / "demo")
    args = parser.parse_args()
    for cutout in CUTOUTS:
        path = make(cutout, args.originals, args.output)
        print(f"{path.stat().st_size:9,d}  {path}")


if __name__ == "__main__":
    main()
