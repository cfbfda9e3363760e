"""What is doubtful: FLAGS of a candidate, QUALITY of the light curve; one bit per reason."""

from __future__ import annotations

from enum import IntFlag


class Flag(IntFlag):
    """Bits of the column FLAGS; FLAG_MEANING says each in a sentence."""

    NONE = 0

    FEW_TRANSITS = 1
    NEAR_GAP = 2
    DUMPS = 4
    ODD_EVEN = 8
    SECONDARY = 16
    ALIAS = 32
    HARMONIC = 64
    UNEQUAL = 128
    SINE = 256
    DEEP = 512
    V_SHAPE = 1024
    LIMIT = 2048


FLAG_MEANING = {
    Flag.FEW_TRANSITS: "fewer than three transits were observed: the period may be a multiple or a fraction",
    Flag.NEAR_GAP: "at least half of the signal is of transits beside a gap, where trends are uncertain",
    Flag.DUMPS: "at least half of the signal is of transits during momentum dumps of the spacecraft",
    Flag.ODD_EVEN: "odd and even transits differ by more than 3 sigma: a binary star of twice the period",
    Flag.SECONDARY: "there is a second eclipse at another phase, of more than 5 sigma",
    Flag.ALIAS: "the period is an orbit of the spacecraft or half, or one or two intervals of its dumps",
    Flag.HARMONIC: "the period is a simple multiple or fraction of that of a stronger candidate",
    Flag.UNEQUAL: "transits differ in depth from one another by more than noise does",
    Flag.SINE: "a sine wave of that period, or of twice that, fits as well as a transit",
    Flag.DEEP: "deeper than a tenth of the star's light: rather an eclipse by a star",
    Flag.V_SHAPE: "ingress and egress last longer than the floor: a grazing transit or an eclipse",
    Flag.LIMIT: "the period is at an end of the range that was searched",
}


class Quality(IntFlag):
    """Bits of the header card QUALITY; MEANING says each in a sentence."""

    NONE = 0

    MASKED = 1
    SHORT = 2
    COARSE = 4
    NO_FLAGS = 8
    NO_TARGET = 16
    TIME_ASSUMED = 32
    TIME_ORDER = 64
    VARIABLE = 128
    NOISY = 256
    CUT_OFF = 512
    SINGLE_DIP = 1024


MEANING = {
    Quality.MASKED: "more than a third of the cadences between the first and the last are missing or masked",
    Quality.SHORT: "less than 10 days long",
    Quality.COARSE: "its exposures are longer than half of the shortest duration, which was not sought",
    Quality.NO_FLAGS: "it has no QUALITY column: no cadence was masked by a flag",
    Quality.NO_TARGET: "its header has no TIC number or no position",
    Quality.TIME_ASSUMED: "its header does not say what its times are: BJD - 2457000 (TDB) was assumed",
    Quality.TIME_ORDER: "its times were not in order, or some stood twice: they were sorted",
    Quality.VARIABLE: "its trend scatters by more than ten times the noise of an hour: trends are uncertain",
    Quality.NOISY: "the noise of an hour is more than twice that of independent cadences",
    Quality.SINGLE_DIP: "a dip above the threshold came once: a transit of a long period, or a glitch",
    Quality.CUT_OFF: "as many candidates as were wanted; there may be more",
}


def names(bits: IntFlag) -> str:
    """The names of bits, for people: ``FEW_TRANSITS ODD_EVEN``."""
    return " ".join(str(bit.name) for bit in bits)
