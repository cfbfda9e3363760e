"""The PNG of `show`, with matplotlib and without."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner
from PIL import Image

from skyfan.cli import main
from skyfan.errors import UsageError
from skyfan.pictures.plain import Look
from skyfan.pictures.show import show

from .conftest import catalog, image


@pytest.fixture(params=["with matplotlib", "without"])
def has_axes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param == "without":
        monkeypatch.setattr("skyfan.pictures.show.has_axes", lambda: False)
        monkeypatch.setitem(sys.modules, "skyfan.pictures.draw", None)
    return request.param == "with matplotlib"


@pytest.mark.slow
def test_a_png_in_full_colour(tmp_path: Path, has_axes: bool) -> None:
    path = show(image(tmp_path / "i.fits"), catalog(tmp_path / "c.fits"), tmp_path / "deep/i.png")
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.mode in {"RGB", "RGBA"}
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 256
        assert max(picture.size) >= 1200


def test_it_is_named_after_the_image(tmp_path: Path, has_axes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fits.PrimaryHDU(np.ones((5, 5), "f4")).writeto("i_drz.fits.gz")
    assert show("i_drz.fits.gz") == Path("i_drz.png")
    assert Path("i_drz.png").exists()


def test_what_cannot_be_drawn_or_written_is_refused(tmp_path: Path, has_axes: bool) -> None:
    path = image(tmp_path / "i.fits")
    (tmp_path / "file").touch()
    for look in (Look("much"), Look(cmap="sky")):
        with pytest.raises(UsageError, match=r"much|sky"):
            show(path, look=look, to=tmp_path / "i.png")
    assert not (tmp_path / "i.png").exists()
    with pytest.raises(UsageError, match=r"file/i\.png"):
        show(path, to=tmp_path / "file" / "i.png")


def test_the_command_says_what_is_missing(tmp_path: Path, has_axes: bool) -> None:
    words = [
        "show",
        image(tmp_path / "i.fits"),
        catalog(tmp_path / "c.fits"),
        "--to",
        str(tmp_path / "i.png"),
    ]
    done = CliRunner().invoke(main, [*words, "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["picture"] == str(tmp_path / "i.png")
    assert ("skyfan[plot]" in done.stderr) is not has_axes
    assert len(done.stderr.splitlines()) == (0 if has_axes else 1)


@pytest.mark.slow
def test_real_images_of_all_kinds(demo_data: Path, tmp_path: Path, has_axes: bool) -> None:
    for path in sorted(demo_data.glob("*.fits")):
        assert show(str(path), to=tmp_path / "x.png").stat().st_size > 2_000


@pytest.mark.slow
def test_around_and_rgb_are_drawn_and_wrong_use_is_refused(tmp_path: Path, has_axes: bool) -> None:
    path, to = image(tmp_path / "i.fits"), str(tmp_path / "i.png")
    turned = image(tmp_path / "turned.fits", turn=20.0)

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["show", path, "--to", to, *words])
        return done.exit_code, done.output

    assert run("--around", "53.1", "-27.8", "--radius", "2s")[0] == 0
    assert run("--rgb", path, turned, "--around", "53.1", "-27.8", "--radius", "2arcsec")[0] == 0
    for words, fact in (
        (["--around", "53.1 -27.8"], "--radius"),
        (["--radius", "2s"], "--around"),
        (["--around", "53.1 -27.8", "--radius", "2"], "not a radius"),
        (["--around", "10 10", "--radius", "2s"], "not on the image"),
        (["--rgb", path, path, "--cmap", "gray"], "--cmap"),
        (["--rgb", path, str(tmp_path / "none.fits")], "none.fits"),
    ):
        code, said = run(*words)
        assert (code, fact in said) == (2, True), said
