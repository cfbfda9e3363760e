"""sep.extract that always comes back: a time limit, room for any field, and a documented way down.

Detection runs in a forked child. A deblending that would take an hour is killed there, sep's process-wide
settings are changed there and nowhere else, and a crash in compiled code costs one try instead of the image.
For small images, where a fork would take longer than detection, the child is kept for the next image.
"""

from __future__ import annotations

import math
import mmap
import os
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
import sep
from numpy.typing import NDArray

from .child import Child, CrashError, OutOfTimeError
from .errors import ExtractionError
from .event import Config

# Two thirds of this is what sep starts with; a stack sized for the whole image costs more to set up than to
# use.
_PIXSTACK = 300_000
_SUB_OBJECTS = 1024
# Seconds that the process may take per second of CPU time: only for one that is stopped or starved.
_WALL_PER_CPU = 20
# Bytes for an image of up to 1.3 million pixels, its noise, mask and map, shared with the child that is kept.
# Beyond, both processes together would take more than BYTES_PER_PIXEL says.
_SHARED = 17 << 20
_children: dict[int, Child] = {}


class Step(IntEnum):
    """How the detections of a chip came about: the value of the column EXTRACT_STEP, worse as it grows."""

    AS_ASKED = 0
    MORE_PIXELS = 1
    MORE_SUB_OBJECTS = 2
    COARSE_DEBLENDING = 3
    NO_DEBLENDING = 4


MEANING = {
    Step.AS_ASKED: "as configured",
    Step.MORE_PIXELS: "with a larger pixel stack (same result)",
    Step.MORE_SUB_OBJECTS: "with more sub-objects allowed in deblending (same result)",
    Step.COARSE_DEBLENDING: (
        "deblended with ten times the contrast and half the levels: close pairs may be one source"
    ),
    Step.NO_DEBLENDING: "without deblending: touching sources are one source",
}


@dataclass(frozen=True)
class _Try:
    step: Step
    pixstack: int
    sub_objects: int
    nthresh: int
    mincont: float


class _PixelsOverflowError(Exception):
    pass


class _SubObjectsOverflowError(Exception):
    pass


def detect(
    data: NDArray[np.float32], noise: float | NDArray[np.float32], mask: NDArray[np.bool_], config: Config
) -> tuple[NDArray[Any], NDArray[np.int32], Step]:
    """Detect and deblend sources in a background-subtracted image.

    ``data`` (ny, nx) float32; ``noise`` one sigma of the background, a number or (ny, nx) float32; ``mask``
    (ny, nx) bool, True where not to look. Returns sep's structured array of objects, the segmentation map
    (ny, nx) int32 with the objects' numbers from 1, and the step of the ladder that worked. Raises
    ExtractionError and OutOfMemoryError.
    """
    now = _Try(
        Step.AS_ASKED,
        min(_PIXSTACK, data.size + 1000),
        _SUB_OBJECTS,
        config.deblend_nthresh if config.contrast < 1 else 1,
        config.contrast,
    )
    while True:
        try:
            objects, segmentation = _in_child(data, noise, mask, config, now)
            return objects, segmentation, now.step
        except _PixelsOverflowError:
            if now.pixstack > data.size:
                raise ExtractionError(
                    "sep's pixel stack overflows even with room for every pixel of the image"
                ) from None
            now = replace(
                now, step=max(now.step, Step.MORE_PIXELS), pixstack=min(4 * now.pixstack, data.size + 1000)
            )
        except _SubObjectsOverflowError:
            if now.sub_objects < 64 * _SUB_OBJECTS:
                now = replace(now, step=max(now.step, Step.MORE_SUB_OBJECTS), sub_objects=8 * now.sub_objects)
            else:
                now = _coarser(now)
        except OutOfTimeError:
            now = _coarser(now)
        except CrashError as exc:
            # Deblending of damaged pixels, of 1e30 and the like, can crash sep; detection alone does not.
            if now.step == Step.NO_DEBLENDING:
                raise ExtractionError(str(exc)) from None
            now = replace(now, step=Step.NO_DEBLENDING, nthresh=1, mincont=1.0)


