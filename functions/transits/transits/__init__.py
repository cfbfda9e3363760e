"""Transits in one light curve of TESS: FITS in, candidates out."""

import os

# As in SepExtract: sums that are split among threads are rounded in another order. Each uses one CPU.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

__version__ = "0.1.0"
