"""A space-to-depth stem as the strided convolution that it is.

YOLOX and YOLOv5 give each 2x2 block of pixels as channels to a 3x3 convolution ("Focus").  That is a 6x6 convolution of
stride 2 over the pixels, whose kernel holds the same weights in another order: the same products, and no copies of the
image.  Cells of ``s x s`` pixels and a kernel of ``k`` cells give a kernel of ``s * k`` pixels and stride ``s``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.core.tensors import Array
from edgekit.model.opset import graphs

_END = 2**31 - 1
"""The exporters' word for "to the end"."""


@dataclass(frozen=True)
class _Grid:
    """Every ``step``-th element from ``offset`` on, to the end of the axis."""

    offset: int = 0
    step: int = 1

    def of(self, other: _Grid) -> _Grid:
        """The elements of this grid that ``other`` takes."""
        return _Grid(self.offset + self.step * other.offset, self.step * other.step)


class _Graph:
    """The nodes, constants and shapes of a model's main graph, by tensor."""

    def __init__(self, model: Any) -> None:
        from onnx import numpy_helper, shape_inference

        self.made = {name: node for node in model.graph.node for name in node.output}
        self.readers: dict[str, int] = {}
        for name in [name for node in model.graph.node for name in node.input] + [o.name for o in model.graph.output]:
            self.readers[name] = self.readers.get(name, 0) + 1
        self._tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        self._array = numpy_helper.to_array
        inferred = shape_inference.infer_shapes(model).graph
        self._types = {v.name: v.type.tensor_type for v in (*inferred.value_info, *inferred.input)}

    def constant(self, name: str) -> Array | None:
        if name in self._tensors:
            return np.asarray(self._array(self._tensors[name]))
        node = self.made.get(name)
        if node is None or node.op_type != "Constant":
            return None
        values = [attribute.t for attribute in node.attribute if attribute.name == "value"]
        return np.asarray(self._array(values[0])) if values else None

    def sizes(self, name: str) -> list[int] | None:
        """The sizes of a tensor, or None where one is unknown."""
        shape = self._types[name].shape.dim if name in self._types else ()
        found = [d.dim_value for d in shape]
        return found if found and all(found) else None


def merged(content: bytes) -> bytes:
    """The model with each space-to-depth stem as one strided convolution; the same bytes where there is none.

    The convolution keeps its name and its output.  What fits: float weights, one group, no dilation, an input that is
    cut into all ``s * s`` grids of its rows and columns, by Slice nodes or SpaceToDepth, and read by nobody else.
    """
    import onnx

    model = onnx.load_from_string(content)
    graph, changed = _Graph(model), False
    for node in model.graph.node:
        changed |= node.op_type == "Conv" and node.domain in ("", "ai.onnx") and _merge(graph, model, node)
    if not changed:
        return content
    _drop_unread(model)
    result: bytes = model.SerializeToString(deterministic=True)
    return result


def _merge(graph: _Graph, model: Any, conv: Any) -> bool:
    from onnx import helper, numpy_helper

    cells, weight = graph.made.get(conv.input[0]), graph.constant(conv.input[1])
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in conv.attribute}
    plain = given.get("group", 1) == 1 and set(given.get("dilations", (1,))) == {1}
    if cells is None or weight is None or weight.ndim != 4 or weight.dtype != np.float32 or not plain:
        return False
    if given.get("auto_pad", b"NOTSET") != b"NOTSET" or graph.readers[conv.input[0]] != 1:
        return False
    source, offsets, step = _cut(graph, cells)
    sizes = graph.sizes(source) if source else None
    if sizes is None or len(sizes) != 4 or sizes[2] % step or sizes[3] % step:
        return False
    kernel = _kernel(weight, offsets, step)
    if kernel.shape[1] != sizes[1]:
        return False
    name = f"{conv.input[1]}_{step}x{step}"
    model.graph.initializer.append(numpy_helper.from_array(kernel, name))
    del conv.attribute[:]
    pads, strides = given.get("pads", (0, 0, 0, 0)), given.get("strides", (1, 1))
    conv.attribute.extend(
        [
            helper.make_attribute("kernel_shape", kernel.shape[2:]),
            helper.make_attribute("pads", [step * pad for pad in pads]),
            helper.make_attribute("strides", [step * stride for stride in strides]),
        ]
    )
    conv.input[0], conv.input[1] = source, name
    return True


