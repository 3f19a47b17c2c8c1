"""Cross-layer equalization: channels of one layer are made equally wide, and the next layer undoes it.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019
(arXiv:1906.04721), section 4.1.  Where channels differ a hundredfold, one scale per tensor leaves the
narrow ones no levels.  A positive factor per channel passes through every function that is positively
homogeneous, so that dividing one layer's output channels by it and multiplying the next one's input
channels changes nothing but the widths.

Three departures from the paper:

- Only the factors' ratios are kept: a factor that all channels share is invisible to rounding.
- The paper replaces ReLU6 by ReLU, which changes what saturates.  Here a Clip(0, c) stays.  Channels
  that come near c on the calibration frames keep their factor 1, the others never one that would let
  them saturate; without frames, pairs around a Clip are left alone.
- With frames, no factor makes a channel wider than the widest one of its tensor, so that a channel with
  small weights and a large bias does not stretch the grid.  The paper absorbs such biases (section 4.1.3),
  which is exact neither at padded borders nor below the range that was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array
from edgekit.qdq.bias import tapped
from edgekit.qdq.graph import Graph, attribute
from edgekit.technique import Frames

_LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm"})
_HOMOGENEOUS = frozenset({"Relu", "LeakyRelu", "PRelu"})
_POOLS = frozenset({"MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"})
_SWEEPS = 50
_CONVERGED = 1e-3  # largest change of a factor in a sweep
_MARGIN = 1.1  # between the largest value seen before a Clip and its bound
_FARTHEST = 2.0**16  # a factor, or a ratio of what channels carry, beyond is of an all but dead channel


@dataclass(frozen=True)
class Pair:
    """Two layers between which a factor per channel passes.

    Args:
        first: the layer whose output channels are divided.
        second: the layer whose input channels are multiplied.
        repeat: neighbouring inputs of ``second`` that belong to one channel, after a Flatten.
        rectified: only the positive values of ``first`` count.
        bound: upper end of a Clip between them, else infinity.
    """

    first: Any
    second: Any
    repeat: int
    rectified: bool
    bound: float


@dataclass(frozen=True)
class Peaks:
    """Largest and smallest value of every channel of one tensor, float ``(channels,)``."""

    high: Array
    low: Array


@dataclass(frozen=True)
class Equalized:
    """The equalized FP32 model, and the factors of its pairs by the names of their two layers."""

    graph: Graph
    factors: Mapping[tuple[str, str], Array]

    def summary(self) -> dict[str, Any]:
        """For the record: number of pairs, and the widest spread of factors in one pair."""
        spread = max((float(f.max() / f.min()) for f in self.factors.values()), default=1.0)
        return {"pairs": len(self.factors), "largest_spread": spread}


def equalize(graph: Graph, peaks: Mapping[str, Peaks] | None = None) -> Equalized:
    """Scale the channels of all pairs in turn until nothing moves.

    Args:
        graph: FP32 model.
        peaks: of the outputs of the pairs' first layers, see :func:`peaks_seen`; None: without data.
    """
    found = [pair for pair in pairs(graph) if peaks is not None or np.isinf(pair.bound)]
    layers = {node.name: _Layer.of(graph, node) for pair in found for node in (pair.first, pair.second)}
    total = {(p.first.name, p.second.name): np.ones(layers[p.first.name].outputs) for p in found}
    for _ in range(_SWEEPS):
        change = 0.0
        for pair in found:
            key = (pair.first.name, pair.second.name)
            seen = None if peaks is None else peaks[pair.first.output[0]]
            factors = _factors(pair, layers[key[0]], layers[key[1]], seen, total[key])
            layers[key[0]].scale_outputs(1 / factors)
            layers[key[1]].scale_inputs(np.repeat(factors, pair.repeat))
            total[key] = total[key] * factors
            change = max(change, float(np.abs(np.log(factors)).max(initial=0.0)))
        if change < _CONVERGED:
            break
    return Equalized(_written(graph, layers.values()), total)


def peaks_seen(graph: Graph, frames: Frames, advance: Callable[[], None] = lambda: None) -> dict[str, Peaks]:
    """Peaks of the outputs of all pairs' first layers, from one pass over the frames.

    Raises:
        DataError: no frame.
    """
    firsts = {pair.first.output[0]: pair.first.op_type for pair in pairs(graph)}
    if not firsts:
        return {}
    taps = {name: "" if op == "Gemm" else "GlobalMaxPool" for name, op in firsts.items()}
    flipped, low_of = _negated(graph, firsts)
    taps |= {low_of[name]: taps[name] for name in firsts}
    seen: dict[str, Array] = {}
    for values in tapped(flipped, taps, frames):
        for name, array in values.items():
            highest = array.reshape(-1, array.shape[1] if taps[name] else array.shape[-1]).max(axis=0)
            seen[name] = np.maximum(seen.get(name, highest), highest)
        advance()
    if not seen:
        raise DataError("the calibration set is empty; give data.calibration at least one frame")
    return {name: Peaks(seen[name], -seen[low_of[name]]) for name in firsts}


def pairs(graph: Graph) -> Iterator[Pair]:
    """All pairs of the graph, in its order.

    Both layers own their constant weights, and nobody else reads what passes between them.
    """
    for node in graph.nodes:
        if node.op_type in _LAYERS and _owns(graph, node):
            pair = _follow(graph, node)
            if pair is not None:
                yield pair


def _follow(graph: Graph, first: Any) -> Pair | None:
    """Go from a layer to the next one as long as channels stay what they are."""
    channels = _Layer.of(graph, first).outputs
    tensor, repeat, rectified, bound = first.output[0], 1, False, float("inf")
    while True:
        users = graph.consumers.get(tensor, [])
        if len(users) != 1 or tensor in graph.outputs or list(users[0].input).count(tensor) != 1:
            return None
        node = users[0]
        if node.input[0] != tensor:
            return None
        if node.op_type in _LAYERS:
            fits = _owns(graph, node) and _Layer.of(graph, node).inputs == channels * repeat
            fits = fits and not attribute(node, "transA", 0)
            return Pair(first, node, repeat, rectified, bound) if fits else None
        step = _step(graph, node)
        if step is None or (step.bound < float("inf") and repeat > 1):
            return None
        repeat, rectified, bound = repeat * step.repeat, rectified or step.rectified, min(bound, step.bound)
        tensor = node.output[0]


@dataclass(frozen=True)
class _Step:
    repeat: int = 1
    rectified: bool = False
    bound: float = float("inf")


def _step(graph: Graph, node: Any) -> _Step | None:
    """What a node between two layers does to channels; None: they do not pass it."""
    if node.op_type in _HOMOGENEOUS:
        return _Step(rectified=node.op_type == "Relu")
    if node.op_type == "Clip":
        low, high = (_scalar(graph, node, index, limit) for index, limit in ((1, -np.inf), (2, np.inf)))
        return _Step(rectified=True, bound=high) if low == 0 and high > 0 else None
    if node.op_type in _POOLS:
        return _Step() if len([name for name in node.output if name]) == 1 else None
    if node.op_type == "Resize" and attribute(node, "coordinate_transformation_mode", b"") == b"tf_crop_and_resize":
        return None  # it may put a constant outside
    if node.op_type in {"Resize", "Flatten", "Reshape"}:
        return _reshaped(graph.shapes.get(node.input[0], ()), graph.shapes.get(node.output[0], ()), node)
    return None


def _reshaped(before: tuple[int | None, ...], after: tuple[int | None, ...], node: Any) -> _Step | None:
    if len(before) < 2 or len(after) < 2 or before[1] is None or after[1] is None:
        return None
    if node.op_type == "Resize":
        return _Step() if before[1] == after[1] and before[0] == after[0] else None
    pixels = [size for size in before[2:] if size is not None]
    whole = len(pixels) == len(before) - 2 and len(after) == 2 and before[0] == after[0]
    repeat = int(np.prod(pixels, dtype=np.int64))
    return _Step(repeat) if whole and repeat > 0 and before[1] * repeat == after[1] else None


def _scalar(graph: Graph, node: Any, index: int, absent: float) -> float:
    if len(node.input) <= index or not node.input[index]:
        return absent
    name = node.input[index]
    return float(graph.array(name).reshape(-1)[0]) if name in graph.constants else float("nan")


def _owns(graph: Graph, node: Any) -> bool:
    """Whether weights and bias are float32 constants that only ``node`` reads."""
    for index, name in enumerate(node.input[1:3]):
        if index == 1 and not name:
            continue
        constant = graph.constants.get(name)
        if constant is None or constant.data_type != 1 or name in (*graph.inputs, *graph.outputs):
            return False
        if len(graph.consumers[name]) != 1 or list(node.input).count(name) != 1:
            return False
    return bool(graph.is_float(node.input[0]))


class _Layer:
    """Weights as float64 ``(groups, outputs of a group, inputs of a group, pixels)``, and the bias."""

    def __init__(self, node: Any, shape: tuple[int, ...], weights: Array, bias: Array | None) -> None:
        self.node = node
        self.shape = shape
        self.weights = weights
        self.bias = bias
        self.groups = weights.shape[0]
        self.outputs = weights.shape[0] * weights.shape[1]
        self.inputs = weights.shape[0] * weights.shape[2]

    @classmethod
    def of(cls, graph: Graph, node: Any) -> _Layer:
        stored = graph.array(node.input[1]).astype(np.float64)
        has_bias = len(node.input) > 2 and bool(node.input[2])
        bias = graph.array(node.input[2]).astype(np.float64) if has_bias else None
        return cls(node, stored.shape, cls._canonical(node, stored), bias)

    @staticmethod
    def _canonical(node: Any, stored: Array) -> Array:
        if node.op_type == "Gemm":
            return (stored if attribute(node, "transB", 0) else stored.T)[None, :, :, None]
        groups = attribute(node, "group", 1)
        grouped = stored.reshape(groups, stored.shape[0] // groups, stored.shape[1], -1)
        return grouped if node.op_type == "Conv" else grouped.swapaxes(1, 2)

    def stored(self) -> Array:
        """The weights as ONNX keeps them, float32."""
        if self.node.op_type == "Gemm":
            matrix = self.weights[0, :, :, 0]
            return (matrix if attribute(self.node, "transB", 0) else matrix.T).astype(np.float32)
        kept = self.weights if self.node.op_type == "Conv" else self.weights.swapaxes(1, 2)
        return kept.reshape(self.shape).astype(np.float32)

    def scale_outputs(self, factors: Array) -> None:
        self.weights = self.weights * factors.reshape(self.groups, -1, 1, 1)
        if self.bias is not None:
            self.bias = self.bias * factors

    def scale_inputs(self, factors: Array) -> None:
        self.weights = self.weights * factors.reshape(self.groups, 1, -1, 1)

    def output_widths(self) -> Array:
        widths: Array = np.abs(self.weights).max(axis=(2, 3))
        return widths.reshape(-1)

    def input_widths(self) -> Array:
        widths: Array = np.abs(self.weights).max(axis=(1, 3))
        return widths.reshape(-1)


def _factors(pair: Pair, first: _Layer, second: _Layer, seen: Peaks | None, so_far: Array) -> Array:
    """The paper's equation 11 up to a common factor, within the limits of what was seen."""
    wide = first.output_widths(), second.input_widths().reshape(-1, pair.repeat).max(axis=1)
    moving = (wide[0] > 0) & (wide[1] > 0)
    held, lowest = np.zeros(first.outputs, bool), np.zeros(first.outputs)
    if seen is not None:
        peak = np.maximum(seen.high if pair.rectified else np.maximum(seen.high, -seen.low), 0.0)
        held = moving & (peak * _MARGIN >= pair.bound)
        ceiling = min(pair.bound / _MARGIN, float(peak.max(initial=0.0)))
        lowest = peak / (ceiling if ceiling > 0 else 1.0)
    counted, moving = _counted(wide, moving), moving & ~held
    factors = np.ones(first.outputs)
    if moving.any():
        balanced = np.sqrt(np.divide(*wide, out=np.ones(first.outputs), where=held | moving))
        limits = np.maximum(lowest, 1 / _FARTHEST) / so_far, _FARTHEST / so_far
        wanted = balanced / _common(balanced, moving & counted, held & counted, limits)
        # What hardly reaches the output may get narrower for the sake of others, never wider.
        wanted = np.where(counted, wanted, np.maximum(wanted, 1.0))
        factors[moving] = np.clip(wanted, *limits)[moving]
    return factors


