"""What mutations write into cards: keywords by what they decide, and values of all kinds."""

from __future__ import annotations

import random

WCS = """
    CTYPE1 CTYPE2 CRPIX1 CRPIX2 CRVAL1 CRVAL2 CD1_1 CD1_2 CD2_1 CD2_2 PC1_1 PC2_2 CDELT1 CDELT2 CROTA2
    CUNIT1 CUNIT2 LONPOLE LATPOLE PV1_1 PV2_1 WCSAXES RADESYS EQUINOX EPOCH A_ORDER B_ORDER A_2_0 B_0_2
    AP_ORDER A_9_9 CPDIS1 DP1 D2IMDIS1 D2IM1 DP1.AXIS.1 CTYPE1A CD1_1A CTYPE3 WCSNAME PV2_99 MJD-OBS
    DATE-OBS SPECSYS VELOSYS TAB1 PS1_0 CPERR1 OBSGEO-X
""".split()
# Words about an observation that no measurement needs, and the keyword of a comment without one.
ABOUT = """
    TARGNAME PROPOSID ROOTNAME ASN_ID TIME-OBS RA_TARG DEC_TARG EXPSTART EXPEND HISTORY COMMENT OBSERVER
    HIERARCH DATE ORIGIN INHERIT CHECKSUM2
""".split()
ABOUT.append("")
SIZES = """
    NAXIS NAXIS1 NAXIS2 NAXIS3 BITPIX PCOUNT GCOUNT EXTEND SIMPLE XTENSION GROUPS TFIELDS THEAP NEXTEND END
    BLOCKED
""".split()
SCALES = """
    BSCALE BZERO BLANK BUNIT DATAMIN DATAMAX BSOFTEN BOFFSET
""".split()
LIGHT = """
    EXPTIME TEXPTIME XPOSURE SAMPTIME PHOTFLAM PHOTPLAM PHOTFNU PIXAR_SR SATURATE CCDGAIN ATODGNA GAIN
    CCDCHIP TELESCOP INSTRUME DETECTOR FILTER FILTER1 PUPIL DRIZCORR NDRIZIM NCOMBINE FLUXCORR OBSTYPE
    PHTFLAM1 NCYCLES
""".split()
NAMES = """
    EXTNAME EXTVER EXTLEVEL HDUNAME
""".split()
TILES = """
    ZIMAGE ZCMPTYPE ZBITPIX ZNAXIS ZNAXIS1 ZNAXIS2 ZTILE1 ZTILE2 ZNAME1 ZVAL1 ZNAME2 ZVAL2 ZSCALE ZZERO
    ZBLANK ZQUANTIZ ZDITHER0 ZMASKCMP ZSIMPLE ZEXTEND ZPCOUNT ZGCOUNT ZTENSION ZHECKSUM TFORM1 TTYPE1 TTYPE2
    TFORM2 TZERO1 TSCAL1
""".split()
TABLES = [f"{key}{i}" for key in ("TTYPE", "TFORM", "TDIM", "TNULL", "TSCAL", "TZERO") for i in (1, 2, 3)]
SUMS = ["CHECKSUM", "DATASUM"]
GROUPS = {
    "WCS": WCS, "about": ABOUT, "size": SIZES, "scale": SCALES, "light": LIGHT, "name": NAMES, "tile": TILES,
    "table": TABLES, "sum": SUMS,
}  # fmt: skip

_STRINGS = """
    x SCI ERR DQ WHT AREA SAMP CON D2IMARR WCSDVARR IMAGE BINTABLE TABLE A3DTABLE FOREIGN RICE_1 RICE_ONE
    GZIP_1 GZIP_2 HCOMPRESS_1 PLIO_1 NOCOMPRESS SUBTRACTIVE_DITHER_1 SUBTRACTIVE_DITHER_2 NO_DITHER NONE
    BLOCKSIZE BYTEPIX SCALE SMOOTH COMPRESSED_DATA GZIP_COMPRESSED_DATA UNCOMPRESSED_DATA ZSCALE ZERO 1PB(9)
    1PJ(1) 1QB(9999999999) PE() 1J 0E 999999999E 8A 1X 1M F8.2 A0 (2,3) (0,0) (-1,5) (99999,99999) ()
    RA---TAN DEC--TAN RA---ZPN DEC--TPV RA---TAB GLON-CAR GLAT-CAR HPLN-TAN XPH WAVE deg rad m LOOKUP POLY
    TPD FK4 FK5 GALACTIC ELECTRONS COUNTS/S MJy/sr nJy mag HST JWST WFPC2 ACS NICMOS HRC IR UVIS NRCA1 G141
    F606W CLEAR COMPLETE PERFORM SPECTROSCOPIC [/red] it''s NaN 2020-01-01T00:00:00 9999-99-99
""".split()
_STRINGS += [
    "",
    " ",
    "EXTVER: 1",
    "NAXES: 9",
    "AXIS.1: 9",
    "10**-20 erg/s/cm2/A",
    "x" * 68,
    "x" * 67 + "&",
    "\x1b[2J",
    "\xe9",
    "\x00",
    "\x7f",
    "\xff\xfe",
]
_NUMBERS = """
    0 1 -1 2 3 7 8 -8 16 32 64 -32 -64 100 998 1000 255 256 4096 32767 32768 -32768 65535 1000000 2147483647
    2147483648 -2147483649 9223372036854775807 1000000000000000000 10000000000000000000000000000000000000000
    0.0 0.5 1.5 -1.0 1E-3 1E3 1E-10 1E10 1E-30 1E30 -1E30 1E-38 3.5E38 1E100 1E-100 1E308 1E-308 1E309 1D5
    1.D-5 .5 +1 1. NaN INF -INF 1E 0x10 (1,2) 1_000 T F
""".split()
_NUMBERS.extend(("", "1 2"))


def value(rng: random.Random, now: str) -> str:
    """A value for a card that holds ``now``: near it, or of any kind."""
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(_NUMBERS)
    if kind < 0.6:
        return f"'{rng.choice(_STRINGS):8}'"
    if kind < 0.9:
        try:
            number = float(now.replace("D", "E"))
        except ValueError:
            return f"'{rng.choice(_STRINGS)}'"
        return near(rng, number, whole="." not in now and "E" not in now)
    if kind < 0.95:
        return rng.choice(("'", "'x", "x'", "''", "/", "= 5", "'a' 'b'", "&", "\xe9", "?" * 70))
    return "".join(chr(rng.randrange(256)) for _ in range(rng.randrange(1, 30)))


def near(rng: random.Random, number: float, *, whole: bool) -> str:
    """A number that is some steps, or a factor, from this one."""
    if whole:
        return str(int(rng.choice((number + 1, number - 1, 2 * number, number // 2, -number, number + 16))))
    factor = 10 ** rng.choice((-30, -12, -3, -1, -0.1, 0.1, 1, 3, 12, 30))
    return f"{rng.choice((number * factor, -number, number * 1.0001, number + 1)):.10G}"
