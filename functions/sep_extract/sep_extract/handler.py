"""The Lambda handler: event -> image -> sources -> catalog."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from .catalog import join, plane_of, table_of
from .chip import chips
from .errors import EventError, SepExtractError
from .event import Request, parse
from .extract import measure
from .fitsfile import to_fits
from .image import open_image
from .storage import key_of, open_input, output_uri, write

_SUFFIX = ".cat.fits"


def handler(event: object, context: Any) -> dict[str, Any]:
    """Measure the sources of one FITS image and write one catalog; a batch of images, one each.

    The event is described in the function's README; where the catalog goes is the environment's business.
    Returns a summary that JSON can carry; raises a SepExtractError, whose class Lambda reports as errorType.
    """
    if isinstance(event, Mapping) and "inputs" in event:
        from .batch import process

        return process(event, lambda one: _one(one, context), context)
    return _one(event, context)


def _one(event: object, context: Any) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        request = parse(event)
        summary = run(request, _memory_of(context))
    except SepExtractError as exc:
        _log(
            level="ERROR",
            event=event,
            errorType=type(exc).__name__,
            errorMessage=str(exc),
            permanent=exc.permanent,
        )
        raise
    summary["seconds"] = round(time.perf_counter() - start, 3)
    _log(level="INFO", run=request.run, **summary)
    return summary


def run(request: Request, memory: int | None = None) -> dict[str, Any]:
    """Do what the request asks with at most ``memory`` bytes, and sum it up.

    The catalog is written last: it is the receipt.
    """
    target = output_uri(request.run, key_of(request.input))
    if request.outputs and not target.endswith(_SUFFIX):
        raise EventError(f"event: 'outputs' needs SKYFAN_OUTPUT to end in {_SUFFIX}; it gives {target}")
    tables, planes, pictures = [], [], []
    with open_input(request.input, request.access) as source, open_image(source, memory) as image:
        notes = list(image.notes)
        for chip in chips(image, request.config.good_bits):
            if isinstance(chip, str):
                notes.append(chip)
                continue
            found = measure(
                chip.data,
                chip.mask,
                request.config,
                error=chip.error,
                weight=chip.weight,
                gain=chip.calibration.gain,
                dq=chip.dq,
                saturated=chip.saturated,
                scale=chip.sky.scale,
            )
            tables.append(table_of(chip, found))
            planes.append(plane_of(chip, found, request.config))
            if not len(found):
                notes.append(f"HDU {chip.hdu}: no source above {request.config.detect_thresh:g} sigma")
            notes += [note for note in (*chip.notes, *found.notes) if note not in notes]
            if "preview" in request.outputs:
                pictures.append((chip.data, found.columns, found.rms))
        table = join(tables)
        body = to_fits(table, planes, request, source, image.header, notes)

    outputs = {}
    stem = target.removesuffix(_SUFFIX)
    if "parquet" in request.outputs:
        from .parquet import to_parquet

        outputs["parquet"] = f"{stem}.cat.parquet"
        write(outputs["parquet"], to_parquet(table, planes, request, source))
    if "preview" in request.outputs:
        from .png import preview

        outputs["preview"] = f"{stem}.preview.png"
        write(outputs["preview"], preview(pictures))
    write(target, body)
    return {
        "input": request.input,
        "output": target,
        "sources": len(table["NUMBER"]),
        "chips": [
            {
                "ext": p.hdu,
                "sources": p.sources,
                "background": p.background,
                "rms": p.rms,
                "depth": None if p.depth is None else round(p.depth, 3),
                "step": p.step,
            }
            for p in planes
        ],
        "notes": notes,
        "outputs": outputs,
    }


def _memory_of(context: Any) -> int | None:
    megabytes = getattr(context, "memory_limit_in_mb", None)
    return int(megabytes) << 20 if megabytes else None


def _log(**fields: Any) -> None:
    print(json.dumps(fields, default=str, skipkeys=True), flush=True)
