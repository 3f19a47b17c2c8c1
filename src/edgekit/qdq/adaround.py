"""Adaptive rounding: each weight goes up or down so that the layer's output, not the weight, is closest.

Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", 2020 (arXiv:2004.10568):
minimise ``|f(W x) - f(W~ x~)|^2`` (equation 25) over a rectified sigmoid (equations 22 and 23) with a
regulariser that is annealed until every weight has decided (equation 24).  ``x~`` comes from the
quantized network before the layer, ``f`` is the Relu or Clip behind it.

Departures: the error of every output channel is measured against that of rounding to nearest, so that one
setting fits layers of any size; layers go in :data:`WAVES` waves, each seeing the rounded layers of those
before it; a layer behind another one of its wave, whose inputs will still change, is compared with
``f(W x~)`` instead; and a channel that ends worse than rounded to nearest, on all samples, is rounded to
nearest.  Only :data:`SAMPLES` sampled outputs of a layer with the inputs that they
are made of are kept, for one wave at a time.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array
from edgekit.qdq.bias import reads, tapped
from edgekit.qdq.graph import Graph, attribute
from edgekit.qdq.insert import Weights, channel_axis, quantize_weights
from edgekit.technique import Frames

FRAMES = 32
WAVES = 4
SAMPLES = 2048
_ELEMENTS = 1 << 23  # floats of one layer's sampled inputs
_BATCH = 128  # fewer for a layer with few weights per output
_RATE = 0.1
_WARM = 0.2  # share of the iterations without the regulariser
_BETA = (20.0, 2.0)
_PULL = 10.0  # weight of the regulariser of one output channel, over the error of rounding to nearest
_STRETCH, _SHIFT = 1.2, -0.1  # of the rectified sigmoid
_LEAST_ERROR = 2.0**-100  # a channel that rounding changes less is as good as dead; one over it must be a float32


@dataclass(frozen=True)
class Problem:
    """One layer to round.

    Args:
        weights: float32 ``(groups, outputs, inputs)``.
        scales: float32, broadcasts to ``weights``.
        inputs: sampled inputs x~ of the quantized layer, float32 ``(groups, samples, inputs)``.
        targets: output of the float layer there, float32 ``(groups, samples, outputs)``.
        bias: float32 ``(groups, 1, outputs)``.
        limits: the clipping behind the layer, infinite without one.
        highest: largest integer.
    """

    weights: Array
    scales: Array
    inputs: Array
    targets: Array
    bias: Array
    limits: tuple[float, float]
    highest: int

    def error(self, integers: Array) -> Array:
        """Mean squared output error per channel over all samples, float64 ``(groups, outputs)``."""
        made = self.inputs @ (integers * self.scales).astype(np.float32).swapaxes(1, 2) + self.bias
        wrong = np.clip(made, *self.limits) - np.clip(self.targets, *self.limits)
        return np.asarray(np.square(wrong, dtype=np.float64).mean(axis=1))

    @property
    def exact(self) -> Array:
        """What the float weights make of the inputs, the shape of the targets."""
        return self.inputs @ self.weights.swapaxes(1, 2) + self.bias

    @property
    def nearest(self) -> Array:
        """Integers rounded to nearest, float32, the shape of the weights."""
        return np.clip(np.round(self.weights / self.scales), -self.highest, self.highest)


@dataclass(frozen=True)
class Rounding:
    """Integer weights by initializer name, and how they came out.

    Args:
        fixed: for :func:`edgekit.qdq.insert.insert`.
        flipped: how many weights do not go to the nearest integer.
        gains: error over that of rounding to nearest, by the name of the compute node.
    """

    fixed: Mapping[str, Weights]
    flipped: int
    gains: Mapping[str, float]

    def summary(self) -> dict[str, Any]:
        """For the record."""
        total = sum(weights.values.size for weights in self.fixed.values())
        middle = float(np.median(list(self.gains.values()))) if self.gains else 1.0
        return {"layers": len(self.fixed), "flipped": self.flipped / max(1, total), "median_error_ratio": middle}


def round_weights(
    graph: Graph,
    compute: Iterable[str],
    place: Callable[[Mapping[str, Weights]], Any],
    frames: Frames,
    *,
    per_channel: bool = True,
    bits: int = 8,
    iterations: int = 200,
    advance: Callable[[], None] = lambda: None,
) -> Rounding:
    """Round the weights of Conv, Gemm and MatMul; shared ones and those of other layers are left out.

    Args:
        graph: the FP32 model.
        compute: names of the compute nodes.
        place: the quantized ONNX model with integer weights by initializer name.
        frames: the first :data:`FRAMES` are looked at.
        per_channel: scales per output channel, else one per tensor.
        bits: of the weights.
        iterations: steps of Adam per layer.
        advance: called after every layer, see :func:`suitable`.

    Raises:
        DataError: no frame.
    """
    by_name = {node.name: node for node in graph.nodes}
    fixed: dict[str, Weights] = {}
    gains: dict[str, float] = {}
    flipped = 0
    for wave in waves(graph, suitable(graph, compute), WAVES):
        nodes = [by_name[name] for name, _ in wave]
        dependent = {name for name, behind in wave if behind}
        sampled = _sampled(graph, nodes, place(fixed), frames)
        for node in nodes:
            stored = graph.array(node.input[1])
            axis = channel_axis(node, stored) if per_channel else None
            start = quantize_weights(stored, axis, bits)
            problem = _problem(graph, node, start, 2 ** (bits - 1) - 1, *sampled.pop(node.name))
            if node.name in dependent:
                problem = replace(problem, targets=problem.exact)
            integers = solve(problem, iterations)
            flipped += int((integers != problem.nearest).sum())
            best, nearest = problem.error(integers).sum(), problem.error(problem.nearest).sum()
            gains[node.name] = float(best / nearest) if nearest > 0 else 1.0
            values = _stored(node, integers, stored.shape).astype(np.int8)
            fixed[node.input[1]] = Weights(values, start.scales, start.axis)
            advance()
    return Rounding(fixed, flipped, gains)


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


def suitable(graph: Graph, compute: Iterable[str]) -> list[str]:
    """Names of the nodes among ``compute`` whose weights can be rounded here, in graph order."""
    wanted = set(compute)
    return [n.name for n in graph.nodes if n.name in wanted and _suits(graph, n)]


def _suits(graph: Graph, node: Any) -> bool:
    if node.op_type not in {"Conv", "Gemm", "MatMul"} or len(graph.consumers[node.input[1]]) > 1:
        return False
    return node.op_type != "MatMul" or len(graph.constants[node.input[1]].dims) == 2


def solve(problem: Problem, iterations: int, seed: int = 0) -> Array:
    """The integers of least error that were found, float32; per channel never worse than rounded to nearest."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    nearest, floor = problem.nearest, np.floor(problem.weights / problem.scales)
    before = problem.error(nearest)
    worth = np.divide(1.0, before, out=np.zeros_like(before), where=before > _LEAST_ERROR)
    given = (problem.weights / problem.scales - floor, problem.scales, worth[:, None, :])
    start, scales, worths = (torch.as_tensor(np.asarray(a, np.float32), device=device) for a in given)
    with torch.no_grad():
        up = _descend(problem, torch.as_tensor(floor, device=device), start, scales, worths, iterations, seed)
    integers = np.clip(floor + up.cpu().numpy(), -problem.highest, problem.highest)
    better = problem.error(integers) < before
    return np.where(better[..., None], integers, nearest).astype(np.float32)


