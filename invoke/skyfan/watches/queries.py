"""Criteria of `skyfan plan` as the query of a watch. No I/O."""

from collections.abc import Iterable
from typing import Any

from skyfan_contract.products import public_prefix
from skyfan_watch.query import INSTRUMENT, Query

from ..errors import UsageError
from ..plans.criteria import Criteria, mjd_range, number_range, product_types
from ..plans.limits import ArchiveLimits
from ..sky import angles

_WORDS = {INSTRUMENT: "instrument", "filters": "filters", "proposal_id": "proposal", "target_name": "target"}
_UNKNOWN = {
    "where": "a column of MAST, which neither the key of a file nor its header tells",
    "calib_level": "a column of MAST: give product types with --product",
    "every": "for images that are there already, in the order of time",
}


def of_archive(**criteria: Any) -> Query:
    """The query of an archive's announcements for `criteria`, the fields of plans.criteria.Criteria.

    Raises UsageError as `skyfan plan` does, and for what no announcement, key or header tells.
    """
    _refuse_unknown(criteria)
    checked = Criteria.of(**criteria)
    is_hst = checked.mission == "HST"
    frames = (checked.sector, checked.camera, checked.ccd) if checked.sector else None
    return _query(
        checked,
        mission=checked.mission,
        buckets=(ArchiveLimits.from_environment().bucket,),
        prefix=public_prefix(checked.mission),
        products=tuple(sorted(checked.product_types)),
        provenance=checked.provenance if is_hst else "any",
        frames=frames,
    )


def of_folder(**criteria: Any) -> Query:
    """The query of the files of a folder. Without criteria all FITS files are wanted.

    Raises UsageError for criteria that no header of a file tells.
    """
    _refuse_unknown(criteria)
    for name in ("mission", "provenance", "sector", "camera", "ccd"):
        if criteria.pop(name, None):
            raise UsageError(f"--{name} is about an archive, not a folder")
    products = tuple(sorted(product_types(criteria.pop("products", ()))))
    if not criteria:
        return Query(products=products)
    return _query(Criteria.of(**criteria), products=products)


def _query(criteria: Criteria, **values: Any) -> Query:
    words = {column: getattr(criteria, name) for column, name in _WORDS.items()}
    ranges: dict[str, tuple[float, float]] = {}
    if criteria.dates:
        ranges["t_min"] = _pair(mjd_range(criteria.dates))
    if criteria.exptime:
        ranges["t_exptime"] = _pair(number_range(criteria.exptime, "--exptime"))
    cone = None
    if criteria.around is not None:
        cone = (*angles.position(criteria.around), angles.radius(criteria.radius))
    used = {column: tuple(map(str, found)) for column, found in words.items() if found}
    return Query(words=used, ranges=ranges, cone=cone, **values)


def _pair(values: Iterable[float]) -> tuple[float, float]:
    low, high = values
    return low, high


def _refuse_unknown(criteria: dict[str, Any]) -> None:
    for name, reason in _UNKNOWN.items():
        if criteria.get(name):
            raise UsageError(f"--{name.replace('_', '-')} is {reason}")
