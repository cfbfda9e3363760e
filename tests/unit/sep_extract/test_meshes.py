"""The background of a part of an image is that of the whole image."""

import numpy as np
import pytest
import sep

from sep_extract.background import measure_background
from sep_extract.event import Config
from sep_extract.meshes import Meshes, mesh_row

SHAPE = 330, 470


def meshes(image: np.ndarray, mask: np.ndarray, size: int, filtered: int) -> Meshes:
    rows = [mesh_row(image[at : at + size], mask[at : at + size], size) for at in range(0, len(image), size)]
    levels, noise = (np.array(maps) for maps in zip(*rows, strict=True))
    return Meshes(levels, noise, size, 0, 0).filtered(filtered)


def sky() -> np.ndarray:
    y, x = np.indices(SHAPE)
    noise = np.random.default_rng(5).normal(0, 1 + x / 500, SHAPE)
    return (10 + 3 * np.sin(y / 80) * np.cos(x / 60) + noise).astype(np.float32)


@pytest.mark.parametrize(("size", "filtered"), [(64, 3), (65, 3), (33, 5), (48, 1), (500, 3)])
@pytest.mark.parametrize("is_masked", [False, True])
def test_a_part_has_the_background_of_the_whole(size: int, filtered: int, is_masked: bool) -> None:
    image, mask = sky(), np.zeros(SHAPE, bool)
    if is_masked:
        mask[60:140, 100:300] = mask[::7] = True
    model = sep.Background(image, mask=mask, bw=size, bh=size, fw=filtered, fh=filtered)
    found = meshes(image, mask, size, filtered)
    assert found.level == pytest.approx(model.globalback, rel=1e-7)
    assert found.rms == pytest.approx(model.globalrms, rel=1e-7)
    part = slice(90, 260), slice(131, 400)
    where = np.arange(90, 260), np.arange(131, 400)
    np.testing.assert_allclose(found.level_at(*where), model.back()[part], atol=1e-5)
    np.testing.assert_allclose(found.noise_at(*where), model.rms()[part], atol=1e-5)


def test_meshes_begin_where_the_image_does() -> None:
    image, mask = sky(), np.ones(SHAPE, bool)
    mask[17:300, 29:440] = False
    whole = measure_background(image, mask, Config())
    inside = image[17:300, 29:440], mask[17:300, 29:440]
    rows = [mesh_row(*(plane[at : at + 64] for plane in inside), 64) for at in range(0, 283, 64)]
    levels, noise = (np.array(maps) for maps in zip(*rows, strict=True))
    found = Meshes(levels, noise, 64, 17, 29).filtered(3)
    where = np.arange(17, 300), np.arange(29, 440)
    np.testing.assert_allclose(found.level_at(*where), whole.image[17:300, 29:440], atol=1e-5)
    assert found.rms == whole.rms


def test_a_mesh_that_is_half_masked_tells_nothing() -> None:
    mask = np.zeros((64, 192), bool)
    mask[:33, 64:128] = True
    levels, noise = mesh_row(sky()[:64, :192], mask, 64)
    assert np.isfinite(levels).tolist() == np.isfinite(noise).tolist() == [True, False, True]
    assert not Meshes(levels[None, 1:2], noise[None, 1:2], 64, 0, 0).known


def test_equal_pixels_have_no_noise() -> None:
    flat = np.full((64, 128), 7, np.float32)
    levels, noise = mesh_row(flat, np.zeros(flat.shape, bool), 64)
    assert (levels.tolist(), noise.tolist()) == ([7, 7], [0, 0])


def test_noise_between_meshes_of_very_different_noise_is_positive() -> None:
    noise = np.ones((6, 6), "f4")
    noise[2, 3] = 1e4
    meshes = Meshes(np.zeros_like(noise), noise, 10, 0, 0)
    every = np.arange(60)
    found = meshes.noise_at(every, every)
    assert found.min() > 0
    assert found[25, 34] == pytest.approx(1e4, rel=0.1)
