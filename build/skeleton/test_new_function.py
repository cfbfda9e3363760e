"""NewFunction as Lambda calls it: an event in, a result or a failure record out."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from new_function.handler import COLUMNS, handler
from skyfan_function.table import odd_words


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where template.yaml sends results and failures, here below a folder of the test's own."""
    run = f"file://{tmp_path}/runs/{{run}}"
    monkeypatch.setenv("SKYFAN_OUTPUT", f"{run}/new_function/{{key}}.cat.fits")
    monkeypatch.setenv("SKYFAN_FAILURES", f"{run}/failures/{{key}}.json")


def test_the_table_has_a_row_for_each_image(tmp_path: Path) -> None:
    image = tmp_path / "image.fits"
    pixels = np.array([[1, 2, 3], [4, 5, np.nan]], "f4")
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(pixels, name="SCI")]).writeto(image)
    answer = handler({"input": image.as_uri(), "run": "test"}, None)
    result = Path(answer["output"].removeprefix("file://"))
    assert result.is_relative_to(tmp_path / "runs/test/new_function")
    with fits.open(result) as hdus:
        (row,) = hdus[1].data
        assert (row["EXT"], row["EXTNAME"], row["FINITE"], row["MEDIAN"]) == (1, "SCI", 5, 3.0)
        assert row["DEVIATION"] == pytest.approx(2**0.5)
        assert hdus[0].header["NHDU"] == 2


def test_units_and_ucds_are_words_of_fits_and_the_ivoa() -> None:
    assert odd_words(COLUMNS) == []


def test_a_file_that_is_not_fits_is_a_failure_with_a_record(tmp_path: Path) -> None:
    (tmp_path / "image.fits").write_text("no stars here")
    answer = handler({"input": (tmp_path / "image.fits").as_uri(), "run": "test"}, None)
    assert answer["errorType"] == "NotFitsError"
    assert Path(answer["record"].removeprefix("file://")).is_relative_to(tmp_path / "runs/test/failures")
