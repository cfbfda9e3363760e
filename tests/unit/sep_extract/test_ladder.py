"""The ladder: with images that sep gives up on, and children that die."""

import gc
import multiprocessing.connection
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
import pytest
import sep
from astropy.table import Table

from sep_extract import ladder
from sep_extract.errors import ExtractionError
from sep_extract.event import Config
from sep_extract.ladder import MEANING, Step, detect

PATIENT = {"deblend_seconds": 300.0}


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """No process, no file and none of sep's global settings is different after a call."""
    settings = sep.get_extract_pixstack(), sep.get_sub_object_limit()
    gc.collect()  # files that another test left to the collector are closed before they are counted
    me = psutil.Process()
    files = me.num_fds()
    yield
    gc.collect()
    assert me.children() == [], "a child, or a zombie, is left"
    assert me.num_fds() == files
    assert (sep.get_extract_pixstack(), sep.get_sub_object_limit()) == settings


def peaks(side: int) -> np.ndarray:
    """A plateau with side x side peaks on it: one object, and as many sub-objects."""
    n = 5 * side + 40
    image = np.zeros((n, n), "f4")
    image[20:-20, 20:-20] = 100
    height = np.random.default_rng(1).uniform(500, 1000, (side, side))
    for dy, dx, share in ((0, 0, 1.0), (0, 1, 0.25), (0, -1, 0.25), (1, 0, 0.25), (-1, 0, 0.25)):
        image[22 + dy : n - 20 : 5, 22 + dx : n - 20 : 5] += height * share
    return image


def run(image: np.ndarray, noise: Any = 1.0, **config: Any) -> tuple[Any, np.ndarray, Step]:
    return detect(image, noise, np.zeros(image.shape, bool), Config(**{**PATIENT, **config}))


def plain(image: np.ndarray, **given: Any) -> tuple[Any, np.ndarray]:
    """What sep says, called as the ladder calls it."""
    arguments = {"err": 1.0, "filter_kernel": ladder._PYRAMID, "filter_type": "conv", **given}
    return sep.extract(image, 1.5, segmentation_map=True, **arguments)


def test_the_first_step_is_sep_itself(stars: Callable[..., np.ndarray]) -> None:
    image = stars(sky=0.0)
    found, segmentation, step = run(image)
    objects, expected = plain(image)
    assert step == Step.AS_ASKED
    assert len(found) == 16
    assert all(np.array_equal(found[name], objects[name]) for name in objects.dtype.names)
    np.testing.assert_array_equal(segmentation, expected)
    assert segmentation.flags.writeable


def test_nothing_to_find(stars: Callable[..., np.ndarray]) -> None:
    found, segmentation, step = run(np.zeros((20, 30), "f4"))
    assert (len(found), segmentation.any(), step) == (0, False, Step.AS_ASKED)
    assert segmentation.shape == (20, 30)


def test_the_settings_arrive(stars: Callable[..., np.ndarray]) -> None:
    image = stars(sky=0.0, noise=0.0, at=[(20, 20), (25, 20), (60, 60), (60, 80)])
    image[40, 40] = 40.0
    assert len(run(image)[0]) == 5, "the kernel spreads one hot pixel over nine"
    assert len(run(image, filter=False)[0]) == 4
    assert len(run(image, filter=False, detect_minarea=1)[0]) == 5
    assert len(run(image, deblend_mincont=1.0)[0]) == 4, "a pair is one"
    assert len(run(image, detect_minarea=200)[0]) == 0
    assert len(run(image, detect_thresh=1000.0)[0]) == 0
    noise = np.ones((96, 96), "f4")
    noise[:, 50:] = 1e6
    assert len(run(image, noise)[0]) == 3
    mask = np.zeros(image.shape, bool)
    mask[:, :50] = True
    objects, _, _ = detect(image, 1.0, mask, Config(**PATIENT))
    assert len(objects) == 2


def test_pixel_stack_overflow() -> None:
    """One bright galaxy over the whole image: more active pixels than sep starts with."""
    y, x = np.mgrid[:640, :640].astype("f4")
    image = 1e4 * np.exp(-((x - 320) ** 2 + (y - 320) ** 2) / (2 * 120**2)).astype("f4")
    with pytest.raises(Exception, match="internal pixel buffer full"):
        plain(image, deblend_nthresh=1)
    found, segmentation, step = run(image, deblend_mincont=1.0)
    assert step == Step.MORE_PIXELS
    assert len(found) == 1
    assert found["x"][0] == pytest.approx(320, abs=0.1)
    assert np.count_nonzero(segmentation) > 300_000


def test_sub_object_overflow() -> None:
    image = peaks(34)
    with pytest.raises(Exception, match="object deblending overflow"):
        plain(image, deblend_cont=1e-6)
    found, segmentation, step = run(image, deblend_mincont=1e-6)
    assert step == Step.MORE_SUB_OBJECTS
    assert len(found) == 34 * 34 == segmentation.max()


