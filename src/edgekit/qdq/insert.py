"""Write a plan into a model: grids, integer weights, QuantizeLinear and DequantizeLinear pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from edgekit.core.errors import ModelError
from edgekit.core.tensors import Array
from edgekit.qdq.graph import Graph, Names, attribute, drop_unread
from edgekit.qdq.placement import Plan
from edgekit.qdq.profiles import Profile

Ranges = Mapping[str, tuple[float, float]]
# A bias must fit 32 bits: |bias| <= _BIAS_LIMIT x its scale, which must be a normal float32.
_BIAS_LIMIT = 2.0**30
_LEAST_BIAS = 2.0**-60


@dataclass(frozen=True)
class Grid:
    """The values ``scale * (q - zero)`` for the integers ``q`` of an activation.

    Args:
        scale: one, or one per channel, float32 ``(C,)``.
        zero: the same, int64 ``(C,)``.
    """

    scale: np.float32 | Array
    zero: int | Array

    @classmethod
    def of(cls, low: float, high: float, profile: Profile) -> Grid:
        """The grid that covers ``[low, high]``, zero included and exact.

        Jacob et al., "Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference", 2018, section 2.1 and 3.
        """
        first, last = profile.limits
        low, high = min(low, 0.0), max(high, 0.0)
        if profile.symmetric:
            return cls(_positive(max(-low, high) / last), 0)
        scale = _positive((high - low) / (last - first))
        return cls(scale, int(np.clip(np.round(first - low / scale), first, last)))

    @classmethod
    def by_channel(cls, ranges: Array, profile: Profile) -> Grid:
        """The same for every channel; ``ranges`` is ``(2, C)``."""
        found = [cls.of(float(low), float(high), profile) for low, high in ranges.T]
        return cls(np.array([grid.scale for grid in found], np.float32), np.array([grid.zero for grid in found]))

    @property
    def channels(self) -> bool:
        """Whether there is one per channel."""
        return np.ndim(self.scale) == 1


@dataclass(frozen=True)
class Weights:
    """Integer weights (int8, the shape of the float ones) and their scales, one or one per channel of ``axis``."""

    values: Array
    scales: Array
    axis: int | None

    def restored(self) -> Array:
        """The float32 weights that the integers stand for."""
        return self.values.astype(np.float32) * _spread(self.scales, self.values.ndim, self.axis)


def _positive(scale: float) -> np.float32:
    # A tensor that is always zero has no scale of its own; a subnormal one would divide by zero.
    return np.float32(scale) if scale > 2.0**-100 else np.float32(1.0)


def _spread(scales: Array, rank: int, axis: int | None) -> Array:
    return scales if axis is None else scales.reshape([-1 if i == axis else 1 for i in range(rank)])


def channel_axis(node: Any, weight: Array) -> int | None:
    """The axis of ``weight`` that holds the output channels of ``node``; None: only one scale fits."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1 if attribute(node, "group", 1) == 1 else None
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return 1 if weight.ndim == 2 else None


def quantize_weights(weight: Array, axis: int | None, bits: int = 8) -> Weights:
    """Symmetric integers, rounded to nearest.

    Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference",
    2018, section 3.  ``bits`` below 8 use fewer levels of the same int8 storage.
    """
    highest = 2 ** (bits - 1) - 1
    others = None if axis is None else tuple(i for i in range(weight.ndim) if i != axis)
    peaks = np.abs(weight).max(axis=others) if weight.size else np.zeros(())
    scales = np.asarray(peaks / highest, np.float32)
    scales = np.where(scales > 2.0**-100, scales, np.float32(1.0)).astype(np.float32)
    values = np.round(weight / _spread(scales, weight.ndim, axis))
    return Weights(np.clip(values, -highest, highest).astype(np.int8), scales, axis)


