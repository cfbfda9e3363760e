"""Friends of friends: detections of a star are one object, two of an exposure never are."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from standins.survey import Sky

from skyfan.objects import groups
from skyfan.sky import footprints

SKY = Sky(359.9999, 66.0)


def label(xy: np.ndarray, exposure: np.ndarray, sigma: float = 0.01, pixel: float = 0.05) -> np.ndarray:
    xyz = footprints.vectors(*SKY.degrees(np.asarray(xy, float)))
    size = len(xyz)
    return groups.group(xyz, np.full(size, sigma), np.full(size, pixel), np.asarray(exposure))[0]


def test_a_bridge_between_two_stars_does_not_make_them_one() -> None:
    left, right = [(0.0, 0.0), (0.001, 0.0)], [(0.08, 0.0), (0.081, 0.0)]
    bridge = [(0.045, 0.0)]  # within 0.05 of both
    found = label(np.array(left + right + bridge), np.array([0, 1, 0, 1, 2]), sigma=0.008)
    assert found.tolist() == [0, 0, 1, 1, 1], "the bridge is nearer to the right"
    alone = label(np.array([*left[:1], *right[1:], *bridge]), np.array([0, 1, 2]), sigma=0.008)
    assert alone.tolist() == [0, 0, 0], "no exposure says that these are two"


def test_a_link_ends_at_five_errors_and_at_one_and_a_half_pixels() -> None:
    for distance, sigma, pixel, number in ((0.049, 0.00707, 0.05, 1), (0.051, 0.00707, 0.05, 2)):
        assert label(np.array([(0, 0), (distance, 0)]), np.array([0, 1]), sigma, pixel).max() + 1 == number
    for distance, number in ((0.074, 1), (0.076, 2)):
        assert label(np.array([(0, 0), (distance, 0)]), np.array([0, 1]), 1.0, 0.05).max() + 1 == number


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_no_object_has_two_detections_of_an_exposure_in_any_order(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 0.3, (size, 2))
    exposure = rng.integers(0, 5, size)
    found = label(xy, exposure, 0.02)
    pairs = list(zip(found.tolist(), exposure.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    assert found[np.unique(found, return_index=True)[1]].tolist() == list(range(found.max() + 1))
    order = rng.permutation(size)
    again = np.empty(size, int)
    again[order] = label(xy[order], exposure[order], 0.02)
    assert {frozenset(np.flatnonzero(found == n)) for n in found} == {
        frozenset(np.flatnonzero(again == n)) for n in again
    }
