"""What skyfan completeness returns: limits and biases per image, read from the files that planting made."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .. import plots
from ..errors import UsageError
from ..files import from_json
from ..formatting import count, shorten
from ..runs.judge import STATES
from ..runs.run_file import RunFile
from ..runs.state import RunState
from ..storage import uris
from ..storage.uris import Results
from ..tables import Tabular
from . import export
from .schema import described, new_field

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OUTPUT = "completeness"
"""The output of SepExtract that plants stars."""
_F8, _I4, _TEXT = pa.float64(), pa.int32(), pa.string()
_MAG = "phot.mag;stat.max"
COLUMNS = pa.schema(
    [
        new_field("uri", _TEXT, "", "meta.ref.url;meta.main", "The image"),
        new_field("limit_50", _F8, "mag", _MAG, "Magnitude of stars of which 50 % are found"),
        new_field("limit_50_error", _F8, "mag", "stat.error;phot.mag", "One-sigma error of limit_50"),
        new_field("limit_90", _F8, "mag", _MAG, "Magnitude of stars of which 90 % are found"),
        new_field("limit_90_error", _F8, "mag", "stat.error;phot.mag", "One-sigma error of limit_90"),
        new_field(
            "found_bright", _F8, "", "stat.value", "Share of stars of the brightest magnitude that are found"
        ),
        new_field(
            "bias_bright", _F8, "mag", "stat.error.sys;phot.mag", "Median MAG_AUTO less truth, brightest"
        ),
        new_field("bias_90", _F8, "mag", "stat.error.sys;phot.mag", "The same within 0.25 mag of limit_90"),
        new_field("bias_50", _F8, "mag", "stat.error.sys;phot.mag", "The same within 0.25 mag of limit_50"),
        new_field("trials", _I4, "", "meta.number", "Stars planted"),
        new_field("recovered", _I4, "", "meta.number", "Stars found"),
        new_field("psf", _TEXT, "", "meta.code", "Profile of the stars, by chip if they differ"),
        new_field("psf_stars", _I4, "", "meta.number", "Stars of the image that tell it, of all chips"),
        new_field(
            "fwhm", _F8, "pix", "instr.obsty.seeing", "Its full width at half maximum, mean of the chips"
        ),
        new_field("poisson", _TEXT, "", "meta.code", "yes if its electrons were drawn: the gain is known"),
        new_field("reason", _TEXT, "", "meta.note", "Why it, or a chip of it, was not measured"),
    ]
)
CURVE = pa.schema(
    [
        new_field("uri", _TEXT, "", "meta.ref.url;meta.main", "The image"),
        new_field("mag", _F8, "mag", "phot.mag", "Middle of the bin"),
        new_field("planted", _I4, "", "meta.number", "Stars planted"),
        new_field("found", _I4, "", "meta.number", "Stars found"),
        new_field(
            "bias", _F8, "mag", "stat.error.sys;phot.mag", "Median MAG_AUTO less truth, of 10 stars or more"
        ),
    ]
)
_NUMBERS = [field.name for field in COLUMNS][1:11]
_MAX_CURVES = 200


@dataclass(frozen=True, repr=False)
class Completeness(Tabular):
    """Limits of the images of a run."""

    run: str
    planted: str
    """The run that planted the stars: `run` itself, or a second one."""
    table: pa.Table
    """COLUMNS, one row per image of the run; limits are null where they are not known, see `reason`."""
    documents: dict[str, dict[str, Any]]
    """What was written for each image, by URI: also for each chip, with its curve."""

    def _table(self) -> pa.Table:
        return self.table

    def _summary(self) -> str:
        known = len(self.table) - self.table["limit_50"].null_count
        return f"run {self.run}: limits of {known:,} of {count(len(self.table), 'image')}"

    @property
    def unmeasured(self) -> dict[str, str]:
        """Images without a limit at 50 %, and why."""
        rows = self.table.select(["uri", "limit_50", "reason"]).to_pylist()
        return {row["uri"]: row["reason"] for row in rows if row["limit_50"] is None}

    @cached_property
    def curve(self) -> pa.Table:
        """Stars planted and found by magnitude, one row per image and bin."""
        rows = [
            {"uri": uri, **row}
            for uri, document in self.documents.items()
            for row in document["image"].get("curve", ())
        ]
        return pa.Table.from_pylist(rows, described(CURVE, {"uri": _longest(self.documents)}))

    def write(self, path: str | Path) -> None:
        """Writes the table in the format of the suffix, one of export.SUFFIXES. Raises UsageError."""
        export.write(self.table, Path(path))

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """The share of stars that are found by magnitude, and the limits, for each image.

        Raises UsageError if no image was measured.
        """
        limits = {row["uri"]: [row["limit_90"], row["limit_50"]] for row in self.table.to_pylist()}
        curves = [
            (shorten(uri.rpartition("/")[2], 32), _steps(curve), np.array([limits[uri], [0.9, 0.5]], float))
            for uri, document in list(self.documents.items())[:_MAX_CURVES]
            if (curve := document["image"].get("curve"))
        ]
        if not curves:
            raise UsageError("nothing to plot: no image was measured")
        more = len(self.documents) - _MAX_CURVES
        title = f"{self._summary()}{f'; {more:,} are not drawn' if more > 0 else ''}"
        return plots.completeness(axes, curves, title=title)


def _steps(curve: list[dict[str, Any]]) -> NDArray[np.float64]:
    """Magnitudes and shares (2, n) of pairs of bins into which stars were planted."""
    rows = [(row["mag"], row["planted"], row["found"]) for row in curve if row["planted"]]
    mag, planted, found = np.array(rows, float).T
    pairs = np.arange(0, len(rows), 2)
    weight = np.add.reduceat(planted, pairs)
    return np.array([np.add.reduceat(mag * planted, pairs) / weight, np.add.reduceat(found, pairs) / weight])


def gather(run: str, state: RunState, wanted: set[str] | None = None) -> Completeness:
    """Reads what the run of `state` has planted into its images, or the `wanted` ones; `run` is what they are
    of.
    """
    results = Results.of(state.about["results"], state.run)
    documents: dict[str, dict[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    for file in state.files(*STATES):
        if wanted is None or file.uri in wanted:
            document, reason = _document(state, results, file)
            if document:
                documents[file.uri] = document
            rows.append(_row(file.uri, document, reason))
    longest = {"uri": _longest(row["uri"] for row in rows), "reason": 1, "psf": 1, "poisson": 3}
    for name in ("reason", "psf"):
        longest[name] = _longest(row[name] or "" for row in rows)
    return Completeness(run, state.run, pa.Table.from_pylist(rows, described(COLUMNS, longest)), documents)


def _longest(texts: Any) -> int:
    return max(map(len, texts), default=1) or 1


def _document(state: RunState, results: Results, file: RunFile) -> tuple[dict[str, Any] | None, str]:
    """What was written for an image, or why there is nothing."""
    if file.state != "done":
        why = f": {file.failure.error_type}: {file.failure.message}" if file.failure else ""
        return None, f"{file.state}{why}"
    key = results.object_key(uris.key(file.uri)).removesuffix(results.tail) + f".{OUTPUT}.json"
    body = state.place.get(key)
    if body is None:
        return None, f"{state.place.uri(key)} does not exist: `skyfan retry {state.run}` makes it again"
    try:
        document = from_json(body)
        if not isinstance(document, dict) or not isinstance(document.get("image"), dict):
            raise ValueError("it is no result of planting")
    except ValueError as error:
        return None, f"{state.place.uri(key)} is damaged: {error}"
    return document, ""


def _row(uri: str, document: dict[str, Any] | None, reason: str) -> dict[str, Any]:
    if document is None:
        return dict.fromkeys(COLUMNS.names) | {"uri": uri, "reason": reason}
    image, chips = document["image"], [chip for chip in document["chips"] if not chip["reason"]]
    reasons = [f"HDU {chip['ext']}: {chip['reason']}" for chip in document["chips"] if chip["reason"]]
    missing = [share for share in (90, 50) if chips and image.get(f"limit_{share}") is None]
    if missing:
        shares = " and ".join(f"{share} %" for share in missing)
        reasons.append(
            f"no limit at {shares}: of {count(image['trials'], 'star')}, {image['found_bright']:.0%} of the "
            "brightest magnitude were found, and the curve does not cross it"
        )
    return {
        "uri": uri,
        **{name: image.get(name) for name in _NUMBERS},
        "psf": ", ".join(sorted({chip["psf"] for chip in chips})) or None,
        "psf_stars": sum(chip["psf_stars"] for chip in chips) if chips else None,
        "fwhm": float(np.mean([chip["fwhm"] for chip in chips])) if chips else None,
        "poisson": ("yes" if all(chip["poisson"] for chip in chips) else "no") if chips else None,
        "reason": "; ".join(reasons) or (image.get("reason") or ""),
    }