def _coarser(now: _Try) -> _Try:
    if now.step < Step.COARSE_DEBLENDING and now.mincont < 0.1:
        return replace(
            now,
            step=Step.COARSE_DEBLENDING,
            nthresh=max(2, now.nthresh // 2),
            mincont=min(10 * now.mincont, 0.5),
        )
    if now.step < Step.NO_DEBLENDING:
        # A contrast of 1 alone would still build the whole tree of sub-objects, and only then cut it.
        return replace(now, step=Step.NO_DEBLENDING, nthresh=1, mincont=1.0)
    raise ExtractionError("sep could not detect sources even without deblending")


def _in_child(
    data: NDArray[np.float32],
    noise: float | NDArray[np.float32],
    mask: NDArray[np.bool_],
    config: Config,
    now: _Try,
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """One try, in the child that is kept, with the arrays in shared memory, or in one that inherits them.

    The map comes back in shared memory, the objects by the pipe.
    """
    # Without deblending there is nothing further down the ladder, so that try may take the time it needs.
    limit = None if now.step == Step.NO_DEBLENDING else config.deblend_seconds
    patience = None if limit is None else _WALL_PER_CPU * limit
    arrays = [array for array in (data, noise, mask) if isinstance(array, np.ndarray)]
    if 4 * data.size + sum(array.nbytes for array in arrays) <= _SHARED:
        child = ready()
        kinds = [array.dtype.str for array in arrays]
        for there, array in zip(_arrays(child.shared, data.shape, kinds), arrays, strict=True):
            there[:] = array
        level = None if isinstance(noise, np.ndarray) else noise
        outcome = child.answer((data.shape, kinds, level, config, now), limit, patience)
        segmentation = _map(child.shared, data.shape).copy()
    else:
        child = Child(lambda shared, _: _extract(data, noise, mask, config, now, shared), 4 * data.size)
        try:
            outcome = child.answer(None, limit, patience)
        finally:
            child.close()
        segmentation = _map(child.shared, data.shape)
    if isinstance(outcome, str):
        _raise_sep(outcome)
    return outcome, segmentation


def ready() -> Child:
    """The child of this process that is kept, forked if there is none.

    Best before an image is read, for the child holds on to what this process has in memory then.
    """
    child = _children.get(os.getpid())
    if child is None or not child.lives():
        if child is not None:
            child.close()
        child = _children[os.getpid()] = Child(_shared_extract, _SHARED)
    return child


def _shared_extract(shared: mmap.mmap, request: Any) -> Any:
    """In the child that is kept: what _extract() returns for the arrays in shared memory."""
    shape, kinds, noise, config, now = request
    data, *varying, mask = _arrays(shared, shape, kinds)
    return _extract(data, varying[0] if varying else noise, mask, config, now, shared)


def _arrays(shared: mmap.mmap, shape: tuple[int, ...], kinds: list[str]) -> list[NDArray[Any]]:
    """Arrays of one ``shape`` behind the map in shared memory, by their types."""
    found, start = [], 4 * math.prod(shape)
    for kind in kinds:
        found.append(np.frombuffer(shared, kind, math.prod(shape), start).reshape(shape))
        start += found[-1].nbytes
    return found


def _map(shared: mmap.mmap, shape: tuple[int, ...]) -> NDArray[np.int32]:
    return np.frombuffer(shared, np.int32, math.prod(shape)).reshape(shape)


def _extract(data: Any, noise: Any, mask: Any, config: Config, now: _Try, shared: mmap.mmap) -> Any:
    """In the child: sep's objects, or the text of its exception. Raises MemoryError."""
    sep.set_extract_pixstack(now.pixstack)
    sep.set_sub_object_limit(now.sub_objects)
    try:
        objects, segmentation = sep.extract(
            data,
            config.detect_thresh,
            err=noise,
            mask=mask if mask.any() else None,
            minarea=config.detect_minarea,
            filter_kernel=_PYRAMID if config.filter else None,
            # What SExtractor does: smooth the image, then compare with the noise of the pixel.
            filter_type="conv",
            deblend_nthresh=now.nthresh,
            deblend_cont=now.mincont,
            clean=config.clean,
            clean_param=config.clean_param,
            segmentation_map=True,
        )
    except MemoryError:
        raise
    except Exception as exc:
        return str(exc)
    _map(shared, data.shape)[:] = segmentation
    return objects


# SExtractor's default.conv.
_PYRAMID = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=np.float32)


def _raise_sep(text: str) -> None:
    """sep tells its errors apart by their text only."""
    if "pixel buffer full" in text:
        raise _PixelsOverflowError
    if "deblending overflow" in text:
        raise _SubObjectsOverflowError
    raise ExtractionError(f"sep: {text}")
