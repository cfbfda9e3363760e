"""Source extraction on one astronomical image: FITS in, source catalog out."""

import os

from skyfan_contract import VERSION

# Before numpy: sums that are split among threads are rounded in another order, and the same image would give
# other last digits on another number of CPUs. One image uses one CPU.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

__version__ = VERSION
