"""QUALITY: what is doubtful about the catalog of an image, one bit per reason."""

from __future__ import annotations

from enum import IntFlag


class Quality(IntFlag):
    """Bits of the header card QUALITY; MEANING says each in a sentence."""

    NONE = 0

    SKY_LOST = 1
    SKY_FALLBACK = 2
    NO_SKY = 4
    NO_ZEROPOINT = 8
    UNIT = 16
    ASSUMED = 32
    ASSUMED_GAIN = 64
    UNKNOWN_INSTRUMENT = 128
    MASKED = 256
    UNCOVERED = 512
    NOISE_FALLBACK = 1024
    NO_POISSON = 2048
    PLANE_SKIPPED = 4096
    DISPERSED = 8192
    SINGLE_EXPOSURE = 16384
    DETECTION_STEP = 32768
    NO_SOURCES = 65536
    CUT_OFF = 131072
    TILE_CUT = 262144
    DATASUM = 524288
    DUAL_IMAGE = 1048576


# Says something of all such images, and is no reason to doubt one more than the others.
_INFORMS = Quality.SINGLE_EXPOSURE | Quality.DUAL_IMAGE


def doubts(quality: Quality) -> str:
    """The names of the bits that are a reason to doubt an image, for people: ``NO_SKY NO_ZEROPOINT``."""
    return " ".join(str(bit.name) for bit in quality & ~_INFORMS)


MEANING = {
    Quality.SKY_LOST: "the header speaks of the sky and its WCS cannot be used: no sky coordinates",
    Quality.SKY_FALLBACK: "the WCS was read with cards mended or left out",
    Quality.NO_SKY: "there is no celestial WCS: no sky coordinates",
    Quality.NO_ZEROPOINT: "no zero point: fluxes without magnitudes",
    Quality.UNIT: "the unit of the pixels is not known, or has no exposure time or pixel area",
    Quality.ASSUMED: "a unit, an exposure time, the area of pixels or a level of saturation was assumed",
    Quality.ASSUMED_GAIN: "the gain was taken from the table of instruments",
    Quality.UNKNOWN_INSTRUMENT: "the instrument or its flags are in no table: every flagged pixel is masked",
    Quality.MASKED: "more than a fifth of the covered pixels, or the brightest ones, are masked",
    Quality.UNCOVERED: "a value that many pixels share was taken for no coverage",
    Quality.NOISE_FALLBACK: "the noise was not measured in the usual way",
    Quality.NO_POISSON: "no ERR and no electrons to count: errors leave out the Poisson noise of sources",
    Quality.PLANE_SKIPPED: "an image plane of the file was not measured",
    Quality.DISPERSED: "a grism or prism: sources are dispersed spectra",
    Quality.SINGLE_EXPOSURE: "a single exposure: cosmic rays are among the sources",
    Quality.DETECTION_STEP: "detection did not run as configured (EXTRACT_STEP)",
    Quality.NO_SOURCES: "no source was found",
    Quality.CUT_OFF: "values below one level were cut off: background, noise and fluxes are biased",
    Quality.TILE_CUT: "the image was measured in tiles, and a source is too large for the widest of them",
    Quality.DATASUM: "the pixels are not those of which DATASUM is the sum: changed or damaged since",
    Quality.DUAL_IMAGE: "sources and apertures are those of another image (DETURI), fluxes are of this one",
}
