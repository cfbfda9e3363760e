"""Files of all formats, good and bad, through the handler."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightcurves
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from skyfan_function.table import odd_words
from transits.columns import COLUMNS, FACTS
from transits.event import Config
from transits.handler import handler
from transits.quality import FLAG_MEANING, MEANING, Flag, Quality

TIC = 25155310


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = f"file://{tmp_path}/runs/{{run}}"
    monkeypatch.setenv("SKYFAN_OUTPUT", f"{run}/transits/{{key}}.cat.fits")
    monkeypatch.setenv("SKYFAN_FAILURES", f"{run}/failures/{{key}}.json")


def curve_of(
    cadence: float = 600.0, ratio: float = 0.03
) -> tuple[lightcurves.LightCurve, lightcurves.Planet]:
    curve = lightcurves.make(np.random.default_rng(4), cadence, 9.5, spots=2e-4)
    planet = lightcurves.Planet(3.3, float(curve.time[0]) + 1.2, ratio, 0.3, 3 / 24)
    return lightcurves.planted(curve, planet), planet


def handled(path: Path, **event: Any) -> dict[str, Any]:
    """The answer for a file; few durations are sought, for the sake of time."""
    quick = {"durations": [2.0, 3.0, 4.5], "max_candidates": 1}
    answer: dict[str, Any] = handler({"input": path.as_uri(), "run": "test", "config": quick, **event}, None)
    return answer


def table_of(answer: dict[str, Any]) -> Table:
    return Table.read(answer["output"].removeprefix("file://"), hdu=1)


@pytest.mark.parametrize(
    ("kind", "cadence", "sector"),
    [("SPOC", 120, 14), ("SPOC", 20, 27), ("SPOC", 1800, 1), ("QLP", 1800, 3), ("QLP-DET", 200, 60)],
)
def test_a_planted_planet_is_found_in_each_format(
    kind: str, cadence: float, sector: int, tmp_path: Path
) -> None:
    curve, planet = curve_of(cadence)
    answer = handled(lightcurves.write(tmp_path / "lc.fits", curve, kind, TIC, sector), config={})
    (row,) = table_of(answer)
    assert row["PERIOD"] == pytest.approx(planet.period, rel=1e-3)
    away = (row["EPOCH"] - planet.epoch + planet.period / 2) % planet.period - planet.period / 2
    assert abs(away) < 4 * row["EPOCHERR"] + 1e-3
    assert row["DURATION"] == pytest.approx(24 * planet.duration, rel=0.25)
    assert row["DEPTH"] == pytest.approx(planet.depth, rel=0.25)
    assert (row["TICID"], row["SECTOR"], row["CANDIDATE"]) == (TIC, sector, 1)
    assert (row["ALPHA_J2000"], row["DELTA_J2000"]) == (63.3739, -69.2268)
    header = fits.getheader(answer["output"].removeprefix("file://"))
    assert header["LCFORMAT"] == kind.partition("-")[0]
    assert header["EXPOSURE"] == pytest.approx(cadence)
    assert ("20 s were averaged" in " ".join(answer["notes"])) == (cadence == 20)
    assert ("COARSE" in answer["doubts"]) == (cadence == 1800)


def test_cadences_of_twenty_seconds_give_the_same_candidate(tmp_path: Path) -> None:
    curve, _ = curve_of(20)
    whole = (len(curve.time) // 6) * 6
    means = [values[:whole].reshape(-1, 6).mean(axis=1) for values in (curve.time, curve.flux)]
    flags = np.bitwise_or.reduce(curve.quality[:whole].reshape(-1, 6), axis=1)
    coarse = replace(
        curve,
        time=means[0],
        flux=means[1],
        error=curve.error[:whole:6] / 6**0.5,
        quality=flags,
        cadence=120 / 86400,
    )
    fine, plain = (
        table_of(handled(lightcurves.write(tmp_path / f"{i}.fits", each)))[0]
        for i, each in enumerate((curve, coarse))
    )
    for name in ("PERIOD", "DEPTH", "DURATION"):
        assert abs(fine[name] - plain[name]) < 2 * plain[f"{name}ERR"]


def test_the_result_is_sound_fits_with_words_that_others_know(tmp_path: Path) -> None:
    assert odd_words(COLUMNS, FACTS) == []
    path = Path(
        handled(lightcurves.write(tmp_path / "lc.fits", curve_of()[0]))["output"].removeprefix("file://")
    )
    with fits.open(path, checksum=True) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "CANDIDATES"]
    if tool := shutil.which("fitsverify"):
        done = subprocess.run([tool, path], capture_output=True, text=True, check=False)
        assert "0 warning(s) and 0 error(s)" in done.stdout


def test_no_candidate_is_a_table_without_rows_and_says_how_strong_the_strongest_was(tmp_path: Path) -> None:
    answer = handled(lightcurves.write(tmp_path / "lc.fits", curve_of(ratio=1e-3)[0]))
    assert len(table_of(answer)) == answer["rows"] == 0
    assert 3 < fits.getheader(answer["output"].removeprefix("file://"))["SNRREST"] < 8
    assert "no periodic transit of S/N 8" in " ".join(answer["notes"])


def test_what_bad_cadences_hold_changes_nothing(tmp_path: Path) -> None:
    curve, _ = curve_of()
    bad = (curve.quality & 32) > 0
    other = replace(curve, flux=np.where(bad, 7.0, curve.flux))
    one, two = (
        table_of(handled(lightcurves.write(tmp_path / f"{i}.fits", each)))
        for i, each in enumerate((curve, other))
    )
    assert bad.any()
    for name in ("PERIOD", "EPOCH", "DEPTH", "SNR"):
        # the median flux, which all is relative to, is that of good cadences
        assert one[name][0] == two[name][0]


def test_the_preview_is_a_picture_of_each_candidate(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    answer = handled(lightcurves.write(tmp_path / "lc.fits", curve_of()[0]), outputs=["preview"])
    with image.open(answer["outputs"]["preview"].removeprefix("file://")) as picture:
        assert picture.size == (960, 480)
        colours = {colour for _, colour in picture.getcolors(1 << 20)}
    assert (214, 39, 40) in colours


Spoil = Callable[[lightcurves.LightCurve], lightcurves.LightCurve]
SPOILED: dict[str, tuple[Spoil, str]] = {
    "all NaN": (lambda c: replace(c, flux=c.flux * np.nan), "NoValidCadencesError"),
    "one cadence": (lambda c: cut(c, 1), "NoValidCadencesError"),
    "no cadence": (lambda c: cut(c, 0), "NoValidCadencesError"),
    "an hour": (lambda c: cut(c, 6), "NoValidCadencesError"),
    "all bad": (lambda c: replace(c, quality=c.quality | 32), "NoValidCadencesError"),
    "no times": (lambda c: replace(c, time=c.time * np.nan), "NoValidCadencesError"),
    "one time": (lambda c: replace(c, time=0 * c.time + 1400), "NoValidCadencesError"),
    "constant": (lambda c: replace(c, flux=0 * c.flux + 1), "NoVariationError"),
    "negative": (lambda c: replace(c, flux=-c.flux), "NoVariationError"),
    "zero": (lambda c: replace(c, flux=c.flux - np.median(c.flux)), ""),
}


def cut(curve: lightcurves.LightCurve, length: int) -> lightcurves.LightCurve:
    names = ("time", "flux", "error", "quality")
    return replace(curve, **{name: getattr(curve, name)[:length] for name in names})


@pytest.mark.parametrize("name", SPOILED)
def test_a_light_curve_that_cannot_be_searched_is_refused_by_name(name: str, tmp_path: Path) -> None:
    spoil, error = SPOILED[name]
    answer = handled(lightcurves.write(tmp_path / "lc.fits", spoil(curve_of()[0])))
    assert answer.get("errorType", "NoVariationError") == (error or "NoVariationError")
    if error:
        assert "lc.fits" in answer["errorMessage"]
        assert answer["cure"] == "never"
        assert json.loads(Path(answer["record"].removeprefix("file://")).read_text())["requestPayload"]


def changed(path: Path, change: Callable[[fits.HDUList], None]) -> Path:
    with fits.open(path, mode="update", memmap=False) as hdus:
        change(hdus)
    return path


def set_card(index: int, key: str, value: object) -> Callable[[fits.HDUList], None]:
    def change(hdus: fits.HDUList) -> None:
        if value is None:
            del hdus[index].header[key]
        else:
            hdus[index].header[key] = value

    return change


def rename(old: str, new: str) -> Callable[[fits.HDUList], None]:
    return lambda hdus: hdus[1].columns.change_name(old, new)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (set_card(0, "TELESCOP", "Kepler"), "UnknownLightCurveError", "Kepler"),
        (set_card(0, "ORIGIN", "TASOC/Aarhus"), "UnknownLightCurveError", "TASOC"),
        (set_card(0, "ORIGIN", "Mars"), "UnknownLightCurveError", "unknown format (Mars"),
        (rename("PDCSAP_FLUX", "FLUX_X"), "UnknownLightCurveError", "unknown format"),
        (rename("TIME", "WHEN"), "UnknownLightCurveError", "no column TIME"),
        (set_card(1, "TIMEUNIT", "s"), "UnknownTimeError", "TIMEUNIT"),
        (set_card(1, "TIMESYS", "UTC"), "UnknownTimeError", "TIMESYS"),
        (set_card(1, "BJDREFI", "soon"), "UnknownTimeError", "BJDREFI"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_refused_by_name(
    change: Callable[[fits.HDUList], None], error: str, words: str, tmp_path: Path
) -> None:
    answer = handled(changed(lightcurves.write(tmp_path / "lc.fits", curve_of()[0]), change))
    assert answer["errorType"] == error
    assert words in answer["errorMessage"]


def test_images_text_and_truncated_files_are_refused_by_name(tmp_path: Path) -> None:
    image, text, short = (tmp_path / name for name in ("image.fits", "text.fits", "short.fits"))
    fits.PrimaryHDU(np.zeros((9, 9))).writeto(image)
    text.write_text("no stars here")
    whole = lightcurves.write(tmp_path / "lc.fits", curve_of()[0]).read_bytes()
    short.write_bytes(whole[:40000])
    names = [handled(path)["errorType"] for path in (image, text, short)]
    assert names == ["NotALightCurveError", "NotFitsError", "TruncatedError"]


@pytest.mark.parametrize(
    ("change", "doubt"),
    [
        (set_card(1, "BJDREFI", None), "TIME_ASSUMED"),
        (set_card(1, "TIMEUNIT", None), "TIME_ASSUMED"),
        (set_card(0, "RA_OBJ", None), "NO_TARGET"),
        (rename("QUALITY", "FLAGS_X"), "NO_FLAGS"),
    ],
)
def test_what_is_missing_is_a_doubt(
    change: Callable[[fits.HDUList], None], doubt: str, tmp_path: Path
) -> None:
    answer = handled(changed(lightcurves.write(tmp_path / "lc.fits", curve_of()[0]), change))
    assert doubt in answer["doubts"].split()


def test_times_of_another_zero_are_converted(tmp_path: Path) -> None:
    curve, _ = curve_of()
    plain = table_of(handled(lightcurves.write(tmp_path / "a.fits", curve)))
    other = lightcurves.write(tmp_path / "b.fits", replace(curve, time=curve.time + 2457000 - 2400000))
    moved = table_of(handled(changed(other, set_card(1, "BJDREFI", 2400000))))
    assert moved["EPOCH"][0] == pytest.approx(plain["EPOCH"][0], abs=1e-5)


def test_times_out_of_order_are_sorted_and_said(tmp_path: Path) -> None:
    curve, planet = curve_of()
    order = np.random.default_rng(1).permutation(len(curve.time))
    mixed = replace(curve, **{n: getattr(curve, n)[order] for n in ("time", "flux", "error", "quality")})
    answer = handled(lightcurves.write(tmp_path / "lc.fits", mixed))
    assert "TIME_ORDER" in answer["doubts"]
    assert table_of(answer)["PERIOD"][0] == pytest.approx(planet.period, rel=1e-3)


def test_a_short_light_curve_is_doubtful(tmp_path: Path) -> None:
    answer = handled(lightcurves.write(tmp_path / "lc.fits", cut(curve_of()[0], 700)))
    assert "SHORT" in answer["doubts"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"min_snr": "high"}, "min_snr"),
        ({"min_snr": 1}, "from 3"),
        ({"min_periods": 1}, "did you mean 'min_period'"),
        ({"durations": []}, "1 to 16 numbers"),
        ({"durations": [2, 90]}, "from 0.1 to 48"),
        ({"max_candidates": 1.5}, "whole number"),
        ({"max_period": 0.3}, "above 'min_period'"),
        ({"window": 0.3}, "twice the longest duration"),
        ([], "must be an object"),
    ],
)
def test_settings_that_cannot_be_are_refused(config: Any, words: str, tmp_path: Path) -> None:
    answer = handled(lightcurves.write(tmp_path / "lc.fits", curve_of()[0]), config=config)
    assert answer["errorType"] == "EventError"
    assert words in answer["errorMessage"]


def test_settings_are_used(tmp_path: Path) -> None:
    path = lightcurves.write(tmp_path / "lc.fits", curve_of()[0])
    answer = handled(path, config={"min_snr": 500.0})
    assert answer["rows"] == 0
    header = fits.getheader(answer["output"].removeprefix("file://"))
    assert json.loads(header["CONFSET"]) == {"min_snr": 500.0}
    assert json.loads(header["CONFIG"])["durations"] == list(Config().durations)


def test_every_bit_has_a_meaning() -> None:
    assert list(FLAG_MEANING) == list(Flag)
    assert set(MEANING) == set(Quality)
