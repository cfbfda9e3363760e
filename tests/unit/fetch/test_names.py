import pytest

from skyfan.errors import InputError, UsageError
from skyfan.fetch import limits, manifest, names


@pytest.mark.parametrize(
    "pair",
    [
        ("a_drz.fits", "A_DRZ.fits"),
        ("Sa\u0308ule.fits", "S\u00e4ule.FITS"),
        ("stra\u00dfe.fits", "STRASSE.fits"),
        ("folder/a", "folder"),
        ("Folder/a/b", "folder/A"),
    ],
)
def test_names_clash_that_some_file_system_takes_for_one(pair: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="--keep-paths"):
        names.check([(name, f"s3://b/{number}") for number, name in enumerate(pair)])


def test_one_source_may_come_twice_and_names_may_share_folders() -> None:
    names.check([("a/b", "s3://x"), ("a/b", "s3://x"), ("a/c", "s3://y")])


@pytest.mark.parametrize("name", [manifest.NAME, manifest.SUMS["md5"].lower()])
def test_no_file_takes_the_name_of_the_manifest(name: str) -> None:
    with pytest.raises(UsageError):
        names.check([(name, "s3://b/x")])


@pytest.mark.parametrize(
    "uri", ["s3://b/../x", "s3://b/a//x", "mast:HST/../x", "mast:", f"s3://b/{'x' * 256}"]
)
def test_names_that_leave_the_folder_are_refused(uri: str) -> None:
    with pytest.raises(InputError):
        names.of(uri, keep_paths=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a_drz.fits", "a_drz_X.fits"), ("a.FIT.gz", "a_X.FIT"), ("a.fits.fz", "a_X.fits"), ("a", "a_X.fits")],
)
def test_the_name_of_a_part_has_it_before_the_suffix(name: str, expected: str) -> None:
    assert names.selected(name, "X") == expected


@pytest.mark.parametrize(
    ("text", "count"),
    [("50GB", 50_000_000_000), ("1.5 TB", 1_500_000_000_000), ("20GiB", 20 << 30), ("7", 7)],
)
def test_sizes(text: str, count: int) -> None:
    assert limits.parse_size(text) == count


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1 PB", "1e3"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="50GB"):
        limits.parse_size(text)


def test_the_cost_says_who_pays_and_that_it_is_0_within_the_region() -> None:
    found = limits.egress(2_000_000_000, "requester-pays")
    assert found.usd == pytest.approx(0.18)
    assert "2,000,000,000 bytes" in found.text
    assert "0 USD within us-east-1" in found.text
    assert "paid by you" in found.text
    assert "paid by the archive" in limits.egress(1, "anonymous").text
