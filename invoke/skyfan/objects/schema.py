"""The columns of objects, of the links from objects to detections, and of the images that were matched."""

from collections.abc import Iterable

import pyarrow as pa

from ..catalogs import schema
from ..catalogs.schema import HEALPIX, new_field

POSITION = ("ALPHA_J2000", "DELTA_J2000")

_F4, _F8, _I2, _I4, _I8, _TEXT = pa.float32(), pa.float64(), pa.int16(), pa.int32(), pa.int64(), pa.string()
_ID = new_field("OBJECT_ID", _I8, "", "meta.id;meta.main", "SOURCE_ID of its earliest detection")
_KEY = new_field(HEALPIX, _I8, "", "pos.healpix", "Nested HEALPix pixel of order 29 of the position")
_PLACE = (
    new_field(
        POSITION[0], _F8, "deg", "pos.eq.ra;meta.main", "Right ascension: weighted mean, offsets applied"
    ),
    new_field(POSITION[1], _F8, "deg", "pos.eq.dec;meta.main", "Declination: weighted mean, offsets applied"),
)
OBJECT = (
    _KEY,
    _ID,
    *_PLACE,
    new_field("POSERR", _F4, "mas", "stat.error;pos.eq", "One-sigma error of the position per axis"),
    new_field(
        "POSCHI2", _F4, "", "stat.fit.chi2;pos.eq", "Of its positions around the mean, for 2 (N_USED - 1)"
    ),
    new_field("EPOCH", _F8, "d", "time.epoch", "Weighted mean MJD of the position"),
    new_field("MJD_MIN", _F8, "d", "time.start", "MJD of the first detection"),
    new_field("MJD_MAX", _F8, "d", "time.end", "MJD of the last detection"),
    new_field("N_DET", _I4, "", "meta.number", "Detections"),
    new_field("N_USED", _I4, "", "meta.number", "Those that count in means; if 0, the position is of all"),
    new_field("N_COVER", _I4, "", "meta.number;obs", "Images that cover it"),
    new_field("FLAGS", _I2, "", "meta.code.qual", "FLAGS of its detections, or-ed"),
    new_field(
        "CROWDED", pa.bool_(), "", "meta.code", "Its group of friends was split, see the documentation"
    ),
)
PER_BAND = (
    new_field("N", _I4, "", "meta.number;obs", "Epochs with a magnitude that counts"),
    new_field("N_COVER", _I4, "", "meta.number;obs", "Images that cover it"),
    new_field("MAG", _F4, "mag", "phot.mag;stat.mean", "Magnitude of the weighted mean flux"),
    new_field("MAGERR", _F4, "mag", "stat.error;phot.mag", "One-sigma error of MAG"),
    new_field("MAGRMS", _F4, "mag", "stat.stdev;phot.mag", "Weighted scatter of the epochs"),
    new_field(
        "LIMIT",
        _F4,
        "mag",
        "phot.mag;stat.max",
        "Deepest 5-sigma depth of images that cover but do not see it",
    ),
    new_field("CHI2", _F4, "", "stat.fit.chi2;src.var", "Of the epochs around their mean, for N - 1"),
    new_field(
        "PCHI2",
        _F8,
        "",
        "stat.probability;src.var",
        "Probability of at least this CHI2 for a constant source",
    ),
    new_field("ETA", _F4, "", "stat.param;src.var", "Von Neumann's ratio; 2 without a trend"),
    new_field(
        "STETSONJ", _F4, "", "stat.param;src.var.index", "Stetson's J; about 0 without correlated changes"
    ),
)
"""Columns for each instrument and filter; its name follows: MAG_ACS_WFC_F606W."""
LINK = (
    _KEY,
    _ID,
    *_PLACE,
    new_field("SOURCE_ID", _I8, "", "meta.id", "The detection, as in its data set"),
    new_field("IMAGE", _TEXT, "", "meta.ref.url", "URI of its image"),
    new_field("BAND", _TEXT, "", "meta.id;instr.filter", "Instrument and filter, as in names of columns"),
    new_field("MJD", _F8, "d", "time.epoch", "Middle of its exposure"),
    new_field("SEPARATION", _F4, "mas", "pos.angDistance", "Distance from the object, offset applied"),
    new_field("MAG", _F4, "mag", "phot.mag", "Its magnitude"),
    new_field("MAGERR", _F4, "mag", "stat.error;phot.mag", "One-sigma error of MAG"),
    new_field("FLAGS", _I2, "", "meta.code.qual", "Its FLAGS"),
    new_field("USED", pa.bool_(), "", "meta.code", "Whether it counts in means"),
)
IMAGE = (
    new_field("run", _TEXT, "", "meta.id", "Data set of the image"),
    new_field("band", _TEXT, "", "meta.id;instr.filter", "Instrument and filter, as in names of columns"),
    new_field("match_state", _TEXT, "", "meta.code", "used, or why not: repeated, doubtful, no sky"),
    new_field("match_kept", _TEXT, "", "meta.ref.url", "The image that is used for the same exposure"),
    new_field(
        "offset_state",
        _TEXT,
        "",
        "meta.code",
        "tied to the reference, solved, held, alone: no overlap, or unsolved: no shift found",
    ),
    new_field(
        "offset_east", _F8, "mas", "pos.eq.ra;arith.diff", "Added to positions at its centre, to the east"
    ),
    new_field(
        "offset_north", _F8, "mas", "pos.eq.dec;arith.diff", "Added to positions at its centre, to the north"
    ),
    new_field(
        "offset_turn", _F8, "deg", "pos.posAng;arith.diff", "Turned around its centre, north to east negative"
    ),
    new_field(
        "offset_error",
        _F8,
        "mas",
        "stat.error;pos.eq",
        "One-sigma error per axis, those of neighbours not counted",
    ),
    new_field("offset_overlaps", _I4, "", "meta.number", "Overlapping images that its offset is from"),
    new_field("offset_rejected", _I4, "", "meta.number", "Overlapping images that contradict the others"),
    new_field(
        "offset_group",
        _I4,
        "",
        "meta.id",
        "Images of one number are tied together by overlaps or a reference",
    ),
    new_field(
        "reference_state",
        _TEXT,
        "",
        "meta.code",
        "tied to the reference, tied to it by overlaps, or not tied; empty without a reference",
    ),
    new_field("reference_stars", _I4, "", "meta.number", "Stars that the image shares with the reference"),
    new_field(
        "reference_scatter", _F8, "mas", "stat.stdev;pos.eq", "Scatter of these stars around it, per axis"
    ),
    new_field(
        "reference_east", _F8, "mas", "pos.eq.ra;arith.diff", "What its offset leaves to the reference, east"
    ),
    new_field(
        "reference_north", _F8, "mas", "pos.eq.dec;arith.diff", "What its offset leaves likewise, north"
    ),
)
CHECKED = (
    new_field("uri", _TEXT, "", "meta.ref.url", "The image"),
    new_field("band", _TEXT, "", "meta.id;instr.filter", "Instrument and filter, as in names of columns"),
    new_field("state", _TEXT, "", "meta.code", "compared, not compared: no shift fits, or no sky"),
    new_field("stars", _I4, "", "meta.number", "Stars that the image shares with the reference"),
    new_field("east", _F8, "mas", "pos.eq.ra;arith.diff", "Reference less image, to the east, at its centre"),
    new_field("north", _F8, "mas", "pos.eq.dec;arith.diff", "Likewise to the north"),
    new_field("turn", _F8, "deg", "pos.posAng;arith.diff", "Likewise around its centre"),
    new_field("error", _F8, "mas", "stat.error;pos.eq", "One-sigma error of the offset per axis"),
    new_field("scatter", _F8, "mas", "stat.stdev;pos.eq", "Scatter of its stars around the offset, per axis"),
    new_field("magnitude", _TEXT, "", "meta.id;phot.mag", "Column of the reference for its filter"),
    new_field("mag_stars", _I4, "", "meta.number", "Stars of its zero point"),
    new_field("zeropoint", _F8, "mag", "phot.mag;arith.zp", "Median of reference less image, AB"),
    new_field("zeropoint_error", _F8, "mag", "stat.error;phot.mag;arith.zp", "Its one-sigma error"),
    new_field("zeropoint_scatter", _F8, "mag", "stat.stdev;phot.mag", "Scatter of its stars around it"),
    new_field("stands_out", _TEXT, "", "meta.code", "offset, zero point, or both; empty if it does not"),
)  # fmt: skip
"""Columns of what skyfan check returns, one row per image."""


def of_objects(bands: Iterable[str]) -> pa.Schema:
    """The columns of objects in these bands."""
    per_band = [
        pa.field(f"{field.name}_{band}", field.type, metadata=field.metadata)
        for band in bands
        for field in PER_BAND
    ]
    return schema.described(pa.schema([*OBJECT, *per_band]), {})


def of_links(longest: int) -> pa.Schema:
    """The columns of links; texts have at most `longest` characters."""
    return schema.described(pa.schema(LINK), {"IMAGE": longest, "BAND": longest})
