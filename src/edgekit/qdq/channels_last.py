"""Moves written for channels-last memory, the order in which ONNX Runtime's integer kernels compute.

The runtime copies single elements to enlarge or shuffle uint8 values, whatever their order.  Between two Transposes
that cancel with those around integer convolutions, the same moves copy whole pixels: three to five times faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.qdq.graph import Graph, attribute, run, runtime, session

_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


@dataclass(frozen=True)
class Step:
    """One operator: Transpose with ``order``, or Reshape or Gather (along ``axis``) with the indices ``operand``."""

    op: str
    order: tuple[int, ...] = ()
    operand: tuple[int, ...] = ()
    axis: int | None = None

    def attributes(self) -> dict[str, Any]:
        """Keyword arguments of the ONNX node."""
        return ({"perm": self.order} if self.order else {}) | ({} if self.axis is None else {"axis": self.axis})


def steps(graph: Graph, node: Any) -> tuple[Step, ...]:
    """What gives the values of ``node`` exactly; nothing when it is no such move or its sizes are not fixed."""
    given, made = (graph.shapes.get(name, ()) for name in (node.input[0], node.output[0]))
    if len(given) != 4 or len(made) != 4 or None in (*given[1:], *made[1:]):
        return ()
    if node.op_type == "DepthToSpace" and attribute(node, "mode", b"DCR") == b"DCR":
        return _shuffle(given, made)
    if node.op_type == "Resize" and attribute(node, "mode", b"nearest") == b"nearest":
        return _enlarge(graph, node, given, made)
    return ()


def _shuffle(given: Any, made: Any) -> tuple[Step, ...]:
    (_, _, _, width), (_, channels, rows, columns) = given, made
    block = columns // width
    return (
        Step("Transpose", _TO_LAST),
        Step("Reshape", operand=(-1, width, block, block * channels)),
        Step("Transpose", (0, 2, 1, 3)),
        Step("Reshape", operand=(-1, rows, columns, channels)),
        Step("Transpose", _TO_FIRST),
    )


def _enlarge(graph: Graph, node: Any, given: Any, made: Any) -> tuple[Step, ...]:
    if given[:2] != made[:2] or any(name and name not in graph.constants for name in node.input[1:]):
        return ()
    source = _sources(node, given[2:], made[2:], graph)
    if source is None:
        return ()
    rows, columns = source
    return (
        Step("Transpose", _TO_LAST),
        Step("Gather", operand=columns, axis=2),  # few short copies first, then whole rows
        Step("Gather", operand=rows, axis=1),
        Step("Transpose", _TO_FIRST),
    )


Sources = tuple[tuple[int, ...], tuple[int, ...]]


def _sources(node: Any, given: tuple[int, int], made: tuple[int, int], graph: Graph) -> Sources | None:
    """Rows and columns that the output is copied from: asked of the runtime, whose rounding rules are many."""
    import onnx

    if attribute(node, "coordinate_transformation_mode", b"") == b"tf_crop_and_resize" or attribute(node, "axes", None):
        return None
    if given[0] * given[1] >= 1 << 24:
        return None  # float32 does not count so far
    alone = onnx.NodeProto()
    alone.CopyFrom(node)
    operands = {name: graph.array(name) for name in node.input[1:] if name}
    if len(node.input) > 3 and node.input[3]:
        operands[node.input[3]] = np.array([1, 1, *made])
    held = [onnx.numpy_helper.from_array(array, name) for name, array in operands.items()]
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (1, 1, *size))
        for name, size in ((node.input[0], given), (node.output[0], made))
    ]
    model = onnx.helper.make_model(
        onnx.helper.make_graph([alone], "resize", ends[:1], ends[1:], held), opset_imports=graph.model.opset_import
    )
    model.ir_version = graph.model.ir_version
    options = runtime().SessionOptions()
    options.log_severity_level = 3
    places = np.arange(given[0] * given[1], dtype=np.float32).reshape(1, 1, *given)
    (copied,) = run(session(model, options), [node.output[0]], {node.input[0]: places})
    found = copied[0, 0].astype(np.int64)
    if found.shape != tuple(made):
        return None  # the size that the file promises is another
    rows, columns = found[:, 0] // given[1], found[0] % given[1]
    if (found != rows[:, None] * given[1] + columns).any():
        return None
    return tuple(rows.tolist()), tuple(columns.tolist())
