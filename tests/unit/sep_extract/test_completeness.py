"""Planted stars: limits and biases that are true, curves that never rise, a reason where nothing is known."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))

from planting import Planted, Scene, star
from recovery import recover

from sep_extract import completeness
from sep_extract.event import Request
from sep_extract.handler import handler
from sep_extract.pixels import Pixels
from sep_extract.starprofile import gaussian
from skyfan_function.errors import EventError

FWHM, NOISE, SIDE = 2.2, 0.02, 640
BINS = st.lists(st.tuples(st.integers(1, 60), st.floats(0, 1)), min_size=2, max_size=40)


def planted(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, **event: Any) -> dict[str, Any]:
    """What the handler writes of planting into an image."""
    monkeypatch.setenv("SKYFAN_OUTPUT", f"{folder.as_uri()}/{{run}}/{{key}}.cat.fits")
    summary = handler({"input": path.as_uri(), "outputs": ["completeness"], **event}, None)
    made: dict[str, Any] = json.loads(
        Path(summary["outputs"]["completeness"].removeprefix("file://")).read_text()
    )
    return made


def field(demo_data: Path, side: int = SIDE) -> Scene:
    """Noise without sources under the header of a drizzled image; the instrument is in no table."""
    real = Scene.read(demo_data / "abell2744_f105w_drz.fits")
    header = real.primary.copy()
    header["INSTRUME"] = "TEST"
    noise = np.random.default_rng(5).normal(0, NOISE, (side, side))
    return Scene(noise, 500.0, header, header)


def with_stars(scene: Scene, every: float = 100.0) -> Scene:
    """The scene with stars that tell the profile."""
    rng = np.random.default_rng(6)
    grid = np.arange(60, len(scene.data) - 40, every)
    x, y = (v.ravel() + rng.uniform(-3, 3, v.size) for v in np.meshgrid(grid, grid))
    flux = np.full(len(x), 200 * NOISE * np.sqrt(np.pi) * 4)
    return scene.plant(Planted(x, y, flux, (star(FWHM),) * len(x)), rng)


@pytest.mark.slow
def test_limits_and_bias_are_those_of_stars_that_others_plant(
    demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = field(demo_data)
    chip = planted(with_stars(empty).write(tmp_path / "a.fits"), tmp_path, monkeypatch)["chips"][0]
    assert (chip["psf"], chip["psf_stars"], chip["poisson"]) == ("stars", 36, True)
    assert chip["fwhm"] == pytest.approx(FWHM, abs=0.15)
    assert chip["trials"] >= completeness.TRIALS
    # The true profile, by code that shares nothing with it: the handler sees an image as any other.
    other = recover(empty, (star(FWHM),), (2.0, 40.0), 4)
    true = empty.zeropoint - 2.5 * np.log10(other.flux)
    off = np.full(len(true), np.nan)
    off[other.found] = other.catalog["MAG_AUTO"] - true[other.found]
    is_found = np.abs(off) < completeness.WRONG
    near = np.arange(true.min(), true.max(), 0.05)
    share = np.array([is_found[np.abs(true - at) < 0.15].mean() for at in near])
    for name, level in (("limit_50", 0.5), ("limit_90", 0.9)):
        expected = near[np.flatnonzero(share >= level)[-1]]
        assert chip[name] == pytest.approx(expected, abs=0.1), name
        assert 0.005 < chip[f"{name}_error"] < 0.1
    bright = is_found & (true < chip["limit_90"] - 1.5)
    assert chip["bias_bright"] == pytest.approx(np.median(off[bright]), abs=0.02)


def test_the_same_image_gives_the_same_numbers(
    demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completeness, "TRIALS", 50)
    path = with_stars(field(demo_data, 200), 60).write(tmp_path / "a.fits")
    first = planted(path, tmp_path / "1", monkeypatch)
    assert planted(path, tmp_path / "2", monkeypatch) == first
    chip = first["chips"][0]
    assert chip["trials"] >= 50
    assert sum(row["planted"] for row in chip["curve"]) == chip["trials"]
    assert sum(row["found"] for row in first["image"]["curve"]) == chip["recovered"]
    if chip["trials"] < completeness.LEAST_TRIALS:
        assert chip["limit_50"] is None


@given(BINS)
def test_the_curve_never_rises_and_keeps_all_stars(bins: list[tuple[int, float]]) -> None:
    stars = np.array([n for n, _ in bins], float)
    found = np.array([round(n * share) for n, share in bins], float)
    mag = np.arange(len(bins)) * 0.125
    at, share = completeness.falling(mag, stars, found)
    assert (np.diff(at) > 0).all()
    assert (np.diff(share) < 0).all()
    assert share[0] <= 1
    assert share[-1] >= 0
    if (np.diff(found / stars) < 0).all():
        np.testing.assert_allclose(share, found / stars)


def test_a_star_counts_where_a_detection_is_its_own() -> None:
    before = (np.array([50.0]), np.array([50.0]), np.array([22.0]))
    after = tuple(
        np.array(v) for v in ([10.5, 30.0, 50.2, 71.0], [10.0, 31.0, 50.1, 90.0], [20.1, 24.0, 21.9, 22.0])
    )
    x, y = np.array([10.0, 30.0, 50.0, 71.0]), np.array([10.0, 31.0, 50.0, 70.0])
    mag = np.array([20.0, 22.0, 22.3, 22.0])
    trials = completeness._recovered(x, y, mag, after, before, 2.0)
    # Found; two magnitudes off; on a source of its brightness; nothing near.
    assert trials.found.tolist() == [True, False, False, False]
    assert trials.off[0] == pytest.approx(0.1)


@pytest.mark.parametrize(("gain", "level"), [(1e-3, 1e30), (1e30, 1.0)])
def test_absurd_errors_and_gains_stay_numbers(gain: float, level: float) -> None:
    planes = {name: np.full((30, 30), value, "f4") for name, value in (("data", 0.0), ("error", level))}
    pixels = Pixels(mask=np.zeros((30, 30), bool), gain=gain, **planes)
    at, profile = np.array([14.0]), gaussian(2.0, "test")
    made = completeness._planted(pixels, profile, at, at, np.array([100.0]), np.random.default_rng(0))
    assert made.error is not None
    assert np.isfinite(made.data).all()
    assert (made.error >= np.float32(level)).all()
    if gain > 1:
        assert made.data.sum() == pytest.approx(100, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ib6o23rsq_flt.fits", "it shows spectra"),
        ("j8bt06nyq_drz.fits", "it has no depth"),
        ("ib4606c6q_flc.fits", "smaller than the profile|no source tells"),
    ],
)
def test_what_cannot_be_measured_says_why(
    demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    import re

    document = planted(demo_data / name, tmp_path, monkeypatch)
    assert all(re.search(reason, chip["reason"]) for chip in document["chips"]), document
    assert re.search(reason, document["image"]["reason"])
    assert "limit_50" not in document["image"]


def test_stars_are_not_planted_beside_a_detection_image() -> None:
    event = {"input": "s3://b/a.fits", "detect": "s3://b/d.fits", "outputs": ["completeness"]}
    with pytest.raises(EventError, match="do not go together"):
        Request.parse(event)
