"""An image that is measured in tiles has the sources that it has as a whole, each once."""

import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from astropy.io import fits

from sep_extract import chip, errors, handler, image
from sep_extract.checkimages import CheckImages
from sep_extract.event import CHECKS, Config
from sep_extract.extract import Measurement, measure
from sep_extract.flags import Flag
from sep_extract.mosaic import Mosaic
from sep_extract.pixels import Pixels
from sep_extract.quality import Quality
from sep_extract.tiles import _touching, measure_tiles
from sep_extract.whole import LARGEST_MESH, Tiling
from skyfan_contract import memory_of
from skyfan_function.errors import EventError
from skyfan_function.storage import open_input

SHAPE = 700, 820
# Without deblending, which deals pixels between neighbours by chance.
ALONE = Config(deblend_mincont=1.0)
SMALL = Tiling(core=256, margins=(64, 256), block=128)


class InMemory:
    """Parts of an image that is all there."""

    def __init__(self, pixels: Pixels, tiling: Tiling = SMALL) -> None:
        self.pixels, self.tiling = pixels, tiling
        self.shape: tuple[int, int] = pixels.data.shape[0], pixels.data.shape[1]
        used = ~pixels.mask
        rows, columns = (np.flatnonzero(used.any(axis=axis)) for axis in (1, 0))
        self.box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        starts = [np.arange(0, n, tiling.block) for n in self.shape]
        self.usable = np.add.reduceat(
            np.add.reduceat(used, starts[0], axis=0, dtype=np.int64), starts[1], axis=1
        )
        self.read_parts: list[tuple[slice, slice]] = []

    def keep(self, rows: slice) -> None:
        pass

    def read(self, rows: slice, columns: slice) -> Pixels:
        self.read_parts.append((rows, columns))
        planes = {
            k: v[rows, columns].copy() for k, v in vars(self.pixels).items() if isinstance(v, np.ndarray)
        }
        return replace(self.pixels, **planes)


