"""What the compress stage hands to the build: nothing here knows PyTorch, so the build need not either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

RECORD = "calibration.json"


@dataclass(frozen=True)
class Compressed:
    """What ``compress`` made for one target.

    ``models`` maps a precision to its typed ONNX file, ``<precision>-<profile>`` to a further
    export for another target; ``precision`` is what the compress steps lead to.
    """

    path: Path
    target: str
    precision: str
    models: Mapping[str, Path]
    golden: Path
    calibration: Path | None
    reused: bool
