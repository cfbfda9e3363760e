"""Light curves through the local engine: the planets of docs/howto/transits.md are found, and no other."""

from pathlib import Path

import lightcurves
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from skyfan import api


@pytest.mark.slow
def test_a_folder_of_light_curves_becomes_a_table_for_each(tmp_path: Path) -> None:
    folder = tmp_path / "curves"
    folder.mkdir()
    for tic, ratio in ((11, 0.03), (12, 0.0)):
        curve = lightcurves.make(np.random.default_rng(tic), 120, 9.0, spots=3e-4)
        planet = lightcurves.Planet(3.3, float(curve.time[0]) + 1.7, max(ratio, 1e-6), 0.2, 3 / 24)
        lightcurves.write(folder / f"tess-{tic}-s_lc.fits", lightcurves.planted(curve, planet), tic=tic)
    (folder / "kplr_llc.fits").write_bytes((folder / "tess-11-s_lc.fits").read_bytes())
    with fits.open(folder / "kplr_llc.fits", mode="update") as hdus:
        hdus[0].header["TELESCOP"] = "Kepler"
    task = api.Task("tess", function="Transits", outputs=("preview",))
    summary = api.run([str(folder)], api.LocalOptions(tmp_path / "out", jobs=2), task)
    assert (summary.done, summary.failed) == (2, 1)
    assert list(summary.failures) == ["UnknownLightCurveError"]
    place = tmp_path / "out/runs/tess/transits"
    rows = {path.name: Table.read(path, hdu=1) for path in place.rglob("*.cat.fits")}
    assert {name: len(table) for name, table in rows.items()} == {
        "tess-11-s_lc.fits.cat.fits": 1,
        "tess-12-s_lc.fits.cat.fits": 0,
    }
    assert rows["tess-11-s_lc.fits.cat.fits"]["PERIOD"][0] == pytest.approx(3.3, rel=1e-3)
    assert len(list(place.rglob("*.preview.png"))) == 2
