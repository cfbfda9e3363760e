"""The table of images, from the headers of catalogs."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from standins import catalogs

from sep_extract.handler import handler
from skyfan.catalogs import fitstable, images


def test_the_outline_has_all_chips(demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real file with two chips but without any source: the outline does not need sources."""
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


def test_several_exposures_have_a_first_start_and_a_last_end_and_chips_their_depths() -> None:
    body = catalogs.catalog("file:///a.fits", [1.0], [2.0])
    header = fits.Header.fromstring(body[: body.index(b"XTENSION")])
    size = len(header.tostring())
    header.update({"NCHIPS": 2, "NEXPOS": 2, "TBEG1": 5.0, "TEND1": 6.0, "TBEG2": 7.0, "TEND2": 8.0})
    header.update({"DEPTH2": 24.5, "SHARE1": 1.5, "SHARE2": 1.25})
    header.update({"WCSNAM2": "IDC_x-FIT_REL_GAIAeDR3", "GAIA1": False, "GAIA2": True})
    made = header.tostring().encode() + body[size:]
    row = images.row(fitstable.read(made))
    assert (row["t_min"], row["t_max"], row["exposures"]) == (5.0, 8.0, 2)
    assert (row["wcsname"], row["gaia"]) == ("IDC_x-FIT_REL_GAIAeDR3", "no")
    assert (row["shared_noise"], row["chip_shared_noise"]) == (1.5, "1.5000 1.2500")
    assert row["chip_depth"].split()[1] == "24.5000"
