"""Bilinear Resizes of rounded tensors in an optimised graph, which operators of ``edgekit-ops`` compute.

ONNX Runtime interpolates in float: it takes the integers back to floats, resizes channel by channel and rounds again.
``ResizeLinearU8ToFloat`` reads the bytes as the convolution before it writes them and writes the floats that the same
arithmetic gives; ``ResizeLinearU8`` also rounds them, where a rounding follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.core.tensors import Array
from edgekit.engine.ort.extension import DOMAIN
from edgekit.onnxfile.graph import Node
from edgekit.onnxfile.parts import Parts, array_of, node_bytes, tensor_bytes, text_attribute

_COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
_LAST, _FIRST = (0, 2, 3, 1), (0, 3, 1, 2)  # what a Transpose to channels last, and back, is told
_OPSET = 11  # since which Resize is what it is
_IMAGE = 4  # axes
_PLACES = (slice(2, 4), slice(1, 3))  # of height and width, channels first and last
_CONVOLUTIONS = frozenset({"QLinearConv", "ConvU8", "DepthwiseU8"})


def exchanged(made: Parts) -> Parts:
    """The graph with such Resizes exchanged."""
    producers, readers = made.producers(), made.readers()
    changed, tensors = dict[int, list[bytes]](), dict[str, bytes]()
    for at, node in enumerate(made.nodes):
        maker = _maker(made, producers, node.inputs[0]) if node.op == "Resize" else None
        given = None if maker is None or maker.op != "DequantizeLinear" else _grid(made, maker)
        target = None if maker is None else _target(made, at, _layout(made, producers, maker.inputs[0]))
        if maker is None or given is None or target is None:
            continue
        image, last = _before(made, producers, maker.inputs[0], target.last)
        end = _end(made, readers, node.outputs[0], given.dtype, (last, target.last))
        grids = f"{node.name or node.outputs[0]}/grids"
        numbers = given.numbers + (() if end.made is None else end.made.numbers)
        tensors[grids] = tensor_bytes(grids, np.array(numbers, np.float32))
        op = "ResizeLinearU8ToFloat" if end.made is None else "ResizeLinearU8"
        changed |= {other: [] for other in end.nodes}
        layout = {"channels_last": int(last), "made_last": int(end.last)}
        changed[at] = [node_bytes(op, [image, grids], [end.tensor], node.name, DOMAIN, **target.numbers, **layout)]
    return made.replaced(changed, tensors)


def applicable(typed: Parts) -> int:
    """How many Resizes of a typed model the operators compute."""
    producers, found = typed.producers(), 0
    for at, node in enumerate(typed.nodes):
        maker = _maker(typed, producers, node.inputs[0]) if _target(typed, at, layout=False) is not None else None
        found += maker is not None and maker.op == "DequantizeLinear"
    return found


@dataclass(frozen=True)
class _Target:
    """Where the outputs of a bilinear Resize of images lie, as attributes; ``last``: whether it has channels last."""

    numbers: Mapping[str, int | float]
    last: bool


def _target(made: Parts, at: int, layout: bool | None) -> _Target | None:
    """That of a node; None: it is no such Resize.  ``layout``: whether channels are last, where factors do not say."""
    node, body = made.nodes[at], made.bodies[at]
    if node.op != "Resize" or node.domain or made.opsets.get("", 0) < _OPSET or "axes" in node.lists:
        return None
    coordinates = text_attribute(body, "coordinate_transformation_mode") or "half_pixel"
    stretched = text_attribute(body, "keep_aspect_ratio_policy") in ("", "stretch")
    if text_attribute(body, "mode") != "linear" or coordinates not in _COORDINATES or not stretched:
        return None
    if node.attributes.get("antialias", 0):
        return None
    factors, sizes = (_array(made, name) for name in (*node.inputs[2:4], "", "")[:2])
    found = {"coordinates": _COORDINATES.index(coordinates), "height": 0, "width": 0, "factor_h": 0.0, "factor_w": 0.0}
    if factors.shape == (_IMAGE,):
        last = bool(factors[1] != 1)
        height, width = (float(factor) for factor in factors[_PLACES[last]])
        kept = factors[0] == 1 and factors[3 if last else 1] == 1
        return _Target(found | {"factor_h": height, "factor_w": width}, last) if kept else None
    if sizes.shape == (_IMAGE,) and (sizes > 0).all() and layout is not None:
        height, width = (int(size) for size in sizes[_PLACES[layout]])
        return _Target(found | {"height": height, "width": width}, layout)
    return None


def _layout(made: Parts, producers: Mapping[str, int], integer: str) -> bool | None:
    """Whether integers have their channels last; None: not known."""
    maker = _maker(made, producers, integer)
    if maker is not None and maker.op == "LutU8":
        maker = _maker(made, producers, maker.inputs[0])
    if maker is not None and maker.op == "Transpose" and maker.lists.get("perm") in (_FIRST, _LAST):
        return maker.lists["perm"] == _LAST
    if maker is None or maker.op not in _CONVOLUTIONS:
        return None
    return maker.domain == DOMAIN or maker.attributes.get("channels_last", 0) == 1


@dataclass(frozen=True)
class _Grid:
    """Scale and zero point of a rounding, and the type of its integers."""

    numbers: tuple[float, float]
    dtype: str


def _grid(made: Parts, node: Node) -> _Grid | None:
    """The one grid of a rounding to bytes; None: it has several, or is not known."""
    if node.domain or len(node.inputs) < 3:
        return None
    scale, zero = _array(made, node.inputs[1]), _array(made, node.inputs[2])
    if scale.size != 1 or zero.size != 1 or scale.dtype != np.float32 or zero.dtype.name not in ("uint8", "int8"):
        return None
    return _Grid((float(scale.reshape(-1)[0]), float(zero.reshape(-1)[0])), zero.dtype.name)


def _before(made: Parts, producers: Mapping[str, int], integer: str, last: bool) -> tuple[str, bool]:
    """The image that integers come from, and whether its channels are last: what turns them is left out."""
    turn = _maker(made, producers, integer)
    if not last and turn is not None and turn.op == "Transpose" and turn.lists.get("perm") == _FIRST:
        return turn.inputs[0], True
    return integer, last


@dataclass(frozen=True)
class _End:
    """What an operator writes: ``tensor``, on the grid ``made`` or as floats, in place of the ``nodes`` behind it."""

    tensor: str
    made: _Grid | None = None
    last: bool = False
    nodes: tuple[int, ...] = ()


def _end(
    made: Parts, readers: Mapping[str, Sequence[int]], floats: str, dtype: str, layouts: tuple[bool, bool]
) -> _End:
    """``layouts``: whether channels are last before the operator, and behind the Resize."""
    rounding = _reader(made, readers, floats, "QuantizeLinear")
    grid = None if rounding is None else _grid(made, made.nodes[rounding])
    if rounding is None or grid is None or grid.dtype != dtype:  # bytes of bytes have one type
        grid, rounding = None, None
    nodes = () if rounding is None else (rounding,)
    tensor = floats if rounding is None else made.nodes[rounding].outputs[0]
    before, last = layouts
    turn = _reader(made, readers, tensor, "Transpose")
    if before and turn is not None and made.nodes[turn].lists.get("perm") == (_FIRST if last else _LAST):
        return _End(made.nodes[turn].outputs[0], grid, not last, (*nodes, turn))
    return _End(tensor, grid, last, nodes)


def _reader(made: Parts, readers: Mapping[str, Sequence[int]], tensor: str, op: str) -> int | None:
    """Position of the only node that reads a tensor, if it is of that kind."""
    found = readers.get(tensor, ())
    shown = tensor in made.outputs or tensor in made.captured
    return found[0] if len(found) == 1 and not shown and made.nodes[found[0]].op == op else None


def _maker(made: Parts, producers: Mapping[str, int], tensor: str) -> Node | None:
    return made.nodes[producers[tensor]] if tensor in producers else None


def _array(made: Parts, name: str) -> Array:
    found = array_of(made.tensors[name]) if name in made.tensors else None
    return np.zeros(0, np.float32) if found is None else found
