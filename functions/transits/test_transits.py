"""Transits as Lambda calls it: an event in, a result or a failure record out."""

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from transits.handler import handler


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where template.yaml sends results and failures, here below a folder of the test's own."""
    run = f"file://{tmp_path}/runs/{{run}}"
    monkeypatch.setenv("SKYFAN_OUTPUT", f"{run}/transits/{{key}}.json")
    monkeypatch.setenv("SKYFAN_FAILURES", f"{run}/failures/{{key}}.json")


def test_the_result_describes_each_image(tmp_path: Path) -> None:
    image = tmp_path / "image.fits"
    pixels = np.array([[1, 2, 3], [4, 5, np.nan]], "f4")
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(pixels, name="SCI")]).writeto(image)
    answer = handler({"input": image.as_uri(), "run": "test"}, None)
    assert answer["images"] == [
        {"name": "SCI", "shape": [2, 3], "finite": 5, "median": 3.0, "deviation": pytest.approx(2**0.5)}
    ]
    result = Path(answer["output"].removeprefix("file://"))
    assert result.is_relative_to(tmp_path / "runs/test/transits")
    assert json.loads(result.read_text())["images"] == answer["images"]


def test_a_file_that_is_not_fits_is_a_failure_with_a_record(tmp_path: Path) -> None:
    (tmp_path / "image.fits").write_text("no stars here")
    answer = handler({"input": (tmp_path / "image.fits").as_uri(), "run": "test"}, None)
    assert answer["errorType"] == "NotFitsError"
    assert Path(answer["record"].removeprefix("file://")).is_relative_to(tmp_path / "runs/test/failures")
