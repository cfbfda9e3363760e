"""Which DQ bits make a pixel unusable, by instrument and detector."""

from __future__ import annotations

from typing import NamedTuple


class Bits(NamedTuple):
    """DQ bits that a measurement may use all the same, those that mean saturation, and who says so."""

    good: int
    saturated: int
    source: str


# The good bits are the single-visit drizzle defaults of the Hubble Advanced Products, less the saturation
# bits: a drizzled saturated core is better than a hole, a measured one is not. Bit meanings are those of the
# data handbooks. The same values hold for _flt and _flc; drizzled products have no DQ, there coverage is the
# mask.
_HAP = "drizzlepac 3.11.0, HAP single-visit parameters, final_bits"
TABLE: dict[tuple[str, str], Bits] = {
    ("WFC3", "IR"): Bits(512 | 16, 256, f"{_HAP} (IR, 2+ exposures: 528); WFC3 Data Handbook, IR DQ flags"),
    ("WFC3", "UVIS"): Bits(
        64 | 16, 256 | 2048, f"{_HAP} (UVIS: 336, less 256); WFC3 Data Handbook, UVIS DQ flags"
    ),
    ("ACS", "WFC"): Bits(64 | 16, 256 | 2048, f"{_HAP} (WFC: 336, less 256); ACS Data Handbook, DQ flags"),
    ("ACS", "HRC"): Bits(64, 256 | 2048, f"{_HAP} (HRC: 64); ACS Data Handbook, DQ flags"),
    ("ACS", "SBC"): Bits(0, 0, f"{_HAP} (SBC: 0); ACS Data Handbook, DQ flags"),
    ("WFPC2", ""): Bits(1024, 8, f"{_HAP} (WFPC2, 3+ exposures: 1024); WFPC2 Data Handbook, DQ flags"),
}
UNKNOWN = Bits(0, 0, "no table for this instrument: every flagged pixel is masked")


def bits_for(instrument: str, detector: str) -> Bits:
    """The bits of one instrument and detector, as in the headers' INSTRUME and DETECTOR."""
    key = instrument.upper()
    return TABLE.get((key, detector.upper())) or TABLE.get((key, "")) or UNKNOWN
