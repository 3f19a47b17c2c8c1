"""The parts of ``make gpu-check`` are imported as the script does it: from its own folder."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
