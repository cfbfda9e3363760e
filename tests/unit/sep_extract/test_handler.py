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
from sep_extract.storage import key_of, write

Make = Callable[..., Any]


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.err == ""
    return [json.loads(line, parse_constant=pytest.fail) for line in captured.out.splitlines()]


def test_the_summary(extract: Make, flt: Make) -> None:
    summary = extract(flt(), run="night-1")
    assert set(summary) == {"input", "output", "sources", "chips", "notes", "seconds", "outputs"}
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
    assert line == {"level": "INFO", "run": "night-1", **summary}


def test_one_line_of_json_a_failure(extract: Make, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(errors.NotFitsError) as caught:
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
    with pytest.raises(errors.EventError):
        handler.handler(event, None)
    (line,) = lines(capsys)
    assert line["errorType"] == "EventError"


def test_a_store_that_fails_can_be_tried_again(
    extract: Make, flt: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(errors.StorageError):
        extract(flt())
    assert lines(capsys)[0]["permanent"] is False


def test_the_catalog_is_written_last(extract: Make, flt: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the receipt: where it is, all is."""
    pytest.importorskip("pyarrow", reason="pyarrow is not part of the layer")
    written: list[str] = []

    def spy(uri: str, body: bytes) -> None:
        written.append(uri)
        write(uri, body)

    monkeypatch.setattr(handler, "write", spy)
    summary = extract(flt(), outputs=["preview", "parquet"])
    assert len(written) == 3
    assert written[-1] == summary["output"]
    assert set(written[:-1]) == set(summary["outputs"].values())


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
    with pytest.raises(errors.EventError, match=r"needs SKYFAN_OUTPUT to end in \.cat\.fits"):
        handler.handler({"input": uri, "outputs": ["preview"]}, None)


def test_without_a_place_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SKYFAN_OUTPUT", raising=False)
    with pytest.raises(errors.ConfigurationError, match="SKYFAN_OUTPUT"):
        handler.handler({"input": "file:///no/such/file.fits"}, None)


def test_a_missing_file(extract: Make, tmp_path: Path) -> None:
    with pytest.raises(errors.InputNotFoundError, match=r"nil\.fits: no such file"):
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


def test_every_error_is_in_the_modules_tree() -> None:
    """Names are part of the interface: the docstring that lists them is complete."""
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, Exception)]
    assert all(issubclass(c, errors.SepExtractError) and c.__doc__ for c in classes)
    listed = {line.split()[0] for line in (errors.__doc__ or "").splitlines() if line.startswith("    ")}
    assert {c.__name__ for c in classes} == listed
