"""Files as people have them, through `skyfan run`: each is done, doubtful or failed, without a traceback."""

import gzip
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner, Result

from skyfan.cli import main

GOOD = "abell2744_f105w_drz.fits"
"""Of the demo; nothing about it is doubtful."""
WCS = ("CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")
ZERO_POINT = ("PHOTFLAM", "PHOTFNU", "PHOTPLAM", "PHOTZPT")


def skyfan(folder: Path, *words: str) -> Result:
    done = CliRunner().invoke(main, [*words, "-o", str(folder / "out")])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert "Traceback" not in done.output
    return done


def image(pixels: np.ndarray) -> bytes:
    written = io.BytesIO()
    fits.PrimaryHDU(pixels).writeto(written)
    return written.getvalue()


def without(path: Path, keys: tuple[str, ...]) -> bytes:
    """The image without these cards."""
    with fits.open(path) as hdus:
        for key in keys:
            hdus[0].header.remove(key, ignore_missing=True)
        written = io.BytesIO()
        hdus.writeto(written, output_verify="silentfix")
        return written.getvalue()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, demo_data: Path) -> dict[str, dict[str, bytes]]:
    """Names and contents: files that must be good, doubtful, and failed."""
    good = (demo_data / GOOD).read_bytes()
    noise = np.random.default_rng(1).normal(5, 1, (64, 64)).astype("f4")
    table = io.BytesIO()
    rows = fits.BinTableHDU.from_columns([fits.Column("X", "E", array=np.arange(5.0))])
    fits.HDUList([fits.PrimaryHDU(), rows]).writeto(table)
    return {
        "good": {"good.fits": good, "good #1 50%41.fits": good, "packed.fits.gz": gzip.compress(good)},
        "doubtful": {
            "no_sky.fits": without(demo_data / GOOD, WCS),
            "no_zero.fits": without(demo_data / GOOD, ZERO_POINT),
            "bare.fits": image(noise),
        },
        "failed": {
            "empty.fits": b"",
            "page.fits": b"<html>404 Not Found</html>",
            "begun.fits": b"SIMPLE  = ",
            "cut.fits": good[: len(good) // 2],
            "cut.fits.gz": gzip.compress(good)[:5000],
            "noise.fits.gz": bytes(range(256)) * 20,
            "no_pixels.fits": image(np.zeros((0, 0), "f4")),
            "cube.fits": image(np.stack([noise] * 3)),
            "spectrum.fits": image(noise[0]),
            "table.fits": table.getvalue(),
            "tiny.fits": image(noise[:4, :4]),
            "zero.fits": image(0 * noise),
            "nan.fits": image(np.nan * noise),
            "negative.fits": image(-noise),
            "constant.fits": image(0 * noise + 7),
            "nearly_all_nan.fits": image(np.where(np.arange(noise.size).reshape(64, 64) < 9, noise, np.nan)),
        },
    }


def test_every_file_is_in_the_counts_and_none_costs_a_traceback(
    tmp_path: Path, files: dict[str, dict[str, bytes]]
) -> None:
    for name, content in ((name, content) for kind in files.values() for name, content in kind.items()):
        (tmp_path / name).write_bytes(content)
    done = skyfan(tmp_path, "run", str(tmp_path), "-j", "2", "--json")
    assert done.exit_code == 1
    outcome = json.loads(done.stdout)
    expected = {kind: len(names) for kind, names in files.items()}
    assert outcome["files"] == sum(expected.values()) == outcome["done"] + outcome["failed"]
    assert outcome["failed"] == sum(group["count"] for group in outcome["failures"]) == expected["failed"]
    assert outcome["doubtful"] == expected["doubtful"]
    assert {group["cure"] for group in outcome["failures"]} == {"never"}
    assert "Traceback" not in Path(outcome["log"]).read_text()

    state = json.loads(skyfan(tmp_path, "status", "default", "--json").stdout)
    assert {name: count for name, count in state["counts"].items() if count} == {
        "planned": outcome["files"],
        "done": expected["good"] + expected["doubtful"],
        "failed": expected["failed"],
    }
    assert (state["doubtful"], state["doubts"]) == (outcome["doubtful"], outcome["doubts"])
    for option, kind in (("--failed", "failed"), ("--doubtful", "doubtful")):
        listed = json.loads(skyfan(tmp_path, "status", "default", option, "--json").stdout)
        rows = {Path(row["input"]).name: row for row in listed}
        assert sorted(rows) == sorted(files[kind])
        for row in rows.values():
            assert row.get("errorMessage") or row["doubts"]
            assert Path(row.get("record", row.get("result")).removeprefix("file://")).is_file()
    assert skyfan(tmp_path, "retry", "default", "--strict").exit_code == 1, (
        "a permanent failure is not retried"
    )


def test_a_doubt_ends_when_the_image_is_mended(tmp_path: Path, demo_data: Path) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(without(demo_data / GOOD, WCS))
    run = ("run", str(path))
    assert skyfan(tmp_path, *run).exit_code == 0
    assert skyfan(tmp_path, *run, "--strict").exit_code == 1
    assert skyfan(tmp_path, "retry", "default", "--strict").exit_code == 1
    shutil.copy(demo_data / GOOD, path)
    assert skyfan(tmp_path, *run, "--strict").exit_code == 0
    assert skyfan(tmp_path, "status", "default", "--strict").exit_code == 0
    assert skyfan(tmp_path, "status", "default", "--doubtful").stdout == ""
    path.write_bytes(without(demo_data / GOOD, ZERO_POINT))
    assert skyfan(tmp_path, *run, "--strict").exit_code == 1
    (row,) = json.loads(skyfan(tmp_path, "status", "default", "--doubtful", "--json").stdout)
    assert row["doubts"] == "NO_ZEROPOINT"
