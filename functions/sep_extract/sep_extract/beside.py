"""The files beside a catalog, as far as the event wants them. What only they need is imported with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .catalog import ChipSummary, Table
from .chip import Chip
from .event import CHECKS, Config
from .extract import Measurement, measure
from .tiles import measure_tiles

if TYPE_CHECKING:
    from skyfan_function.handler import Job

    from .checkimages import CheckImages
    from .completeness import Completeness
    from .dual_table import DualImage
    from .event import Request

SUFFIX = ".cat.fits"


class Beside:
    """Collects, chip by chip, what the further outputs of a job show."""

    def __init__(self, job: Job[Request], dual: DualImage | None = None) -> None:
        """``dual`` measures the sources of a detection image, if there is one."""
        self._dual = dual
        self._job, self._outputs = job, job.request.outputs
        self._checks: dict[str, list[bytes]] = {kind: [] for kind in CHECKS if kind in self._outputs}
        self._lookup: dict[int, Any] = {}
        self._pictures: list[NDArray[np.uint8]] = []
        self._sources = 0
        self._planted: list[Completeness] = []

    def measure(self, chip: Chip, config: Config) -> Measurement:
        """The sources of a chip. Raises ExtractionError."""
        if self._dual:
            found = self._of_detection(chip, config, self._dual)
        elif not self._checks:
            found = measure_tiles(chip.parts, config) if chip.parts else measure(chip.pixels, config)
        else:
            found = self._with_images(chip, config)
        if "preview" in self._outputs:
            from .png import draw

            self._pictures.append(draw(found))
        self._sources += len(found)
        return found

    def plant(self, chip: Chip, found: Measurement, summary: ChipSummary, config: Config) -> None:
        """Artificial stars in a chip that was measured, if they are wanted. Raises ExtractionError."""
        if "completeness" in self._outputs:
            from .completeness import plant_stars

            self._planted.append(plant_stars(chip, found, summary, config, self._job.source.name))

    def _with_images(self, chip: Chip, config: Config) -> Measurement:
        from .checkimages import CheckImages

        images = CheckImages(list(self._checks), chip, self._job.source.name, self._sources)
        if chip.parts:
            found = measure_tiles(chip.parts, config, images)
        else:
            found = measure(chip.pixels, config, images.whole)
        self._keep(images, chip)
        return found

    def _of_detection(self, chip: Chip, config: Config, dual: DualImage) -> Measurement:
        if not self._checks:
            return dual.measure(chip, config, None)
        from .checkimages import CheckImages

        images = CheckImages(list(self._checks), chip, self._job.source.name, 0, parted=True)
        found = dual.measure(chip, config, images.numbered)
        self._keep(images, chip)
        return found

    def _keep(self, images: CheckImages, chip: Chip) -> None:
        for kind, hdu in images.hdus().items():
            self._checks[kind].append(hdu)
        self._lookup |= {id(table): table for table in chip.sky.tables}

    def files(self, table: Table, chips: list[ChipSummary]) -> dict[str, tuple[str, bytes]]:
        """URI and content of each output, after all chips. Raises ConfigurationError without pyarrow."""
        request, source = self._job.request, self._job.source
        more = self._dual.cards() if self._dual else {}
        stem = self._job.output.removesuffix(SUFFIX)
        files = {}
        if "parquet" in self._outputs:
            from .parquet import to_parquet

            files["parquet"] = f"{stem}.cat.parquet", to_parquet(table, chips, request, source, more)
        if "preview" in self._outputs:
            from .png import preview

            files["preview"] = f"{stem}.preview.png", preview(self._pictures)
        if "completeness" in self._outputs:
            from .completeness import to_json

            body = to_json(self._planted, source.uri, request.config)
            files["completeness"] = f"{stem}.completeness.json", body
        for kind in list(self._checks):
            from .checkimages import to_fits

            body = to_fits(kind, self._checks.pop(kind), list(self._lookup.values()), request, source, more)
            files[kind] = f"{stem}.{kind}.fits.fz", body
        return files
