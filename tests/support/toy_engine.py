"""A backend of another package, in one file: the onnx package's reference evaluator as a runtime.

It shows no inner tensors, lists no layers and says nothing about speed: what it leaves out has its default in
:class:`edgekit.engine.Backend`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgekit import engine
from edgekit.core.artifacts import write_bytes
from edgekit.core.errors import ModelError
from edgekit.core.progress import Progress, Silent
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.engine import Engine, EngineConfig, Probe

EXAMPLE = {"engine": "toy"}
SILENT = Silent()
OPSET = 21
"""The evaluator has no quantized operators of older ones."""


class Config(EngineConfig):
    """A target of the reference evaluator."""

    engine: Literal["toy"]


class Backend(engine.Backend):
    """Keeps the ONNX file as it is."""

    suffix = ".toy"
    int8_races = False

    def require(self) -> None:
        """It is here, or importing this file would have failed."""

    def fingerprint(self) -> dict[str, Any]:
        import onnx

        return {"engine": "toy", "onnx": onnx.__version__}

    def quantization_profile(self) -> str:
        return "ort-x86"

    def build(self, source: Path, target: Path, progress: Progress = SILENT) -> None:
        content = source.read_bytes()
        _evaluator(content, source)
        write_bytes(target, content)

    def engine(self, path: Path) -> ToyEngine:
        return ToyEngine(path)

    @staticmethod
    def probe() -> list[Probe]:
        return [Probe("toy", True, "the reference evaluator of onnx")]


class ToyEngine(Engine):
    """One evaluator."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def activate(self) -> None:
        self._evaluator = _evaluator(self.path.read_bytes(), self.path)
        graph = self._evaluator.proto_.graph
        weights = {tensor.name for tensor in graph.initializer}
        self.inputs = tuple(_spec(value) for value in graph.input if value.name not in weights)
        self.outputs = tuple(_spec(value) for value in graph.output)

    def infer_impl(self, feeds: Arrays) -> dict[str, Array]:
        found = self._evaluator.run(None, dict(feeds))
        return {spec.name: np.array(array) for spec, array in zip(self.outputs, found, strict=True)}

    def deactivate(self) -> None:
        del self._evaluator

    def describe(self) -> dict[str, Any]:
        import onnx

        return {"engine": "toy", "version": onnx.__version__}


def _evaluator(content: bytes, path: Path) -> Any:
    import onnx
    import onnx.version_converter
    from google.protobuf.message import DecodeError
    from onnx.reference import ReferenceEvaluator

    try:
        model = onnx.load_from_string(content)
        onnx.checker.check_model(model)
        return ReferenceEvaluator(onnx.version_converter.convert_version(model, OPSET))
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ModelError(f"{path}: not an ONNX model: {error}") from error


def _spec(value: Any) -> TensorSpec:
    import onnx

    tensor = value.type.tensor_type
    shape = tuple(size.dim_value if size.HasField("dim_value") else None for size in tensor.shape.dim)
    return TensorSpec(value.name, shape, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name)
