"""What show draws of a target pixel file: the stacks that SepExtract measures."""

from pathlib import Path

import numpy as np
import pixel_files
import pytest
from astropy.io import fits

from sep_extract.chip import Chip, chips
from sep_extract.event import Config
from sep_extract.frames import Selection
from sep_extract.image import open_image
from skyfan.pictures import images
from skyfan_function.storage import open_input


@pytest.mark.parametrize("config", [Config(), Config(frames="10:80", stack=30)])
@pytest.mark.parametrize("columns_wcs", [True, False])
def test_show_draws_the_stacks_that_are_measured(
    tmp_path: Path, config: Config, *, columns_wcs: bool
) -> None:
    path, catalog = tmp_path / "a_tp.fits", tmp_path / "a.cat.fits"
    pixel_files.make(columns_wcs=columns_wcs).writeto(path)
    names = ("X_IMAGE", "Y_IMAGE", "A_IMAGE", "B_IMAGE", "THETA_IMAGE")
    columns = [fits.Column(name, "D", array=[5.0]) for name in names]
    columns.append(fits.Column("EXT_NUMBER", "J", array=[1]))
    primary = fits.PrimaryHDU(header=fits.Header([("CONFIG", config.json())]))
    fits.HDUList([primary, fits.BinTableHDU.from_columns(columns)]).writeto(catalog)
    with open_input(path.as_uri()) as source, open_image(source, chosen=Selection.of(config)) as image:
        measured = [chip for chip in chips(image) if isinstance(chip, Chip)]
    shown = images.load(str(path), str(catalog)).chips
    assert [chip.version for chip in shown] == [chip.extver for chip in measured]
    assert len(shown[0].sources or ()) == 1
    for ours, theirs in zip(shown, measured, strict=True):
        assert np.array_equal(np.isnan(ours.data), theirs.mask)
        np.testing.assert_allclose(ours.data[~theirs.mask], theirs.data[~theirs.mask], rtol=1e-5)
        assert ours.wcs is not None
        expected = theirs.sky.world(np.array([3.0]), np.array([9.0]))
        np.testing.assert_allclose(ours.wcs.all_pix2world([[3.0, 9.0]], 0), expected, atol=1e-8)


def test_a_wcs_that_is_not_used_is_not_shown(tmp_path: Path) -> None:
    hdus = pixel_files.make(columns_wcs=False)
    hdus[2].header["CRPIX2"] = 977.1
    hdus.writeto(tmp_path / "a_tp.fits")
    (chip,) = images.load(str(tmp_path / "a_tp.fits")).chips
    assert chip.wcs is None
    assert chip.data.shape == (20, 18)
