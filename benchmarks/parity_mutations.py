"""Faults planted into optimised graphs: a layer's scale, zero point, bias, weight, axis, activation, or two swapped.

Whether a fault moves the output of its layer is measured on the layer alone, in a session of its own, fed with what the
healthy engine computes: nothing here uses what it tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

Arrays = Mapping[str, np.ndarray]
# Inputs of ONNX Runtime's operators, by role: (operator, role) to places.
SCALES = {"QuantizeLinear": (1,), "DequantizeLinear": (1,), "QLinearConv": (1, 4, 6), "QLinearMatMul": (1, 4, 6)}
SCALES |= {"QLinearAdd": (1, 4, 6), "QLinearMul": (1, 4, 6), "QLinearSigmoid": (1, 3), "QLinearLeakyRelu": (1, 3)}
SCALES |= {"QGemm": (1, 4), "MatMulIntegerToFloat": (2, 3), "QLinearGlobalAveragePool": (1, 3), "QLinearConcat": (0,)}
ZEROS = {"QuantizeLinear": (2,), "DequantizeLinear": (2,), "QLinearConv": (2, 7), "QLinearMatMul": (2, 7)}
ZEROS |= {"QLinearAdd": (2, 5, 7), "QLinearMul": (2, 5, 7), "QLinearSigmoid": (2, 4), "QLinearLeakyRelu": (2, 4)}
ZEROS |= {"QGemm": (2,), "QLinearGlobalAveragePool": (2, 4), "QLinearConcat": (1,)}
WEIGHTS = {"QLinearConv": 3, "Conv": 1, "FusedConv": 1, "Gemm": 1, "FusedGemm": 1, "MatMul": 1, "QGemm": 3}
WEIGHTS |= {"MatMulIntegerToFloat": 1, "ConvTranspose": 1, "FusedMatMul": 1}
BIASES = {"QLinearConv": 8, "Conv": 2, "FusedConv": 2, "Gemm": 2, "FusedGemm": 2, "QGemm": 6, "ConvTranspose": 2}
OTHER = {
    "Relu": "Abs",
    "Sigmoid": "Tanh",
    "Tanh": "Sigmoid",
    "HardSigmoid": "Sigmoid",
    "QLinearSigmoid": "QLinearLeakyRelu",
}
OTHER |= {"QLinearLeakyRelu": "QLinearSigmoid", "Softmax": "LogSoftmax", "Gelu": "Erf", "LeakyRelu": "Relu"}
KINDS = ("scale", "zero point", "bias", "weight", "axis", "activation", "swap")


@dataclass(frozen=True)
class Fault:
    """A changed engine; ``nodes`` are the places of the nodes that were changed."""

    kind: str
    nodes: tuple[int, ...]
    model: onnx.ModelProto


def draw(engine: onnx.ModelProto, kind: str, random: np.random.Generator) -> Fault | None:
    """One fault of a kind; None when no layer admits it."""
    model = deepcopy(engine)
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = list(model.graph.node)
    live = _live(model)
    places = [at for at, node in enumerate(nodes) if at in live and _admits(node, kind, values)]
    if not places:
        return None
    at = int(random.choice(places))
    changed: tuple[int, ...] = (at,)
    if kind in ("scale", "zero point"):
        table = SCALES if kind == "scale" else ZEROS
        options = [p for p in table[nodes[at].op_type] if _constant(nodes[at], p, values) is not None]
        place = int(random.choice(options))
        _replace(model, nodes[at], place, _moved(_constant(nodes[at], place, values), kind, random))
    elif kind in ("weight", "bias"):
        place = (WEIGHTS if kind == "weight" else BIASES)[nodes[at].op_type]
        _replace(model, nodes[at], place, _damaged(_constant(nodes[at], place, values), kind, random))
    elif kind == "axis":
        _turn(nodes[at], random)
    elif kind == "activation":
        _other_activation(model, nodes[at], values, random)
    else:
        other = _twin(nodes, at, values, live, random)
        if other is None:
            return None
        _swap(nodes[at], nodes[other])
        changed = (at, other)
    return Fault(kind, changed, model)


def moves(engine: onnx.ModelProto, fault: Fault, frames: Sequence[Arrays], inner: Sequence[Arrays]) -> float:
    """How far the fault moves the output of its layer on the healthy engine's tensors, in INT8 steps.

    Args:
        engine: the healthy one.
        fault: drawn from it.
        frames: feeds.
        inner: every tensor of the healthy engine, by frame.
    """
    largest = 0.0
    for at in fault.nodes:
        healthy, changed = (_alone(model, model.graph.node[at]) for model in (engine, fault.model))
        for feeds, tensors in zip(frames, inner, strict=True):
            known = {**tensors, **feeds}
            wanted = healthy.run(None, {v.name: known[v.name] for v in healthy.get_inputs()})
            found = changed.run(None, {v.name: known[v.name] for v in changed.get_inputs()})
            for one, other in zip(wanted, found, strict=True):
                largest = max(largest, _steps(one, other))
    return largest


def tensors_of(engine: onnx.ModelProto, frames: Sequence[Arrays]) -> list[dict[str, np.ndarray]]:
    """Every tensor that a node of the engine makes, by frame."""
    shown = deepcopy(engine)
    names = [name for node in shown.graph.node for name in node.output if name]
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = opened(shown)
    return [dict(zip(names, session.run(None, dict(feeds)), strict=True)) for feeds in frames]


def opened(model: onnx.ModelProto | Path) -> onnxruntime.InferenceSession:
    """A session of a model exactly as it is written."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    given = str(model) if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])


