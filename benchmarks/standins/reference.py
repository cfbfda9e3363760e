"""A made-up catalog of stars like Gaia's, as a table and as HATS in the layout of the archive."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from standins.survey import Sky

from skyfan.catalogs import dataset, healpix
from skyfan.catalogs.dataset import Partition
from skyfan.catalogs.schema import HEALPIX, described, new_field
from skyfan.objects.groups import ARCSEC
from skyfan.sky import footprints

Floats = NDArray[np.float64]
SKY = Sky(150.0, 2.0)
EPOCH = 2016.0
MJD = 51544.5 + 4 * 365.25
"""Of the images: 12 years before the reference."""
FIELDS = (
    new_field("ra", pa.float64(), "deg", "pos.eq.ra;meta.main", ""),
    new_field("dec", pa.float64(), "deg", "pos.eq.dec;meta.main", ""),
    new_field("ra_error", pa.float32(), "mas", "stat.error;pos.eq.ra", ""),
    new_field("dec_error", pa.float32(), "mas", "stat.error;pos.eq.dec", ""),
    new_field("pmra", pa.float64(), "mas/yr", "pos.pm;pos.eq.ra", ""),
    new_field("pmdec", pa.float64(), "mas/yr", "pos.pm;pos.eq.dec", ""),
    new_field("ref_epoch", pa.float64(), "yr", "meta.ref;time.epoch", ""),
    new_field("phot_g_mean_mag", pa.float32(), "mag", "phot.mag;em.opt", ""),
)


def catalog(xy: Floats, motion: Floats, mags: Floats) -> pa.Table:
    """Stars that are at points (n, 2) at MJD and move by (n, 2) mas per year, as they are at EPOCH."""
    xyz = footprints.vectors(*SKY.degrees(xy))
    east, north = np.stack([SKY.plane[0]] * len(xy)), np.stack([SKY.plane[1]] * len(xy))
    xyz += 12 * ARCSEC / 1000 * (motion[:, :1] * east + motion[:, 1:] * north)
    ra, dec = footprints.angles(xyz)
    full = np.ones(len(xy))
    values = (ra, dec, 0.5 * full, 0.5 * full, motion[:, 0], motion[:, 1], EPOCH * full, mags)
    arrays = [pa.array(each).cast(field.type) for each, field in zip(values, FIELDS, strict=True)]
    return pa.table(arrays, schema=described(pa.schema(FIELDS), {}))


def hats(table: pa.Table, folder: Path, collection: bool = False) -> Path:
    """Writes the stars as HATS, in partitions of order 4; as a collection like those of the archive."""
    below = folder / "gaia" if collection else folder
    keys = healpix.keys(table["ra"].to_numpy(), table["dec"].to_numpy())
    whole = table.add_column(0, HEALPIX, pa.array(keys)).sort_by(HEALPIX)
    pixel = whole[HEALPIX].to_numpy() >> 50
    written = []
    for number in np.unique(pixel).tolist():
        part = Partition(4, number, int((pixel == number).sum()))
        (below / part.path).parent.mkdir(parents=True, exist_ok=True)
        dataset.write_partition(whole.filter(pa.array(pixel == number)), below / part.path)
        written.append(part)
    columns = whole.schema.with_metadata(table.schema.metadata)
    names = {
        "hats_col_ra": "ra",
        "hats_col_dec": "dec",
        "obs_collection": "gaia",
        "dataproduct_type": "object",
    }
    dataset.write_hats(below, written, columns, names)
    if collection:
        text = "obs_collection=gaia_dr3\nhats_primary_table_url=gaia\n"
        (folder / "collection.properties").write_text(text)
    return folder