def insert(
    graph: Graph,
    plan: Plan,
    ranges: Ranges,
    *,
    per_channel: bool = True,
    bits: int = 8,
    fixed: Mapping[str, Weights] | None = None,
    channels: Mapping[str, Array] | None = None,
) -> Any:
    """A new model with the rounding of ``plan``.

    Args:
        graph: the simplified FP32 model.
        plan: of this graph.
        ranges: (lowest, highest) of every tensor of the plan.
        per_channel: weight scales per output channel, else one per tensor.
        bits: of the weights, where the profile allows as many.
        fixed: integer weights to use instead of rounding to nearest, by initializer name.
        channels: the ranges ``(2, C)`` of the tensors that may have a grid per channel; those of others are not used.
    """
    found = grids(plan, ranges, channels)
    return _Writer(graph, plan, found, per_channel, bits, dict(fixed or {})).model()


class _Writer:
    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        grids: Mapping[str, Grid],
        per_channel: bool,
        bits: int,
        fixed: dict[str, Weights],
    ) -> None:
        self.graph = graph
        self.plan = plan
        self.per_channel = per_channel
        self.bits = plan.profile.bits(bits)
        self.fixed = fixed
        self.grids = grids
        self.names = Names(graph)
        self.nodes: list[Any] = []
        self.constants: dict[str, Array] = {}
        self.operands: dict[str, str] = {}
        # By weight and axis, and by scales: layers that share weights may need other scales for their biases.
        self.dequantized: dict[tuple[str, int | None], dict[bytes, str]] = {}

    def model(self) -> Any:
        import onnx

        for name in self.graph.inputs:
            if name in self.grids:
                self._round(name)
        compute = set(self.plan.compute)
        for original in self.graph.nodes:
            if original.name in self.plan.folded:
                continue
            node = onnx.NodeProto()
            node.CopyFrom(original)
            if node.name in self.plan.on_integers:
                self._compute_on_integers(node)
                continue
            if node.name in self.plan.channels_last:
                self._move_integers(node)
                continue
            tensors = self._rename_outputs(node)
            if node.name in compute:
                self._quantize_weights(node)
            self._read_rounded(original, node)
            self.nodes.append(node)
            for name in tensors:
                if name in self.grids:
                    self._round(name)
        made = onnx.ModelProto()
        made.CopyFrom(self.graph.model)
        del made.graph.node[:]
        made.graph.node.extend(self.nodes)
        drop_unread(made)
        self._replace_constants(made)
        onnx.checker.check_model(made)
        return made

    def _compute_on_integers(self, node: Any) -> None:
        (made,) = node.output
        node.input[:] = [self.names.unique(name, "integer") for name in node.input]
        node.output[0] = self.names.unique(made, "integer")
        self.nodes.append(node)
        self._round(made, made_of_integers=True)

    def _move_integers(self, node: Any) -> None:
        import onnx

        steps = self.plan.channels_last[node.name]
        at = self.names.unique(node.input[0], "integer")
        for index, step in enumerate(steps):
            inputs, part = [at], f"step{index}"
            if step.operand:
                inputs.append(self.names.unique(node.name, f"{part}/operand"))
                self.constants[inputs[1]] = np.array(step.operand, np.int64)
            last = index == len(steps) - 1
            at = self.names.unique(node.output[0], "integer") if last else self.names.unique(node.name, part)
            name = node.name if last else self.names.unique(node.name, f"{part}/{step.op}")
            self.nodes.append(onnx.helper.make_node(step.op, inputs, [at], name=name, **step.attributes()))
        self._round(node.output[0], made_of_integers=True)

    def _rename_outputs(self, node: Any) -> list[str]:
        """The tensors that ``node`` makes, those of the saturation folded into it included."""
        tensors = []
        for index, name in enumerate(node.output):
            users = self.graph.consumers.get(name, [])
            if len(users) == 1 and users[0].name in self.plan.folded:
                name = users[0].output[0]
            node.output[index] = self._exact_name(name)
            tensors.append(name)
        return tensors

    def _read_rounded(self, original: Any, node: Any) -> None:
        for index, name in enumerate(original.input):
            if (original.name, index) not in self.plan.reads:
                continue
            node.input[index] = self._constant(name) if name in self.graph.constants else self._rounded_name(name)

    def _keeps_its_name(self, name: str) -> bool:
        """Whether the rounded values take the name of ``name``: an output of the model that exists rounded only."""
        return name in self.plan.replaced and name in self.graph.outputs

    def _exact_name(self, name: str) -> str:
        return self.names.unique(name, "exact") if self._keeps_its_name(name) else name

    def _rounded_name(self, name: str) -> str:
        return name if self._keeps_its_name(name) else self.names.unique(name, "rounded")

    def _round(self, name: str, made_of_integers: bool = False) -> None:
        import onnx

        grid = self.grids[name]
        scale, zero = self._grid_constants(grid)
        axis: dict[str, Any] = {"axis": 1} if grid.channels else {}
        integer = self.names.unique(name, "integer")
        pair = (
            ("QuantizeLinear", [self._exact_name(name), scale, zero], integer),
            ("DequantizeLinear", [integer, scale, zero], self._rounded_name(name)),
        )
        for op, inputs, output in pair[1 if made_of_integers else 0 :]:
            self.nodes.append(onnx.helper.make_node(op, inputs, [output], name=self.names.unique(name, op), **axis))

    def _grid_constants(self, grid: Grid) -> tuple[str, str]:
        scale, zero = (self.names.unique(kind, told) for kind, told in zip(("scale", "zero"), _told(grid), strict=True))
        self.constants[scale] = np.array(grid.scale, np.float32)
        self.constants[zero] = np.array(grid.zero, self.plan.profile.activation)
        return scale, zero

    def _constant(self, name: str) -> str:
        """A constant operand on a grid of its own."""
        if name not in self.operands:
            values = self._finite(name)
            grid = Grid.of(float(values.min(initial=0.0)), float(values.max(initial=0.0)), self.plan.profile)
            first, last = self.plan.profile.limits
            scale, zero = self._grid_constants(grid)
            integers = np.clip(np.round(values / grid.scale) + grid.zero, first, last)
            integer = self.names.unique(name, "operand/integer")
            self.constants[integer] = integers.astype(self.plan.profile.activation)
            self.operands[name] = self._dequantize(integer, scale, zero, (name, "operand"), None)
        return self.operands[name]

    def _quantize_weights(self, node: Any) -> None:
        name = node.input[1]
        axis = channel_axis(node, self.graph.array(name)) if self.per_channel else None
        by_channel = any(self.grids[name].channels for name in (node.input[0], *node.output) if name in self.grids)
        if by_channel and self.plan.profile.quantized_bias and not _has_bias(node):
            self._add_bias(node)
        biased = self.plan.profile.quantized_bias and _has_bias(node) and not by_channel
        weights = self._integers(name, axis)
        if biased:
            weights = self._with_room_for_bias(node, weights)
        copies = self.dequantized.setdefault((name, axis), {})
        scales = weights.scales.tobytes()
        if scales not in copies:
            part = "weight" if axis is None else f"axis{axis}"
            copies[scales] = self._store((name, f"{part}/{node.name}" if copies else part), weights)
        node.input[1] = copies[scales]
        if biased:
            self._quantize_bias(node, weights)

    def _add_bias(self, node: Any) -> None:
        """Zeros, in float as all biases beside grids per channel, so that no kernel with one grid is made of it."""
        bias = self.names.unique(node.name, "bias")
        self.constants[bias] = np.zeros(self.graph.constants[node.input[1]].dims[0], np.float32)
        node.input[:] = [*node.input[:2], bias]

    def _integers(self, name: str, axis: int | None) -> Weights:
        given = self.fixed.get(name)
        if given is not None and given.axis == axis and np.abs(given.values).max(initial=0) < 2 ** (self.bits - 1):
            return given
        return quantize_weights(self._finite(name), axis, self.bits)

    def _finite(self, name: str) -> Array:
        values = self.graph.array(name)
        if not np.isfinite(values).all():
            raise ModelError(f"weight {name!r} holds NaN or infinity; train or export the model again")
        return values

    def _with_room_for_bias(self, node: Any, weights: Weights) -> Weights:
        """Raise the scales of (almost) all-zero channels until 32 bits hold the bias.

        A channel of zeros needs no scale of its own, and gets the one that suits its bias best.
        """
        bias = np.maximum(np.abs(self._finite(node.input[2])), _LEAST_BIAS)
        needed = bias / (float(self.grids[node.input[0]].scale) * _BIAS_LIMIT)
        if weights.axis is None:
            needed = needed.max()
        others = tuple(i for i in range(weights.values.ndim) if i != weights.axis)
        dead = ~weights.values.any(axis=others if weights.axis is not None else None)
        scales = np.where(dead, needed, np.maximum(weights.scales, needed)).astype(np.float32)
        ratio = _spread(np.minimum(weights.scales / scales, 1), weights.values.ndim, weights.axis)
        return Weights(np.round(weights.values * ratio).astype(np.int8), scales, weights.axis)

    def _quantize_bias(self, node: Any, weights: Weights) -> None:
        scale = np.asarray(self.grids[node.input[0]].scale * weights.scales, np.float32)
        integers = np.round(self.graph.array(node.input[2]).astype(np.float64) / scale)
        bias = Weights(integers.astype(np.int32), scale, None if weights.axis is None else 0)
        node.input[2] = self._store((node.name, "bias"), bias)

    def _store(self, stem: tuple[str, str], values: Weights) -> str:
        """Constants and a DequantizeLinear of integers around zero; the name of its output."""
        of, part = stem
        integer, scale, zero = (self.names.unique(of, f"{part}/{kind}") for kind in ("integer", "scale", "zero"))
        self.constants[integer] = values.values
        self.constants[scale] = values.scales
        self.constants[zero] = np.zeros(values.scales.shape, values.values.dtype)
        return self._dequantize(integer, scale, zero, stem, values.axis)

    def _dequantize(self, integers: str, scale: str, zero: str, stem: tuple[str, str], axis: int | None) -> str:
        import onnx

        attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
        of, part = stem
        output, name = self.names.unique(of, f"{part}/rounded"), self.names.unique(of, f"{part}/DequantizeLinear")
        made = onnx.helper.make_node("DequantizeLinear", [integers, scale, zero], [output], name=name, **attributes)
        self.nodes.append(made)
        return output

    def _replace_constants(self, made: Any) -> None:
        import onnx

        kept = Graph(made)
        used = {name for node in made.graph.node for name in node.input} | set(kept.consumers) | set(kept.outputs)
        left = [tensor for tensor in made.graph.initializer if tensor.name in used]
        del made.graph.initializer[:]
        made.graph.initializer.extend(left)
        made.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in sorted(self.constants.items()))
        # Types of tensors that went away would be wrong for nobody, but confuse readers.
        alive = {name for node in made.graph.node for name in node.output}
        infos = [value for value in made.graph.value_info if value.name in alive]
        del made.graph.value_info[:]
        made.graph.value_info.extend(infos)