def _live(model: onnx.ModelProto) -> set[int]:
    """Places of the nodes that an output needs: the runtime leaves some that none does."""
    needed, live = {value.name for value in model.graph.output}, set()
    for at, node in reversed(list(enumerate(model.graph.node))):
        if needed.intersection(node.output):
            needed.update(node.input)
            live.add(at)
    return live


def _admits(node: Any, kind: str, values: Mapping[str, Any]) -> bool:
    op = node.op_type
    if kind in ("scale", "zero point"):
        table = SCALES if kind == "scale" else ZEROS
        return any(_constant(node, place, values) is not None for place in table.get(op, ()))
    if kind in ("weight", "swap"):
        return op in WEIGHTS and _constant(node, WEIGHTS[op], values) is not None
    if kind == "bias":
        return op in BIASES and _constant(node, BIASES[op], values) is not None
    if kind == "axis":
        return op in ("Transpose", "QLinearConcat", "Concat", "Softmax", "QLinearSoftmax", "Split")
    return op in OTHER or op in ("FusedConv", "FusedGemm", "Clip", "QuickGelu") or _saturates(node, values)


def _saturates(node: Any, values: Mapping[str, Any]) -> bool:
    """Whether a rounding ends at zero, which stands for a Relu."""
    if node.op_type != "QLinearConv":
        return False
    zero = _constant(node, 7, values)
    return zero is not None and zero.dtype == np.uint8 and int(zero.reshape(-1)[0]) == 0


def _constant(node: Any, place: int, values: Mapping[str, Any]) -> np.ndarray | None:
    if len(node.input) <= place or node.input[place] not in values:
        return None
    return numpy_helper.to_array(values[node.input[place]])


def _replace(model: Any, node: Any, place: int, value: np.ndarray) -> None:
    name = f"{node.input[place]}/fault"
    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
    node.input[place] = name


def _moved(value: np.ndarray, kind: str, random: np.random.Generator) -> np.ndarray:
    if kind == "scale":
        return (value * random.choice([0.5, 0.8, 0.9, 1.1, 1.25, 2.0])).astype(value.dtype)
    limits = np.iinfo(value.dtype)
    moved = value.astype(np.int64) + int(random.choice([-16, -5, -2, 2, 5, 16]))
    return np.clip(moved, limits.min, limits.max).astype(value.dtype)


def _damaged(value: np.ndarray, kind: str, random: np.random.Generator) -> np.ndarray:
    """One output channel with another sign or size, or one value alone."""
    made = value.copy().astype(np.float64)
    channel = int(random.integers(value.shape[0]))
    how = random.choice(["sign", "half", "one value", "zero"])
    part = made[channel] if value.ndim else made
    if how == "one value":
        flat = made.reshape(-1)
        flat[int(random.integers(flat.size))] *= -1
    else:
        made[channel] = {"sign": -part, "half": part * 0.5, "zero": part * 0}[str(how)]
    if value.dtype == np.uint8:  # stored with a zero point of 128
        made = np.clip(256 - value.astype(np.float64), 0, 255) if how == "sign" else made
    if value.dtype.kind in "iu":
        limits = np.iinfo(value.dtype)
        made = np.clip(np.round(made), limits.min, limits.max)
    return made.astype(value.dtype)


