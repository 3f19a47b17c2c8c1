"""Exact rewrites of operators without an integer kernel into operators that have one.

A transposed convolution of stride ``s`` gives each of the ``s x s`` output phases from its own part of
the kernel, so it is a convolution with ``s * s`` times the channels and a DepthToSpace: the
sub-pixel convolution of Shi et al., "Is the deconvolution layer the same as a convolutional
layer?", 2016.  A PRelu whose slopes are at most one is the larger of two values, and integers of one grid
compare as the values do.  Stems of stride 2: :mod:`edgekit.qdq.stem`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.core.tensors import Array
from edgekit.qdq import stem
from edgekit.qdq.graph import Graph, Names, attribute

Unique = Callable[[str, str], str]
"""Gives names that are free, by node and part."""


def rewrite(graph: Graph, exclude: Collection[str] = ()) -> tuple[Graph, tuple[str, ...]]:
    """``graph`` with what fits rewritten, and the names of the rewritten nodes; those of ``exclude`` stay float.

    The convolution keeps the name of the transposed one, and all outputs keep theirs.  What does not fit
    (groups, dilation, an output that is no multiple of the stride, a weight that is computed) stays.
    """
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    del model.graph.node[:]
    unique, names = Names(graph).unique, []
    for node in graph.nodes:
        # Float kernels want their node as it is.
        made = None if node.name in exclude else _rewritten(graph, model, node, unique)
        model.graph.node.extend([node] if made is None else made)
        if made is not None:
            names.append(node.name)
    if not names:
        return graph, ()
    read = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return Graph(onnx.shape_inference.infer_shapes(model)), tuple(names)


def _rewritten(graph: Graph, model: Any, node: Any, unique: Unique) -> list[Any] | None:
    """What computes the same as ``node`` in integer kernels; None: it stays."""
    if (axes := _phases(graph, node)) is not None:
        return _convolution(graph, model, node, axes, unique)
    if (split := stem.axes_of(graph, node)) is not None:
        return stem.split(graph, model, node, split, unique)
    return _maximum(node, unique) if node.op_type == "PRelu" and _shrinks(graph, node) else None


@dataclass(frozen=True)
class _Axis:
    """One spatial axis: output ``s * q + r`` reads input ``q - t`` with the kernel's element ``s * t + r + pad``.

    ``first`` and ``last`` are the ends of ``t`` over all phases ``r``.
    """

    stride: int
    size: int
    pad: int
    first: int
    last: int
    end_pad: int

    @classmethod
    def of(cls, stride: int, size: int, pad: int, length: int, made: int) -> _Axis | None:
        if made % stride:
            return None
        first = min(-((r + pad) // stride) for r in range(stride))
        last = max((size - 1 - r - pad) // stride for r in range(stride))
        end_pad = made // stride - length - last + (last - first)
        return cls(stride, size, pad, first, last, end_pad) if last >= 0 and end_pad >= 0 else None

    def taps(self, phase: int) -> list[tuple[int, int]]:
        """(element of the new kernel, element of the old one) for one phase."""
        pairs = ((self.last - t, self.stride * t + phase + self.pad) for t in range(self.first, self.last + 1))
        return [(new, old) for new, old in pairs if 0 <= old < self.size]


def _phases(graph: Graph, node: Any) -> tuple[_Axis, _Axis] | None:
    if node.op_type != "ConvTranspose" or node.input[1] not in graph.constants or not graph.is_float(node.input[1]):
        return None
    size, shape, made = (graph.shapes.get(n, ()) for n in (node.input[1], node.input[0], node.output[0]))
    strides = attribute(node, "strides", [1, 1])
    if len(size) != 4 or len(shape) != 4 or len(made) != 4 or None in (*shape[2:], *made[2:]):
        return None
    if attribute(node, "group", 1) != 1 or attribute(node, "auto_pad", b"NOTSET") != b"NOTSET":
        return None
    if set(attribute(node, "dilations", [1, 1])) != {1} or strides[0] != strides[1] or strides[0] < 2:
        return None
    if len(node.input) > 2 and node.input[2] and node.input[2] not in graph.constants:
        return None
    pads = attribute(node, "pads", [0, 0, 0, 0])
    axes = [_Axis.of(strides[i], size[2 + i], pads[i], shape[2 + i], made[2 + i]) for i in range(2)]  # type: ignore[arg-type]
    return (axes[0], axes[1]) if axes[0] and axes[1] else None


def _shrinks(graph: Graph, node: Any) -> bool:
    """Whether a PRelu is the larger of ``x`` and ``slope * x``: no slope is above one."""
    slope, shape = node.input[1], graph.shapes.get(node.input[0])
    if slope not in graph.constants or not graph.is_float(node.input[0]) or shape is None:
        return False
    values = graph.array(slope)
    return bool(values.ndim <= len(shape) and (values <= 1).all())


def _maximum(node: Any, unique: Unique) -> list[Any]:
    import onnx

    x, slope = node.input
    scaled = unique(node.name, "scaled")
    return [
        onnx.helper.make_node("Mul", [x, slope], [scaled], name=unique(node.name, "scale")),
        onnx.helper.make_node("Max", [x, scaled], [node.output[0]], name=node.name),
    ]


def _convolution(graph: Graph, model: Any, node: Any, axes: tuple[_Axis, _Axis], unique: Unique) -> list[Any]:
    import onnx

    vertical, horizontal = axes
    stride = vertical.stride
    weight = _kernel(graph.array(node.input[1]), vertical, horizontal)
    made = {unique(node.name, "phases"): weight}
    inputs = [node.input[0], unique(node.name, "phases")]
    if len(node.input) > 2 and node.input[2]:
        made[unique(node.name, "tiled")] = np.tile(graph.array(node.input[2]), stride * stride)
        inputs.append(unique(node.name, "tiled"))
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in made.items())
    pads = [vertical.last, horizontal.last, vertical.end_pad, horizontal.end_pad]
    middle = unique(node.name, "deep")
    conv = onnx.helper.make_node("Conv", inputs, [middle], name=node.name, pads=pads)
    conv.metadata_props.extend(node.metadata_props)
    shuffle = onnx.helper.make_node(
        "DepthToSpace", [middle], [node.output[0]], name=unique(node.name, "shuffle"), blocksize=stride, mode="DCR"
    )
    return [conv, shuffle]


def _kernel(weight: Array, vertical: _Axis, horizontal: _Axis) -> Array:
    """``(in, out, kh, kw)`` of a transposed convolution to ``(s * s * out, in, KH, KW)`` of the convolution."""
    given, made, stride = weight.shape[0], weight.shape[1], vertical.stride
    size = (vertical.last - vertical.first + 1, horizontal.last - horizontal.first + 1)
    kernel = np.zeros((stride, stride, made, given, *size), weight.dtype)
    for y in range(stride):
        for x in range(stride):
            for new_y, old_y in vertical.taps(y):
                for new_x, old_x in horizontal.taps(x):
                    kernel[y, x, :, :, new_y, new_x] = weight[:, :, old_y, old_x].T
    return kernel.reshape(stride * stride * made, given, *size)
