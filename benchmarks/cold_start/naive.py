"""The handler of a tutorial: everything imported, the file read whole, sep's own calls, a FITS table."""

import io
from typing import Any

import boto3
import numpy as np
import sep
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

s3 = boto3.client("s3")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Measure the first image of an object in S3 and put its catalog beside it."""
    bucket, _, key = event["input"].removeprefix("s3://").partition("/")
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    with fits.open(io.BytesIO(body)) as hdus:
        hdu = next(hdu for hdu in hdus if hdu.is_image and hdu.data is not None)
        wcs = WCS(hdu.header, hdus)
        image = np.ascontiguousarray(hdu.data, dtype=np.float32)
        mask = hdus["DQ"].data != 0 if "DQ" in hdus else None
    background = sep.Background(image, mask=mask)
    data = image - background.back()
    noise = background.globalrms
    found, segments = sep.extract(
        data,
        1.5,
        err=noise,
        mask=mask,
        minarea=5,
        filter_type="conv",
        deblend_nthresh=32,
        deblend_cont=event["contrast"],
        segmentation_map=True,
    )
    x, y, a, b = (found[name] for name in "xyab")
    theta = np.clip(found["theta"], -np.pi / 2, np.pi / 2)
    own = {"mask": mask, "segmap": segments, "seg_id": np.arange(1, len(found) + 1, dtype=np.int32)}
    kron = np.maximum(2.5 * np.nan_to_num(sep.kron_radius(data, x, y, a, b, theta, 6.0, **own)[0]), 3.5)
    flux, error, flag = sep.sum_ellipse(data, x, y, a, b, theta, kron, err=noise, subpix=1, **own)
    columns = {"X": x + 1, "Y": y + 1, "A": a, "B": b, "THETA": theta, "FLAGS": found["flag"] | flag}
    columns |= {"FLUX_AUTO": flux, "FLUXERR_AUTO": error}
    for diameter in (2.3, 3.9, 6.2, 11.7):
        columns[f"APER_{diameter}"], columns[f"ERR_{diameter}"], _ = sep.sum_circle(
            data, x, y, diameter / 2, err=noise, **own
        )
    columns["RADIUS"], _ = sep.flux_radius(data, x, y, kron * a, 0.5, normflux=flux, **own)
    columns["RA"], columns["DEC"] = wcs.all_pix2world(x, y, 0)
    catalog = io.BytesIO()
    Table(columns).write(catalog, format="fits")
    s3.put_object(Bucket="results", Key=f"naive/{key}", Body=catalog.getvalue())
    return {"sources": len(found)}
