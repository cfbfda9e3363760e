"""The table of images: what a catalog's header says of its image."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from sep_extract.handler import handler
from skyfan.catalogs import fitstable, images


def test_the_outline_is_that_of_all_chips(
    demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real file with two chips, on which nothing is found: the outline does not need sources."""
    monkeypatch.setenv("SKYFAN_OUTPUT", f"{tmp_path.as_uri()}/{{run}}/{{key}}.cat.fits")
    image = demo_data / "ib4606c6q_flc.fits"
    made = handler({"input": image.as_uri()}, None)
    row = images.row(fitstable.read(Path(made["output"].removeprefix("file://")).read_bytes()))
    assert row["sources"] == 0
    assert row["s_region"].count("POLYGON ICRS") == 2
    with fits.open(image) as hdus:
        skies = [WCS(hdu.header, hdus) for hdu in hdus if hdu.name == "SCI"]
        centre = np.mean([sky.calc_footprint(center=False).mean(axis=0) for sky in skies], axis=0)
    assert (row["s_ra"], row["s_dec"]) == pytest.approx(tuple(centre), abs=1e-4)
