"""Integer convolutions of an optimised graph that operators of ``edgekit-ops`` compute.

The first one reads an image of a few planes, which ONNX Runtime takes apart for its matrix product: ``ConvU8`` reads
the planes as they are.  Depthwise ones take ONNX Runtime longer than in float: ``DepthwiseU8``, which also takes a grid
for each channel.  They round as ONNX Runtime does, so results are equal.  Both can apply the table behind them, too,
which gains one per cent: it stays an operator of its own, because parity holds each rounding against the typed model,
and of two behind each other the second may be off by several steps where the first is at a tie.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgekit.core.tensors import Array
from edgekit.engine.ort.extension import DOMAIN
from edgekit.onnxfile.graph import Node
from edgekit.onnxfile.parts import Parts, array_of, node_bytes, tensor_bytes, text_attribute

_MOST_PLANES = 4
_KERNELS = ((3, 3), (5, 5))
_STEPS = ("stride_h", "stride_w", "top", "left", "bottom", "right")
_WITHOUT_BIAS = 7  # constants of a QLinearConv
_NO_TABLE = np.zeros(1, np.uint8)


def exchanged(made: Parts, zeros: Mapping[str, Array]) -> Parts:
    """The graph with such convolutions exchanged.

    Args:
        made: the optimised graph.
        zeros: zero points, int32 one a channel, of those that read a grid per channel, by the name of the scale that
            stands in for theirs: the runtime may change the names of nodes.
    """
    producers = made.producers()
    changed, tensors = dict[int, list[bytes]](), dict[str, bytes]()
    for at, node in enumerate(made.nodes):
        kind = _kind(made, producers, at)
        arrays = {} if kind is None else _numbers(made, node, kind, zeros.get(node.inputs[1]))
        if kind is None or not arrays:
            continue
        lists = (*node.lists.get("strides", (1, 1)), *node.lists.get("pads", (0, 0, 0, 0)))
        integers = {name: kind.cells * value for name, value in zip(_STEPS, lists, strict=True)}
        if kind.op == "ConvU8":
            integers |= {name: int(arrays.pop(name)[0]) for name in ("zero_in", "zero_out")}
        named = {f"{node.name}/{name}": array for name, array in (arrays | {"table": _NO_TABLE}).items()}
        tensors |= {name: tensor_bytes(name, array) for name, array in named.items()}
        changed[at] = [node_bytes(kind.op, [kind.image, *named], list(node.outputs), node.name, DOMAIN, **integers)]
    return made.replaced(changed, tensors)


@dataclass(frozen=True)
class _Kind:
    """An operator and what it reads; ``cells``: of a SpaceToDepth that it stands for, too, else 1."""

    op: str
    image: str
    cells: int = 1


def _kind(made: Parts, producers: Mapping[str, int], at: int) -> _Kind | None:
    node = made.nodes[at]
    if node.op != "QLinearConv" or node.attributes.get("channels_last", 0) != 1:
        return None
    weight, group = made.constants.get(node.inputs[3]), node.attributes.get("group", 1)
    if weight is None or len(weight.shape) != 4 or set(node.lists.get("dilations", (1,))) != {1}:
        return None
    if text_attribute(made.bodies[at], "auto_pad") not in ("", "NOTSET"):
        return None
    outputs, planes = weight.shape[:2]
    if group == outputs > 1 and planes == 1:
        return _Kind("DepthwiseU8", node.inputs[0]) if weight.shape[2:] in _KERNELS else None
    turn = _maker(made, producers, node.inputs[0])
    if group != 1 or turn is None or turn.op != "Transpose" or turn.lists.get("perm") != (0, 2, 3, 1):
        return None
    image, cells = _without_cells(made, producers, turn.inputs[0])
    return _Kind("ConvU8", image, cells) if planes // cells**2 <= _MOST_PLANES else None


def _maker(made: Parts, producers: Mapping[str, int], tensor: str) -> Node | None:
    return made.nodes[producers[tensor]] if tensor in producers else None


def _without_cells(made: Parts, producers: Mapping[str, int], tensor: str) -> tuple[str, int]:
    """The integers of which SpaceToDepth made those of ``tensor``, on one grid, and the size of its cells; else 1."""
    after = _maker(made, producers, tensor)
    split = None if after is None or after.op != "QuantizeLinear" else _maker(made, producers, after.inputs[0])
    before = None if split is None or split.op != "SpaceToDepth" else _maker(made, producers, split.inputs[0])
    if after is None or split is None or before is None or before.op != "DequantizeLinear":
        return tensor, 1
    same = all(
        np.array_equal(_array(made, a), _array(made, b))
        for a, b in zip(after.inputs[1:], before.inputs[1:], strict=False)
    )
    return (before.inputs[0], split.attributes["blocksize"]) if same and len(after.inputs) == 3 else (tensor, 1)


def _on_the_image(weights: Array, cells: int) -> Array:
    """Weights (outputs, planes, h, w) of an image from those of its cells (outputs, cells x cells x planes, h', w')."""
    outputs, planes, height, width = weights.shape
    parts = weights.reshape(outputs, cells, cells, planes // cells**2, height, width)
    return parts.transpose(0, 3, 4, 1, 5, 2).reshape(outputs, -1, height * cells, width * cells)


def _array(made: Parts, name: str) -> Array:
    found = array_of(made.tensors[name]) if name in made.tensors else None
    return np.zeros(0, np.float32) if found is None else found


def _numbers(made: Parts, node: Node, kind: _Kind, zeros: Array | None) -> dict[str, Array]:
    """Those of an integer convolution, as ONNX Runtime computes with them; empty: they are not at hand."""
    given = [_array(made, name) for name in node.inputs[1:] if name]
    if len(given) < _WITHOUT_BIAS or any(array.size == 0 for array in given):
        return {}
    x_scale, x_zero, weight, w_scale, w_zero, y_scale, y_zero = given[:_WITHOUT_BIAS]
    outputs = weight.shape[0]
    centred = weight.astype(np.int16) - w_zero.astype(np.int16).reshape(-1, 1, 1, 1)
    grids = {1, outputs} if kind.op == "DepthwiseU8" else {1}
    if not {x_scale.size, x_zero.size} <= grids or y_scale.size > 1 or centred.min() < -128 or centred.max() > 127:
        return {}
    by = (x_scale.reshape(-1) * w_scale.reshape(-1) / y_scale.reshape(-1)).astype(np.float32)
    return {
        "weights": _on_the_image(centred.astype(np.int8), kind.cells),
        "bias": given[_WITHOUT_BIAS] if len(given) > _WITHOUT_BIAS else np.zeros(outputs, np.int32),
        "multipliers": _each(by, outputs),
        "zero_in": _each(x_zero.astype(np.int32) if zeros is None else zeros, outputs),
        "zero_out": _each(y_zero.astype(np.int32), outputs),
    }


def _each(numbers: Array, outputs: int) -> Array:
    return np.ascontiguousarray(np.broadcast_to(numbers.reshape(-1), outputs))
