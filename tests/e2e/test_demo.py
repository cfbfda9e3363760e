"""skyfan demo: its story, its repetition, and its catalogs against what was planted."""

import json
import webbrowser
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from skyfan.api import demos
from skyfan.cli import main
from skyfan.demo import field

pytestmark = pytest.mark.slow
BRIGHT = 24.0
"""A magnitude at which every source of the field is some ten sigma or more."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo."""
    folder = tmp_path_factory.mktemp("demo")
    done = skyfan("--output", str(folder))
    assert done.exit_code == 0, done.output
    (folder / "said").write_text(done.output)
    return folder


def separations(a: SkyCoord, b: SkyCoord) -> NDArray[np.float64]:
    """Arcseconds, (len(a), len(b))."""
    angles: NDArray[np.float64] = a[:, None].separation(b[None, :]).arcsec
    return angles


def skyfan(*words: str) -> Result:
    return CliRunner().invoke(main, ["demo", *words])


def test_it_prints_each_step_as_the_command_that_does_it(made: Path) -> None:
    said = (made / "said").read_text()
    commands = [line.split()[2] for line in said.splitlines() if line.startswith("$ skyfan")]
    assert commands == ["run", "collect", "search", "costs", "report"]
    assert (made / "runs/demo/report.html").resolve().as_uri() in said
    for words in (line.split()[2:] for line in said.splitlines() if line.startswith("$ skyfan")):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output


def test_the_report_shows_pictures_of_all_images(made: Path) -> None:
    page = (made / "runs/demo/report.html").read_text()
    assert page.count("data:image/jpeg") >= len(field.EXPOSURES)


def test_a_second_demo_keeps_images_and_results(made: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*.fits")}
    done = skyfan("--output", str(made), "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["run"]["done_before"] == len(field.EXPOSURES)
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*.fits")} == before


def test_a_pipe_opens_no_browser(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _: pytest.fail("opened"))
    monkeypatch.setenv("DISPLAY", ":0")
    assert skyfan("--output", str(made)).exit_code == 0


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert skyfan("--output", str(tmp_path / "file")).exit_code == 2


def test_what_was_planted_is_found_and_little_else(made: Path) -> None:
    planted = field.sources()
    places = SkyCoord(planted.ra, planted.dec, unit="deg")
    for exposure in field.EXPOSURES:
        (path,) = made.rglob(f"{exposure.name.removesuffix('.fits')}*.cat.fits")
        found = Table.read(path)
        sources = SkyCoord(found["ALPHAWIN_J2000"], found["DELTAWIN_J2000"], unit="deg")
        x, y = field.wcs(exposure).all_world2pix(planted.ra, planted.dec, 0)
        inside = (np.minimum(x, y) > 4) & (np.maximum(x, y) < field.SIDE - 5)
        mag = planted.mag[exposure.band.name]
        apart = np.sort(separations(places, places), axis=1)[:, 1]
        apart[(separations(places, places[planted.radius > 4.5]) < 7).any(axis=1)] = (
            0  # in the light of giants
        )
        with fits.open(made / "images" / exposure.name) as hdus:
            masked = hdus["DQ"].data[np.rint(y[inside]).astype(int), np.rint(x[inside]).astype(int)] != 0
        wanted = np.flatnonzero(inside)[~masked]
        wanted = wanted[(mag[wanted] < BRIGHT) & (apart[wanted] > 1.0)]
        distances = separations(sources, places)
        nearest, is_found = distances.argmin(axis=0)[wanted], distances.min(axis=0)[wanted] < 0.4
        purity = float((distances.min(axis=1) < 0.5).mean())
        is_star = is_found & (planted.radius[wanted] == 0) & (found["FLAGS"][nearest] == 0)
        offset = found["MAG_AUTO"][nearest][is_star] - mag[wanted][is_star]
        print(
            f"\n{exposure.name}: {is_found.sum()} of {len(wanted)} sources brighter than {BRIGHT}, purity "
            f"{purity:.3f} of {len(found)}; MAG_AUTO - true {np.median(offset):+.3f} ({is_star.sum()} stars)"
        )
        assert len(wanted) > 25
        assert is_found.mean() > 0.93
        assert purity > 0.93
        assert abs(np.median(offset)) < 0.12, "the wings of a star hold some of its light"


def test_headers_say_that_no_telescope_took_it(made: Path) -> None:
    for path in (made / "images").iterdir():
        with fits.open(path, checksum=True) as hdus:
            hdus.verify("exception")
            assert "Synthetic" in str(hdus[0].header["COMMENT"])


def test_the_example_of_search_is_in_the_field() -> None:
    planted = field.sources()
    places = SkyCoord(planted.ra, planted.dec, unit="deg")
    (spiral,) = np.flatnonzero(planted.spiral > 0)
    assert SkyCoord(*demos.AROUND, unit="deg").separation(places[spiral]) < 0.5 * u.arcsec
