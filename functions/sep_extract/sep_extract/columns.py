"""The catalog's columns: name, type, unit, UCD and meaning of each, in one place."""

from __future__ import annotations

from typing import NamedTuple

from .classes import Class


class Column(NamedTuple):
    """One column. ``kind`` is a FITS binary table code; the unit ``flux`` stands for that of the image."""

    name: str
    kind: str
    unit: str
    ucd: str
    meaning: str
    per_aperture: bool = False


_CLASSES = "Kind of source: " + ", ".join(f"{bit:d} {bit.name}".lower() for bit in Class)

COLUMNS: tuple[Column, ...] = (
    Column("NUMBER", "J", "", "meta.id;meta.main", "Running number in this catalog, from 1"),
    Column("EXT_NUMBER", "I", "", "meta.id;instr.det", "Index of the FITS extension (0 is the primary HDU)"),
    Column("EXPOSURE", "I", "", "meta.id;obs.exposure", "Number of the exposure in the file, from 1"),
    Column("MJD_START", "D", "d", "time.start;obs.exposure", "Start of that exposure, MJD"),
    Column("MJD_END", "D", "d", "time.end;obs.exposure", "End of that exposure, MJD"),
    Column(
        "NEXP",
        "E",
        "",
        "meta.number;obs.exposure",
        "Exposures combined at the source (CTX or CON); NaN without such a plane",
    ),
    Column(
        "NSAMP",
        "E",
        "",
        "meta.number;instr.det",
        "Reads of the source's pixel within one infrared exposure (SAMP); NaN without such a plane",
    ),
    Column(
        "X_IMAGE", "D", "pixel", "pos.cartesian.x;instr.det", "Isophotal barycentre along x, first pixel is 1"
    ),
    Column(
        "Y_IMAGE", "D", "pixel", "pos.cartesian.y;instr.det", "Isophotal barycentre along y, first pixel is 1"
    ),
    Column("ERRX2_IMAGE", "E", "pixel**2", "stat.variance;pos.cartesian.x", "Variance of X_IMAGE"),
    Column("ERRY2_IMAGE", "E", "pixel**2", "stat.variance;pos.cartesian.y", "Variance of Y_IMAGE"),
    Column("ERRXY_IMAGE", "E", "pixel**2", "stat.covariance", "Covariance of X_IMAGE and Y_IMAGE"),
    Column(
        "XWIN_IMAGE",
        "D",
        "pixel",
        "pos.cartesian.x;instr.det",
        "Gaussian-windowed position along x, first pixel is 1",
    ),
    Column(
        "YWIN_IMAGE",
        "D",
        "pixel",
        "pos.cartesian.y;instr.det",
        "Gaussian-windowed position along y, first pixel is 1",
    ),
    Column("ERRX2WIN_IMAGE", "E", "pixel**2", "stat.variance;pos.cartesian.x", "Variance of XWIN_IMAGE"),
    Column("ERRY2WIN_IMAGE", "E", "pixel**2", "stat.variance;pos.cartesian.y", "Variance of YWIN_IMAGE"),
    Column("ERRXYWIN_IMAGE", "E", "pixel**2", "stat.covariance", "Covariance of XWIN_IMAGE and YWIN_IMAGE"),
    Column("ALPHA_J2000", "D", "deg", "pos.eq.ra", "Right ascension of X_IMAGE, Y_IMAGE"),
    Column("DELTA_J2000", "D", "deg", "pos.eq.dec", "Declination of X_IMAGE, Y_IMAGE"),
    Column("ALPHAWIN_J2000", "D", "deg", "pos.eq.ra;meta.main", "Right ascension of XWIN_IMAGE, YWIN_IMAGE"),
    Column("DELTAWIN_J2000", "D", "deg", "pos.eq.dec;meta.main", "Declination of XWIN_IMAGE, YWIN_IMAGE"),
    Column(
        "ERRX2_WORLD",
        "E",
        "deg**2",
        "stat.variance;pos.eq.ra",
        "Variance of ALPHA_J2000 along the sky (times cos DELTA)",
    ),
    Column("ERRY2_WORLD", "E", "deg**2", "stat.variance;pos.eq.dec", "Variance of DELTA_J2000"),
    Column(
        "ERRX2WIN_WORLD", "E", "deg**2", "stat.variance;pos.eq.ra", "Variance of ALPHAWIN_J2000 along the sky"
    ),
    Column("ERRY2WIN_WORLD", "E", "deg**2", "stat.variance;pos.eq.dec", "Variance of DELTAWIN_J2000"),
    Column("A_IMAGE", "E", "pixel", "phys.size.smajAxis;instr.det", "Isophotal rms along the major axis"),
    Column("B_IMAGE", "E", "pixel", "phys.size.sminAxis;instr.det", "Isophotal rms along the minor axis"),
    Column(
        "THETA_IMAGE", "E", "deg", "pos.posAng;instr.det", "Angle from x to the major axis, counter-clockwise"
    ),
    Column(
        "THETA_J2000", "E", "deg", "pos.posAng", "Position angle of the major axis on the sky, east of north"
    ),
    Column("ELONGATION", "E", "", "src.ellipticity", "A_IMAGE / B_IMAGE"),
    Column(
        "FWHM_IMAGE",
        "E",
        "pixel",
        "phys.angSize;instr.det",
        "Width of the Gaussian of the same moments, 2 sqrt(ln 2 (A^2 + B^2))",
    ),
    Column(
        "ISOAREA_IMAGE", "J", "pixel**2", "phys.angArea;instr.det", "Pixels above the threshold in the image"
    ),
    Column(
        "ISOAREAF_IMAGE",
        "J",
        "pixel**2",
        "phys.angArea;instr.det",
        "Pixels above the threshold in the filtered image",
    ),
    Column("FLUX_ISO", "E", "flux", "phot.count", "Isophotal flux"),
    Column("FLUXERR_ISO", "E", "flux", "stat.error;phot.count", "One-sigma error of FLUX_ISO"),
    Column("MAG_ISO", "E", "mag", "phot.mag", "Isophotal AB magnitude"),
    Column("MAGERR_ISO", "E", "mag", "stat.error;phot.mag", "One-sigma error of MAG_ISO"),
    Column(
        "FLUX_AUTO",
        "E",
        "flux",
        "phot.count;meta.main",
        "Flux in the Kron ellipse, neighbours replaced by the opposite pixels",
    ),
    Column("FLUXERR_AUTO", "E", "flux", "stat.error;phot.count", "One-sigma error of FLUX_AUTO"),
    Column("MAG_AUTO", "E", "mag", "phot.mag;meta.main", "Kron AB magnitude"),
    Column("MAGERR_AUTO", "E", "mag", "stat.error;phot.mag", "One-sigma error of MAG_AUTO"),
    Column("SNR_AUTO", "E", "", "stat.snr", "FLUX_AUTO / FLUXERR_AUTO"),
    Column(
        "BLENDED_SHARE",
        "E",
        "",
        "phot.count;arith.ratio",
        "Share of neighbours, which were replaced, in the light of the Kron ellipse",
    ),
    Column("KRON_RADIUS", "E", "", "phys.angSize", "Kron ellipse in units of A_IMAGE and B_IMAGE"),
    Column("FLUX_RADIUS", "E", "pixel", "phys.angSize", "Radius of the circle with half of FLUX_AUTO"),
    Column(
        "FLUX_APER",
        "E",
        "flux",
        "phot.count",
        "Flux in circles of the diameters in the header's PHOTAPn",
        True,
    ),
    Column("FLUXERR_APER", "E", "flux", "stat.error;phot.count", "One-sigma errors of FLUX_APER", True),
    Column("MAG_APER", "E", "mag", "phot.mag", "AB magnitudes in the circles", True),
    Column("MAGERR_APER", "E", "mag", "stat.error;phot.mag", "One-sigma errors of MAG_APER", True),
    Column(
        "MAG_APER1",
        "E",
        "mag",
        "phot.mag",
        "AB magnitude in the smaller circle of the concentration index (RADA in the header)",
    ),
    Column("MAGERR_APER1", "E", "mag", "stat.error;phot.mag", "One-sigma error of MAG_APER1"),
    Column("MAG_APER2", "E", "mag", "phot.mag", "AB magnitude in the larger circle (RADB in the header)"),
    Column("MAGERR_APER2", "E", "mag", "stat.error;phot.mag", "One-sigma error of MAG_APER2"),
    Column("CI", "E", "mag", "src.morph.param", "Concentration index, MAG_APER1 - MAG_APER2"),
    Column("CIERR", "E", "mag", "stat.error;src.morph.param", "One-sigma error of CI"),
    Column(
        "FLUX_TOTAL",
        "E",
        "flux",
        "phot.count",
        "Total flux: of a point source from the larger circle less the local sky, of one that is EXTENDED "
        "(CLASS) from FLUX_AUTO",
    ),
    Column("FLUXERR_TOTAL", "E", "flux", "stat.error;phot.count", "One-sigma error of FLUX_TOTAL"),
    Column("MAG_TOTAL", "E", "mag", "phot.mag", "Total AB magnitude, NaN where no correction is known"),
    Column("MAGERR_TOTAL", "E", "mag", "stat.error;phot.mag", "One-sigma error of MAG_TOTAL"),
    Column(
        "MU_MAX", "E", "mag/arcsec**2", "phot.mag.sb;stat.max", "AB surface brightness of the brightest pixel"
    ),
    Column(
        "BACKGROUND", "E", "flux", "instr.background", "Background that was subtracted at the source, a pixel"
    ),
    Column(
        "BACKGROUND_RMS",
        "E",
        "flux",
        "stat.stdev;instr.background",
        "One-sigma noise of the background at the source, a pixel",
    ),
    Column(
        "FLAGS",
        "I",
        "",
        "meta.code.qual",
        "1 crowded or bad pixels, 2 blended, 4 saturated, 8 cut by the edge, 16 aperture cut by the edge, "
        "64 deblending overflow, 256 second detection, 512 the windowed position is the barycentre",
    ),
    Column("CLASS", "I", "", "meta.code.class", _CLASSES),
    Column("IMAFLAGS_ISO", "J", "", "meta.code.qual;instr.det", "DQ bits of the source's pixels, or-ed"),
    Column(
        "EXTRACT_STEP",
        "I",
        "",
        "meta.code",
        "0 as asked, 1 larger pixel stack, 2 more sub-objects, 3 coarser deblending, 4 no deblending",
    ),
)
