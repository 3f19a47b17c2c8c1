"""An ONNX graph in two float types: which operators exist in 16 bits, and Casts where the types meet.

Unique code: onnxconverter-common has no bfloat16, clips weights at 10 000 and lifts small ones;
modelopt's AutoCast holds all activations of all frames and logs its reasons instead of returning them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.core.errors import ModelError
from edgekit.core.tensors import Array
from edgekit.qdq.graph import Graph

FLOAT = 1
"""``TensorProto.FLOAT``."""


@dataclass(frozen=True)
class Format:
    """A 16-bit float format.

    Args:
        name: as in a spec.
        element: its ``TensorProto.DataType``.
        type: its name in ONNX operator schemas.
        opset: lowest opset whose convolutions and pools take it.
        largest: largest finite value.
        smallest: smallest positive value with full precision.
        roundoff: largest relative rounding error of a value with full precision.
    """

    name: str
    element: int
    type: str
    opset: int
    largest: float
    smallest: float
    roundoff: float

    @property
    def title(self) -> str:
        """The name in a sentence."""
        return self.name.upper()

    def rounded(self, values: Array) -> Array:
        """Float32 ``values`` in this format, rounded to nearest even; finite values stay finite."""
        from onnx import helper

        limited = np.where(np.isfinite(values), np.clip(values, -self.largest, self.largest), values)
        with np.errstate(invalid="ignore"):
            result: Array = limited.astype(helper.tensor_dtype_to_np_dtype(self.element))
        return result

    def loss(self, values: Array) -> float:
        """Relative L2 error that rounding ``values`` makes; a value beyond the range counts as its end."""
        finite = np.clip(values[np.isfinite(values)], -self.largest, self.largest)
        peak = float(np.abs(finite).max(initial=0.0))
        if peak == 0:
            return 0.0
        error = (self.rounded(finite).astype(np.float32) - finite) / np.float32(peak)
        return float(np.linalg.norm(error) / np.linalg.norm(finite / np.float32(peak)))


FORMATS = {
    "fp16": Format("fp16", 10, "tensor(float16)", 13, 65504.0, 2.0**-14, 2.0**-11),
    "bf16": Format("bf16", 16, "tensor(bfloat16)", 22, (2 - 2.0**-7) * 2.0**127, 2.0**-126, 2.0**-8),
}

# Inputs whose schema would take 16 bits, but that hold positions and not data.
_POSITIONS = {"Resize": {1, 2}}


@dataclass(frozen=True)
class Signature:
    """Where a node has float32 values, by input and output index.

    Args:
        inputs: become 16 bits with the node.
        native: are read in whatever type they were made in.
        outputs: become 16 bits with the node.
        problem: why the node cannot compute in 16 bits.
    """

    inputs: frozenset[int] = frozenset()
    native: frozenset[int] = frozenset()
    outputs: frozenset[int] = frozenset()
    problem: str = ""

    @property
    def chooses(self) -> bool:
        """Whether the node computes with floats, so that it can do so in one type or the other."""
        return bool(self.inputs or self.outputs or self.problem)


def signature(graph: Graph, node: Any, wanted: Format) -> Signature:
    """Where ``node`` has float32 values, and whether ONNX lets it compute in ``wanted``."""
    from onnx import defs

    types = graph.types
    inputs = [i for i, name in enumerate(node.input) if types.get(name) == FLOAT]
    outputs = [i for i, name in enumerate(node.output) if types.get(name) == FLOAT]
    if not inputs and not outputs:
        return Signature()
    if any(held.HasField("g") or held.graphs for held in node.attribute):
        return Signature(problem="holds a subgraph")
    if node.domain not in ("", "ai.onnx"):
        return Signature(problem=f"{node.domain}.{node.op_type} is no ONNX operator")
    if any(name and not types.get(name) for name in (*node.input, *node.output)):
        return Signature(problem="reads or makes something that is no tensor of known type")
    if node.op_type == "Cast":
        return Signature(native=frozenset(inputs), outputs=frozenset(outputs))
    opset = opset_of(graph.model)
    schema = defs.get_schema(node.op_type, opset, "")
    takes = {i: _formal(schema.inputs, i).type_str for i in inputs if wanted.type in _formal(schema.inputs, i).types}
    for index in _POSITIONS.get(node.op_type, ()):
        takes.pop(index, None)
    if not outputs and len(inputs) == len(takes) == 1:
        return Signature(native=frozenset(inputs))
    bound = all(_formal(schema.outputs, i).type_str in takes.values() for i in outputs)
    if not takes or not bound:
        return Signature(problem=f"ONNX opset {opset} has no {wanted.title} {node.op_type} with these outputs")
    return Signature(inputs=frozenset(takes), outputs=frozenset(outputs))


def raised(model: Any, opset: int) -> Any:
    """The model in at least ``opset``, nodes named and shapes inferred.

    Raises:
        ModelError: an operator has no converter.
    """
    import onnx

    if opset_of(model) >= opset:
        return model
    try:
        model = onnx.version_converter.convert_version(model, opset)
    except (RuntimeError, onnx.version_converter.ConvertError) as problem:
        raise ModelError(
            f"the model cannot be brought to opset {opset}, export it in that opset: {problem}"
        ) from problem
    model.ir_version = max(model.ir_version, 10)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{opset}_{index}"
    return onnx.shape_inference.infer_shapes(model)


def opset_of(model: Any) -> int:
    """Version of the ONNX operators that the model uses."""
    return next(int(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx"))


def mixed(graph: Graph, signatures: Sequence[Signature], halves: Collection[int], wanted: Format) -> Any:
    """A copy of the model whose nodes at the positions ``halves`` compute in ``wanted``.

    Graph inputs, graph outputs and what subgraphs read keep their names and float32.  Every
    tensor is cast at most once in each direction, right behind the node that makes it.
    """
    import onnx

    writer = _Writer(graph, signatures, set(halves), wanted)
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.initializer.extend(writer.initializers())
    model.graph.node.extend(writer.nodes())
    infos = [info for info in model.graph.value_info if info.name not in writer.halved | writer.as_half]
    del model.graph.value_info[:]
    model.graph.value_info.extend(infos)
    return onnx.shape_inference.infer_shapes(model, check_type=True)


class _Writer:
    def __init__(self, graph: Graph, signatures: Sequence[Signature], halves: set[int], wanted: Format) -> None:
        self.graph = graph
        self.signatures = signatures
        self.halves = halves
        self.wanted = wanted
        self.taken = set(_names(graph.model.graph))
        self.halved = {graph.nodes[p].output[i] for p in halves for i in signatures[p].outputs}
        readers = graph.consumers.items()
        self.pinned = {*graph.outputs, *(n for n, users in readers if any(n not in u.input for u in users))}
        needs = list(self._needs())
        self.as_half = {name for name, half in needs if half}
        self.as_float = {name for name, half in needs if not half} | self.pinned
        self.names = {name: self._pair(name) for name in sorted(self.as_half | self.halved)}

    def _reads_half(self, position: int, index: int) -> bool:
        signature = self.signatures[position]
        if index in signature.native:
            return self.graph.nodes[position].input[index] in self.halved
        return position in self.halves and index in signature.inputs

    def _needs(self) -> Iterator[tuple[str, bool]]:
        for position, node in enumerate(self.graph.nodes):
            for index, name in enumerate(node.input):
                if self.graph.types.get(name) == FLOAT:
                    yield name, self._reads_half(position, index)

    def _pair(self, name: str) -> tuple[str, str]:
        """Names of the float32 and of the 16-bit version of a tensor that has the latter."""
        if name in self.pinned or (name not in self.halved and not self._only_half(name)):
            return name, self._fresh(f"{name}_{self.wanted.name}")
        return (self._fresh(f"{name}_fp32") if name in self.as_float else ""), name

    def _only_half(self, name: str) -> bool:
        return self._is_constant(name) and name not in self.as_float

    def _is_constant(self, name: str) -> bool:
        return name in self.graph.constants and name not in self.graph.inputs

    def _fresh(self, name: str) -> str:
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def initializers(self) -> Iterator[Any]:
        """Weights in the types that their readers want."""
        import onnx

        for name, tensor in self.graph.constants.items():
            if not self._only_half(name) or name not in self.as_half:
                yield tensor
            if name in self.as_half and self._is_constant(name):
                yield onnx.numpy_helper.from_array(self.wanted.rounded(self.graph.array(name)), self.names[name][1])

    def nodes(self) -> Iterator[Any]:
        """Every node with its new names, and the Casts."""
        for name in self.graph.inputs:
            yield from self._casts(name)
        for position, node in enumerate(self.graph.nodes):
            yield self._renamed(position, node)
            for name in node.output:
                yield from self._casts(name)

    def _casts(self, name: str) -> Iterator[Any]:
        from onnx import helper

        if name not in self.names:
            return
        single, half = self.names[name]
        if name in self.halved and name in self.as_float:
            yield helper.make_node("Cast", [half], [single], self._fresh(f"Cast_{single}"), to=FLOAT)
        elif name not in self.halved:
            yield helper.make_node("Cast", [single], [half], self._fresh(f"Cast_{half}"), to=self.wanted.element)

    def _renamed(self, position: int, node: Any) -> Any:
        import onnx

        made = onnx.NodeProto()
        made.CopyFrom(node)
        for index, name in enumerate(node.input):
            if name in self.names:
                made.input[index] = self.names[name][int(self._reads_half(position, index))]
        for index, name in enumerate(node.output):
            if name in self.halved:
                made.output[index] = self.names[name][1]
                for held in made.attribute:
                    if node.op_type == "Cast" and held.name == "to":
                        held.i = self.wanted.element
        return made


def _formal(formals: Any, index: int) -> Any:
    """The declared parameter of an actual one; the last may stand for many."""
    return formals[min(index, len(formals) - 1)]


def _names(graph: Any) -> Iterator[str]:
    """Names of all tensors and nodes, also inside subgraphs."""
    yield from (value.name for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info))
    for node in graph.node:
        yield node.name
        yield from (*node.input, *node.output)
        for held in node.attribute:
            for inner in (*([held.g] if held.HasField("g") else []), *held.graphs):
                yield from _names(inner)
