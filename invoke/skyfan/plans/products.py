"""Which files an observation stands for: its main product, or those of its product list. No I/O."""

import re

_SUFFIX = re.compile(r"_([a-z0-9]+)\.fits(?:\.gz|\.fz)?$", re.IGNORECASE)
_FULL_FRAMES = frozenset({"TESS FFI", "TICA FFI"})


def kind(name: str | None) -> str | None:
    """The product type that a file's name ends in, in capitals: DRZ of jbeveo010_drz.fits."""
    found = _SUFFIX.search(name or "")
    return found[1].upper() if found else None


def is_main(data_url: str | None, wanted: frozenset[str]) -> bool:
    """Whether an observation's dataURL is a file of a wanted type, so that no product list need be asked."""
    return bool(data_url) and str(data_url).startswith("mast:") and kind(data_url) in wanted


def none_of(
    calib_level: int | None, target: str | None, data_url: str | None, wanted: frozenset[str]
) -> str | None:
    """Why an observation has no wanted product, where that is known without its product list."""
    if target in _FULL_FRAMES and data_url is None:
        return "full-frame images, thousands to an observation: give the bucket's prefix as a path"
    raw_only = calib_level is not None and calib_level < 2
    if raw_only and wanted <= {"DRZ", "DRC", "FLT", "FLC", "I2D", "CAL"}:
        return "not calibrated (calib_level below 2)"
    return None
