"""What the match takes from scipy, which is an extra."""

from .. import extras

with extras.needed("match"):
    from scipy.sparse import coo_array, csc_array
    from scipy.sparse.csgraph import connected_components
    from scipy.sparse.linalg import splu
    from scipy.spatial import cKDTree
    from scipy.special import chdtrc

__all__ = ["cKDTree", "chdtrc", "connected_components", "coo_array", "csc_array", "splu"]
