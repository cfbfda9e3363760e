"""The ladder of detection steps, with images that sep cannot process at the first step."""

import errno
import os
import signal
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import sep
from astropy.table import Table

from sep_extract import child, ladder
from sep_extract.child import Child
from sep_extract.errors import ExtractionError
from sep_extract.event import Config
from sep_extract.ladder import MEANING, Step, detect
from skyfan_function.errors import OutOfMemoryError, TooSlowError
from skyfan_function.time_limit import in_time

PATIENT = {"deblend_seconds": 300.0}


@pytest.fixture(autouse=True)
def one_child_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forked for it, so that it has what a test changes."""
    monkeypatch.setattr(ladder, "_SHARED", 1)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, Child]]:
    """Children of small images are kept; none is at first."""
    monkeypatch.setattr(ladder, "_SHARED", 1 << 18)
    monkeypatch.setattr(ladder, "_children", {})
    yield ladder._children
    for one in ladder._children.values():
        one.close()


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
    """What sep says, called as the ladder calls it, with SExtractor's default.conv."""
    default = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], "f4")
    arguments = {"err": 1.0, "filter_kernel": default, "filter_type": "conv", **given}
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


def test_the_steps_are_the_values_of_a_column() -> None:
    values = {
        "AS_ASKED": 0,
        "MORE_PIXELS": 1,
        "MORE_SUB_OBJECTS": 2,
        "COARSE_DEBLENDING": 3,
        "NO_DEBLENDING": 4,
    }
    assert {name: int(step) for name, step in Step.__members__.items()} == values


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
    assert 0.2 * whole["sources"] < hurried["sources"] < whole["sources"]
    # The good sources survive: those that touch no other are measured as before.
    alone = catalog(whole)
    alone = alone[(alone["FLAGS"] == 0) & (alone["SNR_AUTO"] > 20)]
    apart = np.hypot(*(np.subtract.outer(alone[k], table[k]) for k in ("X_IMAGE", "Y_IMAGE")))
    assert len(alone) > 20
    assert np.mean(apart.min(axis=1) < 0.01) > 0.9


@pytest.mark.slow
def test_both_overflows_in_one_image() -> None:
    image = np.full((700, 700), 50, "f4")
    image[100:310, 100:310] += peaks(34)
    found, _, step = run(image, deblend_mincont=1e-7)
    assert step == Step.MORE_SUB_OBJECTS
    assert len(found) > 1024


def test_what_else_sep_says_is_passed_on() -> None:
    with pytest.raises(ExtractionError, match="sep: "):
        detect(np.zeros((20, 20), "f2"), 1.0, np.zeros((20, 20), bool), Config())  # type: ignore[arg-type]


def _no_memory(*_: Any) -> None:
    raise MemoryError


@pytest.mark.parametrize(
    ("death", "error"),
    [
        (_no_memory, OutOfMemoryError),
        (lambda *_: os.kill(os.getpid(), signal.SIGKILL), OutOfMemoryError),
        (lambda *_: os.kill(os.getpid(), signal.SIGTERM), ExtractionError),
        (lambda *_: os._exit(3), ExtractionError),
    ],
)
def test_a_child_that_dies_is_told_by_its_end(
    monkeypatch: pytest.MonkeyPatch, death: Callable[..., None], error: type[Exception]
) -> None:
    monkeypatch.setattr(ladder, "_extract", death)
    with pytest.raises(error) as caught:
        run(np.zeros((20, 30), "f4"))
    assert type(caught.value) is error


def test_a_crash_in_deblending_costs_one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    extract = ladder._extract

    def crash(data: Any, noise: Any, mask: Any, config: Any, now: Any, shared: Any) -> Any:
        if now.nthresh > 1:
            os.kill(os.getpid(), signal.SIGSEGV)
        return extract(data, noise, mask, config, now, shared)

    monkeypatch.setattr(ladder, "_extract", crash)
    image = np.zeros((40, 40), "f4")
    image[18:23, 18:23] = 50
    found, _, step = run(image)
    assert (len(found), step) == (1, Step.NO_DEBLENDING)


