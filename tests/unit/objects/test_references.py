"""References: the same stars from every format, moved to the epoch of an image, and offsets tied to them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from standins.reference import EPOCH, MJD, SKY, catalog, hats
from standins.survey import Exposure, Sky, Survey

from skyfan.catalogs import export, healpix
from skyfan.catalogs.schema import new_field
from skyfan.errors import InputError, UsageError
from skyfan.objects import inputs, match, offsets
from skyfan.objects.groups import ARCSEC
from skyfan.objects.match import Settings
from skyfan.objects.references import Reference, Source
from skyfan.sky import footprints
from skyfan.workers import Here

WHOLE = np.array([[0, 12 << 58]], np.int64)


def written(table: pa.Table, folder: Path, suffix: str) -> Path:
    path = folder / f"stars.{suffix}"
    export.write(table, path)
    return path


def stars(count: int = 400) -> tuple[np.ndarray, pa.Table]:
    rng = np.random.default_rng(5)
    xy = rng.uniform(-45, 45, (count, 2))
    return xy, catalog(xy, rng.normal((3.0, -5.0), 2.0, (count, 2)), rng.uniform(19, 22, count))


WRITERS: dict[str, Callable[[pa.Table, Path], Path]] = {
    **{suffix: lambda table, folder, end=suffix: written(table, folder, end)
       for suffix in ("csv", "ecsv", "fits", "parquet", "vot")},
    "hats": hats,
    "collection": lambda table, folder: hats(table, folder, collection=True),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_same_stars_at_the_time_of_an_image(kind: str, tmp_path: Path) -> None:
    xy, table = stars(60)
    source = Source(str(WRITERS[kind](table, tmp_path)))
    found = source.read(WHOLE, ["phot_g_mean_mag"])
    assert found.notes == []
    assert len(found.key) == len(xy)
    xyz, error = found.at(np.arange(len(xy)), EPOCH - 12)
    true = footprints.vectors(*SKY.degrees(xy))
    nearest = np.sqrt(((xyz[:, None] - true[None]) ** 2).sum(axis=2)) / ARCSEC
    assert nearest.min(axis=1).max() < 2e-5
    assert error == pytest.approx(0.0005)
    assert np.sort(found.magnitudes["phot_g_mean_mag"]) == pytest.approx(
        np.sort(table["phot_g_mean_mag"].to_numpy())
    )
    ra, dec = SKY.degrees(xy[:1])
    few = source.read(healpix.circle(float(ra[0]), float(dec[0]), 10 / 3600))
    assert 0 < len(few.key) < len(xy) / 2
    assert np.isin(few.key, found.key).all()


def test_what_a_reference_does_not_have_is_said(tmp_path: Path) -> None:
    _, table = stars(20)
    motion = table["pmra"].to_numpy().copy()
    motion[3] = np.nan
    unknown = table.set_column(4, table.schema.field("pmra"), pa.array(motion))

    def notes(each: pa.Table) -> list[str]:
        return Source(str(written(each, tmp_path, "parquet"))).read(WHOLE).notes

    assert notes(unknown) == ["1 star of 20 without a proper motion: not used"]
    assert "no proper motions" in notes(table.drop_columns(["pmra"]))[0]
    assert "no epochs" in notes(table.drop_columns(["ref_epoch"]))[0]
    assert "20 stars without an error" in notes(table.drop_columns(["ra_error"]))[0]


def test_what_is_no_reference_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, table = stars(5)
    (tmp_path / "no.csv").write_text("x,y\n1,2\n")
    with pytest.raises(UsageError, match="no column of ra and dec"):
        Source(str(tmp_path / "no.csv"))
    with pytest.raises(UsageError, match="is no reference: name gaia, ps1"):
        Source("giai")
    with pytest.raises(UsageError, match="is no HATS catalog"):
        Source(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gaia").mkdir()
    with pytest.raises(UsageError, match=r"Gaia DR3, and a file here: write \./gaia"):
        Source("gaia")
    (tmp_path / "damaged.fits").write_bytes(b"SIMPLE  = nothing")
    with pytest.raises(InputError, match=r"damaged\.fits cannot be read as a table"):
        Source(str(tmp_path / "damaged.fits"))
    wrong = new_field("ra", pa.float64(), "hourangle", "pos.eq.ra;meta.main", "")
    path = written(table.set_column(0, wrong, table["ra"]), tmp_path, "parquet")
    with pytest.raises(UsageError, match="the unit hourangle"):
        Source(str(path)).read(WHOLE)


def survey(xy: np.ndarray, folder: Path) -> tuple[Path, list[Exposure]]:
    """Five images on the stars of the reference, and one far from it."""
    rng = np.random.default_rng(6)
    made, exposures = Survey(), []
    far = Sky(200.0, -40.0)
    for number in range(6):
        sky = far if number == 5 else SKY
        one = Exposure(
            f"s3://archive/j{number}_flc.fits",
            sky,
            rng.uniform(-12, 12, 2),
            "F606W",
            MJD + 0.1 * number,
            25.5,
        )
        one.size, one.offset, one.turn = 60.0, np.array([0.8, -0.6]) + rng.normal(0, 0.2, 2), 2e-5
        one.more = {"gaia": "yes"} if number == 0 else {}
        seen = xy[one.covers(xy)]
        snr = np.full(len(seen), 40.0)
        place = seen + rng.normal(0, 0.001, seen.shape)
        made.add(one, place, np.full(len(seen), 21.0), snr)
        exposures.append(one)
    return made.write(folder), exposures


def test_offsets_are_tied_to_a_reference(tmp_path: Path) -> None:
    xy, table = stars()
    data, exposures = survey(xy, tmp_path / "set")
    path = hats(table, tmp_path / "reference", collection=True)
    settings = Settings(reference=str(path))
    done = match.match([inputs.open_input(data, "set")], tmp_path / "objects", settings, Here())
    assert done.tied == {"not tied": 1, "tied": 5}
    assert done.offsets == {"alone": 1, "tied": 5}
    assert any("1 image not tied" in doubt for doubt in done.doubts)
    rows = done.image_table().to_pylist()
    for row, one in zip(rows[:5], exposures, strict=False):
        # Its header is 0.8 arcsec off on average: nothing but the reference can know that.
        wrong = np.array([row["offset_east"], row["offset_north"]]) + one.offset * 1000
        assert np.hypot(*wrong) < 1.5
        assert (row["reference_state"], row["offset_state"]) == ("tied", "tied")
        assert row["reference_stars"] > 100
        assert 0.5 < row["reference_scatter"] < 3
        assert np.hypot(row["reference_east"], row["reference_north"]) < 1
    assert (rows[5]["reference_state"], rows[5]["reference_stars"]) == ("not tied", 0)
    again = match.match([inputs.open_input(data, "set")], tmp_path / "objects", settings, Here())
    assert not again.is_new
    (path / "gaia/hats.properties").write_text("changed=yes\n" + (path / "gaia/hats.properties").read_text())
    assert match.match([inputs.open_input(data, "set")], tmp_path / "objects", settings, Here()).is_new


def test_an_image_without_stars_of_the_reference_is_tied_by_overlaps() -> None:
    centre = footprints.vectors(*SKY.degrees(np.array([[0.0, 0], [10, 0], [500, 0]])))
    from skyfan.objects.overlaps import Overlaps

    def made(vectors: list[Any], numbers: list[int]) -> Overlaps:
        matrix = np.stack([np.eye(3) * 1e6 * (n > 0) for n in numbers])
        vector = np.einsum("nij,nj->ni", matrix, np.array(vectors, float))
        return Overlaps(matrix, vector, np.array(numbers), np.zeros(len(numbers)))

    pairs = np.array([[0, 1]])
    free = np.full(3, np.inf)
    ties = made([[0.5, 0.2, 0], [0, 0, 0], [0, 0, 0]], [50, 0, 0])
    solved = offsets.solve(centre, pairs, made([[0.1, 0, 0]], [40]), free, ties)
    assert solved.is_anchored.tolist() == [True, True, False]
    assert solved.stars.tolist() == [50, 0, 0]
    assert solved.group.tolist() == [solved.group[0], solved.group[0], -1]
    np.testing.assert_allclose(solved.vector, [[0.5, 0.2, 0], [0.4, 0.2, 0], [0, 0, 0]], atol=1e-4)


def test_a_reference_without_stars_in_reach() -> None:
    nothing = Reference(np.empty(0, np.int64), np.empty(0, [("ra", "<f8")]), {})
    assert len(nothing.near(10.0, 20.0, 0.1)) == 0
