"""PATHS of a command, expanded to URIs."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from skyfan import inputs
from skyfan.errors import InputError, UsageError
from skyfan.storage import uris


@pytest.fixture
def sky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of files with the names that archives use, made the working folder."""
    for name in (
        "b.fits",
        "a.FITS",
        "c.fit",
        "d.fits.gz",
        "e.fits.fz",
        "f.fz",
        "notes.txt",
        "deep/er/g.fits",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(uris_: list[str], folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for uri in uris_ if (path := uris.local_path(uri))]


def test_a_folder_gives_all_fits_files_below_it_in_order(sky: Path) -> None:
    found = names(inputs.expand([str(sky)]), sky)
    assert found == ["a.FITS", "b.fits", "c.fit", "d.fits.gz", "e.fits.fz", "f.fz", "deep/er/g.fits"]


def test_a_file_that_is_named_is_an_input_whatever_its_suffix(sky: Path) -> None:
    assert names(inputs.expand(["notes.txt"]), sky) == ["notes.txt"]


def test_duplicates_are_removed_and_the_order_kept(sky: Path) -> None:
    found = inputs.expand(
        ["b.fits", "./b.fits", str(sky / "deep/../b.fits"), "*.fits", "a.FITS", uris.from_path("b.fits")]
    )
    assert names(found, sky) == ["b.fits", "a.FITS"]


def test_patterns(sky: Path) -> None:
    assert names(inputs.expand(["?.fit*"]), sky) == ["b.fits", "c.fit", "d.fits.gz", "e.fits.fz"]
    assert names(inputs.expand(["**/g.fits"]), sky) == ["deep/er/g.fits"]
    assert "deep/er/g.fits" in names(inputs.expand(["**"]), sky)


def test_a_name_with_the_letters_of_a_pattern_is_a_name(sky: Path) -> None:
    (sky / "m[31].fits").touch()
    (sky / "m3.fits").touch()
    assert names(inputs.expand(["m[31].fits"]), sky) == ["m[31].fits"]


def test_names_with_spaces_and_percent_signs_survive(sky: Path) -> None:
    path = sky / "50% of M 31 é#?.fits"
    path.touch()
    (uri,) = inputs.expand([str(path)])
    assert " " not in uri
    assert uris.local_path(uri) == path
    assert uris.key(uri) == str(path)[1:]


def test_a_list_may_hold_anything_and_a_missing_file_fails_alone(sky: Path) -> None:
    (sky / "list.txt").write_text(
        "# chosen\n\n  b.fits  \ns3://stpubdata/hst/x.fits\nmissing.fits\ndeep\n*.fit\n"
    )
    found = inputs.expand(["@list.txt"])
    assert found[1] == "s3://stpubdata/hst/x.fits"
    assert names(found, sky) == ["b.fits", "missing.fits", "deep/er/g.fits", "c.fit"]


def test_a_list_on_standard_input(sky: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("b.fits\n"))
    assert names(inputs.expand(["-"]), sky) == ["b.fits"]


def test_an_s3_object_is_not_looked_up() -> None:
    uri = "s3://stpubdata/hst/public/ibg7/ibg705080/ibg705081_drz.fits"
    assert inputs.expand([uri]) == [uri]
    assert uris.key(uri) == "stpubdata/hst/public/ibg7/ibg705080/ibg705081_drz.fits"


def test_links_are_not_followed(sky: Path) -> None:
    (sky / "link.fits").symlink_to(sky / "b.fits")
    assert names(inputs.expand(["link.fits"]), sky) == ["link.fits"]


def test_folders_of_runs_are_not_searched(sky: Path) -> None:
    run, observed = sky / "out/runs/default", sky / "observed/runs/first/image.fits"
    for file in (run / "catalogs/b.fits.cat.fits", run / "run.json", observed):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    found = names(inputs.expand(["."]), sky)
    assert not [name for name in found if name.startswith("out")]
    assert "observed/runs/first/image.fits" in found, "a folder with that name alone"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nope.fits", "nope.fits"),
        ("*.nope", r"\*\.nope"),
        ("empty", r"empty: .*\.fits"),
        ("-", "standard input"),
        ("@nope.txt", "list nope.txt"),
        ("@empty.txt", "list empty.txt"),
        ("@b.bin", "b.bin.*utf-8"),
        ("https://example.org/x.fits", "https://example.org/x.fits"),
        ("file://relative.fits", "file://relative.fits"),
        ("s3://bucket/a//b.fits", "s3://bucket/a//b.fits"),
        ("s3://bucket/../b.fits", "s3://bucket/../b.fits"),
        ("s3:///b.fits", "s3:///b.fits"),
    ],
)
def test_a_path_without_an_input_is_named(
    sky: Path, path: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("# nothing\n"))
    (sky / "empty").mkdir()
    (sky / "empty.txt").write_text("# nothing\n")
    (sky / "b.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=words):
        inputs.expand([path])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_a_list_may_begin_with_a_byte_order_mark(sky: Path, encoding: str) -> None:
    (sky / "list.txt").write_text("b.fits\nc.fit\n", encoding=encoding)
    assert names(inputs.expand(["@list.txt"]), sky) == ["b.fits", "c.fit"]


def test_a_list_on_standard_input_may_begin_with_one(sky: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\ufeffb.fits\r\n"))
    assert names(inputs.expand(["-"]), sky) == ["b.fits"]


def test_patterns_match_objects(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys = ["a_ffic.fits", "a_ffir.fits", "1-1/b_ffic.fits", "c[1].fits", "c1.fits", "d.jpg"]
    listed: list[str] = []

    def listing(uri: str, access: str) -> list[str]:
        listed.append(uri)
        return [] if "empty" in uri else [f"s3://b/p/{key}" for key in keys]

    monkeypatch.setattr("skyfan.storage.listing.listing", listing)
    assert inputs.expand(["s3://b/p/*_ffic.fits"]) == ["s3://b/p/a_ffic.fits", "s3://b/p/1-1/b_ffic.fits"]
    assert inputs.expand(["s3://b/p/c[1].fits"]) == ["s3://b/p/c[1].fits"]
    assert inputs.expand(["s3://b/p/?[0-9].fits"]) == ["s3://b/p/c1.fits"]
    assert set(listed) == {"s3://b/p/"}
    for path in ("s3://b/empty/*.fits", "s3://b/empty/"):
        (tmp_path / "list.txt").write_text(path)
        for word in (path, f"@{tmp_path / 'list.txt'}"):
            with pytest.raises(InputError, match=re.escape(path)):
                inputs.expand([word])
    with pytest.raises(InputError, match="bucket"):
        inputs.expand(["s3://b*/a.fits"])


@pytest.mark.parametrize(
    ("table", "paths"),
    [
        (pa.table({"uri": ["a", "b"], "dropped": [True, False]}), ["b"]),
        (pa.table({"uri": ["a", None, "c"], "dropped": [None, "missing", ""]}), ["a", "c"]),
        (pa.table({"uri": pa.array(["a", "b"]).dictionary_encode()}), ["a", "b"]),
        (pa.array(["a", "b"]), ["a", "b"]),
        (np.array(["a", "b"]), ["a", "b"]),
        ((name for name in "ab"), ["a", "b"]),
    ],
)
def test_tables_and_arrays_are_lists_of_paths(table: Any, paths: list[str]) -> None:
    assert inputs.as_paths(table) == paths


@pytest.mark.parametrize(
    "value",
    [
        pa.table({"uri": [1, 2]}),
        pa.table({"uri": [b"a"]}),
        pa.table({"uri": ["a", None]}),
        pa.table({"uri": ["a", ""]}),
        pa.table({"uri": [["a"]]}),
        pa.table({"uri": ["a"], "dropped": [1]}),
        pa.table([["a"], ["b"]], names=["uri", "uri"]),
        np.array("a"),
        np.array([["a"]]),
        b"a",
        {"uri": ["a"]},
        [["a"]],
        [""],
        "",
        None,
    ],
)
def test_what_is_no_path_is_refused_and_never_left_out(value: Any) -> None:
    with pytest.raises(UsageError, match=r"no path|one column|must be a reason"):
        inputs.as_paths(value)


def test_two_inputs_whose_results_would_have_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    path.touch()
    alike = f"s3:/{path}"
    with pytest.raises(InputError, match="would have the name of that of"):
        inputs.expand([str(path), alike])
    assert len(inputs.expand([str(path), alike], checked=False)) == 2