def _told(grid: Grid) -> tuple[str, str]:
    """Equal grids share their constants: what tells scales and zero points apart."""
    if not grid.channels:
        return float(grid.scale).hex(), str(grid.zero)
    return _digest(grid.scale), _digest(grid.zero)


def _digest(values: Any) -> str:
    return sha256(np.asarray(values).tobytes()).hexdigest()[:16]


def _has_bias(node: Any) -> bool:
    return len(node.input) > 2 and bool(node.input[2])


def grids(plan: Plan, ranges: Ranges, channels: Mapping[str, Array] | None = None) -> dict[str, Grid]:
    """The grid of every rounded tensor: one for all of a group, or one per channel where ``channels`` has it."""
    ends: dict[str, tuple[float, float]] = {}
    for tensor, group in plan.groups.items():
        if tensor in ranges:
            low, high = ends.get(group, (0.0, 0.0))
            ends[group] = (min(low, ranges[tensor][0]), max(high, ranges[tensor][1]))
    found = {tensor: Grid.of(*ends[group], plan.profile) for tensor, group in plan.groups.items() if group in ends}
    apart = plan.by_channel & (channels or {}).keys()
    return found | {tensor: Grid.by_channel((channels or {})[tensor], plan.profile) for tensor in sorted(apart)}
