"""Golden outputs of typed ONNX files: the references that engines must meet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.core.errors import ModelError
from edgekit.core.golden import Golden
from edgekit.core.tensors import Array
from edgekit.verification import golden_frames


@dataclass(frozen=True)
class TypedModel:
    """A typed ONNX file that an engine is made from; ``golden`` is what the engine is held against."""

    name: str
    precision: str
    model: Path
    golden: Golden


def typed_outputs(model: Path, golden: Golden) -> list[dict[str, Array]]:
    """Outputs of a typed ONNX file on each golden frame, run as it is written: the reference that engines must meet.

    Raises:
        ModelError: one holds NaN or infinity.
    """
    found = golden_frames.typed_outputs(model, golden)
    for outputs in found:
        for name, array in outputs.items():
            if not np.isfinite(array).all():
                raise ModelError(f"{model.name}: output {name!r} holds NaN or infinity; check weights and preprocess")
    return found
