"""The preview: a PNG that others decode, with the sources where they are."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sep_extract.extract import Measurement
from sep_extract.ladder import Step
from sep_extract.png import _CLEAN, _FLAGGED, draw, preview
from sep_extract.sources import Isophotal, Photometry, Sources, empty
from skyfan_contract import key_of
from skyfan_function.png import encode

matplotlib_image = pytest.importorskip("matplotlib.image", reason="matplotlib is not part of the layer")
Image = pytest.importorskip("PIL.Image", reason="Pillow is not part of the layer")

Make = Callable[..., Any]


def picture_of(image: np.ndarray, *rows: tuple[float, ...], rms: float = 1.0) -> np.ndarray:
    """The picture of an image with sources: x, y, a, b, theta, Kron radius and flags of each."""
    names = ("x", "y", "a", "b", "theta", "kron_radius", "flags")
    columns = {name: np.array([row[i] for row in rows]) for i, name in enumerate(names)}
    shape, apertures = empty(Isophotal, 1), empty(Photometry, 1)
    shape = replace(shape, **{name: columns[name] for name in names[:5]})
    apertures = replace(apertures, kron_radius=columns["kron_radius"])
    found = Sources(shape, apertures, columns["flags"], np.zeros(len(rows)), np.zeros(len(rows)))
    return draw(Measurement(found, image, 1.0, 0.0, rms, Step.AS_ASKED))


def decode(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        image.verify()
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.array(image)


NOISE = np.random.default_rng(1).normal(0, 1, (60, 80)).astype("f4")


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (40, 7)])
def test_what_is_encoded_is_decoded(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype="u1")
    np.testing.assert_array_equal(decode(encode(picture)), picture)
    np.testing.assert_allclose(matplotlib_image.imread(io.BytesIO(encode(picture))), picture / 255, atol=1e-6)


def test_the_size_is_that_of_the_image_and_a_rim() -> None:
    assert decode(preview([picture_of(NOISE)])).shape == (64, 80, 3)


def test_the_first_row_of_the_image_is_at_the_bottom() -> None:
    image = NOISE.copy()
    image[5, 70] = 1000
    picture = decode(preview([picture_of(image)]))
    row, column = np.unravel_index(picture.sum(axis=2).argmax(), picture.shape[:2])
    assert (row, column) == (63 - 5, 70)


def test_chips_stand_on_one_another_the_first_at_the_bottom() -> None:
    first, second = NOISE.copy(), NOISE[:, :50].copy()
    first[10, 10], second[20, 20] = 1000, 2000
    picture = decode(preview([picture_of(first), picture_of(second)]))
    assert picture.shape == (128, 80, 3)
    bright = {tuple(map(int, at)) for at in np.argwhere(picture.min(axis=2) > 250)}
    assert bright == {(127 - 10, 10), (127 - 64 - 20, 20)}
    assert not picture[:64, 50:].any()


def test_ellipses_are_drawn_round_sources() -> None:
    clean, flagged = (20.0, 30.0, 4.0, 2.0, 0.0, 3.0, 0), (60.0, 30.0, 4.0, 2.0, np.pi / 2, 3.0, 2)
    picture = decode(preview([picture_of(NOISE, clean, flagged)]))[::-1]
    for colour, (x, y), (reach_x, reach_y) in (
        (_CLEAN, (20, 30), (12, 6)),
        (_FLAGGED, (60, 30), (6, 12)),
    ):
        row, column = np.nonzero((picture == colour).all(axis=2))
        assert len(row) > 30
        assert (column.min(), column.max()) == (x - reach_x, x + reach_x)
        assert (row.min(), row.max()) == (y - reach_y, y + reach_y)


def test_an_ellipse_that_leaves_the_image_is_cut() -> None:
    at_edge = (0.0, 59.0, 10.0, 10.0, 0.0, 5.0, 0)
    picture = decode(preview([picture_of(NOISE, at_edge)]))
    assert (picture == _CLEAN).all(axis=2).any()


@pytest.mark.parametrize(
    ("shape", "size"), [((3000, 2000), (1004, 666)), ((1025, 20), (516, 10)), ((8, 5000), (5, 1000))]
)
def test_large_images_are_made_small(shape: tuple[int, int], size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).normal(0, 1, shape).astype("f4")
    middle = (shape[1] / 2, shape[0] / 2, shape[1] / 8, shape[1] / 8, 0.0, 2.0, 0)
    picture = decode(preview([picture_of(image, middle)]))
    assert picture.shape[:2] == size
    if min(size) > 5:
        _, column = np.nonzero((picture == _CLEAN).all(axis=2))
        assert abs(column.mean() - size[1] / 2) < 0.02 * size[1] + 1


@pytest.mark.parametrize("rms", [0.0, 1e-25, 1e20])
def test_any_noise(rms: float) -> None:
    assert decode(preview([picture_of(NOISE * np.float32(rms), rms=rms)])).shape == (64, 80, 3)


def test_the_handler_draws_what_it_finds(extract: Make, flt: Make) -> None:
    summary = extract(flt(), outputs=["preview"])
    assert list(summary["outputs"]) == ["preview"]
    path = Path("/", key_of(summary["outputs"]["preview"]))
    assert path.name == "image.fits.preview.png"
    picture = decode(path.read_bytes())
    assert picture.shape == (100, 96, 3)
    assert 400 < (picture == _CLEAN).all(axis=2).sum() < 3000


def test_without_being_asked_there_is_none(extract: Make, flt: Make, tmp_path: Path) -> None:
    extract(flt())
    assert [path.suffix for path in (tmp_path / "out").rglob("*") if path.is_file()] == [".fits"]