def field(seed: int = 3, sources: int = 250, **planes: Any) -> Pixels:
    """Stars and some galaxies on a sky that varies, wherever tiles meet."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(SHAPE)
    data = rng.normal(0, 1, SHAPE) / np.sqrt(planes.get("weight", 1)) + np.sin(y / 150) + x / 400
    for k in range(sources):
        at, size = rng.uniform(0, SHAPE), 1.5 if k % 4 else 4.0
        near = tuple(slice(max(int(p) - 30, 0), int(p) + 30) for p in at)
        distance = (y[near] - at[0]) ** 2 + (x[near] - at[1]) ** 2
        data[near] += rng.uniform(200, 3000) / (2 * np.pi * size**2) * np.exp(-distance / 2 / size**2)
    mask = rng.random(SHAPE) < 0.001
    mask[:40] = mask[:, :10] = True
    data[mask] = 0
    return Pixels(data.astype(np.float32), mask, gain=5.0, scale=0.05, **planes)


def by_place(found: Measurement) -> dict[tuple[int, int], int]:
    inner = found.sources.isophotal
    places = list(zip(inner.y_peak.tolist(), inner.x_peak.tolist(), strict=True))
    assert len(set(places)) == len(places), "no source is found twice"
    return {place: i for i, place in enumerate(places)}


def assert_same(tiled: Measurement, whole: Measurement, errors: float = 0.15) -> None:
    a, b = by_place(whole), by_place(tiled)
    assert a.keys() == b.keys()
    order = np.array([b[place] for place in a]), np.array(list(a.values()))
    for part, names in (
        ("isophotal", ("x", "y", "a", "b", "area", "flux", "peak")),
        ("photometry", ("kron_radius", "flux_auto", "flux_aper", "half_light_radius")),
    ):
        for name in names:
            ours, theirs = (
                np.asarray(getattr(getattr(f.sources, part), name), float)[i]
                * (f.unit if "flux" in name else 1)
                for f, i in zip((tiled, whole), order, strict=True)
            )
            np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-3, err_msg=name)
    np.testing.assert_array_equal(tiled.sources.flags[order[0]], whole.sources.flags[order[1]])
    ours, theirs = (
        f.sources.photometry.flux_error_auto[i] * f.unit for f, i in zip((tiled, whole), order, strict=True)
    )
    np.testing.assert_allclose(ours, theirs, rtol=errors)


PLANES = {
    "data alone": {},
    "weight": {"weight": np.where(np.indices(SHAPE)[1] > 300, 2, 1).astype(np.float32)},
    "error": {"error": np.full(SHAPE, 0.8, np.float32), "dq": np.ones(SHAPE, np.uint32)},
}


@pytest.mark.slow
@pytest.mark.parametrize("planes", PLANES)
def test_tiles_of_any_size_find_what_the_whole_has(planes: str) -> None:
    pixels = field(**PLANES[planes])
    whole = measure(pixels, ALONE)
    assert len(whole) > 200
    for core in (192, 320):
        tiled = measure_tiles(InMemory(pixels, replace(SMALL, core=core)), ALONE)
        assert_same(tiled, whole)
        assert tiled.rms == pytest.approx(whole.rms, rel=0.01 if planes == "weight" else 1e-6)
        assert tiled.background == pytest.approx(whole.background, rel=1e-6)
        assert not tiled.quality & Quality.TILE_CUT


def test_rows_come_in_the_order_of_their_peaks() -> None:
    inner = measure_tiles(InMemory(field()), ALONE).sources.isophotal
    places = list(zip(inner.y_peak.tolist(), inner.x_peak.tolist(), strict=True))
    assert places == sorted(places)


def wide_source(reach: float) -> Pixels:
    pixels = field(sources=60)
    y, x = np.indices(SHAPE)
    light = 40 * np.exp(-np.hypot(y - 250, (x - 260) / 4) / reach)
    return replace(pixels, data=np.where(pixels.mask, 0, pixels.data + light).astype(np.float32))


def test_a_source_across_borders_is_whole() -> None:
    """Longer than a margin; its peak is beside the corner of four tiles."""
    pixels = wide_source(12)
    whole, parts = measure(pixels, ALONE), InMemory(pixels)
    largest = whole.sources.isophotal.area.argmax()
    inner = whole.sources.isophotal
    assert inner.a[largest] > 20
    tiled = measure_tiles(parts, ALONE)
    assert_same(tiled, whole)
    widths = {columns.stop - columns.start for _, columns in parts.read_parts}
    assert max(widths) > 256 + 2 * 64, "a wider margin was read"


def test_a_source_that_no_margin_holds_is_flagged() -> None:
    tiled = measure_tiles(InMemory(wide_source(12), replace(SMALL, core=128, margins=(32, 48))), ALONE)
    largest = tiled.sources.isophotal.area.argmax()
    assert tiled.sources.flags[largest] & Flag.TRUNCATED
    assert tiled.quality & Quality.TILE_CUT
    assert any("beyond the margin" in note for note in tiled.notes)


def test_sources_that_touch_one_another_touch_the_border_together() -> None:
    owner = np.zeros((8, 12), np.int32)
    owner[2, :3], owner[3, 3:5], owner[4, 5:8], owner[6, 9:11] = 1, 2, 3, 4
    sides = [(False, False), (True, False)]
    assert _touching(owner, sides).tolist() == [1, 2, 3]
    assert _touching(owner, [(True, True), (False, True)]).tolist() == []


@pytest.mark.slow
def test_the_second_detection_comes_last() -> None:
    pixels, config = field(), replace(ALONE, faint_size=9)
    sources = measure_tiles(InMemory(pixels), config).sources
    second = (sources.flags & Flag.SECOND) != 0
    assert second.any()
    assert not second[: len(second) - second.sum()].any()


def test_the_noise_of_a_tile_is_that_of_the_whole() -> None:
    """Half of the image has no source, and one source's tile hardly any sky."""
    pixels = field(sources=40, error=np.full(SHAPE, 2.0, np.float32))
    whole, tiled = measure(pixels, ALONE), measure_tiles(InMemory(pixels), ALONE)
    assert tiled.scale == pytest.approx(whole.scale, rel=0.05)
    assert tiled.shared.measured


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is measured in small tiles."""
    monkeypatch.setattr(image, "TILED_ABOVE", 0)
    monkeypatch.setattr(handler, "chips", partial(chip.chips, tiling=SMALL))


def written(path: Path, pixels: Pixels, **planes: np.ndarray) -> Path:
    primary = fits.PrimaryHDU(header=fits.Header({"TELESCOP": "HST", "INSTRUME": "ACS", "DETECTOR": "WFC"}))
    cards = {"BUNIT": "ELECTRONS/S", "EXPTIME": 100.0, "PHOTFLAM": 1e-19, "PHOTPLAM": 6000.0}
    data = np.where(pixels.mask, np.nan, pixels.data).astype(np.float32)
    hdus = [primary, fits.ImageHDU(data, fits.Header(cards), name="SCI")]
    hdus += [fits.ImageHDU(plane, name=name) for name, plane in planes.items()]
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.mark.parametrize("names", ["", "WHT", "ERR DQ"])
def test_a_part_of_a_file_is_that_of_the_whole_file(
    tmp_path: Path, names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, planes = np.random.default_rng(0), {}
    for name in names.split():
        planes[name] = rng.uniform(1, 2, SHAPE).astype(np.float32)
        planes[name] = (rng.random(SHAPE) < 0.01).astype(np.int16) if name == "DQ" else planes[name]
    path = written(tmp_path / "a_drc.fits", field(), **planes)

    def read(above: int) -> chip.Chip:
        monkeypatch.setattr(image, "TILED_ABOVE", above)
        found = next(chip.chips(opened, None, SMALL))
        assert isinstance(found, chip.Chip)
        return found

    with open_input(path.as_uri()) as source, image.open_image(source) as opened:
        whole, tiled = read(1 << 40), read(0)
        assert isinstance(tiled.parts, Mosaic)
        assert whole.parts is None
        assert tiled.shape == whole.shape == SHAPE
        assert (tiled.quality, tiled.notes) == (whole.quality, whole.notes)
        part = slice(30, 400), slice(5, 333)
        tiled.parts.keep(slice(20, 500))
        for rows, columns in (part, (slice(0, 60), slice(0, 820)), (slice(600, 700), slice(800, 820))):
            ours = vars(tiled.parts.read(rows, columns))
            for name, plane in vars(whole.pixels).items():
                if isinstance(plane, np.ndarray):
                    np.testing.assert_array_equal(ours[name], plane[rows, columns], err_msg=name)
                elif name == "glaring":  # a sample of the rows tells it
                    assert ours[name] == pytest.approx(plane, rel=0.05)
                else:
                    assert repr(ours[name]) == repr(plane)


Make = Callable[..., Any]


@pytest.mark.usefixtures("forced")
def test_a_catalog_says_that_it_was_made_in_tiles(extract: Make, catalog: Make, tmp_path: Path) -> None:
    path = written(tmp_path / "a_drc.fits", field(), WHT=np.ones(SHAPE, np.float32))
    summary = extract(path, outputs=["preview", "segmentation"])
    table = catalog(summary)
    with fits.open(unquote(summary["outputs"]["segmentation"].removeprefix("file://"))) as hdus:
        at = np.rint(table["Y_IMAGE"] - 1).astype(int), np.rint(table["X_IMAGE"] - 1).astype(int)
        assert (hdus["SCI"].data[at] == table["NUMBER"]).mean() > 0.98
    assert "measured in tiles of 256 pixels" in str(table.meta["PRIMARY"]["HISTORY"])
    assert table["NUMBER"].tolist() == list(range(1, summary["sources"] + 1))
    assert len(table) > 200
    preview = Path(summary["outputs"]["preview"].removeprefix("file://"))
    assert preview.read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("forced")
def test_what_cannot_be_measured_in_tiles_is_refused(extract: Make, tmp_path: Path) -> None:
    pixels = field()
    path = written(tmp_path / "a_drc.fits", pixels)
    with pytest.raises(EventError, match=f"at most {LARGEST_MESH}"):
        extract(path, config={"back_size": LARGEST_MESH + 1})
    nothing = replace(pixels, mask=np.ones(SHAPE, bool))
    with pytest.raises(errors.NoValidPixelsError, match="0 pixels of a sample"):
        extract(written(tmp_path / "empty_drc.fits", nothing))
    same = replace(pixels, data=np.full(SHAPE, 3, np.float32))
    with pytest.raises(errors.NoValidPixelsError, match="same value"):
        extract(written(tmp_path / "same_drc.fits", same))


def test_memory_grows_with_the_width_of_a_mosaic_alone() -> None:
    """Of its rows, a strip is in memory; so a mosaic of any size fits if it is not too wide."""
    tall, wide = memory_of(10**9, ["science"], 10**4), memory_of(10**9, ["science"], 10**5)
    assert memory_of(10**10, ["science"], 10**4) == tall < wide
    assert memory_of(10**10, ["science", "weight"], 10**4) > tall


@pytest.mark.slow
@pytest.mark.parametrize(
    "config", [ALONE, Config(deblend_mincont=1.0, faint_size=9)], ids=["one detection", "two"]
)
def test_segments_across_tiles_are_those_of_the_whole(config: Config) -> None:
    pixels = field()
    views = []
    for parts in (None, InMemory(pixels)):
        about = chip.Chip.__new__(chip.Chip)
        about.data, about.mask, about.weight, about.parts = pixels.data, pixels.mask, None, parts  # type: ignore[assignment]
        about.hdu, about.extver, about.name = 1, 1, "SCI"
        about.sky = type("Sky", (), {"cards": None})()
        about.calibration = type("Calibration", (), {"unit": None})()
        check = CheckImages(CHECKS, about, "a.fits", 5)
        found = measure_tiles(parts, config, check) if parts else measure(pixels, config, check.whole)
        top = fits.PrimaryHDU().header.tostring().encode()
        images = {}
        for kind, hdu in check.hdus().items():
            with fits.open(io.BytesIO(top + hdu)) as hdus:
                images[kind] = np.array(hdus[1].data)
        views.append((found, images))
    (whole, one), (tiled, many) = views
    assert len(whole) > 150
    # The same partition of the pixels, numbered otherwise; two tiles can share pixels of touching sources.
    pairs = np.unique(np.stack([one["segmentation"].ravel(), many["segmentation"].ravel()]), axis=1)
    differs = (one["segmentation"] > 0) != (many["segmentation"] > 0)
    assert differs.mean() < 1e-3
    assert pairs.shape[1] <= 1.1 * len(whole)
    peak = tiled.sources.isophotal
    second = (tiled.sources.flags & 256) != 0
    labels = many["segmentation"][peak.y_peak, peak.x_peak]
    assert (labels == 6 + np.arange(len(tiled)))[~second].mean() > (0.9 if second.any() else 0.99)
    for kind in ("background", "background_rms", "residual"):
        np.testing.assert_array_equal(np.isnan(one[kind]), np.isnan(many[kind]), err_msg=kind)
        close = np.abs(one[kind] - many[kind])[~pixels.mask]
        assert np.quantile(close, 0.999) < 0.1 * whole.rms, kind