@pytest.mark.parametrize("quick", [Step.COARSE_DEBLENDING, Step.NO_DEBLENDING])
def test_a_child_that_uses_up_its_cpu_time_is_tried_with_less_deblending(
    monkeypatch: pytest.MonkeyPatch, quick: Step
) -> None:
    real = ladder._extract

    def slow(data: Any, noise: Any, mask: Any, config: Config, now: Any, shared: Any) -> Any:
        if now.step < quick:
            os.kill(os.getpid(), signal.SIGPROF)
        return real(data, noise, mask, config, now, shared)

    monkeypatch.setattr(ladder, "_extract", slow)
    _, _, step = run(np.zeros((20, 30), "f4"))
    assert step == quick


def test_the_ladder_gets_coarser_step_by_step() -> None:
    first = ladder._Try(Step.AS_ASKED, 300_000, 1024, 32, 0.005)
    second = ladder._coarser(first)
    assert (second.step, second.nthresh, second.mincont) == (Step.COARSE_DEBLENDING, 16, 0.05)
    third = ladder._coarser(second)
    assert (third.step, third.nthresh, third.mincont) == (Step.NO_DEBLENDING, 1, 1.0)
    with pytest.raises(ExtractionError, match="without deblending"):
        ladder._coarser(third)
    # From a contrast of 0.1 on, ten times of it is no contrast at all.
    assert ladder._coarser(ladder._Try(Step.AS_ASKED, 1, 1, 32, 0.1)).step == Step.NO_DEBLENDING
    near = ladder._coarser(ladder._Try(Step.AS_ASKED, 1, 1, 2, 0.09))
    assert (near.step, near.nthresh, near.mincont) == (Step.COARSE_DEBLENDING, 2, 0.5)


def test_a_detection_that_outlasts_the_function_ends_with_a_name(
    monkeypatch: pytest.MonkeyPatch, stars: Callable[..., np.ndarray]
) -> None:
    """Its process is gone, too."""
    children, fork = [], os.fork

    def begin() -> int:
        children.append(fork())
        if children[-1]:  # time is over now, wherever the image is slow to get here
            signal.setitimer(signal.ITIMER_REAL, 0.1)
        return children[-1]

    monkeypatch.setattr(ladder.os, "fork", begin)
    monkeypatch.setattr(ladder, "_extract", lambda *_: time.sleep(60))
    context = types.SimpleNamespace(get_remaining_time_in_millis=lambda: 600_000)
    with pytest.raises(TooSlowError), in_time(context, 5, TooSlowError):
        run(stars(sky=0.0))
    with pytest.raises(ChildProcessError):
        os.waitpid(children[0], os.WNOHANG)


def test_no_memory_for_the_child_has_a_name_and_other_errors_their_own() -> None:
    with pytest.raises(OutOfMemoryError), child._enough_memory():
        raise OSError(errno.ENOMEM, "no memory")
    with pytest.raises(PermissionError), child._enough_memory():
        raise PermissionError(errno.EPERM, "not allowed")


