"""build/ is no package: its modules find each other as scripts do."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "build"))
