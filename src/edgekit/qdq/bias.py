"""Bias correction: rounded weights shift the mean of what a layer gives, and its bias shifts it back.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019 (arXiv:1906.04721),
section 4.2: the expected error of a layer is that of its weights times the expected input.  Here both layers, with
float and with rounded weights, run on the float network's own activations, and one pass over the frames does for all.

What activations lose is not corrected.  The paper's appendix D does that too, layer by layer.  But where a range leaves
out rare large values, these shift the mean of a channel, and all its other values would have to pay: MobileNetV2 falls
from 18.2 to 15 dB by it, where this brings 20.5 (benchmarks/repair_ablation.py).
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
    """Shift the biases by what rounding the weights takes from the means.

    Args:
        graph: the FP32 model, from :func:`with_biases`.
        compute: names of the quantized compute nodes.
        place: the quantized ONNX model of such a graph.
        frames: the first :data:`FRAMES` are looked at.
        advance: called after every frame that was.

    Raises:
        DataError: no frame.
    """
    names = _corrected(graph, compute)
    model, twins = _with_twins(graph, place(graph), names)
    outputs = {node.name: node.output[0] for node in graph.nodes}
    pools = {node.name: _pool(node) for node in graph.nodes}
    taps = {made: pools[name] for name in names for made in (outputs[name], twins[name])}
    found = means(model, taps, frames, advance)
    return Correction({name: (found[outputs[name]] - found[twins[name]]).astype(np.float32) for name in names})


def _corrected(graph: Graph, compute: Iterable[str]) -> list[str]:
    wanted = set(compute)
    return [node.name for node in graph.nodes if node.name in wanted and _slot(graph, node) is not None]


def means(
    model: Any, taps: Mapping[str, str], frames: Frames, advance: Callable[[], None] = lambda: None
) -> dict[str, Array]:
    """Mean of each tensor per channel (axis 1 behind a pool, else the last), float64, over at most FRAMES frames."""
    sums: dict[str, Array] = {}
    count = 0
    for values in tapped(model, taps, islice(frames, FRAMES)):
        for name, array in values.items():
            rows = array.reshape(array.shape[:2]) if taps[name] else array.reshape(-1, array.shape[-1])
            sums[name] = sums.get(name, 0.0) + rows.mean(axis=0, dtype=np.float64)
        count += 1
        advance()
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


def _with_twins(graph: Graph, typed: Any, names: Iterable[str]) -> tuple[Any, dict[str, str]]:
    """The float model with a twin of each layer beside it, of the rounded weights; and what the twins make."""
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(graph.model)
    originals, placed = ({node.name: node for node in nodes} for nodes in (graph.nodes, typed.graph.node))
    rounded = Graph(typed)
    twins, restored = dict[str, str](), set[str]()
    for name in names:
        weights, twins[name] = placed[name].input[1], f"{name}/twin"
        if weights not in restored:
            # As floats: ONNX Runtime makes other kernels of a float layer whose weights are integers.
            values = _restored(rounded, rounded.producer[weights])
            made.graph.initializer.append(onnx.numpy_helper.from_array(values, weights))
            restored.add(weights)
        twin = made.graph.node.add()
        twin.CopyFrom(originals[name])
        twin.name, twin.input[1], twin.output[0] = twins[name], weights, twins[name]
    return made, twins


def _restored(graph: Graph, rounding: Any) -> Array:
    """The float32 weights that a DequantizeLinear of constants around zero gives."""
    integers, scales = (graph.array(name) for name in rounding.input[:2])
    if scales.ndim:
        axis = attribute(rounding, "axis", 1)
        scales = scales.reshape([-1 if at == axis else 1 for at in range(integers.ndim)])
    return integers.astype(np.float32) * scales


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