def _counted(wide: tuple[Array, Array], moving: Array) -> Array:
    """The channels whose widths say something: those that carry more than a rounding error of the widest path."""
    carried = np.where(moving, wide[0], 0) * np.where(moving, wide[1], 0)
    return np.asarray(moving & (carried * _FARTHEST >= carried.max(initial=0.0)))


def _common(balanced: Array, moving: Array, held: Array, limits: tuple[Array, Array]) -> float:
    """The factor that all channels would share: the mean of those that are free to follow it.

    Were channels counted that stay where they are (at a limit, or near a Clip's bound), all others would become
    narrow in their stead, on a grid that the former go on to stretch.
    """
    free = moving
    for _ in range(len(balanced)):
        if not free.any():
            return _mean(balanced[moving]) if moving.any() else 1.0
        common = _mean(balanced[free])
        stuck = free & ((balanced / common < limits[0]) | (balanced / common > limits[1]))
        if not stuck.any():
            break
        free = free & ~stuck
    return max(common, _mean(balanced[held])) if held.any() else common


def _mean(values: Array) -> float:
    return float(np.exp(np.log(values).mean()))


def _negated(graph: Graph, tensors: Mapping[str, str]) -> tuple[Any, dict[str, str]]:
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(graph.model)
    names = {name: f"{name}/negated" for name in tensors}
    made.graph.node.extend(onnx.helper.make_node("Neg", [t], [name], name=name) for t, name in names.items())
    return made, names


def _written(graph: Graph, layers: Any) -> Graph:
    import onnx

    values: dict[str, Array] = {}
    for layer in layers:
        values[layer.node.input[1]] = layer.stored()
        if layer.bias is not None:
            values[layer.node.input[2]] = layer.bias.astype(np.float32)
    made = onnx.ModelProto()
    made.CopyFrom(graph.model)
    for tensor in made.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values[tensor.name], tensor.name))
    return Graph(made)