def _descend(problem: Problem, floor: Any, start: Any, scales: Any, worths: Any, iterations: int, seed: int) -> Any:
    """Adam on the relaxed rounding; gradients by hand, for half the time is torch's bookkeeping otherwise."""
    import torch

    arrays = (problem.inputs, np.clip(problem.targets, *problem.limits), problem.bias)
    inputs, targets, bias = (torch.as_tensor(array, device=floor.device) for array in arrays)
    generator = torch.Generator().manual_seed(seed)
    logit = -torch.log(_STRETCH / (start - _SHIFT) - 1)
    mean, square = torch.zeros_like(logit), torch.zeros_like(logit)
    size = min(inputs.shape[1], max(_BATCH // 4, min(_BATCH, 4 * logit.shape[-1])))
    pull = _PULL / logit.shape[-1]
    for step in range(iterations):
        rows = torch.randint(inputs.shape[1], (size,), generator=generator).to(floor.device)
        x = inputs.index_select(1, rows)
        soft = torch.sigmoid(logit)
        up = (soft * _STRETCH + _SHIFT).clamp_(0, 1)
        made = torch.baddbmm(bias, x, ((floor + up) * scales).transpose(1, 2))
        cut = made.clamp(*problem.limits)
        wrong = (cut - targets.index_select(1, rows)).mul_(worths).mul_(cut == made)
        slope = torch.bmm(wrong.transpose(1, 2), x).mul_(scales).mul_(2 / size)
        progress = (step / iterations - _WARM) / (1 - _WARM)
        if progress >= 0:
            beta = _BETA[1] + (_BETA[0] - _BETA[1]) * (1 - progress)
            off = up * 2 - 1
            slope -= off.abs().pow_(beta - 1).copysign_(off).mul_(2 * pull * beta)
        slope *= soft.mul_(1 - soft).mul_((up > 0) & (up < 1))
        mean.lerp_(slope, 0.1)
        square.lerp_(slope.square_(), 0.001)
        rate = _RATE / (1 - 0.9 ** (step + 1))
        logit -= rate * mean / ((square / (1 - 0.999 ** (step + 1))).sqrt_().add_(1e-12))
    return (torch.sigmoid(logit) * _STRETCH + _SHIFT >= 0.5).float()


def _problem(graph: Graph, node: Any, start: Weights, highest: int, inputs: Array, targets: Array) -> Problem:
    stored = graph.array(node.input[1])
    groups = attribute(node, "group", 1)
    weights = _matrices(node, stored)
    full = _matrices(node, np.broadcast_to(start.restored() * 0 + _per_weight(start), stored.shape))
    bias = np.zeros(weights.shape[0] * weights.shape[1], np.float32)
    if len(node.input) > 2 and node.input[2]:
        bias = bias + graph.array(node.input[2])
    return Problem(
        weights=weights,
        scales=np.ascontiguousarray(full[:, :, :1]),
        inputs=np.ascontiguousarray(inputs.swapaxes(0, 1)),
        targets=np.ascontiguousarray(targets.reshape(len(targets), groups, -1).swapaxes(0, 1)),
        bias=bias.reshape(groups, 1, -1),
        limits=_limits(graph, node),
        highest=highest,
    )


def _per_weight(weights: Weights) -> Array:
    ones = Weights(np.ones_like(weights.values), weights.scales, weights.axis)
    return ones.restored()


def _matrices(node: Any, stored: Array) -> Array:
    """Weights as ``(groups, outputs, inputs)``."""
    if node.op_type == "Conv":
        groups = attribute(node, "group", 1)
        return np.ascontiguousarray(stored.reshape(groups, stored.shape[0] // groups, -1))
    return np.ascontiguousarray(stored if attribute(node, "transB", 0) else stored.T)[None]


def _stored(node: Any, matrices: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of :func:`_matrices`."""
    if node.op_type == "Conv":
        return matrices.reshape(shape)
    return np.ascontiguousarray(matrices[0] if attribute(node, "transB", 0) else matrices[0].T)


def _limits(graph: Graph, node: Any) -> tuple[float, float]:
    """What the Relu or Clip behind a layer lets through, if nothing else reads the layer."""
    everything = (-np.inf, np.inf)
    users = graph.consumers.get(node.output[0], [])
    if len(users) != 1 or node.output[0] in graph.outputs or users[0].op_type not in {"Relu", "Clip"}:
        return everything
    if users[0].op_type == "Relu":
        return (0.0, np.inf)
    bounds = [*users[0].input, "", ""][1:3]
    if any(name and name not in graph.constants for name in bounds):
        return everything
    low, high = (graph.array(n).reshape(-1)[0] if n else end for n, end in zip(bounds, everything, strict=True))
    return float(low), float(high)


def _sampled(graph: Graph, nodes: list[Any], typed: Any, frames: Frames) -> dict[str, tuple[Array, Array]]:
    """Sampled inputs ``(samples, groups, inputs)`` and targets ``(samples, outputs)`` of each node."""
    placed = {node.name: node for node in typed.graph.node}
    read = {node.name: placed[node.name].input[0] for node in nodes}
    exact = tapped(graph.model, {node.output[0]: "" for node in nodes}, islice(frames, FRAMES))
    rounded = tapped(typed, dict.fromkeys(read.values(), ""), islice(frames, FRAMES))
    count = min(FRAMES, len(frames))
    kept: dict[str, list[tuple[Array, Array]]] = {node.name: [] for node in nodes}
    for index, (targets, inputs) in enumerate(zip(exact, rounded, strict=True)):
        for node in nodes:
            source = np.random.default_rng([index, zlib.crc32(node.name.encode())])
            weight = tuple(graph.constants[node.input[1]].dims)
            pick = _pixels if node.op_type == "Conv" else _rows
            kept[node.name].append(pick(node, weight, inputs[read[node.name]], targets[node.output[0]], count, source))
    if not all(kept.values()):
        raise DataError("the calibration set is empty; give data.calibration at least one frame")
    return {
        name: (np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts]))
        for name, parts in kept.items()
    }


def _rows(
    node: Any, weight: tuple[int, ...], inputs: Array, targets: Array, frames: int, source: np.random.Generator
) -> tuple[Array, Array]:
    x, y = inputs.reshape(-1, inputs.shape[-1]), targets.reshape(-1, targets.shape[-1])
    chosen = _chosen(len(x), x.shape[1], frames, source)
    return x[chosen][:, None, :], y[chosen]


def _pixels(
    node: Any, weight: tuple[int, ...], inputs: Array, targets: Array, frames: int, source: np.random.Generator
) -> tuple[Array, Array]:
    """Some output pixels of a convolution, and the windows of the input that make them."""
    groups, kernel = attribute(node, "group", 1), weight[2:]
    sizes = (len(targets), *targets.shape[2:])
    wide = inputs.shape[1] * int(np.prod(kernel))
    batch, *pixel = np.unravel_index(_chosen(int(np.prod(sizes)), wide, frames, source), sizes)
    window: list[Array] = []
    inside: Array = np.ones((1,) * (len(kernel) + 1), bool)
    for axis, (at, taps) in enumerate(zip(pixel, _taps(node, kernel, inputs.shape[2:], sizes[1:]), strict=True)):
        # Every index is (samples, 1, .., kernel size, .., 1), so that together they span the window.
        shape = [-1 if i == axis + 1 else 1 for i in range(len(kernel) + 1)]
        where = at.reshape(-1, *[1] * len(kernel)) * taps[0] + taps[1].reshape(shape)
        inside = inside & (where >= 0) & (where < inputs.shape[2 + axis])
        window.append(np.clip(where, 0, inputs.shape[2 + axis] - 1))
    first = batch.reshape(-1, *[1] * len(kernel))
    values = np.moveaxis(inputs, 1, -1)[(first, *window)] * inside[..., None]
    columns = np.moveaxis(values, -1, 1).reshape(len(batch), groups, -1)
    return columns, np.moveaxis(targets, 1, -1)[(batch, *pixel)]


def _taps(
    node: Any, kernel: tuple[int, ...], before: tuple[int, ...], after: tuple[int, ...]
) -> list[tuple[int, Array]]:
    """Stride, and offsets of the kernel's taps from the first pixel, for every spatial axis."""
    strides = attribute(node, "strides", [1] * len(kernel))
    dilations = attribute(node, "dilations", [1] * len(kernel))
    mode = attribute(node, "auto_pad", b"NOTSET")
    starts = list(attribute(node, "pads", [0] * 2 * len(kernel)))[: len(kernel)]
    found = []
    for axis, size in enumerate(kernel):
        if mode in {b"SAME_UPPER", b"SAME_LOWER"}:
            reach = (after[axis] - 1) * strides[axis] + (size - 1) * dilations[axis] + 1
            total = max(0, reach - before[axis])
            starts[axis] = total // 2 if mode == b"SAME_UPPER" else total - total // 2
        elif mode == b"VALID":
            starts[axis] = 0
        found.append((strides[axis], np.arange(size) * dilations[axis] - starts[axis]))
    return found


def _chosen(rows: int, width: int, frames: int, source: np.random.Generator) -> Array:
    """Numbers of the rows to keep of one frame, ascending."""
    wanted = min(SAMPLES, max(_BATCH, _ELEMENTS // width)) / frames
    return np.sort(source.choice(rows, min(rows, int(np.ceil(wanted))), replace=False))