def test_out_of_time() -> None:
    """There is a way down that takes no time, however crowded the field."""
    started = time.monotonic()
    found, segmentation, step = run(peaks(70), deblend_mincont=1e-6, deblend_seconds=0.001)
    assert step == Step.NO_DEBLENDING
    assert len(found) == 1
    assert set(np.unique(segmentation)) == {0, 1}
    assert time.monotonic() - started < 2


def test_a_real_crowded_field_out_of_time(
    extract: Callable[..., dict[str, Any]],
    catalog: Callable[[dict[str, Any]], Table],
    demo_data: Any,
) -> None:
    image = demo_data / "j8bt06nyq_flt.fits"
    whole, hurried = extract(image), extract(image, config={"deblend_seconds": 1e-6}, run="hurried")
    assert (whole["chips"][0]["step"], hurried["chips"][0]["step"]) == (0, 4)
    table = catalog(hurried)
    assert set(table["EXTRACT_STEP"]) == {4}
    assert table.meta["PRIMARY"]["STEP1"] == 4
    note = f"detection ran {MEANING[Step.NO_DEBLENDING]}"
    assert note in hurried["notes"]
    assert note not in whole["notes"]
    assert 0.3 * whole["sources"] < hurried["sources"] < whole["sources"]
    # The good sources survive: those that touch no other are measured as before.
    alone = catalog(whole)
    alone = alone[(alone["FLAGS"] == 0) & (alone["SNR_AUTO"] > 20)]
    apart = np.hypot(*(np.subtract.outer(alone[k], table[k]) for k in ("X_IMAGE", "Y_IMAGE")))
    assert len(alone) > 20
    assert np.mean(apart.min(axis=1) < 0.01) > 0.9


SLOW = {
    Step.AS_ASKED: (Step.COARSE_DEBLENDING, (16, 0.05)),
    Step.COARSE_DEBLENDING: (Step.NO_DEBLENDING, (1, 1.0)),
}


@pytest.mark.parametrize("slowest", SLOW)
def test_each_step_down(
    monkeypatch: pytest.MonkeyPatch, stars: Callable[..., np.ndarray], slowest: Step
) -> None:
    """Tries up to the slowest hang; the one below is the result."""
    reached, (nthresh, mincont) = SLOW[slowest]
    real = ladder._extract

    def hang(data: Any, noise: Any, mask: Any, config: Any, now: Any, shared: Any) -> Any:
        if now.step <= slowest:
            time.sleep(60)
        assert (now.nthresh, now.mincont) == (nthresh, mincont)
        return real(data, noise, mask, config, now, shared)

    monkeypatch.setattr(ladder, "_extract", hang)
    found, _, step = run(stars(sky=0.0), deblend_seconds=0.2)
    assert step == reached
    assert len(found) == 16


def test_a_coarse_contrast_goes_straight_to_none(
    monkeypatch: pytest.MonkeyPatch, stars: Callable[..., np.ndarray]
) -> None:
    real = ladder._extract

    def hang(*given: Any) -> Any:
        if given[4].step == Step.AS_ASKED:
            time.sleep(60)
        return real(*given)

    monkeypatch.setattr(ladder, "_extract", hang)
    assert run(stars(sky=0.0), deblend_seconds=0.2, deblend_mincont=0.2)[2] == Step.NO_DEBLENDING


@pytest.mark.slow
def test_both_overflows_in_one_image() -> None:
    image = np.full((700, 700), 50, "f4")
    image[100:310, 100:310] += peaks(34)
    found, _, step = run(image, deblend_mincont=1e-7)
    assert step == Step.MORE_SUB_OBJECTS
    assert len(found) > 1024


def kill(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def half_an_answer(*_: Any) -> None:
    """Announces a thousand bytes on the pipe, writes ten and dies."""
    pipes = [o for o in gc.get_objects() if isinstance(o, multiprocessing.connection.Connection)]
    (pipe,) = [p for p in pipes if not p.closed and p.writable]
    os.write(pipe.fileno(), struct.pack("!i", 1000) + b"x" * 10)
    os._exit(1)


def fail(*_: Any) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("death", [kill, half_an_answer, fail])
def test_a_child_that_dies(monkeypatch: pytest.MonkeyPatch, capfd: Any, death: Callable[..., None]) -> None:
    monkeypatch.setattr(ladder, "_extract", death)
    with pytest.raises(ExtractionError, match="the process that ran sep died: most likely out of memory"):
        run(np.zeros((20, 20), "f4"))
    assert capfd.readouterr().err.count("Traceback") == 0


def test_what_else_sep_says_is_passed_on() -> None:
    with pytest.raises(ExtractionError, match="sep: "):
        detect(np.zeros((20, 20), "f2"), 1.0, np.zeros((20, 20), bool), Config())  # type: ignore[arg-type]


@pytest.mark.slow
def test_many_calls_leak_nothing() -> None:
    """The fixture counts; here there are many tries, most of them killed."""
    image = peaks(20)
    for _ in range(20):
        run(image, deblend_seconds=1e-6)
