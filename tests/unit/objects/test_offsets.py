"""Offsets of images from overlaps, anywhere on the sky."""

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from standins.survey import Exposure, Sky

from skyfan.objects import offsets, overlaps
from skyfan.objects.groups import ARCSEC
from skyfan.sky import footprints


def scene(sky: Sky, seed: int = 0, images: int = 12) -> tuple[overlaps.Stars, np.ndarray, list[Exposure]]:
    """Stars of images that overlap, at wrong places by up to an arcsecond; their true centres."""
    rng = np.random.default_rng(seed)
    stars = rng.uniform(-150, 150, (900, 2))
    exposures, xyz, sigma = [], [], []
    for _ in range(images):
        one = Exposure("", sky, rng.uniform(-50, 50, 2), "", 0.0, 26.0)
        one.offset, one.turn = rng.normal(0, 0.4, 2).clip(-1, 1), rng.normal(0, 5e-5)
        seen = stars[one.covers(stars) & (rng.random(len(stars)) < 0.9)]
        false = rng.uniform(-100, 100, (40, 2)) + one.centre
        error = np.full(len(seen) + len(false), 0.003)
        placed = np.concatenate([seen, false]) + rng.normal(0, 0.003, (len(error), 2))
        xyz.append(footprints.vectors(*sky.degrees(one.shifted(placed))))
        sigma.append(error)
        exposures.append(one)
    start = np.append(0, np.cumsum([len(each) for each in xyz]))
    centre = footprints.vectors(*sky.degrees(np.array([one.centre for one in exposures])))
    return overlaps.Stars(start, np.concatenate(xyz), np.concatenate(sigma)), centre, exposures


@pytest.mark.parametrize(
    "sky", [Sky(0.0, 0.0), Sky(123.0, 89.999), Sky(359.99, -72.0)], ids=["equator", "pole", "seam"]
)
def test_offsets_up_to_an_arcsecond_are_found_to_two_milliarcseconds(sky: Sky) -> None:
    stars, centre, exposures = scene(sky)
    pairs = offsets.partners(centre, np.full(len(centre), 143 * ARCSEC))
    found = overlaps.solve(stars, pairs)
    held = np.full(len(centre), np.inf)
    made = offsets.solve(centre, pairs, found, held)
    moved = offsets.corrected(centre, made.vector)
    placed = footprints.vectors(
        *sky.degrees(np.array([one.shifted(one.centre[None])[0] for one in exposures]))
    )
    corrected = offsets.corrected(placed, made.vector)
    wrong = (corrected - centre) @ sky.plane.T / ARCSEC
    assert np.abs(wrong - wrong.mean(axis=0)).max() < 0.002
    mean = (moved - centre) @ sky.plane.T / ARCSEC
    assert np.abs(mean.mean(axis=0)).max() < 0.002, "without Gaia, the mean of all offsets is 0"
    turns = offsets.shifts(made.vector, centre)[2] - np.degrees([-one.turn for one in exposures])
    assert np.ptp(turns) < 0.001
    assert (made.overlaps > 0).all()
    assert not made.rejected.any()
    held[3] = offsets.GAIA
    anchored = offsets.solve(centre, pairs, found, held)
    east, north, _ = offsets.shifts(anchored.vector, centre)
    assert np.hypot(east[3], north[3]) < 1e-4, "the only image fitted to Gaia stays"
    assert np.hypot(east[0] - east[3], north[0] - north[3]) > 0.01


