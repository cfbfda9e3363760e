"""Images of each kind that a bill is made of: whole files of the archive, and larger ones made of them."""

from __future__ import annotations

import gzip
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from costs.speeds import tiled

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("SKYFAN_SHARED_DATA") or ROOT.parent / "shared/data")


@dataclass(frozen=True)
class Product:
    """A kind of image and a file that stands for it."""

    name: str
    file: str
    """Its name in the archive's style."""
    frame: str
    """The whole file that it is, or is made of."""
    pixels: str = ""
    """Another whole file, whose image replaces that of the frame."""
    chips: int = 0
    """If not 0, the frame's planes are tiled to as many chips of `shape`."""
    shape: tuple[int, int] = (0, 0)

    @property
    def missing(self) -> bool:
        return any(name and not (SHARED / name).exists() for name in (self.frame, self.pixels))

    def make(self, folder: Path) -> Path:
        """The unpacked file in `folder`."""
        path = folder / self.file
        _unpack(self.frame, path)
        if self.pixels:
            _exchange(path, _unpack(self.pixels, folder / "pixels.fits"))
            (folder / "pixels.fits").unlink()
        if self.chips:
            whole = path.rename(folder / "frame.fits")
            tiled(whole, self.chips, self.shape, path)
            whole.unlink()
        return path


GRISM, DIRECT = "ib6o23rsq_flt.fits.gz", "ib6o23rtq_sci1_blt.fits.gz"
CLUSTER, DRIZZLED = "j8bt06nyq_sip_flt.fits.gz", "j8bt06nyq_square_drz.fits.gz"
UVIS = (2051, 4096)
PRODUCTS = (
    Product("WFC3/IR blt, F140W", "ib6o23rtq_blt.fits", DIRECT),
    Product("WFC3/IR flt, F140W", "ib6o23rtq_flt.fits", GRISM, pixels=DIRECT),
    Product("WFC3/IR flt, G141", "ib6o23rsq_flt.fits", GRISM),
    Product("ACS/HRC flt, 47 Tuc", "j8bt06nyq_flt.fits", CLUSTER),
    Product("ACS/HRC drz, 47 Tuc", "j8bt06nyq_drz.fits", DRIZZLED),
    Product("WFC3/UVIS flc, sparse", "ic0000010_flc.fits", GRISM, DIRECT, 2, UVIS),
    Product("WFC3/UVIS flc, crowded", "ic0000020_flc.fits", CLUSTER, "", 2, UVIS),
)


def _unpack(name: str, path: Path) -> Path:
    with gzip.open(SHARED / name) as packed, path.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    return path


def _exchange(path: Path, other: Path) -> None:
    """Gives the frame at `path` the image of `other`, an exposure of the same detector and visit."""
    with fits.open(path, mode="update", output_verify="silentfix") as frame, fits.open(other) as image:
        science = next(hdu for hdu in image if hdu.data is not None)
        frame["SCI", 1].data = science.data.astype(np.float32)
        for key in ("FILTER", "EXPTIME", "PHOTFLAM", "PHOTPLAM"):
            if key in science.header:
                frame[0].header[key] = science.header[key]
