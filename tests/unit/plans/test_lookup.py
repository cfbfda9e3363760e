"""What an answer of path_lookup says of each file, and what says nothing."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from skyfan.plans import lookup
from skyfan.plans.cache import Cache
from skyfan.plans.limits import ArchiveLimits

URI = "mast:HST/product/a_drz.fits"


@pytest.mark.parametrize(
    "entry", [{"status_code": 500, "path": None}, {"status_code": 200}, {"path": None}, {}, None, "x", 7]
)
def test_only_404_says_that_there_is_no_file(entry: Any) -> None:
    assert lookup._keys({URI: {"status_code": 404, "path": None}}, [URI]) == ({URI: None}, {})
    keys, errors = lookup._keys({URI: entry}, [URI])
    assert keys == {}
    assert "path_lookup answered" in errors[URI]


def test_a_file_that_is_left_out_has_no_answer() -> None:
    assert lookup._keys({}, [URI]) == ({}, {URI: "path_lookup answered nothing for this file"})
    with pytest.raises(ValueError, match="down"):
        lookup._keys(["down"], [URI])


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/hst/public/jbev/jbeveo010/jbeveo010_drz.fits", "hst/public/jbev/jbeveo010/jbeveo010_drz.fits"),
        ("/hlsp_local/public/hlsp/qlp/a.fits", "mast/hlsp/qlp/a.fits"),
        ("/mast/hlsp/qlp/a.fits", "mast/hlsp/qlp/a.fits"),
        ("/ps1/v1/a.fits", "panstarrs/ps1/public/v1/a.fits"),
        ("/panstarrs/ps1/public/v1/a.fits", "panstarrs/ps1/public/v1/a.fits"),
        ("/mast/galex/a.fits", "galex/a.fits"),
        ("/galex/a.fits", "galex/a.fits"),
    ],
)
def test_the_key_is_that_of_the_bucket(path: str, key: str) -> None:
    assert lookup._keys({URI: {"status_code": 200, "path": path}}, [URI]) == ({URI: key}, {})


def test_what_mast_does_not_know_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    async def answer(
        _session: object, chunk: list[str], _limits: object
    ) -> tuple[dict[str, str | None], dict[str, str]]:
        asked.append(chunk)
        return {uri: None if "new" in uri else f"hst/{uri}" for uri in chunk}, {}

    monkeypatch.setattr(lookup, "_request", answer)
    with Cache(tmp_path) as cache:
        for _ in range(2):
            keys, errors = asyncio.run(lookup.paths(["old", "new"], ArchiveLimits(), cache))
            assert (keys, errors) == ({"old": "hst/old", "new": None}, {})
    assert asked == [["old", "new"], ["new"]]
