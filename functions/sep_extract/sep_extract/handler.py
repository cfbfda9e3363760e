"""The Lambda handler: event -> image -> sources -> catalog."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import numpy as np

from skyfan_contract import BYTES_BASE, BYTES_PER_LABEL
from skyfan_function.errors import EventError, InputError, OutOfMemoryError, UnreadableError
from skyfan_function.fits_table import OBSERVATION
from skyfan_function.handler import Job, Result, lambda_handler

from . import encircled, instruments, plain_wcs
from .allocator import keep_freed
from .beside import SUFFIX, Beside
from .catalog import join, summary_of, table_of
from .child import CrashError, in_child
from .chip import chips
from .event import Request
from .exposures import counts_at
from .fitsfile import to_fits
from .frames import Selection
from .image import Image, open_image
from .ladder import ready
from .quality import Quality, doubts
from .whole import LARGEST_MESH


def process(job: Job[Request]) -> Result:
    """Measure the sources of one FITS image; the result is their catalog. Raises FunctionError."""
    request = job.request
    if request.outputs and not job.output.endswith(SUFFIX):
        raise EventError(f"event: 'outputs' needs SKYFAN_OUTPUT to end in {SUFFIX}; it gives {job.output}")
    ready()
    with opened(job) as images:
        if not any(image.is_compressed for image in images):
            return _result(job, *images)
        spare = None if job.memory is None else job.memory - BYTES_BASE
        try:
            return in_child(lambda: _result(job, *images), spare)
        except CrashError as exc:
            names = " or ".join(image.name for image in images if image.is_compressed)
            raise UnreadableError(
                f"{names} is damaged: a decoder of compressed images crashed ({exc}); fetch it again"
            ) from exc
        except OutOfMemoryError as exc:
            raise OutOfMemoryError(f"{' or '.join(image.name for image in images)}: {exc}") from exc


@contextmanager
def opened(job: Job[Request]) -> Iterator[list[Image]]:
    """The image of a job and, if it has one, its detection image.

    A child process, where compressed images are read, has no connections: both are in memory then.
    """
    source, outputs, chosen = job.source, job.request.outputs, Selection.of(job.request.config)
    with ExitStack() as stack:
        if not job.others:
            yield [stack.enter_context(open_image(source, job.memory, outputs, chosen))]
            return
        other, memory = job.others[0], job.memory
        with naming(other.uri):
            first = stack.enter_context(open_image(other, memory, (), chosen))
        memory = memory and memory - BYTES_PER_LABEL * first.pixels
        image = stack.enter_context(open_image(source, memory, outputs, chosen, whole=first.is_compressed))
        if image.is_compressed and not first.is_compressed:
            first = stack.enter_context(open_image(other, job.memory, (), chosen, whole=True))
        yield [image, first]


@contextmanager
def naming(uri: str) -> Iterator[None]:
    """Say of errors that they are the detection image's."""
    try:
        yield
    except InputError as exc:
        raise type(exc)(f"the detection image {uri}: {exc}") from exc


def _result(job: Job[Request], image: Image, first: Image | None = None) -> Result:
    request, source = job.request, job.source
    dual = None
    if first is not None:
        from .detection import detection_of
        from .dual_table import DualImage

        with naming(job.others[0].uri):
            dual = DualImage(detection_of(first, request, job.others[0]))
    tables, summaries, beside = [], [], Beside(job, dual)
    notes, quality = list(image.notes), Quality.NONE
    for chip in chips(image, request.config.good_bits):
        if isinstance(chip, str):
            notes.append(chip)
            quality |= Quality.PLANE_SKIPPED
            continue
        config = chip.configured(request.config)
        if chip.parts and config.back_size > LARGEST_MESH:
            raise EventError(
                f"config: 'back_size' must be at most {LARGEST_MESH}, not {config.back_size}, for "
                f"an image of {math.prod(chip.shape) / 1e6:.0f} million pixels, measured in tiles"
            )
        found = beside.measure(chip, config)
        where = found.sources.photometry
        counts, odd = counts_at(image, chip.hdu, where.xwin, where.ywin)
        if dual:
            dual.add(chip, found, counts)
        else:
            tables.append(table_of(chip, found, counts))
        summaries.append(summary_of(chip, found, config))
        beside.plant(chip, found, summaries[-1], config)
        quality |= summaries[-1].quality
        if not len(found) and not dual:
            notes.append(f"HDU {chip.hdu}: no source above {request.config.detect_thresh:g} sigma")
        notes += [note for note in (*chip.notes, *found.notes, *odd) if note not in notes]
    table = dual.table(image.name) if dual else join(tables)
    cards = {key: card for key in OBSERVATION if (card := image.card(key)) is not None}
    if dual:
        cards |= dual.cards()
        quality |= dual.quality
        notes = [*dual.notes(), *notes]
    body = to_fits(table, summaries, request, source, cards, notes, quality)

    files = beside.files(table, summaries)
    summary = {
        "sources": len(table["NUMBER"]),
        "chips": [
            {
                "ext": p.hdu,
                "exposure": p.exposure.number,
                "sources": p.sources,
                "background": p.background,
                "rms": p.rms,
                "depth": None if p.depth is None else round(p.depth, 3),
                "step": p.step,
            }
            for p in summaries
        ],
        "quality": int(quality),
        "doubts": doubts(quality),
        "notes": notes,
        "outputs": {name: uri for name, (uri, _) in files.items()},
    }
    return Result(body, summary, dict(files.values()))


def prepare() -> None:
    """Load what the first image would load: while Lambda imports this module, it gives a full CPU."""
    np.median([0.0])  # imports numpy.ma
    with suppress(ImportError):  # of another astropy; its public class is imported when it is needed
        plain_wcs.core()
    instruments.table()
    encircled.tables()


prepare()
keep_freed()
handler = lambda_handler(process, Request)
