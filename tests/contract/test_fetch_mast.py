"""skyfan fetch of what is not in the cloud: MAST sends it, with ranges or without."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from standins.mast import Mast
from standins.sky import Sky

from skyfan.api import fetch
from skyfan.cli import main
from skyfan.fetch import source
from skyfan.plans import plan as plans

OWN = "mast:HST/product/only_mast.fits"
BODY = bytes(range(256)) * 40_000


@pytest.fixture
def mast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mast]:
    with Mast(Sky(3)) as mast:
        for name, value in mast.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr(source, "_FIRST_S", 0.001)
        mast.entries[OWN] = [{"status_code": 404, "path": None}] * 9
        mast.downloads[OWN] = BODY
        yield mast


def test_without_the_option_the_file_is_listed_as_not_in_the_cloud(mast: Mast, tmp_path: Path) -> None:
    result = fetch(OWN, tmp_path / "to")
    assert result.counts == {"not fetched": 1}
    assert "--mast" in result.files[0].reason
    assert not result.is_complete


@pytest.mark.parametrize("sends_ranges", [True, False])
def test_a_broken_download_continues_or_starts_again(mast: Mast, tmp_path: Path, sends_ranges: bool) -> None:
    mast.sends_ranges, mast.breaks = sends_ranges, 1
    result = fetch(OWN, tmp_path / "to", mast=True)
    assert result.counts == {"fetched": 1}, result.files
    assert (tmp_path / "to/only_mast.fits").read_bytes() == BODY
    if sends_ranges:
        assert mast.counts["download bytes"] < len(BODY) * 1.3
    assert fetch(OWN, tmp_path / "to", mast=True).counts == {"unchanged": 1}


def test_a_private_file_needs_the_token_which_is_never_printed(
    mast: Mast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mast.private[OWN] = "s3cret-token"
    words = ["fetch", OWN, "--mast", "--to", str(tmp_path / "to")]
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 1
    assert "MAST_API_TOKEN" in refused.output
    monkeypatch.setenv("MAST_API_TOKEN", "another-t0ken")
    wrong = CliRunner().invoke(main, words)
    assert wrong.exit_code == 1
    assert "another-t0ken" not in wrong.output
    monkeypatch.setenv("MAST_API_TOKEN", "s3cret-token")
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "s3cret" not in done.output
    assert b"s3cret" not in (tmp_path / "to/manifest.jsonl").read_bytes()


def test_the_rows_of_a_plan_are_fetched_listed_or_left_out(mast: Mast, tmp_path: Path) -> None:
    mast.objects["hst/public/a.fits"] = b"a" * 3000
    rows = [
        {"uri": "s3://stpubdata/hst/public/a.fits", "size": 3000, "dataURI": "mast:HST/product/a.fits"},
        {"dropped": "not in the cloud", "dataURI": OWN},
        {"dropped": "proprietary", "dataURI": "mast:HST/product/b.fits"},
        {"dropped": "unresolved", "detail": "a 500", "dataURI": "mast:HST/product/c.fits"},
        {"dropped": "duplicate", "dataURI": "mast:HST/product/a.fits"},
    ]
    table = pa.Table.from_pylist(rows, schema=plans.SCHEMA)
    plan = plans.write(tmp_path / "plan.parquet", table, {})
    result = fetch(plan, tmp_path / "to")
    assert result.counts == {"fetched": 1, "not fetched": 3}
    assert result.unwanted == {"duplicate": 1}
    assert any("a 500" in file.reason for file in result.files)
    more = fetch(str(tmp_path / "plan.parquet"), tmp_path / "to", mast=True)
    assert more.counts == {"fetched": 1, "unchanged": 1, "failed": 1, "not fetched": 1}
    assert (tmp_path / "to/only_mast.fits").read_bytes() == BODY
