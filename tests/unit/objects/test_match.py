"""From data sets to objects: the same for every division of the sky, with limits, doubts and repeats."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from standins.survey import Exposure, Sky, Survey

from skyfan.catalogs import dataset
from skyfan.errors import UsageError
from skyfan.objects import inputs, match, plan
from skyfan.objects.match import Settings
from skyfan.objects.matched import Matched
from skyfan.workers import Here, Processes

PLACES = [(0.0, 0.0), (45.0, 41.8103149), (359.999, -72.0), (123.0, 89.9999)]
"""The second is a corner of four base pixels of HEALPix."""


def survey(sky: Sky, seed: int = 0, images: int = 6, **more: dict[str, Any]) -> Survey:
    """A dense little field, seen by images in two filters; `more` has values for the rows of images."""
    rng = np.random.default_rng(seed)
    stars, mags = rng.uniform(-30, 30, (600, 2)), rng.uniform(20, 24.5, 600)
    made = Survey()
    for number in range(images):
        uri = f"s3://archive/j{number}_flc.fits"
        one = Exposure(
            uri,
            sky,
            rng.uniform(-8, 8, 2),
            f"F{606 + 208 * (number % 2)}W",
            55000.0 + number,
            25.5,
            size=52.0,
        )
        one.offset, one.turn, one.more = rng.normal(0, 0.2, 2), rng.normal(0, 5e-5), more.get(uri, {})
        rows = np.flatnonzero(one.covers(stars) & (rng.random(len(stars)) < 0.95))
        snr = 5 * 10 ** (0.4 * (25.5 - mags[rows]))
        xy = stars[rows] + rng.normal(0, 0.04 / snr[:, None], (len(rows), 2))
        made.add(one, xy, mags[rows] + rng.normal(0, 1.09 / snr), snr)
    return made


def run(sets: list[Path], folder: Path, workers: Any = None, **values: Any) -> Matched:
    data_sets = [inputs.open_input(each, each.name) for each in sets]
    return match.match(data_sets, folder, Settings(**values), workers or Here())


def contents(done: Matched) -> list[pa.Table]:
    tables = [done._table(), done.link_table(), done.image_table()]
    return [table.combine_chunks().replace_schema_metadata() for table in tables]


@pytest.mark.slow
@settings(deadline=None, max_examples=4, phases=[Phase.explicit, Phase.generate])
@given(st.sampled_from(PLACES), st.integers(0, 1000), st.integers(1, 500), st.integers(20, 1000))
def test_every_division_of_the_sky_gives_the_same_objects(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[float, float], seed: int, limit: int, rows: int
) -> None:
    folder = tmp_path_factory.mktemp("match")
    whole = survey(Sky(*place), seed).write(folder / "whole")
    parts = survey(Sky(*place), seed).write(folder / "parts", limit=rows)
    first = run([whole], folder / "a")
    second = run([parts], folder / "b", limit=limit)
    for a, b in zip(contents(first), contents(second), strict=True):
        columns = [name for name in a.column_names if name != "run"]
        assert a.select(columns).equals(b.select(columns))
    assert second.objects == first.objects > 500
    assert second.partitions >= first.partitions


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return survey(Sky(150.0, 2.0)).write(tmp_path_factory.mktemp("whole") / "set", limit=200)


@pytest.mark.slow
def test_processes_give_the_same_and_a_second_call_has_nothing_to_do(whole: Path, tmp_path: Path) -> None:
    here = run([whole], tmp_path / "here", limit=300)
    processes = Processes(2)
    try:
        there = run([whole], tmp_path / "there", processes, limit=300)
    finally:
        processes.close()
    for path in sorted(here.folder.rglob("*.parquet")):
        assert path.read_bytes() == (there.folder / path.relative_to(here.folder)).read_bytes()
    assert here.partitions > 1
    again = run([whole], tmp_path / "here", limit=300)
    assert not again.is_new
    assert here.is_new
    assert again.objects == here.objects
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "there"], "nothing else remains"
    assert run([whole], tmp_path / "here", limit=400).is_new


def test_an_interrupted_match_goes_on(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run([whole], tmp_path / "expected", limit=100)
    calls: list[Any] = []
    tile = plan.match_tile

    def interrupted(*call: Any) -> Any:
        calls.append(call)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return tile(*call)

    monkeypatch.setattr(plan, "match_tile", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run([whole], tmp_path / "objects", limit=100)
    assert not (tmp_path / "objects").exists()
    monkeypatch.setattr(plan, "find_stars", None)  # the offsets are kept
    done = run([whole], tmp_path / "objects", limit=100)
    every = len({call[2] for call in calls})
    assert len(calls) == every + 1, "only the interrupted tile is matched twice"
    for a, b in zip(contents(expected), contents(done), strict=True):
        assert a.equals(b)


def test_what_is_in_the_tables(whole: Path, tmp_path: Path) -> None:
    done = run([whole], tmp_path / "objects")
    objects, links = done._table(), done.link_table()
    ids, number = objects["OBJECT_ID"].to_numpy(), objects["N_DET"].to_numpy()
    assert len(np.unique(ids)) == len(ids) == done.objects
    assert number.sum() == len(links) == done.links
    assert len(np.unique(links["SOURCE_ID"])) == len(links)
    order = np.lexsort(
        (links["SOURCE_ID"].to_numpy(), links["MJD"].to_numpy(), links["OBJECT_ID"].to_numpy())
    )
    owner, first = np.unique(links["OBJECT_ID"].to_numpy()[order], return_index=True)
    assert np.array_equal(links["SOURCE_ID"].to_numpy()[order][first], owner), (
        "named after the earliest detection"
    )
    assert done.bands == ["ACS_WFC_F606W", "ACS_WFC_F814W"]
    covered = [objects[f"N_COVER_{band}"].to_numpy() for band in done.bands]
    seen = [objects[f"N_{band}"].to_numpy() for band in done.bands]
    assert np.array_equal(sum(covered), objects["N_COVER"].to_numpy())
    for band, cover, see in zip(done.bands, covered, seen, strict=True):
        limit = objects[f"LIMIT_{band}"].to_numpy(zero_copy_only=False)
        assert np.array_equal(np.isfinite(limit), cover > see)
        assert set(limit[np.isfinite(limit)].tolist()) <= {25.5}
        assert objects[f"MAG_{band}"].null_count == (see == 0).sum()
        assert objects.schema.field(f"MAG_{band}").metadata[b"unit"] == b"mag"
    assert max(links["SEPARATION"].to_pylist()) < 75


def test_doubtful_repeated_and_unknown_images_are_told_apart(tmp_path: Path) -> None:
    name = "s3://archive/j{}_flc.fits"
    changed = {
        name.format(1): {"doubts": "MASKED"},
        name.format(2): {"s_region": None},
        name.format(3): {"filter": "", "rootname": "", "t_min": None},
    }
    sky = Sky(150.0, 2.0)
    a = survey(sky, **changed).write(tmp_path / "a")
    b = survey(sky, images=1).write(tmp_path / "b")
    done = run([a, b], tmp_path / "objects")
    assert done.images == {"doubtful": 1, "no sky": 1, "repeated": 1, "used": 4}
    assert (done.unknown_bands, done.unidentified) == (["ACS_WFC_UNKNOWN"], 1)
    rows = {(row["run"], row["uri"]): row for row in done.image_table().to_pylist()}
    assert rows["b", name.format(0)]["match_kept"] == name.format(0)
    assert rows["b", name.format(0)]["match_state"] == "repeated"
    assert rows["a", name.format(1)]["offset_state"] is None
    images = set(done.link_table()["IMAGE"].to_pylist())
    assert images == {name.format(n) for n in (0, 3, 4, 5)}
    more = run([a, b], tmp_path / "objects", doubtful=True)
    assert more.images == {"no sky": 1, "repeated": 1, "used": 5}
    assert more.is_new


def test_what_cannot_be_matched_is_refused_by_name(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is MAG_AUTO meant"):
        run([whole], tmp_path / "objects", magnitude="MAG_AUT")
    with pytest.raises(UsageError, match="same data set"):
        run([whole, whole], tmp_path / "objects")
    with pytest.raises(UsageError, match="not objects"):
        run([whole], whole)
    with pytest.raises(UsageError, match="is not a data set"):
        inputs.open_input(tmp_path / "nothing", "nothing")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    with pytest.raises(UsageError, match="choose another folder"):
        run([whole], tmp_path / "other")


def changed_images(folder: Path, **values: Any) -> Path:
    """The data set with other values in its table of images."""
    table = pq.read_table(folder / "images.parquet")
    for name, value in values.items():
        at = table.column_names.index(name)
        column = pa.array([value] * len(table), table.schema.field(name).type)
        table = table.set_column(at, table.schema.field(name), column)
    pq.write_table(table, folder / "images.parquet")
    return folder


def test_runs_that_do_not_go_together_are_named(tmp_path: Path) -> None:
    a = survey(Sky(150.0, 2.0), images=1).write(tmp_path / "a")
    b = changed_images(survey(Sky(150.0, 2.0), 1, images=2).write(tmp_path / "b"), config="decaf")
    shutil.copytree(b, tmp_path / "c")
    done = run([a, b], tmp_path / "objects")
    assert done.settings == {"a": ["c0ffee"], "b": ["decaf"]}
    assert "the runs were made with different settings: a, b" in done.doubts
    schema = dataset.DataSet(b, {}).schema
    pq.write_metadata(schema.remove(schema.get_field_index("ERRX2WIN_WORLD")), b / "dataset/_common_metadata")
    with pytest.raises(UsageError, match="b has no column ERRX2WIN_WORLD"):
        run([a, b], tmp_path / "objects")
    # Other exposures whose sources have the ids of the first run's.
    first = int(pq.read_table(a / "images.parquet")["source_id"][0].as_py())
    clash = changed_images(tmp_path / "c", source_id=first, rootname="other", t_min=1.0, t_max=2.0)
    table = pq.read_table(clash / "images.parquet").slice(0, 1)
    pq.write_table(
        table.set_column(0, "uri", pa.array(["s3://archive/other.fits"])), clash / "images.parquet"
    )
    with pytest.raises(UsageError, match="SOURCE_IDs in common"):
        run([a, clash], tmp_path / "objects")


def test_a_match_that_was_interrupted_before_its_tiles_goes_on(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run([whole], tmp_path / "expected")

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    for stage in ("find_stars", "find_shifts"):
        with monkeypatch.context() as patch:
            patch.setattr(plan, stage, interrupted)
            with pytest.raises(KeyboardInterrupt):
                run([whole], tmp_path / "objects")
        assert not (tmp_path / "objects").exists()
    done = run([whole], tmp_path / "objects")
    for a, b in zip(contents(expected), contents(done), strict=True):
        assert a.equals(b)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expected", "objects"], "nothing else remains"
