"""Grids per channel of a typed model, written so that ONNX Runtime's integer convolutions make and read them.

They round what they make on one grid.  The integers of one grid for each channel, ``s_c (q - z_c)``, are those of a
single one, ``S (q - Z)``, if the weights of channel c count ``S / s_c`` times and ``S (z_c - Z)`` is in its bias: the
integer weights stay, their scales and the bias change.  Who reads the integers, a table (``LutU8``) or a depthwise
convolution (``DepthwiseU8``), takes a grid for each channel.  ONNX Runtime does not: while it optimises the graph, the
depthwise ones read one grid with the right products of scales, and get their zero points when they are exchanged.

In the typed model such convolutions have float biases, so that ONNX Runtime without operators computes them in float
and does not make kernels of them that fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from edgekit.core.tensors import Array
from edgekit.engine.ort.extension import DOMAIN
from edgekit.onnxfile.graph import Node
from edgekit.onnxfile.parts import Parts, array_of, node_bytes, tensor_bytes, with_inputs

READING = "reading"
_BIAS_LIMIT = 2.0**30  # in 32 bits, with room for the sum
_DEAD = 2.0**-10  # steps of the output that one of a channel without weights is worth


@dataclass(frozen=True)
class Convolution:
    """One of a typed model that reads or makes a tensor with a grid per channel.

    Args:
        name: of the node.
        at: its position.
        rounding: that of the QuantizeLinear behind it.
        zeros: of a depthwise one that reads a grid per channel: int32 ``(O,)``, its zero points.
        reading: scale of what it reads, one.
        integers: of the weights, int8 ``(O, I, h, w)``.
        weight_scales: float32 ``(O,)``, with which the output is on one grid.
        bias: int32 ``(O,)``, with the zero points.
        scale: of the output, one.
        zero: of the output, one, of its dtype.
    """

    name: str
    at: int
    rounding: int
    zeros: Array | None
    reading: Array
    integers: Array
    weight_scales: Array
    bias: Array
    scale: Array
    zero: Array

    @property
    def mark(self) -> str:
        """Name of the scale that stands in for a grid per channel: who reads it is not exchanged yet."""
        return f"{DOMAIN}/{self.name}/{READING}/scale"


def convolutions(typed: Parts) -> list[Convolution]:
    """Those of a typed model that 32 bits hold the bias of, in its order."""
    producers, readers = typed.producers(), typed.readers()
    return list(_found(typed, producers, readers))


def _found(typed: Parts, producers: Mapping[str, int], readers: Mapping[str, list[int]]) -> Iterator[Convolution]:
    for at, node in enumerate(typed.nodes):
        if node.op != "Conv" or node.domain or not node.name or node.outputs[0] in typed.outputs | typed.captured:
            continue
        behind = readers.get(node.outputs[0], [])
        given, weights = (_grid(typed, producers, name) for name in node.inputs[:2])
        if len(behind) != 1 or typed.nodes[behind[0]].op != "QuantizeLinear" or given is None or weights is None:
            continue
        made, bias = _numbers(typed, typed.nodes[behind[0]]), _bias(typed, node)
        if made is None or bias is None or given[0].size == made[0].size == 1:
            continue
        integers = _array(typed, typed.nodes[producers[node.inputs[1]]].inputs[0])
        if integers is None or integers.ndim != 4 or integers.dtype != np.int8:
            continue
        depthwise = node.attributes.get("group", 1) == integers.shape[0] and integers.shape[1] == 1
        if given[0].size == 1 or depthwise:
            yield from _rescaled(node.name, at, behind[0], integers, given, weights[0], made, bias)


def _rescaled(
    name: str,
    at: int,
    rounding: int,
    integers: Array,
    given: tuple[Array, Array],
    weights: Array,
    made: tuple[Array, Array],
    bias: Array,
) -> Iterator[Convolution]:
    """The convolution with one output grid; nothing where 32 bits do not hold its bias."""
    outputs = integers.shape[0]
    scales = np.broadcast_to(made[0], outputs)
    zeros = np.broadcast_to(made[1].astype(np.int64), outputs)
    apart = given[0].size > 1
    # Unlike any other: the runtime shares constants of one value, and a name must say whose it is.
    reading = float(np.float32(1 / 8 + at / 65536)) if apart else float(given[0][0])
    weights = weights * (given[0] / reading)
    dead = ~integers.reshape(outputs, -1).any(axis=1)
    weights = np.where(dead, scales * _DEAD / reading, weights)  # zeros have any scale: one that suits the bias
    scale, zero = float(scales.max()), int(np.median(zeros))
    sums = np.round((np.broadcast_to(bias, outputs) + (zeros - zero) * scales) / (reading * weights))
    if np.abs(sums).max() > _BIAS_LIMIT:
        return
    yield Convolution(
        name,
        at,
        rounding,
        np.broadcast_to(given[1].astype(np.int32), outputs) if apart else None,
        np.array(reading, np.float32),
        integers,
        (weights * (scale / scales)).astype(np.float32),
        sums.astype(np.int32),
        np.array(scale, np.float32),
        np.array(zero, made[1].dtype),
    )


def _grid(typed: Parts, producers: Mapping[str, int], name: str) -> tuple[Array, Array] | None:
    """Scales and zero points with which a tensor is read; None: it is not rounded, or they are no constants."""
    at = producers.get(name)
    return None if at is None or typed.nodes[at].op != "DequantizeLinear" else _numbers(typed, typed.nodes[at])


def _numbers(typed: Parts, node: Node) -> tuple[Array, Array] | None:
    found = [_array(typed, name) for name in node.inputs[1:]]
    if len(found) != 2 or found[0] is None or found[1] is None:
        return None
    return found[0].reshape(-1).astype(np.float64), found[1].reshape(-1)


def _bias(typed: Parts, node: Node) -> Array | None:
    """Float ``(O,)``, or one zero; None: it is no constant, or integers already."""
    if len(node.inputs) < 3 or not node.inputs[2]:
        return np.zeros(1)
    found = _array(typed, node.inputs[2])
    return None if found is None or found.dtype != np.float32 else found.astype(np.float64)


def _array(typed: Parts, name: str) -> Array | None:
    return array_of(typed.tensors[name]) if name in typed.tensors else None


def written(typed: Parts, chosen: Iterable[Convolution]) -> tuple[dict[int, list[bytes]], dict[str, bytes]]:
    """Nodes in place of those of the typed model, by position, and constants by name."""
    changed, tensors = dict[int, list[bytes]](), dict[str, bytes]()
    producers = typed.producers()
    for one in chosen:
        node, rounding, writer = typed.nodes[one.at], typed.nodes[one.rounding], _Writer(one.name)
        read = node.inputs[0]
        if one.zeros is not None:
            integers = typed.nodes[producers[read]].inputs[0]
            read = writer.dequantized(READING, integers, one.reading, np.zeros_like(one.zero))
        scales = one.weight_scales
        weight = writer.constant("weight/integer", one.integers)
        weight = writer.dequantized("weight", weight, scales, np.zeros(scales.shape, np.int8))
        bias = writer.constant("bias/integer", one.bias)
        bias = writer.dequantized("bias", bias, one.reading * scales, np.zeros(scales.shape, np.int32))
        changed[one.at] = [*writer.nodes, with_inputs(typed.bodies[one.at], [read, weight, bias])]
        grid = writer.grid("making", one.scale, one.zero)
        rounds = node_bytes("QuantizeLinear", [node.outputs[0], *grid], rounding.outputs, rounding.name)
        changed[one.rounding] = [rounds]
        tensors |= writer.tensors
    return changed, tensors


class _Writer:
    """Nodes and constants of one convolution, named after it."""

    def __init__(self, name: str) -> None:
        self.stem = f"{DOMAIN}/{name}"
        self.nodes: list[bytes] = []
        self.tensors: dict[str, bytes] = {}

    def constant(self, part: str, values: Array) -> str:
        name = f"{self.stem}/{part}"
        self.tensors[name] = tensor_bytes(name, np.asarray(values))
        return name

    def grid(self, part: str, scale: Array, zero: Array) -> list[str]:
        return [self.constant(f"{part}/scale", scale), self.constant(f"{part}/zero", zero)]

    def dequantized(self, part: str, integers: str, scale: Array, zero: Array) -> str:
        inputs, made = [integers, *self.grid(part, scale, zero)], f"{self.stem}/{part}"
        self.nodes.append(node_bytes("DequantizeLinear", inputs, [made], f"{made}/DequantizeLinear", axis=0))
        return made
