"""An ONNX file that is itself the source model: checked against the spec, given on with fixed shapes."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.core import files
from edgekit.core.errors import MissingRequirement, ModelError
from edgekit.core.tensors import TensorSpec
from edgekit.model import onnxops, usercode


def check(path: Path, inputs: Sequence[TensorSpec], outputs: Sequence[str]) -> None:
    """Raise :class:`ModelError` unless ``path`` is valid ONNX that takes ``inputs`` and returns ``outputs``.

    A dynamic dimension of the file (a name, none, or -1 as some tools write it) accepts any size; the file may return
    more than ``outputs``.  Operators that no runtime here has are named, with the way out.
    """
    onnx = _onnx()
    if not path.is_file():
        raise files.missing("onnx", path)
    if pointer := files.stand_in(path):
        raise ModelError(f"{path} is {pointer}")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own, and what a damaged file leads to
        raise ModelError(f"{path} is not a valid ONNX model: {usercode.describe(error)}") from error
    if problem := _too_new(model) or onnxops.foreign(model):
        raise ModelError(f"{path}: {problem}")
    for value in model.graph.input:
        if value.type.HasField("tensor_type") and _shape(value) is None:
            raise ModelError(
                f"{path}: the input {value.name!r} has no shape; export it with one, or add one: polygraphy surgeon "
                f"sanitize {path.name} --override-input-shapes {value.name}:[...] -o fixed.onnx"
            )
    try:
        onnx.checker.check_model(str(path))  # by path, so that external data is checked and 2 GB is no limit
    except Exception as error:  # the checker and protobuf share no error class
        raise ModelError(f"{path} is not a valid ONNX model: {usercode.describe(error)}") from error
    _check_inputs(path, {value.name: value for value in _real_inputs(model.graph)}, inputs)
    made = [value.name for value in model.graph.output]
    if any(name not in made for name in outputs):
        raise ModelError(f"{path} returns {_listing(made)}; model.outputs lists {_listing(outputs)}")
    for value in model.graph.output:
        if value.name in outputs and not value.type.HasField("tensor_type"):
            kind = value.type.WhichOneof("value") or "of an unknown type"
            raise ModelError(f"{path}: output {value.name!r} is no tensor ({kind}); export the network without it")


def _check_inputs(path: Path, real: Mapping[str, Any], inputs: Sequence[TensorSpec]) -> None:
    if set(real) != {spec.name for spec in inputs}:
        raise ModelError(
            f"{path} takes {_listing(map(_signature, real.values()))}; model.inputs lists {_listing(inputs)}"
        )
    for spec in inputs:
        shape = _shape(real[spec.name]) or ()
        fits = len(shape) == len(spec.shape) and all(
            have in (None, want) for have, want in zip(shape, spec.shape, strict=True)
        )
        if not fits or _dtype(real[spec.name]) != spec.dtype:
            raise ModelError(f"{path} takes {_signature(real[spec.name])}; model.inputs says {spec}")


def _too_new(model: Any) -> str:
    """Versions that the onnx package here does not know; its own message names neither side's numbers."""
    onnx = _onnx()
    known = onnx.defs.onnx_opset_version()
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)
    if opset > known:
        return (
            f"the file is of ONNX opset {opset}, and the onnx package here knows {known} at most; export it again with "
            f"opset_version={known} or below"
        )
    if model.ir_version > onnx.IR_VERSION:
        return (
            f"the file is of ONNX IR version {model.ir_version}, and the onnx package here knows {onnx.IR_VERSION} at "
            "most; write it again with an older onnx package, or update the one here"
        )
    return ""


def content(path: Path, inputs: Sequence[TensorSpec], outputs: Sequence[str]) -> bytes:
    """The bytes of ``path`` as one file whose inputs have the sizes of ``inputs``, and which returns ``outputs`` only.

    They are the file's own bytes when that is what it is already.
    Raises :class:`ModelError` when the model does not work with these sizes.
    """
    onnx = _onnx()
    model = onnx.load(str(path), load_external_data=False)
    open_sizes = any(None in (_shape(value) or ()) for value in _real_inputs(model.graph))
    external = any(onnx.external_data_helper.uses_external_data(tensor) for tensor in model.graph.initializer)
    more = {value.name for value in model.graph.output} != set(outputs)
    if not open_sizes and not external and not more and not _negative(model):
        return path.read_bytes()
    model = onnx.load(str(path))
    if more:
        _keep_outputs(model.graph, outputs)
    if open_sizes or _negative(model):
        _fix_sizes(model, {spec.name: spec.shape for spec in inputs})
    try:
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model)
    except Exception as error:  # shape inference and the checker share no error class
        raise ModelError(f"{path} does not work with {_listing(inputs)}: {usercode.describe(error)}") from error
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def _keep_outputs(graph: Any, outputs: Sequence[str]) -> None:
    """Drop the other outputs, and what only they need; inputs stay."""
    kept = [value for value in graph.output if value.name in outputs]
    needed, nodes = set(outputs), []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(name for inner in _inside(node) for name in inner)
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    sparse = [tensor for tensor in graph.sparse_initializer if tensor.values.name in needed]
    known = [value for value in graph.value_info if value.name in needed]
    for field, values in (
        (graph.output, kept), (graph.node, nodes[::-1]), (graph.initializer, constants),
        (graph.sparse_initializer, sparse), (graph.value_info, known),
    ):  # fmt: skip
        copies = [type(value).FromString(value.SerializeToString()) for value in values]
        del field[:]
        field.extend(copies)


def _inside(node: Any) -> Iterator[Sequence[str]]:
    """Names that a node reads, itself and inside its graphs, whose own names do no harm."""
    yield node.input
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield [value.name for value in graph.output]
            for inner in graph.node:
                yield from _inside(inner)


def _fix_sizes(model: Any, sizes: Mapping[str, Sequence[int | None]]) -> None:
    for value in _real_inputs(model.graph):
        shape = value.type.tensor_type.shape
        shape.ClearField("dim")
        for size in sizes[value.name]:
            shape.dim.add().dim_value = size
    # Sizes inferred for a dynamic batch would contradict the fixed ones.
    for graph in onnxops.graphs(model.graph):
        del graph.value_info[:]
        for value in graph.output:
            if value.type.HasField("tensor_type"):
                value.type.tensor_type.ClearField("shape")


def _negative(model: Any) -> bool:
    """Whether a size is below zero anywhere, which some tools write for "any"."""
    return any(
        size.HasField("dim_value") and size.dim_value < 0
        for graph in onnxops.graphs(model.graph)
        for value in (*graph.input, *graph.value_info, *graph.output)
        for size in value.type.tensor_type.shape.dim
    )


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


def _shape(value: Any) -> tuple[int | None, ...] | None:
    """Sizes, None where any will do; None for any number of dimensions."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(
        size.dim_value if size.HasField("dim_value") and size.dim_value > 0 else None for size in tensor.shape.dim
    )


def _dtype(value: Any) -> str:
    """NumPy's name of the element type; of what is no tensor, ONNX's name of what it is."""
    onnx = _onnx()
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return f"no tensor ({kind})"
    element = value.type.tensor_type.elem_type
    try:
        return str(onnx.helper.tensor_dtype_to_np_dtype(element))
    except KeyError:
        return f"of type {element}"


def _signature(value: Any) -> str:
    shape = _shape(value)
    sizes = "..." if shape is None else ", ".join("?" if size is None else str(size) for size in shape)
    return f"{value.name}: {_dtype(value)}[{sizes}]"


def _listing(items: Any) -> str:
    return ", ".join(str(item) for item in items)
