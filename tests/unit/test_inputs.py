"""Paths as people type them, to URIs."""

import io
from pathlib import Path

import pytest

from skyfan import inputs, uris
from skyfan.errors import InputError


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


def test_a_file_is_taken_whatever_its_name(sky: Path) -> None:
    assert names(inputs.expand(["notes.txt"]), sky) == ["notes.txt"]


def test_each_file_once_in_the_order_given(sky: Path) -> None:
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


def test_an_object_is_taken_as_it_is() -> None:
    uri = "s3://stpubdata/hst/public/ibg7/ibg705080/ibg705081_drz.fits"
    assert inputs.expand([uri]) == [uri]
    assert uris.key(uri) == "stpubdata/hst/public/ibg7/ibg705080/ibg705081_drz.fits"


def test_links_keep_their_own_name(sky: Path) -> None:
    (sky / "link.fits").symlink_to(sky / "b.fits")
    assert names(inputs.expand(["link.fits"]), sky) == ["link.fits"]


def test_catalogs_of_earlier_runs_are_no_inputs(sky: Path) -> None:
    catalog = sky / "out/runs/default/catalogs/b.fits.cat.fits"
    catalog.parent.mkdir(parents=True)
    catalog.touch()
    assert "out" not in " ".join(names(inputs.expand(["."], skip=Path("out/runs")), sky))


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("nope.fits", "nope.fits does not exist"),
        ("*.nope", "nothing matches"),
        ("empty", "no FITS file in empty"),
        ("@nope.txt", "the list nope.txt does not exist"),
        ("@empty.txt", "the list empty.txt is empty"),
        ("@b.bin", "cannot be read"),
        ("https://example.org/x.fits", "only s3:// and file:// URIs and local paths"),
        ("file://relative.fits", "not file:///absolute/path"),
        ("s3://bucket/a//b.fits", "empty, '.' or '..' part"),
        ("s3://bucket/../b.fits", "empty, '.' or '..' part"),
        ("s3:///b.fits", "not s3://bucket/key"),
    ],
)
def test_what_cannot_be_an_input_is_told(sky: Path, path: str, told: str) -> None:
    (sky / "empty").mkdir()
    (sky / "empty.txt").write_text("# nothing\n")
    (sky / "b.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=told):
        inputs.expand([path])


def test_keys_and_results_mirror_each_other() -> None:
    template = "s3://some-bucket/runs/{run}/catalogs/{key}.cat.fits"
    output = Path("/data/out put {key}")
    assert (
        uris.localise(template, output)
        == "file:///data/out%20put%20%7Bkey%7D/runs/{run}/catalogs/{key}.cat.fits"
    )
    path = uris.result_path(template, output, "r1", uris.key("file:///sky/m%2031.fits"))
    assert path == output / "runs/r1/catalogs/sky/m 31.fits.cat.fits"
