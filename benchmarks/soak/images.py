"""The inputs of the soak: many names of a few small images, some of which cannot be measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

SIDE, KINDS, PER_FOLDER = 64, 20, 500
BUCKET = "archive"
_STARS = 5
# One in so many is compressed, and its decoders run in a child; is in S3; can never be measured.
_COMPRESSED, _REMOTE, _BAD = 20, 3, 100


@dataclass(frozen=True)
class Input:
    """One input of the soak."""

    uri: str
    image: str
    """Name of the file that it is a copy of."""
    error: str
    """Type of the error that it ends with; empty for an image."""


def make(folder: Path) -> None:
    """Writes each image once, plain and compressed, and one file for each way to be none."""
    folder.mkdir(parents=True)
    for number in range(KINDS):
        header, pixels = _cards(), _pixels(number)
        for name, hdu in (("plain", fits.ImageHDU), ("packed", fits.CompImageHDU)):
            hdus = fits.HDUList([fits.PrimaryHDU(), hdu(pixels, header, name="SCI")])
            hdus.writeto(folder / f"{name}{number}.fits", checksum=True)
    whole = (folder / "plain0.fits").read_bytes()
    (folder / "cut.fits").write_bytes(whole[: len(whole) // 2])
    (folder / "text.fits").write_text("The archive is closed on Mondays.\n")
    blank = np.full((SIDE, SIDE), np.nan, np.float32)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(blank, _cards(), name="SCI")]).writeto(
        folder / "blank.fits"
    )


BAD = {
    "cut": "TruncatedError",
    "text": "NotFitsError",
    "blank": "NoValidPixelsError",
    "absent": "InputNotFoundError",
}


def lay_out(images: Path, folder: Path, bucket: Path, number: int) -> list[Input]:
    """So many inputs: hard links below ``folder``, and below ``bucket`` what a stand-in for S3 serves."""
    folder.mkdir()
    bucket.mkdir()
    found = []
    for at in range(number):
        kind = "packed" if at % _COMPRESSED in (0, 5) else "plain"
        image, error = f"{kind}{at % KINDS}", ""
        is_remote = at % _REMOTE == 0
        if at % _BAD == 1:
            hundred = at // _BAD
            image = "absent" if is_remote else list(BAD)[(hundred + hundred // 3) % 3]
            error = BAD[image]
        name = f"{at // PER_FOLDER:03}/{at:06}.fits"
        path = (bucket if is_remote else folder) / name
        path.parent.mkdir(exist_ok=True)
        path.hardlink_to(images / f"{'plain0' if image == 'absent' else image}.fits")
        uri = f"s3://{BUCKET}/{name}" if is_remote else path.as_uri()
        found.append(Input(uri, image, error))
    return found


def remove_absent(bucket: Path, inputs: list[Input]) -> None:
    """Removes from the bucket what was there when the plan was made, and then is not."""
    for one in inputs:
        if one.image == "absent":
            (bucket / one.uri.removeprefix(f"s3://{BUCKET}/")).unlink()


def _cards() -> fits.Header:
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 5.0, "CRPIX1": 32.0,
             "CRPIX2": 32.0, "CD1_1": -1e-5, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1e-5,
             "EXPTIME": 100.0, "BUNIT": "ELECTRONS/S"}  # fmt: skip
    return fits.Header(cards.items())


def _pixels(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    pixels = rng.normal(10, 1, (SIDE, SIDE))
    for column, row in rng.uniform(10, SIDE - 10, (_STARS, 2)):
        pixels += 200 * np.exp(-((x - column) ** 2 + (y - row) ** 2) / 4.5)
    return pixels.astype(np.float32)
