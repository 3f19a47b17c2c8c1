"""A stem of stride 2 over few channels as SpaceToDepth and a convolution of four times the channels.

Integer kernels gather the channels of one pixel at a time, and a picture has three of them: the first layer of many
networks costs two to three times what its products do.  A convolution of stride 2 reads 2x2 cells of pixels, so it is
one of stride 1 over the cells, with the same weights in another order and zeros where the kernel ends inside a cell:
the same integers, to the bit.  The inverse of :mod:`edgekit.model.stem`, which is what float kernels want.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.core.tensors import Array
from edgekit.qdq.graph import Graph, attribute

_MOST = 4
"""Channels that are few; with more the gathered pieces are long enough."""
_STEP = 2


@dataclass(frozen=True)
class Axis:
    """One spatial axis: element ``u`` of the kernel reads cell ``first + n`` at ``phase``, ``u = 2 n + phase - lead``.

    ``cells``: of the new kernel; ``begin`` and ``end``: cells of zeros around the picture.
    """

    cells: int
    lead: int
    begin: int
    end: int

    @classmethod
    def of(cls, size: int, pad: int, length: int, made: int) -> Axis | None:
        """Of a kernel of ``size``, with ``pad`` zeros before ``length`` pixels, for ``made`` outputs, where it fits."""
        if length % _STEP:
            return None
        begin = -(-pad // _STEP)
        lead = begin * _STEP - pad
        cells = -(-(lead + size) // _STEP)
        end = made - 1 - length // _STEP - begin + cells
        return cls(cells, lead, begin, end) if end >= 0 else None


def axes_of(graph: Graph, node: Any) -> tuple[Axis, Axis] | None:
    """How a convolution is split, or None where it is no such stem."""
    if node.op_type != "Conv" or node.input[1] not in graph.constants or not graph.is_float(node.input[1]):
        return None
    size, shape, made = (graph.shapes.get(n, ()) for n in (node.input[1], node.input[0], node.output[0]))
    if len(size) != 4 or len(shape) != 4 or len(made) != 4 or None in (*shape[1:], *made[2:]):
        return None
    plain = attribute(node, "group", 1) == 1 and set(attribute(node, "dilations", [1, 1])) == {1}
    if not plain or attribute(node, "auto_pad", b"NOTSET") != b"NOTSET" or int(shape[1]) > _MOST:  # type: ignore[arg-type]
        return None
    if list(attribute(node, "strides", [1, 1])) != [_STEP, _STEP]:
        return None
    pads = attribute(node, "pads", [0, 0, 0, 0])
    found = [Axis.of(size[2 + i], pads[i], shape[2 + i], made[2 + i]) for i in range(2)]  # type: ignore[arg-type]
    return (found[0], found[1]) if found[0] and found[1] else None


def split(graph: Graph, model: Any, node: Any, axes: tuple[Axis, Axis], unique: Callable[[str, str], str]) -> list[Any]:
    """The two nodes for ``node``, which keeps its name, its output and its bias; the weights go to ``model``."""
    import onnx

    rows, columns = axes
    weight, cells = unique(node.name, "weight"), unique(node.name, "cells")
    kernel = _kernel(graph.array(node.input[1]), rows, columns)
    model.graph.initializer.append(onnx.numpy_helper.from_array(kernel, weight))
    move = onnx.helper.make_node(
        "SpaceToDepth", [node.input[0]], [cells], name=unique(node.name, "split"), blocksize=_STEP
    )
    conv = onnx.helper.make_node(
        "Conv",
        [cells, weight, *node.input[2:]],
        list(node.output),
        name=node.name,
        pads=[rows.begin, columns.begin, rows.end, columns.end],
    )
    conv.metadata_props.extend(node.metadata_props)
    return [move, conv]


def _kernel(weight: Array, rows: Axis, columns: Axis) -> Array:
    """Weights ``(out, in, k, l)`` over pixels to ``(out, 4 * in, cells, cells)``, in the order of SpaceToDepth."""
    out, given, height, width = weight.shape
    whole = np.zeros((out, given, _STEP * rows.cells, _STEP * columns.cells), weight.dtype)
    whole[:, :, rows.lead : rows.lead + height, columns.lead : columns.lead + width] = weight
    parts = whole.reshape(out, given, rows.cells, _STEP, columns.cells, _STEP)
    return np.ascontiguousarray(parts.transpose(0, 3, 5, 1, 2, 4)).reshape(out, -1, rows.cells, columns.cells)
