"""FP16 or BF16 where the values allow it, FP32 elsewhere: a typed ONNX file with explicit Casts.

A strongly typed runtime (TensorRT 11, TensorRT for RTX) chooses no precision of its own: the
file says it.  An operator stays in FP32 when the calibration frames show that its values, or
the sums, squares and exponentials that it forms inside, would leave the format's range; when
a constant would lose its value; or when it computes positions.  The idea, not the code, is
that of NVIDIA's AutoCast (ModelOpt documentation, "AutoCast (ONNX)").

Not checked: matrix products and convolutions add up in FP32 on every runtime that edgekit
knows, so only their results must fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field

from edgekit.core.errors import ModelError
from edgekit.core.tensors import Array
from edgekit.qdq.calibrate import calibrate
from edgekit.qdq.casts import FLOAT, FORMATS, Format, Signature, mixed, raised, signature
from edgekit.qdq.graph import Graph, attribute, simplified
from edgekit.qdq.ranges import MinMax
from edgekit.technique import Job, Quantized, TechniqueConfig

# Sampling positions and running sums over pixels: FP16 is 1 pixel apart beyond 1024, BF16 beyond 128.
POSITIONS = frozenset({"AffineGrid", "CumSum", "DeformConv", "GridSample", "RoiAlign"})
# A Q/DQ pair is already typed; its scales stay in FP32.
QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})
# TensorRT's ONNX parser refuses these in the format, although ONNX has them (seen with TensorRT for RTX 1.7).
REFUSED = {"fp16": frozenset[str](), "bf16": frozenset({"LpNormalization"})}
# These move values and compute nothing: between FP32 operators 16 bits would only add Casts.
# fmt: off
MOVES = frozenset({
    "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "Pad", "Reshape", "Slice", "SpaceToDepth",
    "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
})
# fmt: on
# The input at which a value rounded to zero gives infinity or NaN.
DIVISORS = {"Div": 1, "Log": 0, "Pow": 0, "Reciprocal": 0, "Sqrt": 0}
# These give a small constant to a result that is nearly zero without it.
FLOORS = frozenset({"Add", "Clip", "Max", "Sub", "Sum", "Where"})


class Config(TechniqueConfig):
    """FP16 or BF16 mixed with FP32."""

    method: Literal["half"]
    dtype: Literal["fp16", "bf16"] = "fp16"
    keep: tuple[str, ...] = Field((), description="names of ONNX nodes that stay FP32")
    headroom: float = Field(
        4.0,
        ge=1,
        allow_inf_nan=False,
        description="a value may grow this many times beyond calibration before it overflows",
    )


class Seen(MinMax):
    """The range of one tensor and its largest shape."""

    whole = True

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.shape: tuple[int, ...] = ()

    def update(self, values: Array) -> None:
        super().update(values)
        self.shape = max(self.shape, values.shape, key=math.prod)

    @property
    def peak(self) -> float:
        """Largest magnitude."""
        return max(-self.low, self.high)


def apply(job: Job, config: Config) -> Quantized:
    """The FP32 model of ``job.source`` with 16-bit operators where ``job.frames`` show that they are safe.

    Graph inputs and outputs keep their names and types.  BF16 needs ONNX opset 22: older models
    are raised to it.  ``record["float_nodes"]`` gives a reason for every operator that stays FP32.

    Raises:
        DataError: no frame.
        ModelError: NaN or infinite activations, an unknown node in ``keep``, a model that cannot be
            raised to opset 22, or no operator that can leave FP32.
    """
    import onnx

    wanted = FORMATS[config.dtype]
    graph = Graph(raised(simplified(job.source), wanted.opset))
    config = config.model_copy(update={"keep": graph.nodes_named(config.keep, "keep")})
    seen, frames = _scan(graph, job)
    signatures = [signature(graph, node, wanted) for node in graph.nodes]
    reasons = _Chooser(graph, signatures, seen, wanted, config).reasons()
    halves = [p for p, types in enumerate(signatures) if types.chooses and p not in reasons]
    kept = {graph.nodes[p].name: why for p, why in sorted(reasons.items())}
    if not halves:
        first = "; ".join(f"{name}: {why}" for name, why in list(kept.items())[:3]) or "it computes with no float32"
        raise ModelError(f"{job.source}: no operator can compute in {wanted.title} ({first}); ship it as FP32")
    model = mixed(graph, signatures, halves, wanted)
    onnx.checker.check_model(model, full_check=True)
    record = {
        "method": "half",
        "config": config.model_dump(mode="json"),
        "frames": frames,
        "dtype": config.dtype,
        "float_nodes": kept,
        "ranges": {name: found.peak for name, found in sorted(seen.items())},
    }
    return Quantized(model.SerializeToString(deterministic=True), record, config.dtype)


def _scan(graph: Graph, job: Job) -> tuple[dict[str, Seen], int]:
    """Ranges of all float32 inputs and activations, and the number of frames."""
    made = [name for node in graph.nodes for name in node.output]
    given = [name for name in graph.inputs if name not in graph.constants]
    floats = [name for name in (*given, *made) if graph.types.get(name) == FLOAT]
    with job.progress.track("ranges", len(job.frames)) as advance:
        found = calibrate(graph, floats, job.frames, Seen, advance)
    return {name: finder for name, finder in found.finders.items() if isinstance(finder, Seen)}, found.frames


class _Chooser:
    """Decides which nodes stay FP32, and why."""

    def __init__(
        self, graph: Graph, signatures: list[Signature], seen: Mapping[str, Seen], wanted: Format, config: Config
    ) -> None:
        self.graph = graph
        self.signatures = signatures
        self.seen = seen
        self.wanted = wanted
        self.config = config
        self.limit = wanted.largest / config.headroom
        self.data = _data(graph)
        # Tensors that a small constant keeps from zero, with the moves on their way.
        self.small: dict[str, tuple[int, ...]] = {}

    def reasons(self) -> dict[int, str]:
        """Why each node that stays FP32 does, by position."""
        found: dict[int, str] = {}
        for position, node in enumerate(self.graph.nodes):
            types = self.signatures[position]
            if not types.chooses:
                continue
            lost = self._lost_constant(node, types)
            why = self._rule(node, types) or self._range(node, types) or lost
            if lost and node.op_type in FLOORS:
                self.small |= dict.fromkeys(node.output, ())
            found |= {position: why} if why else {}
            found = self._small_divisor(position, node) | found
        return found | self._moves_between(found)

    def _rule(self, node: Any, types: Signature) -> str:
        if node.name in self.config.keep:
            return "kept by the spec"
        if not self.data.intersection(node.output):
            return "computes with shapes and constants, not with data"
        if types.problem:
            return types.problem
        if node.op_type in POSITIONS:
            return f"{node.op_type} computes positions or running sums"
        if node.op_type in REFUSED[self.wanted.name]:
            return f"TensorRT takes no {self.wanted.title} {node.op_type}"
        return "scales stay FP32" if node.op_type in QUANTIZERS else ""

    def _range(self, node: Any, types: Signature) -> str:
        title = self.wanted.title
        for name in _values(node, types):
            peak = self._peak(name, node)
            if name in self.graph.constants and peak > self.wanted.largest:
                return f"constant {name!r} reaches {peak:.6g}, {title} {self.wanted.largest:.6g}"
            if name in self.seen and peak > self.limit:
                return f"{name!r} reaches {peak:.6g}, {title} with headroom {self.config.headroom:g} {self.limit:.6g}"
            if name in self.seen and 0 < peak < self.wanted.smallest:
                return f"{name!r} reaches only {peak:.3g}, {title} is exact from {self.wanted.smallest:.3g}"
        inner = _INNER.get(node.op_type)
        reach = inner(node, self.seen) if inner else 0.0
        if reach > self.limit:
            return f"forms values up to {reach:.6g}, {title} with headroom {self.config.headroom:g} {self.limit:.6g}"
        return ""

    def _peak(self, name: str, node: Any) -> float:
        if name in self.seen:
            return self.seen[name].peak
        if name not in self.graph.constants or (node.op_type == "Clip" and name != node.input[0]):
            return 0.0  # a bound of Clip beyond the format's range binds nothing
        values = self.graph.array(name)
        return float(abs(values[abs(values) < math.inf]).max(initial=0.0))

    def _lost_constant(self, node: Any, types: Signature) -> str:
        for index in sorted(types.inputs):
            name = node.input[index]
            if name in self.graph.constants:
                loss = self.wanted.loss(self.graph.array(name))
                if loss > 2 * self.wanted.roundoff:
                    return f"constant {name!r} would change by {loss:.2g} of its size"
        return ""

    def _small_divisor(self, position: int, node: Any) -> dict[int, str]:
        """An epsilon that the format cannot hold keeps FP32 all the way to the division that it protects."""
        for index, name in enumerate(node.input):
            if name not in self.small:
                continue
            if node.op_type in MOVES:
                self.small |= dict.fromkeys(node.output, (*self.small[name], position))
            elif DIVISORS.get(node.op_type) == index:
                if node.op_type in ("Pow", "Sqrt"):
                    self.small |= dict.fromkeys(node.output, ())
                why = f"{name!r} holds a small constant that {self.wanted.title} would lose"
                return dict.fromkeys((*self.small[name], position), why)
        return {}

    def _moves_between(self, reasons: Mapping[int, str]) -> dict[int, str]:
        """Connected moves none of whose other neighbours computes in 16 bits."""
        nodes = self.graph.nodes
        moves = {p for p, node in enumerate(nodes) if node.op_type in MOVES | {"Cast"} and self.signatures[p].chooses}
        moves -= {*reasons}
        ends: dict[str, set[int]] = {}
        for position, types in enumerate(self.signatures):
            if types.chooses and position not in reasons:
                for name in _values(nodes[position], types):
                    if name not in self.graph.constants:
                        ends.setdefault(name, set()).add(position)
        found: dict[int, str] = {}
        while moves:
            group, border = set(), {min(moves)}
            while border:
                group |= border
                names = {name for p in border & moves for name in _values(nodes[p], self.signatures[p])}
                border = {p for name in names for p in ends.get(name, ())} - group
            if group <= moves:
                found |= dict.fromkeys(group, "moves values between FP32 operators")
            moves -= group
        return found


def _values(node: Any, types: Signature) -> list[str]:
    """The float32 tensors that would become 16-bit with the node."""
    return [*(node.input[i] for i in sorted(types.inputs)), *(node.output[i] for i in sorted(types.outputs))]


def _data(graph: Graph) -> set[str]:
    """Tensors that depend on the values, not only on the shapes, of the inputs."""
    found = set(graph.inputs)
    for node in graph.nodes:
        nested = any(held.HasField("g") or held.graphs for held in node.attribute)
        if node.op_type not in ("Shape", "Size") and (nested or found.intersection(node.input)):
            found.update(name for name in node.output if name)
    return found


def _sum_of_mean(node: Any, seen: Mapping[str, Seen]) -> float:
    values, mean = seen.get(node.input[0]), seen[node.output[0]]
    count = math.prod(values.shape) / max(math.prod(mean.shape), 1) if values else 1.0
    return mean.peak * count


def _square_of_input(node: Any, seen: Mapping[str, Seen]) -> float:
    return seen[node.input[0]].peak * seen[node.input[0]].peak if node.input[0] in seen else 0.0


def _square_of_output(node: Any, seen: Mapping[str, Seen]) -> float:
    return seen[node.output[0]].peak * seen[node.output[0]].peak


def _exponential(node: Any, seen: Mapping[str, Seen]) -> float:
    return math.exp(min(seen[node.input[0]].high, 700.0)) if node.input[0] in seen else 0.0


def _terms(node: Any, seen: Mapping[str, Seen]) -> float:
    shape = seen[node.output[0]].shape
    return float(shape[attribute(node, "axis", -1)]) if shape else 1.0


# Largest value that an operator forms inside, where its output does not show it.
_INNER: dict[str, Callable[[Any, Mapping[str, Seen]], float]] = {
    "GlobalAveragePool": _sum_of_mean,
    "ReduceMean": _sum_of_mean,
    "ReduceL2": _square_of_output,
    "GroupNormalization": _square_of_input,
    "InstanceNormalization": _square_of_input,
    "LayerNormalization": _square_of_input,
    "LpNormalization": _square_of_input,
    "MeanVarianceNormalization": _square_of_input,
    "RMSNormalization": _square_of_input,
    "Mish": _exponential,
    "ReduceLogSumExp": _exponential,
    "Softplus": _exponential,
    "LogSoftmax": _terms,
    "Softmax": _terms,
}
