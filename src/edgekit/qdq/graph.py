"""An ONNX graph with the lookups that quantization needs; every technique starts from :func:`simplified`."""

from __future__ import annotations

import contextlib
import fnmatch
import itertools
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core.errors import MissingRequirement, ModelError
from edgekit.core.suggest import allowed
from edgekit.core.tensors import Array, Arrays
from edgekit.onnxfile.graph import MODULE_KEY
from edgekit.runtime import sessions
from edgekit.runtime.denormals import flushed

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
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    ort = runtime()
    try:
        model = onnx.load(source)
    except DecodeError as problem:
        raise ModelError(f"{source}: not an ONNX file, or a damaged one: {problem}") from problem
    # Files of IR version 3 list weights among the inputs; what a user may replace cannot become an integer.
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 4)
    model = _converted(model, source)
    domains = {one.domain for one in model.opset_import}
    _name_nodes(model.graph.node)  # ONNX Runtime refuses two nodes of one name
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "simplified.onnx")
        session(model, options, f"{source}: ONNX Runtime refuses the model")
        model = onnx.load(Path(folder) / "simplified.onnx")
    # It names all domains that it knows: those of operators, too, with which the process has opened an engine.
    domains |= {node.domain for node in model.graph.node}
    kept = [one for one in model.opset_import if one.domain in domains]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    _name_nodes(model.graph.node)  # those that ONNX Runtime made
    return onnx.shape_inference.infer_shapes(model)


def _name_nodes(nodes: Sequence[Any]) -> None:
    """Names are optional in ONNX and may repeat, but nodes are excluded by name."""
    given = {node.name for node in nodes}
    seen: set[str] = set()
    for index, node in enumerate(nodes):
        if not node.name or node.name in seen:
            stem = node.name or node.op_type
            node.name = next(name for k in itertools.count(index) if (name := f"{stem}_{k}") not in given | seen)
        seen.add(node.name)


def session(model: Any, options: Any, what: str = "ONNX Runtime refuses the model") -> Any:
    """An ONNX Runtime session of a model in memory, on the CPU.

    Raises:
        ModelError: the model is refused; ``what`` starts the message.
    """
    sessions.configure(options)
    with translated(what), flushed():
        content = sessions.prepared(model.SerializeToString())
        return runtime().InferenceSession(
            content, options, providers=["CPUExecutionProvider"], disabled_optimizers=sessions.unwanted()
        )


def run(opened: Any, names: Sequence[str], feeds: Arrays) -> list[Array]:
    """Outputs ``names`` of a session for one set of inputs.

    Raises:
        ModelError: the feeds do not fit the model, or a node fails.
    """
    with translated("the model does not run on the calibration frames"), flushed():
        values: list[Array] = opened.run(list(names), dict(feeds))
    return values


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
    # An operator that the converter has never heard of is an IndexError.
    except (RuntimeError, IndexError, onnx.version_converter.ConvertError) as problem:
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
    def captured(self) -> frozenset[str]:
        """Tensors that some node's subgraphs read."""
        return frozenset(name for node in self.nodes for name in _captured(node))

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of all nodes and tensors, also of subgraphs."""
        return frozenset(_names(self.model.graph))

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

    def nodes_named(self, names: Iterable[str], key: str) -> tuple[str, ...]:
        """Names of the nodes that a user's ``names`` mean: a node, a module with all that is in it, a glob of either.

        Raises:
            ModelError: one of them means no node; ``key`` is the spec's key.
        """
        modules = {node.name: module_of(node) for node in self.nodes}
        found: dict[str, None] = {}
        for name in names:
            meant = [node for node, module in modules.items() if _means(name, node, module)]
            if not meant:
                known = tuple(dict.fromkeys((*filter(None, modules.values()), *modules)))
                hint = allowed(name, known).split(" allowed:")[0]
                raise ModelError(f"{key}: the model has no module and no node {name!r}; {hint}")
            found.update(dict.fromkeys(meant))
        return tuple(found)


class Names:
    """Names for what is added to a graph, different from all that it has, also in subgraphs."""

    def __init__(self, graph: Graph) -> None:
        self._taken = set(graph.names)
        self._given: dict[tuple[str, str], str] = {}

    def unique(self, of: str, part: str) -> str:
        """The name of a part of ``of``: the same for equal arguments, ``of/part`` where that is free."""
        if (of, part) not in self._given:
            wanted = f"{of}/{part}"
            name = next(n for k in itertools.count() if (n := f"{wanted}_{k}" if k else wanted) not in self._taken)
            self._taken.add(name)
            self._given[of, part] = name
        return self._given[of, part]


def drop_unread(made: Any) -> None:
    """Take out every DequantizeLinear that nobody reads: those behind a tensor that only integers are read of."""
    graph = Graph(made)
    read = graph.consumers.keys() | set(graph.outputs)
    kept = [node for node in graph.nodes if node.op_type != "DequantizeLinear" or node.output[0] in read]
    if len(kept) < len(graph.nodes):
        del made.graph.node[:]
        made.graph.node.extend(kept)


def attribute(node: Any, name: str, default: Any = None) -> Any:
    """The value of a node's attribute."""
    import onnx

    for found in node.attribute:
        if found.name == name:
            return onnx.helper.get_attribute_value(found)
    return default


def module_of(node: Any) -> str:
    """Dotted name of the PyTorch module that a node comes from; empty when the model was an ONNX file."""
    return next((str(item.value) for item in node.metadata_props if item.key == MODULE_KEY), "")


def _means(name: str, node: str, module: str) -> bool:
    exact = name == node or (bool(module) and (module == name or module.startswith(f"{name}.")))
    return exact or fnmatch.fnmatchcase(node, name) or (bool(module) and fnmatch.fnmatchcase(module, name))


def interpolates(node: Any) -> bool:
    """Whether ``node`` is a Resize that mixes neighbours (linear, cubic)."""
    return bool(node.op_type == "Resize" and attribute(node, "mode", b"nearest") != b"nearest")


def is_depthwise(graph: Graph, node: Any, kernels: Collection[tuple[int, int]] | None = None) -> bool:
    """Whether ``node`` is a convolution of images that keeps its input's channels apart, of one of these sizes."""
    shape = graph.shapes.get(node.input[1], ()) if node.op_type == "Conv" else ()
    if len(shape) != 4 or shape[1] != 1 or attribute(node, "group", 1) <= 1:
        return False
    dense = set(attribute(node, "dilations", (1,))) == {1}
    return kernels is None or (shape[0] == attribute(node, "group", 1) and shape[2:] in kernels and dense)


def feeds_depthwise(graph: Graph, name: str) -> bool:
    """Whether a depthwise convolution reads ``name``."""
    return any(is_depthwise(graph, user) and user.input[0] == name for user in graph.consumers.get(name, []))


def _captured(node: Any) -> set[str]:
    """Outer tensors that a node's subgraphs read."""
    found: set[str] = set()
    for inner in _subgraphs(node):
        inside = {name for item in inner.node for name in item.output}
        inside |= {value.name for value in (*inner.input, *inner.initializer)}
        for item in inner.node:
            found |= {name for name in (*item.input, *_captured(item)) if name and name not in inside}
    return found


def _names(graph: Any) -> Iterator[str]:
    yield from (value.name for value in (*graph.input, *graph.output, *graph.initializer))
    for node in graph.node:
        yield from (node.name, *node.input, *node.output)
        for inner in _subgraphs(node):
            yield from _names(inner)


def _subgraphs(node: Any) -> Iterator[Any]:
    for held in node.attribute:
        yield from (*([held.g] if held.HasField("g") else []), *held.graphs)
