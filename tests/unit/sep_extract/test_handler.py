"""The handler as Lambda calls it: a dict in, a small dict out, one JSON line, a named error."""

import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from sep_extract import errors, handler
from skyfan_contract import key_of
from skyfan_function import errors as shared

Make = Callable[..., Any]


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.err == ""
    return [json.loads(line, parse_constant=pytest.fail) for line in captured.out.splitlines()]


def test_the_summary(extract: Make, flt: Make) -> None:
    summary = extract(flt(), run="night-1")
    assert set(summary) == {
        *("input", "output", "sources", "chips", "quality", "doubts", "notes", "seconds", "outputs")
    }
    assert summary["sources"] == 16
    (chip,) = summary["chips"]
    assert set(chip) >= {"ext", "sources", "background", "rms", "depth", "step"}
    assert (chip["ext"], chip["sources"], chip["step"]) == (1, 16, 0)
    assert chip["background"] == pytest.approx(10, abs=0.2)
    assert chip["rms"] == pytest.approx(1, abs=0.05)
    assert 0 < summary["seconds"] < 30
    assert len(json.dumps(summary)) < 6 << 20 >> 10, "far below Lambda's 6 MB"


def test_one_line_of_json_a_call(extract: Make, flt: Make, capsys: pytest.CaptureFixture[str]) -> None:
    summary = extract(flt(), run="night-1")
    (line,) = lines(capsys)
    assert line == {"level": "INFO", "run": "night-1", "requestId": None, **summary}, "no Lambda here"