def test_a_wrong_overlap_loses_its_weight_and_images_without_one_are_unsolved() -> None:
    stars, centre, _ = scene(Sky(10.0, 20.0))
    pairs = offsets.partners(centre, np.full(len(centre), 143 * ARCSEC))
    found = overlaps.solve(stars, pairs)
    held = np.full(len(centre), np.inf)
    right = offsets.solve(centre, pairs, found, held)
    found.vector[5] += found.matrix[5] @ overlaps.tangent(centre[0])[0] * 0.5
    made = offsets.solve(centre, pairs, found, held)
    assert made.rejected[pairs[5]].tolist() == [1, 1]
    assert np.abs(np.cross(made.vector - right.vector, centre)).max() < 0.001
    first = found.take(np.arange(3))
    first.stars[1:] = 0
    alone = offsets.solve(centre, pairs[:3], first, held)
    assert np.isnan(alone.error).sum() == len(centre) - 2
    assert (alone.group >= 0).sum() == 2
    nothing = offsets.solve(centre, pairs[:0], overlaps.NONE, held)
    assert not nothing.vector.any()
    assert np.isnan(nothing.error).all()


def test_chance_does_not_make_an_overlap() -> None:
    rng = np.random.default_rng(1)
    for size in (3, 30, 300):
        sky = Sky(80.0, 10.0)
        xyz = footprints.vectors(*sky.degrees(rng.uniform(-100, 100, (2 * size, 2))))
        stars = overlaps.Stars(np.array([0, size, 2 * size]), xyz, np.full(2 * size, 0.003))
        assert not overlaps.solve(stars, np.array([[0, 1]])).is_solved.any()


def test_partners_reach_every_distance_and_their_number_is_limited() -> None:
    rng = np.random.default_rng(2)
    centre = footprints.vectors(*Sky(80.0, 10.0).degrees(rng.uniform(-100, 100, (300, 2))))
    pairs = offsets.partners(centre, np.full(300, 143 * ARCSEC))
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert len(np.unique(pairs, axis=0)) == len(pairs) < 300 * offsets.PARTNERS
    number = np.bincount(pairs.ravel())
    assert number.min() >= offsets.PARTNERS
    assert len(offsets.partners(centre[:1], np.full(1, 1e-4))) == 0


def test_a_deep_field_is_tied_together_by_few_of_its_images() -> None:
    rng = np.random.default_rng(2)
    count = 3 * offsets.CANDIDATES
    deep = rng.uniform(-40, 40, (count, 2))
    centre = footprints.vectors(*Sky(80.0, 10.0).degrees(np.concatenate([deep, deep[:20] + 900])))
    pairs = offsets.partners(centre, np.full(len(centre), 143 * ARCSEC))
    assert len(np.unique(pairs, axis=0)) == len(pairs) < len(centre) * offsets.PARTNERS
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert np.bincount(pairs.ravel()).min() >= offsets.PARTNERS - 1
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(centre), len(centre)))
    number, group = connected_components(graph, directed=False)
    assert number == 2, "the deep field and the one beside it"
    assert len(set(group[:count].tolist())) == 1
    own, _ = offsets._candidates(centre, np.full(len(centre), 170 * ARCSEC))
    assert np.bincount(own).max() <= offsets.CANDIDATES + 3


def test_a_pair_gives_the_same_whatever_else_is_solved() -> None:
    stars, centre, _ = scene(Sky(10.0, 89.0))
    pairs = offsets.partners(centre, np.full(len(centre), 143 * ARCSEC))
    every = overlaps.solve(stars, pairs)
    assert every.is_solved.all()
    assert every.stars.min() > 100
    for number in (0, 7, len(pairs) - 1):
        one = overlaps.solve(stars, pairs[number : number + 1])
        assert np.array_equal(one.matrix[0], every.matrix[number])
        assert np.array_equal(one.vector[0], every.vector[number])


def test_medians_of_groups() -> None:
    rng = np.random.default_rng(3)
    group, values = np.sort(rng.integers(0, 9, 100)), rng.exponential(3.0, 100)
    group[group == 4] = 5
    expected = [np.quantile(values[group == n], 0.5, method="lower") if n != 4 else np.nan for n in range(9)]
    np.testing.assert_allclose(overlaps.medians(group, values, 9), expected, rtol=1e-6)
