"""What the compress stage hands to the build: nothing here knows PyTorch, so the build need not either."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from edgekit.core.artifacts import sha256_file
from edgekit.core.reports import TRACE, TrainingCurve, TrainingReport
from edgekit.core.spec import Spec
from edgekit.core.variant import Variant
from edgekit.core.workspace import Stage
from edgekit.engine import Backend

RECORD = "calibration.json"
GOLDEN, CONTROL_GOLDEN = "golden.npz", "golden-control.npz"
"""Golden arrays of the final function, and of the user's own network where that computes something else."""
EXPORT = "export.json"
"""What was found out while exporting: ``denormals`` as :class:`edgekit.model.denormals.Denormals` has them."""
_CURVE = TypeAdapter(TrainingCurve)


@dataclass(frozen=True)
class Compressed:
    """What ``compress`` made for one target.

    ``path`` is the folder of the last stage, or that of the published copies.  ``variants`` are the models by name,
    ``final`` the name of the one that the steps lead to; ``files`` what else a step left, by file name: further exports
    for other targets (``<precision>-<profile>.onnx``), reports, pictures, the record of the calibration.
    """

    path: Path
    target: str
    variants: Mapping[str, Variant]
    final: str
    files: Mapping[str, Path]
    exported: Stage
    stages: tuple[Stage, ...]

    @property
    def models(self) -> dict[str, Path]:
        """Every ONNX file by its name, without the ending."""
        more = {name.removesuffix(".onnx"): path for name, path in self.files.items() if name.endswith(".onnx")}
        return more | {name: variant.model for name, variant in self.variants.items()}

    @property
    def calibration(self) -> Path | None:
        """How the ranges were found; None: no step looked for any."""
        return self.files.get(RECORD)

    @property
    def precision(self) -> str:
        """What the steps lead to."""
        return self.variants[self.final].precision

    @property
    def golden(self) -> Path:
        """The golden arrays of the final variant."""
        return self.variants[self.final].golden

    @property
    def reused(self) -> bool:
        """Whether nothing had to be made."""
        return all(stage.reused for stage in self.stages)

    def training(self) -> TrainingReport | None:
        """How the steps' trainings went; None: none of them trained."""
        curves = []
        for stage in self.stages:
            told = {"step": stage.name, "method": stage.inputs.get("step", {}).get("method", "")}
            for file in sorted((stage.path / TRACE).glob("*.json")):
                curves.append(_CURVE.validate_python(json.loads(file.read_text(encoding="utf-8")) | told))
        return TrainingReport(tuple(curves)) if curves else None

    def lineage(self) -> dict[str, Any]:
        """Where every variant comes from, as JSON."""
        return {
            name: {
                "precision": variant.precision,
                "placement": variant.placement,
                "lineage": variant.lineage.to_dict(),
                "sha256": sha256_file(variant.model),
            }
            for name, variant in self.variants.items()
        }

    def candidate(self, precision: str | None) -> Variant | None:
        """The variant of the final function in ``precision``; by default the final one itself; None: there is none."""
        final = self.variants[self.final]
        if precision is None or precision == final.precision:
            return final
        alike = (v for v in self.variants.values() if v.lineage.function == final.lineage.function)
        return next((variant for variant in alike if variant.precision == precision), None)

    def control(self, backend: Backend, candidate: Variant) -> Variant:
        """The user's own network in the precision that ``candidate`` is compared with on this backend.

        The final variant itself where there is no other: the source is no float32 model.
        """
        found = self.variants.get(backend.control(candidate.precision))
        return self.variants[self.final] if found is None or found.changed else found


def record_of(spec: Spec, compressed: Compressed) -> dict[str, Any]:
    """How the typed models were made, and from which frames.

    Where the frames lie is no part of the stage's result, which is the same wherever they lie.
    """
    assert compressed.calibration is not None
    assert spec.data.calibration is not None
    record: dict[str, Any] = json.loads(compressed.calibration.read_text(encoding="utf-8"))
    return record | {"data": spec.data.calibration.model_dump(mode="json")}