def _turn(node: Any, random: np.random.Generator) -> None:
    """Two axes of a transposition, the operands of a concatenation or the axis of another operator exchanged."""
    if node.op_type == "Transpose":
        perm = next(a for a in node.attribute if a.name == "perm")
        one, other = random.choice(len(perm.ints), 2, replace=False)
        perm.ints[one], perm.ints[other] = perm.ints[other], perm.ints[one]
    elif node.op_type == "QLinearConcat":
        first, second = list(node.input[2:5]), list(node.input[5:8])
        for at, name in enumerate(second + first):
            node.input[2 + at] = name
    elif node.op_type == "Concat":
        node.input[0], node.input[1] = node.input[1], node.input[0]
    elif node.op_type == "Split":
        node.output[0], node.output[1] = node.output[1], node.output[0]
    else:
        for attribute in [a for a in node.attribute if a.name == "axis"]:
            node.attribute.remove(attribute)
        node.attribute.append(helper.make_attribute("axis", 1))


def _other_activation(model: Any, node: Any, values: Mapping[str, Any], random: np.random.Generator) -> None:
    if node.op_type in OTHER:
        node.op_type = OTHER[node.op_type]
        if node.op_type in ("LogSoftmax", "QLinearLeakyRelu"):
            return
        del node.attribute[:]
    elif node.op_type in ("FusedConv", "FusedGemm"):
        named = [a for a in node.attribute if a.name in ("activation", "activation_params")]
        for attribute in named:
            node.attribute.remove(attribute)
        node.attribute.append(helper.make_attribute("activation", "Tanh"))
    elif node.op_type == "QuickGelu":
        del node.attribute[:]
        node.attribute.append(helper.make_attribute("alpha", 1.702))
    elif node.op_type == "Clip":
        del node.input[2:]
    else:  # a Relu that is the end of the grid
        _replace(model, node, 7, np.asarray(_constant(node, 7, values)) + np.uint8(random.choice([8, 32])))


def _twin(
    nodes: Sequence[Any], at: int, values: Mapping[str, Any], live: set[int], random: np.random.Generator
) -> int | None:
    op, place = nodes[at].op_type, WEIGHTS[nodes[at].op_type]
    shape = _constant(nodes[at], place, values)
    same = []
    for other, node in enumerate(nodes):
        weight = _constant(node, place, values) if node.op_type == op and other != at and other in live else None
        if weight is not None and shape is not None and weight.shape == shape.shape:
            same.append(other)
    return int(random.choice(same)) if same else None


def _swap(one: Any, other: Any) -> None:
    op = one.op_type
    places = {WEIGHTS[op], *((BIASES[op],) if op in BIASES else ()), *((4, 5) if op == "QLinearConv" else ())}
    for place in places:
        if place < min(len(one.input), len(other.input)):
            one.input[place], other.input[place] = other.input[place], one.input[place]


def _alone(model: onnx.ModelProto, node: Any) -> onnxruntime.InferenceSession:
    """A session of one node: its constants inside, its other tensors as inputs."""
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    given = [
        helper.make_tensor_value_info(n, _TYPES[n], None) for n in dict.fromkeys(node.input) if n and n not in values
    ]
    made = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    kept = [values[name] for name in dict.fromkeys(node.input) if name in values]
    graph = helper.make_graph([node], "alone", given, made, kept)
    return opened(helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version))


_TYPES: dict[str, int] = {}
"""Element types of the tensors of the engine at hand."""


def learn_types(frames: Sequence[Arrays], inner: Sequence[Arrays]) -> None:
    """Take note of the types that :func:`moves` needs."""
    _TYPES.clear()
    for tensors in (*frames, *inner):
        _TYPES.update({name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in tensors.items()})


def _steps(wanted: np.ndarray, found: np.ndarray) -> float:
    if wanted.shape != found.shape:
        return float("inf")
    if not wanted.size:
        return 0.0
    difference = float(np.abs(wanted.astype(np.float64) - found.astype(np.float64)).max())
    if wanted.dtype.kind != "f":
        return difference
    span = float(wanted.max() - wanted.min())
    return difference / (span / 255) if span > 0 else (0.0 if difference == 0 else float("inf"))
