"""Tests beside a function import what Lambda imports: the function's package, and the runtime."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(folder) for folder in sorted(HERE.glob("[a-z]*")) if folder.is_dir()]