def test_one_line_of_json_a_failure(extract: Make, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(shared.NotFitsError) as caught:
        extract(b"nothing like it", run="night-1")
    (line,) = lines(capsys)
    assert line["level"] == "ERROR"
    assert line["errorType"] == "NotFitsError"
    assert line["errorMessage"] == str(caught.value)
    assert line["permanent"] is True
    assert line["event"]["run"] == "night-1"


@pytest.mark.parametrize(
    "event", [None, [1], {"input": 5}, {"input": "s3://b/k", ("a", "b"): 1}, {"input": {1, 2}}]
)
def test_any_event_at_all(event: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(shared.EventError):
        handler.handler(event, None)
    (line,) = lines(capsys)
    assert line["errorType"] == "EventError"


def test_a_store_that_fails_can_be_tried_again(
    extract: Make, flt: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(shared.StorageError):
        extract(flt())
    assert lines(capsys)[0]["permanent"] is False


def test_other_outputs_lie_beside_the_catalog(extract: Make, flt: Make, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not part of the layer")
    summary = extract(flt(), outputs=["preview", "parquet"])
    stem = summary["output"].removesuffix(".cat.fits")
    assert summary["outputs"] == {"parquet": f"{stem}.cat.parquet", "preview": f"{stem}.preview.png"}
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 3


def test_nothing_is_written_when_a_later_chip_fails(extract: Make, flt: Make, tmp_path: Path) -> None:
    first, second = flt(), flt()
    for hdu in second[1:]:
        hdu.ver = 2
    second["DQ"].data = np.zeros((5, 5), "i2")
    with pytest.raises(errors.ShapeMismatchError):
        extract(fits.HDUList([*first, *second[1:]]), outputs=["preview"])
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_the_context_may_be_anything(save: Make, flt: Make, extract: Make) -> None:
    uri = extract(flt())["input"]
    for context in (None, object(), types.SimpleNamespace(memory_limit_in_mb=2048), {"memory": 1}):
        assert handler.handler({"input": uri}, context)["sources"] == 16


@pytest.mark.parametrize("limit", [128, "128"])
def test_the_memory_limit_is_lambdas(extract: Make, flt: Make, limit: Any) -> None:
    uri = extract(flt())["input"]
    with pytest.raises(errors.ImageTooLargeError, match="there are 128 MB"):
        handler.handler({"input": uri}, types.SimpleNamespace(memory_limit_in_mb=limit))


def test_without_a_limit_there_is_none(extract: Make, flt: Make) -> None:
    """Lambda and the local engine always tell theirs; a notebook has what the machine has."""
    assert extract(flt())["sources"] == 16


def test_other_outputs_need_a_place_beside_the_catalog(
    extract: Make, flt: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = extract(flt())["input"]
    monkeypatch.setenv("SKYFAN_OUTPUT", f"file://{tmp_path}/{{run}}/{{key}}.fits")
    assert handler.handler({"input": uri}, None)["sources"] == 16
    with pytest.raises(shared.EventError, match=r"needs SKYFAN_OUTPUT to end in \.cat\.fits"):
        handler.handler({"input": uri, "outputs": ["preview"]}, None)


def test_without_a_place_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SKYFAN_OUTPUT", raising=False)
    with pytest.raises(shared.ConfigurationError, match="SKYFAN_OUTPUT"):
        handler.handler({"input": "file:///no/such/file.fits"}, None)


def test_a_missing_file(extract: Make, tmp_path: Path) -> None:
    with pytest.raises(shared.InputNotFoundError, match=r"nil\.fits: no such file"):
        extract(tmp_path / "nil.fits")


def test_a_warm_process_gives_what_a_fresh_one_does(
    extract: Make, flt: Make, stars: Make, demo_data: Path
) -> None:
    """No setting, no array and no warning filter leaks from one call into the next."""
    first = Path("/", key_of(extract(flt())["output"])).read_bytes()
    extract(demo_data / "j8bt06nyq_flt.fits", config={"deblend_seconds": 1e-6, "filter": False})
    with pytest.raises(errors.NoValidPixelsError):
        extract(flt(dq=4), name="bad.fits")
    again = extract(Path("/", key_of(extract(flt(), name="image.fits")["input"])))
    second = Path("/", key_of(again["output"])).read_bytes()
    strip = [first, second]
    tables = [body[body.index(b"XTENSION") :] for body in strip]
    assert tables[0] == tables[1]


def test_a_tess_full_frame_image(extract: Make, catalog: Make, stars: Make) -> None:
    """Magnitudes of TESS's own system, apertures in pixels of 20 arcsec, nothing beside the science box."""
    sky = stars((128, 160), at=[(80.0, 60.0), (120.0, 90.0)], flux=2000.0, sigma=0.8)
    sky[:, :44:4] += 300  # what rings there
    north = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 80.5, "CRVAL2": -69.5}
    scale = {"CRPIX1": 80.0, "CRPIX2": 60.0, "CD1_1": -20.6 / 3600, "CD2_2": 20.6 / 3600}
    box = {"SCCSA": 45, "SCCED": 160, "SCIROWS": 1, "SCIROWE": 120}
    unit = {"BUNIT": "electrons/s", "EXPOSURE": 0.0165}
    hdu = fits.ImageHDU(sky, fits.Header(north | scale | box | unit))
    hdu.header["EXTNAME"] = "CAMERA.CCD 4.3 cal"
    error = fits.ImageHDU(np.ones_like(sky))
    error.header["EXTNAME"] = "CAMERA.CCD 4.3 uncert"
    rays = fits.BinTableHDU.from_columns([fits.Column("RAWX", "I", array=[7])])
    primary = fits.PrimaryHDU(
        header=fits.Header({"TELESCOP": "TESS", "INSTRUME": "TESS Photometer", "CCD": 3})
    )
    summary = extract(fits.HDUList([primary, hdu, error, rays]))
    found = catalog(summary)
    assert len(found) == 2
    header = found.meta["PRIMARY"]
    assert header["MAGSYS"] == "TESS"
    assert header["ZEROPT1"] == 20.44
    assert header["PHOTAP1"] == pytest.approx(2 * 20.6, rel=1e-3)
    np.testing.assert_allclose(found["MAG_AUTO"], 20.44 - 2.5 * np.log10(2000), atol=0.03)
    assert np.isfinite(found["FLUX_APER"]).all()
    assert summary["doubts"] == ""
