"""An ONNX graph with the lookups that quantization needs; every technique starts from :func:`simplified`."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core.errors import MissingRequirement, ModelError
from edgekit.core.plugins import allowed
from edgekit.core.tensors import Array

OPSET = 17
"""Lowest opset worked on: per-channel DequantizeLinear needs 13, LayerNormalization 17."""


def runtime() -> Any:
    """ONNX Runtime.

    Raises:
        MissingRequirement: it or onnx is not installed.
    """
    try:
        import onnx  # noqa: F401  quantization edits ONNX graphs
        import onnxruntime
    except ImportError as error:
        raise MissingRequirement("onnx and ONNX Runtime", 'pip install "edgekit[compress]"') from error
    return onnxruntime


def simplified(source: Path) -> Any:
    """The model of ``source`` with constants folded, batch norms fused, shapes inferred, and every node named.

    Older models are brought to opset 17.

    Raises:
        ModelError: ONNX Runtime or the opset converter refuses the file.
    """
    import onnx

    ort = runtime()
    model = _converted(onnx.load(source), source)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "simplified.onnx")
        session(model, options, f"{source}: ONNX Runtime refuses the model")
        model = onnx.load(Path(folder) / "simplified.onnx")
    for index, node in enumerate(model.graph.node):
        # Names are optional in ONNX, but nodes are excluded by name.
        node.name = node.name or f"{node.op_type}_{index}"
    return onnx.shape_inference.infer_shapes(model)


def session(model: Any, options: Any, what: str = "ONNX Runtime refuses the model") -> Any:
    """An ONNX Runtime session of a model in memory, on the CPU.

    Raises:
        ModelError: the model is refused; ``what`` starts the message.
    """
    with translated(what):
        return runtime().InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn what ONNX Runtime raises into a :class:`ModelError` that starts with ``what``."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    failures = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)
    try:
        yield
    # A failing node of a bound run raises a bare RuntimeError, a missing feed a ValueError.
    except (*failures, state.RuntimeException, RuntimeError, ValueError) as problem:
        raise ModelError(f"{what}: {problem}") from problem


def _converted(model: Any, source: Path) -> Any:
    import onnx

    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
    if opset >= OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, OPSET)
    except (RuntimeError, onnx.version_converter.ConvertError) as problem:
        raise ModelError(
            f"{source}: opset {opset} cannot be brought to {OPSET}; export it again: {problem}"
        ) from problem


class Graph:
    """Lookups over ``model.graph``; make a new one after changing the model."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.nodes: list[Any] = list(model.graph.node)
        self.inputs: tuple[str, ...] = tuple(value.name for value in model.graph.input)
        self.outputs: tuple[str, ...] = tuple(value.name for value in model.graph.output)

    @cached_property
    def producer(self) -> dict[str, Any]:
        """The node that makes each tensor."""
        return {name: node for node in self.nodes for name in node.output if name}

    @cached_property
    def consumers(self) -> dict[str, list[Any]]:
        """The nodes that read each tensor, also from inside their subgraphs."""
        found: dict[str, list[Any]] = {}
        for node in self.nodes:
            for name in dict.fromkeys((*node.input, *_captured(node))):
                found.setdefault(name, []).append(node)
        return found

    @cached_property
    def constants(self) -> dict[str, Any]:
        """Initializers by name, as protos."""
        return {tensor.name: tensor for tensor in self.model.graph.initializer}

    @cached_property
    def types(self) -> dict[str, int]:
        """Element type of every tensor that shape inference knows."""
        graph = self.model.graph
        found = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.input, *graph.output)}
        return found | {tensor.name: tensor.data_type for tensor in graph.initializer}

    @cached_property
    def shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Shape of every tensor that shape inference knows; None is a dynamic size."""
        graph = self.model.graph
        found: dict[str, tuple[int | None, ...]] = {}
        for value in (*graph.value_info, *graph.input, *graph.output):
            if value.type.tensor_type.HasField("shape"):
                dims = value.type.tensor_type.shape.dim
                found[value.name] = tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)
        return found | {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}

    def is_float(self, name: str) -> bool:
        """Whether ``name`` is a float32 tensor (a tensor of unknown type is taken for one)."""
        return bool(name) and self.types.get(name, 1) == 1

    def array(self, name: str) -> Array:
        """The values of an initializer, as its own copy."""
        import onnx

        return np.array(onnx.numpy_helper.to_array(self.constants[name]))

    def require_nodes(self, names: Iterable[str], key: str) -> None:
        """Raise :class:`ModelError` unless every name is a node's; ``key`` is the spec's key."""
        known = tuple(node.name for node in self.nodes)
        for name in names:
            if name not in known:
                raise ModelError(f"{key}: the model has no node {name!r}; {allowed(name, known).split(' allowed:')[0]}")


def attribute(node: Any, name: str, default: Any = None) -> Any:
    """The value of a node's attribute."""
    import onnx

    for found in node.attribute:
        if found.name == name:
            return onnx.helper.get_attribute_value(found)
    return default


def interpolates(node: Any) -> bool:
    """Whether ``node`` is a Resize that mixes neighbours (linear, cubic)."""
    return bool(node.op_type == "Resize" and attribute(node, "mode", b"nearest") != b"nearest")


def _captured(node: Any) -> set[str]:
    """Outer tensors that a node's subgraphs read."""
    found: set[str] = set()
    for held in node.attribute:
        for inner in (*([held.g] if held.HasField("g") else []), *held.graphs):
            own = {name for item in inner.node for name in item.output} | {t.name for t in inner.initializer}
            for item in inner.node:
                found |= {name for name in (*item.input, *_captured(item)) if name and name not in own}
    return found
