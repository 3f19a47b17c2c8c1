"""An ONNX file that is itself the source model: checked against the spec, given on with fixed shapes."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekit.core.errors import MissingRequirement, ModelError
from edgekit.core.tensors import TensorSpec
from edgekit.model import files, usercode


def check(path: Path, inputs: Sequence[TensorSpec], outputs: Sequence[str]) -> None:
    """Raise :class:`ModelError` unless ``path`` is valid ONNX that takes ``inputs`` and returns ``outputs``.

    A dynamic dimension of the file accepts any size; the file may return more than ``outputs``.
    """
    onnx = _onnx()
    if not path.is_file():
        raise files.missing("onnx", path)
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
        onnx.checker.check_model(str(path))  # by path, so that external data is checked and 2 GB is no limit
    except Exception as error:  # protobuf and the checker share no error class
        raise ModelError(f"{path} is not a valid ONNX model: {usercode.describe(error)}") from error
    real = {value.name: _spec(value) for value in _real_inputs(graph)}
    if set(real) != {spec.name for spec in inputs}:
        raise ModelError(f"{path} takes {_listing(real.values())}; model.inputs lists {_listing(inputs)}")
    for spec in inputs:
        there = real[spec.name]
        fits = len(there.shape) == len(spec.shape) and all(
            have in (None, want) for have, want in zip(there.shape, spec.shape, strict=True)
        )
        if not fits or there.dtype != spec.dtype:
            raise ModelError(f"{path} takes {there}; model.inputs says {spec}")
    made = [value.name for value in graph.output]
    if any(name not in made for name in outputs):
        raise ModelError(f"{path} returns {_listing(made)}; model.outputs lists {_listing(outputs)}")


def content(path: Path, inputs: Sequence[TensorSpec]) -> bytes:
    """The bytes of ``path`` as one file whose inputs have the sizes of ``inputs``.

    They are the file's own bytes when it has no external data and its shapes are fixed already.
    Raises :class:`ModelError` when the model does not work with these sizes.
    """
    onnx = _onnx()
    model = onnx.load(str(path), load_external_data=False)
    sizes = {spec.name: spec.shape for spec in inputs}
    dynamic = any(None in _spec(value).shape for value in _real_inputs(model.graph))
    external = any(onnx.external_data_helper.uses_external_data(tensor) for tensor in model.graph.initializer)
    if not dynamic and not external:
        return path.read_bytes()
    model = onnx.load(str(path))
    for value in _real_inputs(model.graph):
        for axis, size in zip(value.type.tensor_type.shape.dim, sizes[value.name], strict=True):
            axis.dim_value = size
    # Sizes inferred for a dynamic batch would contradict the fixed ones.
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model)
    except Exception as error:  # shape inference and the checker share no error class
        raise ModelError(f"{path} does not work with {_listing(inputs)}: {usercode.describe(error)}") from error
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def _onnx() -> Any:
    try:
        return importlib.import_module("onnx")
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise MissingRequirement("the onnx package", 'pip install "edgekit[compress]"') from error


def _real_inputs(graph: Any) -> list[Any]:
    weights = {tensor.name for tensor in graph.initializer}  # before ONNX IR 4 these were inputs too
    return [value for value in graph.input if value.name not in weights]


def _spec(value: Any) -> TensorSpec:
    tensor = value.type.tensor_type
    sizes = tuple(size.dim_value if size.HasField("dim_value") else None for size in tensor.shape.dim)
    return TensorSpec(value.name, sizes, str(_onnx().helper.tensor_dtype_to_np_dtype(tensor.elem_type)))


def _listing(items: Any) -> str:
    return ", ".join(str(item) for item in items)