def test_a_child_that_never_answers_is_tried_with_less_deblending(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is stopped: it uses up no CPU time."""
    real = ladder._extract

    def stopped(data: Any, noise: Any, mask: Any, config: Config, now: Any, shared: Any) -> Any:
        if now.step < Step.NO_DEBLENDING:
            time.sleep(2)
        return real(data, noise, mask, config, now, shared)

    monkeypatch.setattr(ladder, "_extract", stopped)
    monkeypatch.setattr(ladder, "_WALL_PER_CPU", 0.01)
    _, _, step = run(np.zeros((20, 30), "f4"), deblend_seconds=1.0)
    assert step == Step.NO_DEBLENDING


def test_where_no_child_can_be_made_the_pipe_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = child.multiprocessing.Pipe()

    def no_memory() -> int:
        raise OSError(errno.ENOMEM, "no memory")

    monkeypatch.setattr(child.multiprocessing, "Pipe", lambda: pipe)
    monkeypatch.setattr(ladder.os, "fork", no_memory)
    with pytest.raises(OutOfMemoryError):
        run(np.zeros((20, 30), "f4"))
    assert [end.closed for end in pipe] == [True, True]


def test_the_cpu_time_of_a_child_ends_it_whatever_the_parent_does_with_the_signal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = ladder._extract

    def slow(data: Any, noise: Any, mask: Any, config: Config, now: Any, shared: Any) -> Any:
        if now.step < Step.COARSE_DEBLENDING:
            os.kill(os.getpid(), signal.SIGPROF)
        return real(data, noise, mask, config, now, shared)

    monkeypatch.setattr(ladder, "_extract", slow)
    before = signal.signal(signal.SIGPROF, signal.SIG_IGN)
    try:
        _, _, step = run(np.zeros((20, 30), "f4"))
    finally:
        signal.signal(signal.SIGPROF, before)
    assert step == Step.COARSE_DEBLENDING


def test_a_kept_child_gives_what_one_for_each_image_does(
    kept: dict[int, Child], monkeypatch: pytest.MonkeyPatch, stars: Callable[..., np.ndarray]
) -> None:
    """Also where the next image is larger or smaller, its noise varies, and pixels are masked."""
    image = stars(sky=0.0)
    noise = np.linspace(1, 3, image.size, dtype="f4").reshape(image.shape)
    mask = image > 40
    cases = [(image[:40], 1.0, mask[:40] & False), (image, noise, mask), (image[:, :50], 2.0, mask[:, :50])]
    cases = [(np.ascontiguousarray(data), level, np.ascontiguousarray(no)) for data, level, no in cases]
    found = [detect(*case, Config(**PATIENT)) for case in cases]
    assert len(kept) == 1
    assert kept[os.getpid()].lives()
    monkeypatch.setattr(ladder, "_SHARED", 1)
    for mine, case in zip(found, cases, strict=True):
        theirs = detect(*case, Config(**PATIENT))
        assert len(mine[0]) > 0
        np.testing.assert_array_equal(mine[0], theirs[0])
        np.testing.assert_array_equal(mine[1], theirs[1])


def test_a_child_is_kept_for_images_that_fit_and_replaced_when_it_has_died(
    kept: dict[int, Child], stars: Callable[..., np.ndarray]
) -> None:
    image = stars(sky=0.0)  # of 96 x 96 pixels: 83 kB with its map and mask
    children = []
    for data in (image, image[:50].copy(), np.vstack([image, image, image, image]), image):
        run(data)
        children.append(kept[os.getpid()])
    assert len(set(children)) == 1, "the larger image had one of its own"
    os.kill(children[-1]._pid, signal.SIGKILL)
    os.waitpid(children[-1]._pid, 0)
    assert len(run(image)[0]) == 16
    # A process that was forked from this one must not send requests through its pipe.
    assert list(kept) == [os.getpid()]


def test_a_kept_child_out_of_time_costs_one_try(kept: dict[int, Child]) -> None:
    image = peaks(20)
    assert run(image, deblend_seconds=1e-6)[2] == Step.NO_DEBLENDING
    whole = run(image, deblend_mincont=1e-6)
    assert (len(whole[0]), whole[2]) == (400, Step.AS_ASKED)


def test_a_kept_child_ends_with_the_function_s_time(
    kept: dict[int, Child], monkeypatch: pytest.MonkeyPatch, stars: Callable[..., np.ndarray]
) -> None:
    monkeypatch.setattr(ladder, "_extract", lambda *_: time.sleep(60))
    context = types.SimpleNamespace(get_remaining_time_in_millis=lambda: 300)
    with pytest.raises(TooSlowError), in_time(context, 0.2, TooSlowError):
        run(stars(sky=0.0))
    assert not kept[os.getpid()].lives()


def test_a_child_has_the_time_of_each_request() -> None:
    one = Child(lambda shared, _: signal.getitimer(signal.ITIMER_PROF)[0], 1)
    try:
        times = [one.answer(None, seconds, 60.0) for seconds in (50.0, None, 20.0)]
        assert times == [pytest.approx(50.0, abs=1), 0.0, pytest.approx(20.0, abs=1)]
    finally:
        assert one.close() == -signal.SIGKILL
    assert not one.lives()


def test_a_child_ends_with_its_pipe() -> None:
    """As when the process that it works for is killed."""
    one = Child(lambda *_: None, 1)
    one._pipe.close()
    _, status = os.waitpid(one._pid, 0)
    assert os.waitstatus_to_exitcode(status) == 1
    assert one.close() == 0
