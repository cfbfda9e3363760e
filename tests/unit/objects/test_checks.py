"""A run, and the objects of it, against a reference: offsets, zero points, and what stands out."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from standins.reference import MJD, SKY, catalog, hats
from standins.survey import Exposure, Sky, Survey

from skyfan.catalogs import dataset, export
from skyfan.errors import UsageError
from skyfan.events import ignore
from skyfan.objects import checks, inputs, match
from skyfan.objects.checks import Checked
from skyfan.objects.match import Settings
from skyfan.objects.references import Source
from skyfan.workers import Here

IMAGES, MOVED, FAINT, FAR = 8, 3, 5, 7
SHIFT = np.array([0.3, -0.2])
"""Arcseconds by which all headers are off; MOVED is off by 0.1 more, FAINT by 0.2 mag, FAR has no stars."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data set and its reference."""
    folder = tmp_path_factory.mktemp("check")
    rng = np.random.default_rng(8)
    xy, mags = rng.uniform(-45, 45, (400, 2)), rng.uniform(19, 21.5, 400)
    reference = hats(catalog(xy, rng.normal(0, 3.0, xy.shape), mags), folder / "gaia", collection=True)
    made = Survey()
    for number in range(IMAGES):
        uri = f"s3://archive/j{number}_flc.fits"
        sky = Sky(10.0, 40.0) if number == FAR else SKY
        filters = "F160W" if number == FAR else ("F606W", "F814W")[number % 2]
        one = Exposure(uri, sky, rng.uniform(-12, 12, 2), filters, MJD + number / 10, 25.5)
        one.size, one.offset = 60.0, SHIFT + (number == MOVED) * np.array([0.1, 0.0])
        seen = np.flatnonzero(one.covers(xy))
        snr = np.full(len(seen), 50.0)
        mag = mags[seen] + rng.normal(0, 0.02, len(seen)) + 0.2 * (number == FAINT)
        made.add(one, xy[seen] + rng.normal(0, 0.001, (len(seen), 2)), mag, snr)
    return made.write(folder / "set"), reference


def checked(folder: Path, reference: Path, magnitude: str = "MAG_TOTAL") -> Checked:
    existing = dataset.objects(folder) if dataset.is_objects(folder) else dataset.find(folder)
    assert existing
    return checks.check(existing, Source(str(reference)), magnitude, ignore)


def test_offsets_and_zero_points_of_a_run(scene: tuple[Path, Path]) -> None:
    done = checked(*scene)
    assert done.images == {"compared": IMAGES - 1, "not compared": 1}
    rows = done.table.to_pylist()
    for number, row in enumerate(rows[:FAR]):
        # The reference less the image undoes what was done to it.
        wrong = -1000 * (SHIFT + (number == MOVED) * np.array([0.1, 0.0]))
        assert np.hypot(row["east"] - wrong[0], row["north"] - wrong[1]) < 3 * row["error"] < 1.5
        assert row["stars"] > 100
        assert 0.5 < row["scatter"] < 3
        add = 0.1136 if row["band"].endswith("F606W") else None
        assert row["magnitude"] == ("phot_g_mean_mag" if add else None)
        if add:
            assert row["zeropoint"] == pytest.approx(add, abs=6 * row["zeropoint_error"])
            assert 0.01 < row["zeropoint_scatter"] < 0.03
            assert row["mag_stars"] > 100
        else:
            assert row["zeropoint"] is None
    assert (rows[FAR]["east"], rows[FAR]["stars"], rows[FAR]["stands_out"]) == (None, 0, "")
    assert {row["uri"]: row["stands_out"] for row in done.standing_out.to_pylist()} == {
        f"s3://archive/j{MOVED}_flc.fits": "offset"
    }
    said = " ".join(done.notes)
    assert "F606W is compared with phot_g_mean_mag + 0.114 (AB), another filter" in said
    assert "no magnitude near F814W: no zero points of 4 images" not in said
    assert "no magnitude near F160W: no zero points of 1 image" in said
    assert done.doubts


def test_a_file_with_the_same_filter_needs_no_colour(scene: tuple[Path, Path], tmp_path: Path) -> None:
    data, reference = scene
    table = Source(str(reference)).read(np.array([[0, 12 << 58]]), ["phot_g_mean_mag"])
    names = {
        "ra": table.rows["ra"],
        "dec": table.rows["dec"],
        "MAG_F814W": table.magnitudes["phot_g_mean_mag"],
    }
    export.write(pa.table(names), tmp_path / "stars.csv")
    done = checked(data, tmp_path / "stars.csv")
    rows = done.table.to_pylist()
    assert rows[1]["zeropoint"] == pytest.approx(0.0, abs=0.02)
    assert rows[FAINT]["stands_out"] == "zero point", "its band has four images"
    assert not [note for note in done.notes if "F814W" in note]
    assert [note for note in done.notes if "it has no epochs" in note]


def test_objects_are_checked_as_they_were_corrected(scene: tuple[Path, Path], tmp_path: Path) -> None:
    data, reference = scene
    found = [inputs.open_input(data, "set")]
    match.match(found, tmp_path / "objects", Settings(reference=str(reference)), Here())
    done = checked(tmp_path / "objects", reference)
    assert (done.kind, done.images) == ("objects", {"compared": IMAGES - 1, "not compared": 1})
    for row in done.table.to_pylist()[:FAR]:
        assert np.hypot(row["east"], row["north"]) < 1
    assert "offset" not in done.standing_out["stands_out"].to_pylist()


def test_which_column_is_of_a_filter() -> None:
    columns = ["ra", "MAG_F606W", "MAGERR_F606W", "MAG_ACS_WFC_F814W", "phot_g_mean_mag", "rMeanPSFMag"]
    assert checks.magnitude_for("F606W", columns) == ("MAG_F606W", 0.0, True)
    assert checks.magnitude_for("F814W", columns) == ("MAG_ACS_WFC_F814W", 0.0, True)
    assert checks.magnitude_for("F625W", columns) == ("phot_g_mean_mag", 0.1136, False)
    assert checks.magnitude_for("F625W", columns[-1:]) == ("rMeanPSFMag", 0.0, False)
    assert checks.magnitude_for("F160W", columns) is None


def test_plot(scene: tuple[Path, Path]) -> None:
    pytest.importorskip("matplotlib")
    axes = checked(*scene).plot()
    assert len(axes.collections) == 2, "what stands out is marked"
    assert len(axes.figure.axes) == 2, "zero points are beside offsets"
    nothing = Checked(Path(), "detections", "x", 0, checked(*scene).table.slice(FAR), [])
    with pytest.raises(UsageError, match="no image could be compared with x"):
        nothing.plot()
