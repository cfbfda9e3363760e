"""The margin of a tile has all that is near the tile, and tiles cover all that can move into them."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from skyfan.catalogs import healpix
from skyfan.catalogs.dataset import Partition
from skyfan.objects import tiles
from skyfan.objects.groups import ARCSEC
from skyfan.sky import footprints


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.sampled_from([0.5, 3.0, 40.0]))
def test_a_ring_has_all_near_detections(seed: int, order: int, arcsec: float) -> None:
    rng = np.random.default_rng(seed)
    ring = tiles.ring_order(arcsec)
    tile = Partition(order, int(rng.integers(0, 12 * 4**order)), 1)
    ranges = tiles.ranges(tile, ring)
    assert (ranges[1:, 0] > ranges[:-1, 1]).all()
    # Points on the border of the tile: just outside of it are the ends of ranges of a finer order.
    inner = tiles.ranges(tile, max(order, min(ring + 3, order + 7)))
    keys = np.sort(np.concatenate([inner.ravel() - 1, inner.ravel()]))
    keys = keys[(keys >= 0) & (keys < 12 << 58)]
    keys = keys[tiles.is_near(tile, ring, keys)]
    if not len(keys):
        return
    import hpgeom

    ra, dec = hpgeom.pixel_to_angle(1 << 29, keys)
    xyz = footprints.vectors(ra, dec)
    step = rng.normal(size=xyz.shape)
    step -= (step * xyz).sum(axis=1)[:, None] * xyz
    step *= 0.999 * arcsec * ARCSEC / np.linalg.norm(step, axis=1)[:, None]
    moved = healpix.keys(*footprints.angles(xyz + step))
    at = np.searchsorted(ranges[:, 1], moved, side="right")
    assert (ranges[np.minimum(at, len(ranges) - 1), 0] <= moved).all()


def test_tiles_cover_the_sky_and_know_where_nothing_is() -> None:
    rng = np.random.default_rng(5)
    keys = np.sort(healpix.keys(rng.normal(0, 0.05, 5000) % 360, rng.normal(0, 0.05, 5000)))
    every = tiles.split(lambda edges: np.searchsorted(keys, edges), 300, tiles.ring_order(0.5))
    assert sum(tile.rows for tile in every) == len(keys)
    assert max(tile.rows for tile in every) <= 300
    assert (every[0].start, every[-1].stop) == (0, 12 << 58)
    assert all(a.stop == b.start for a, b in pairwise(every))
    empty = tiles.Empty.of(every)
    assert not empty.has(keys).any()
    assert empty.has(np.array([tile.start for tile in every if not tile.rows])).all()