def _cut(graph: _Graph, cells: Any) -> tuple[str, list[tuple[int, int]], int]:
    """The tensor that ``cells`` holds all grids of, their offsets of row and column in order, and their step; or ""."""
    nothing: tuple[str, list[tuple[int, int]], int] = ("", [], 1)
    attributes = {attribute.name: attribute.i for attribute in cells.attribute}
    if cells.op_type == "SpaceToDepth":
        step = attributes["blocksize"]
        return cells.input[0], [(y, x) for y in range(step) for x in range(step)], step
    if cells.op_type != "Concat" or attributes.get("axis") != 1:
        return nothing
    traced = [_sliced(graph, name) for name in cells.input]
    sources = {source for source, _ in traced}
    grids = [(axes.get(2, _Grid()), axes.get(3, _Grid())) for _, axes in traced if set(axes) <= {2, 3}]
    steps = {grid.step for pair in grids for grid in pair}
    if len(sources) != 1 or len(steps) != 1 or len(grids) != len(traced):
        return nothing
    (source,), (step,) = sources, steps
    offsets = [(rows.offset, columns.offset) for rows, columns in grids]
    whole = step > 1 and sorted(offsets) == [(y, x) for y in range(step) for x in range(step)]
    return (source, offsets, step) if whole else nothing


def _sliced(graph: _Graph, name: str) -> tuple[str, dict[int, _Grid]]:
    """The tensor that Slice nodes took ``name`` from, and which grid of each axis."""
    node = graph.made.get(name)
    if node is None or node.op_type != "Slice" or len(node.input) < 4:
        return name, {}
    numbers = [graph.constant(part) for part in node.input[1:]]
    sizes = graph.sizes(node.input[0])
    if sizes is None or any(part is None for part in numbers):
        return name, {}
    lists = [part.tolist() for part in numbers if part is not None]
    starts, ends, axes = lists[:3]
    steps = lists[3] if len(lists) > 3 else [1] * len(starts)
    source, found = _sliced(graph, node.input[0])
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if axis < 0 or start < 0 or step < 1 or end < min(_END, sizes[axis]):
            return name, {}
        if (start, step) != (0, 1):
            found = {**found, axis: found.get(axis, _Grid()).of(_Grid(start, step))}
    return source, found


def _kernel(weight: Array, offsets: list[tuple[int, int]], step: int) -> Array:
    """The weights ``(out, len(offsets) * channels, k, l)`` over pixels: ``(out, channels, k * step, l * step)``."""
    out, channels, rows, columns = weight.shape
    kernel = np.zeros((out, channels // len(offsets), rows * step, columns * step), weight.dtype)
    for (y, x), part in zip(offsets, np.split(weight, len(offsets), axis=1), strict=True):
        kernel[:, :, y::step, x::step] = part
    return kernel


def _drop_unread(model: Any) -> None:
    """Remove the nodes and weights that nobody reads any more."""
    needed = {output.name for output in model.graph.output} | {value.name for value in model.graph.input}
    nodes = []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            nodes.append(node)
            inner = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
            reading = (node, *(n for part in inner for graph in graphs(part) for n in graph.node))
            needed |= {name for reader in reading for name in reader.input if name}
    del model.graph.node[:]
    model.graph.node.extend(nodes[::-1])
    for entries in (model.graph.initializer, model.graph.value_info):
        left = [entry for entry in entries if entry.name in needed]
        del entries[:]
        entries.extend(left)
