"""What the compress stage hands to the build: nothing here knows PyTorch, so the build need not either."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.spec import Spec
from edgekit.core.workspace import Stage
from edgekit.engine import Backend

RECORD = "calibration.json"
EXPORT = "export.json"
"""What was found out while exporting: ``denormals`` as :class:`edgekit.model.denormals.Denormals` has them."""


@dataclass(frozen=True)
class Compressed:
    """What ``compress`` made for one target.

    ``path`` is the folder of the stage, or that of the published copies.
    ``models`` maps a precision to its typed ONNX file, ``<precision>-<profile>`` to a further
    export for another target; ``precision`` is what the compress steps lead to.
    """

    path: Path
    target: str
    precision: str
    models: Mapping[str, Path]
    golden: Path
    calibration: Path | None
    exported: Stage
    quantized: Stage | None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Those that led here."""
        return (self.exported,) if self.quantized is None else (self.exported, self.quantized)

    @property
    def reused(self) -> bool:
        """Whether nothing had to be made."""
        return all(stage.reused for stage in self.stages)

    def control(self, backend: Backend, precision: str) -> str:
        """The precision that one of ``precision`` is compared with on this backend.

        Its own where there is no other: the source is no float32 model.
        """
        wanted = backend.control(precision)
        foreign = self.calibration is None and precision != "fp32" and wanted not in self.models
        return precision if foreign else wanted


def record_of(spec: Spec, compressed: Compressed) -> dict[str, Any]:
    """How the typed models were made, and from which frames.

    Where the frames lie is no part of the stage's result, which is the same wherever they lie.
    """
    assert compressed.calibration is not None
    assert spec.data.calibration is not None
    record: dict[str, Any] = json.loads(compressed.calibration.read_text(encoding="utf-8"))
    return record | {"data": spec.data.calibration.model_dump(mode="json")}
