"""Catalogs that are not those that their run made: of other settings, of another image, with other bytes."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from standins import catalogs

from skyfan.catalogs import check
from skyfan.catalogs.collect import collect
from skyfan.errors import UsageError
from skyfan.runs import local_receipts
from skyfan.storage import uris
from skyfan.storage.place import Place


def uri(number: int) -> str:
    return f"s3://archive/{number}_flt.fits"


def made(number: int, **more: object) -> bytes:
    return catalogs.catalog(uri(number), [10.0 + i / 100 for i in range(5)], [5.0] * 5, **more)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with three catalogs."""
    folder = catalogs.run_folder(tmp_path)
    for number in range(3):
        catalogs.put(folder, uri(number), made(number))
    return folder


def damaged(run: Path) -> dict[str, str]:
    """What is damaged, which collect() leaves out too."""
    found = check.damaged(Place.at(run.parents[1]), "default")
    done = collect(Place.at(run.parents[1]), "default", run / "collected")
    assert {f"{key}.cat.fits": why for key, why in found.items()} == done.damaged
    assert done.images == 3 - len(found)
    return found


def settings(run: Path, **config: object) -> None:
    (run / "run.json").write_text(json.dumps({**catalogs.RUN, "config": config}))


def test_catalogs_as_the_run_made_them_are_whole(run: Path) -> None:
    assert damaged(run) == {}
    settings(run, detect_thresh=None, phot_apertures=[0.3, 0.5, 0.8, 1.5], back_size=64)  # the defaults
    assert damaged(run) == {}


def test_a_setting_that_the_run_does_not_have_is_named(run: Path) -> None:
    catalogs.put(run, uri(1), made(1, apertures=[0.7]))
    assert damaged(run) == {
        "archive/1_flt.fits": "its settings are not those of the run: "
        "phot_apertures is [0.7] instead of its default"
    }


def test_a_setting_of_the_run_that_a_catalog_lacks_is_named(run: Path) -> None:
    settings(run, phot_apertures=[0.7])
    catalogs.put(run, uri(0), made(0, apertures=[0.7]))
    assert set(damaged(run)) == {"archive/1_flt.fits", "archive/2_flt.fits"}


def test_of_catalogs_that_do_not_name_their_changes_the_first_decides(run: Path) -> None:
    """Those of earlier versions."""
    for number in range(3):
        body = made(number, apertures=[0.7] if number == 2 else None)
        at = body.index(b"CONFSET =")
        catalogs.put(run, uri(number), body[:at] + b"COMMENT  " + body[at + 9 :])
    (reason,) = damaged(run).values()
    assert "CONFHASH" in reason


@pytest.mark.parametrize("name", ["3 ü%", "a%20b", "a b", "x'&#?", "%25", "名", "long/" * 60 + "x"])
def test_an_image_of_any_name_is_its_own(tmp_path: Path, name: str) -> None:
    folder = catalogs.run_folder(tmp_path)
    for image in (f"s3://archive/{name}.fits", (tmp_path / f"{name[:99]}.fits").as_uri()):
        catalogs.put(folder, image, catalogs.catalog(image, [10.0], [5.0]))
    assert check.damaged(Place.at(tmp_path), "default") == {}
    done = collect(Place.at(tmp_path), "default", folder / "collected")
    images = pq.read_table(folder / "collected" / "images.parquet")["uri"].to_pylist()
    assert (done.images, f"s3://archive/{name}.fits" in images) == (2, True)


def test_a_name_that_is_escaped_like_another_is_another(run: Path) -> None:
    for name, other in (("a b", "a%20b"), ("a%20b", "a b")):
        image = f"s3://archive/{name}.fits"
        catalogs.put(run, image, catalogs.catalog(f"s3://archive/{other}.fits", [10.0], [5.0]))
    assert set(check.damaged(Place.at(run.parents[1]), "default")) >= {"archive/a b.fits"}


def test_a_catalog_of_another_image_is_named(run: Path) -> None:
    catalogs.put(run, uri(1), made(7))
    assert damaged(run) == {"archive/1_flt.fits": f"it is of another image, {uri(7)}"}


def test_a_byte_that_differs_from_the_receipt_is_damage(run: Path) -> None:
    path = catalogs.path(run, uri(1))
    receipt = local_receipts.of_file(path, None)
    (run / local_receipts.FILE).write_text(receipt.line(uris.key(uri(1))))
    assert damaged(run) == {}
    body = path.read_bytes()
    at = body.index(b"ZEROPT1") + 28
    path.write_bytes(body[:at] + b"9" + body[at + 1 :])
    assert list(damaged(run)) == ["archive/1_flt.fits"]


def test_a_catalog_that_is_listed_and_cannot_be_read_is_damaged(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = Place.get
    monkeypatch.setattr(Place, "get", lambda place, key: None if "/1_flt" in key else get(place, key))
    assert damaged(run) == {"archive/1_flt.fits": check.NOTHING_THERE}
    monkeypatch.setattr(Place, "get", lambda place, key: None if ".cat." in key else get(place, key))
    with pytest.raises(UsageError, match=check.NOTHING_THERE):
        collect(Place.at(run.parents[1]), "default", run / "other")


def test_catalogs_that_are_deleted_while_they_are_read_are_not_there(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = Place.get

    def deleted(place: Place, key: str) -> bytes | None:
        if ".cat." in key:
            Path(place.name, key).unlink()
        return get(place, key)

    monkeypatch.setattr(Place, "get", deleted)
    with pytest.raises(UsageError, match="were deleted while they were read"):
        collect(Place.at(run.parents[1]), "default", run / "collected")
    assert not (run / "collected").exists()
