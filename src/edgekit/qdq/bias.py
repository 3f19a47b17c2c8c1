"""Empirical bias correction: rounding shifts the mean of what a layer gives, and its bias shifts it back.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019
(arXiv:1906.04721), section 4.2 and appendix D.  The paper corrects one layer after the other, each
seeing the corrected layers before it, which costs a pass over the frames per layer.  Here layers go in
at most :data:`WAVES` waves of neighbouring depth, and a pass runs the network only as far as its wave
reaches: about ``min(layers, WAVES) / 2`` inferences per frame instead of ``layers / 2``.  The first
layers of a wave see only corrected layers and are corrected in full.  Those behind them get what their
own integer weights shift: the difference to the float weights on the same rounded inputs.  With at most
:data:`WAVES` layers in a row, that is the paper's sequence exactly.  Only means leave the runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array, Arrays
from edgekit.qdq.graph import Graph, attribute, run, runtime, session
from edgekit.technique import Frames

FRAMES = 32
WAVES = 16
_SPATIAL = frozenset({"Conv", "ConvTranspose"})


@dataclass(frozen=True)
class Correction:
    """What was added to the biases.

    Args:
        shifts: for :func:`shifted`, float32 ``(channels,)`` by the name of the compute node.
    """

    shifts: Mapping[str, Array]

    def summary(self) -> dict[str, Any]:
        """For the record: how many layers, and the largest shift with its layer."""
        if not self.shifts:
            return {"layers": 0, "largest_shift": 0.0, "largest_in": None}
        largest = max(self.shifts, key=lambda name: float(np.abs(self.shifts[name]).max(initial=0.0)))
        value = float(np.abs(self.shifts[largest]).max(initial=0.0))
        return {"layers": len(self.shifts), "largest_shift": value, "largest_in": largest}


def with_biases(graph: Graph, exclude: Iterable[str] = ()) -> Graph:
    """The same function, with a bias of its own for every Conv, ConvTranspose, Gemm and MatMul of constant weights.

    A missing bias becomes zeros; a MatMul gets an Add behind it unless one with a constant per channel is there.
    Call it before planning: the plan must see the Add.
    """
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(graph.model)
    del made.graph.node[:]
    for original in graph.nodes:
        node = made.graph.node.add()
        node.CopyFrom(original)
        if original.name in exclude or not _correctable(graph, original):
            continue
        slot = _slot(graph, original)
        if slot is not None and graph.producer.get(slot[0].output[0]) is not original:
            continue  # the Add behind a MatMul
        values = np.zeros(_channels(graph, original), np.float32)
        if len(original.input) > 2 and original.input[2]:
            values = values + graph.array(original.input[2])
        if original.op_type == "MatMul":
            # As a matrix of one row or more axes: ONNX Runtime fuses an Add of a vector, under names it used before.
            values = values.reshape([1] * (len(graph.shapes[original.output[0]]) - 1) + [-1])
        name = f"{original.name}/own_bias"
        made.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
        if original.op_type == "MatMul":
            node.output[0] = f"{original.output[0]}/unbiased"
            sizes = graph.shapes[original.output[0]]
            made.graph.value_info.append(
                onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, sizes)
            )
            inputs = [node.output[0], name]
            made.graph.node.append(onnx.helper.make_node("Add", inputs, list(original.output), name=f"{name}/Add"))
        else:
            node.input[:] = [*original.input[:2], name]
    return Graph(made)


def correct(
    graph: Graph,
    compute: Iterable[str],
    place: Callable[[Graph], Any],
    frames: Frames,
    advance: Callable[[], None] = lambda: None,
) -> Correction:
    """Shift the biases so that the means of quantized layers are those of the FP32 model.

    Args:
        graph: the FP32 model, from :func:`with_biases`.
        compute: names of the quantized compute nodes.
        place: the quantized ONNX model of such a graph.
        frames: the first :data:`FRAMES` are looked at.
        advance: called after every wave, see :func:`passes`.

    Raises:
        DataError: no frame.
    """
    names = _corrected(graph, compute)
    by_name = {node.name: node for node in graph.nodes}
    wanted = {by_name[name].output[0]: _pool(by_name[name]) for name in names}
    reference = means(graph.model, wanted, frames)
    current, shifts = graph, dict[str, Array]()
    for wave in waves(graph, names, WAVES):
        typed, pairs, taps = _twins(place(current), graph, wave)
        found = means(typed, taps, frames)
        for name, (quantized, twin) in pairs.items():
            target = found[twin] if twin else reference[by_name[name].output[0]]
            shifts[name] = (target - found[quantized]).astype(np.float32)
        current = shifted(graph, shifts)
        advance()
    return Correction(shifts)


def passes(graph: Graph, compute: Iterable[str]) -> int:
    """Number of waves that :func:`correct` takes."""
    return len(waves(graph, _corrected(graph, compute), WAVES))


def _corrected(graph: Graph, compute: Iterable[str]) -> list[str]:
    wanted = set(compute)
    return [node.name for node in graph.nodes if node.name in wanted and _slot(graph, node) is not None]


def means(model: Any, taps: Mapping[str, str], frames: Frames) -> dict[str, Array]:
    """Mean of each tensor per channel (axis 1 behind a pool, else the last), float64, over at most FRAMES frames."""
    sums: dict[str, Array] = {}
    count = 0
    for values in tapped(model, taps, islice(frames, FRAMES)):
        for name, array in values.items():
            rows = array.reshape(array.shape[:2]) if taps[name] else array.reshape(-1, array.shape[-1])
            sums[name] = sums.get(name, 0.0) + rows.mean(axis=0, dtype=np.float64)
        count += 1
    if count == 0:
        raise DataError("the calibration set is empty; give data.calibration at least one frame")
    return {name: total / count for name, total in sums.items()}


def tapped(model: Any, taps: Mapping[str, str], frames: Iterable[Arrays]) -> Iterator[dict[str, Array]]:
    """Run ``model`` as far as the tensors of ``taps`` need, and give them frame by frame.

    Args:
        model: ONNX model; stays as it is.
        taps: by tensor, the operator to look through (``GlobalAveragePool``, ...); "" for the tensor itself.
        frames: model inputs by name.
    """
    import onnx

    graph = Graph(model)
    made = onnx.ModelProto()
    made.CopyFrom(model)
    _keep(made, graph, set(taps))
    names = [f"{tensor}/{operator}" if operator else tensor for tensor, operator in taps.items()]
    for (tensor, operator), name in zip(taps.items(), names, strict=True):
        if operator:
            made.graph.node.append(onnx.helper.make_node(operator, [tensor], [name], name=name))
        made.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    options = runtime().SessionOptions()
    options.log_severity_level = 3
    opened = session(made, options)
    inputs = {value.name for value in made.graph.input}
    for feeds in frames:
        values = run(opened, names, {name: array for name, array in feeds.items() if name in inputs})
        yield dict(zip(taps, values, strict=True))


def waves(graph: Graph, names: Iterable[str], most: int) -> list[list[tuple[str, bool]]]:
    """Layers in an order of computation, in at most ``most`` groups of neighbouring depth.

    Returns:
        Groups of (node name, whether the node depends on another one of its group).
    """
    wanted, before, level = set(names), reads(graph), dict[str, int]()
    depth: dict[str, int] = {}
    for node in graph.nodes:
        here = max((depth.get(name, 0) for name in before.get(node.name, ())), default=0)
        if node.name in wanted:
            level[node.name] = here
        depth.update(dict.fromkeys(node.output, here + (node.name in wanted)))
    levels = max(level.values(), default=-1) + 1
    groups: list[list[tuple[str, bool]]] = []
    for part in np.array_split(np.arange(levels), min(most, levels)) if levels else []:
        first, last = int(part[0]), int(part[-1])
        groups.append([(name, at > first) for name, at in level.items() if first <= at <= last])
    return groups


def reads(graph: Graph) -> dict[str, set[str]]:
    """Names of the tensors that each node reads, also from inside its subgraphs, by node name."""
    found: dict[str, set[str]] = {}
    for tensor, users in graph.consumers.items():
        for user in users:
            found.setdefault(user.name, set()).add(tensor)
    return found


def _keep(made: Any, graph: Graph, needed: set[str]) -> None:
    """Cut ``made``, a copy of the graph's model, down to what makes the tensors ``needed``; it has no output then."""
    before, kept = reads(graph), []
    needed = set(needed)
    for node in reversed(graph.nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed |= before.get(node.name, set())
    constants = [tensor for tensor in graph.model.graph.initializer if tensor.name in needed]
    inputs = [value for value in graph.model.graph.input if value.name in needed]
    del made.graph.node[:], made.graph.initializer[:], made.graph.input[:], made.graph.output[:]
    made.graph.node.extend(reversed(kept))
    made.graph.initializer.extend(constants)
    made.graph.input.extend(inputs)


def _twins(
    typed: Any, graph: Graph, wave: Iterable[tuple[str, bool]]
) -> tuple[Any, dict[str, tuple[str, str]], dict[str, str]]:
    """Put, beside the dependent layers of a wave, their float originals on the same rounded inputs.

    Returns:
        The model; by layer, the tensors that it and its twin ("" without one) make; and these as taps.
    """
    import onnx

    originals = {node.name: node for node in graph.nodes}
    placed = {node.name: node for node in typed.graph.node}
    constants = {tensor.name for tensor in typed.graph.initializer}
    pairs, taps = {}, {}
    for name, dependent in wave:
        node, twin = originals[name], ""
        if dependent:
            twin = f"{name}/twin"
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name, copy.input[0], copy.output[0] = twin, placed[name].input[0], twin
            typed.graph.node.append(copy)
            absent = [constant for constant in node.input[1:] if constant and constant not in constants]
            typed.graph.initializer.extend(graph.constants[constant] for constant in absent)
            constants.update(absent)
        pairs[name] = (placed[name].output[0], twin)
        taps.update(dict.fromkeys((output for output in pairs[name] if output), _pool(node)))
    return typed, pairs, taps


def shifted(graph: Graph, shifts: Mapping[str, Array]) -> Graph:
    """The model with ``shifts`` added to the biases of compute nodes, float32 ``(channels,)`` by node name."""
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(graph.model)
    copies = {node.name: node for node in made.graph.node}
    for node in graph.nodes:
        slot = _slot(graph, node) if node.name in shifts else None
        if slot is not None:
            holder, index = slot
            name = f"{node.name}/corrected_bias"
            values = (graph.array(holder.input[index]) + shifts[node.name]).astype(np.float32)
            made.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
            copies[holder.name].input[index] = name
    return Graph(made)


def _correctable(graph: Graph, node: Any) -> bool:
    if node.op_type not in _SPATIAL | {"Gemm", "MatMul"} or node.input[1] not in graph.constants:
        return False
    if graph.constants[node.input[1]].data_type != 1 or not graph.is_float(node.input[0]):
        return False
    if node.op_type == "MatMul":
        return len(graph.constants[node.input[1]].dims) == 2 and len(graph.shapes.get(node.output[0], ())) > 1
    bias = node.input[2] if len(node.input) > 2 else ""
    if not bias:
        return True
    return bias in graph.constants and len(graph.constants[bias].dims) == 1


def _slot(graph: Graph, node: Any) -> tuple[Any, int] | None:
    """The node and the input that hold the bias vector of a compute node."""
    if not _correctable(graph, node):
        return None
    if node.op_type != "MatMul":
        return (node, 2) if len(node.input) > 2 and node.input[2] else None
    users = graph.consumers.get(node.output[0], [])
    if node.output[0] in graph.outputs or len(users) != 1 or users[0].op_type != "Add":
        return None
    index = 1 - list(users[0].input).index(node.output[0])
    constant = graph.constants.get(users[0].input[index])
    if constant is None or constant.data_type != 1 or len(constant.dims) > len(graph.shapes[node.output[0]]):
        return None
    fits = list(constant.dims[-1:]) == [_channels(graph, node)] and set(constant.dims[:-1]) <= {1}
    return (users[0], index) if fits else None


def _channels(graph: Graph, node: Any) -> int:
    sizes = tuple(graph.constants[node.input[1]].dims)
    if node.op_type == "Conv":
        return int(sizes[0])
    if node.op_type == "ConvTranspose":
        return int(sizes[1] * attribute(node, "group", 1))
    return int(sizes[0] if node.op_type == "Gemm" and attribute(node, "transB", 0) else sizes[1])


def _pool(node: Any) -> str:
    return "GlobalAveragePool" if node.op_type in _SPATIAL else ""
