"""Small ONNX engines that every backend test uses: one that is exact, one of dynamic length, one that fails."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

Named = list[tuple[str, list[int | None]]]


def write(folder: Path) -> None:
    """``scale``: y = 2 x; ``nonzero``: a result of any length; ``denormal``: 1e-10 x; ``fails``: only for 9 values not.

    ``passed`` gives its input as an output too; ``broken`` is none; ``operators``, of ONNX Runtime alone, gives 255 - x
    by an operator of cpp/ops.  Beside each the engine of OpenVINO, where that is.
    """
    from onnx import TensorProto, helper, numpy_helper

    two = numpy_helper.from_array(np.float32(2.0).reshape(1), "two")
    _save(
        folder / "scale.onnx", [helper.make_node("Mul", ["x", "two"], ["y"])], [("x", [1, 4])], [("y", [1, 4])], [two]
    )
    places = helper.make_tensor_value_info("places", TensorProto.INT64, [2, "n"])
    nodes = [helper.make_node("NonZero", ["x"], ["places"])]
    _save(folder / "nonzero.onnx", nodes, [("x", [1, 4])], [], [], [places])
    small = numpy_helper.from_array(np.float32(1e-10).reshape(1), "small")
    nodes = [helper.make_node("Mul", ["x", "small"], ["y"])]
    _save(folder / "denormal.onnx", nodes, [("x", [1, 4])], [("y", [1, 4])], [small])
    # A shape that only a query shows to be wrong: it fails while it computes.
    shape = numpy_helper.from_array(np.array([3, 3], np.int64), "shape")
    nodes = [
        helper.make_node("Abs", ["x"], ["a"]),
        helper.make_node("Reshape", ["a", "shape"], ["y"]),
    ]
    _save(folder / "fails.onnx", nodes, [("x", [1, None])], [("y", [3, 3])], [shape])
    passed = [helper.make_node("Mul", ["x", "two"], ["y"])]
    _save(folder / "passed.onnx", passed, [("x", [1, 4])], [("y", [1, 4]), ("x", [1, 4])], [two])
    (folder / "broken.onnx").write_bytes(b"no model")
    if find_spec("openvino"):
        from edgekit.engine import ov

        for source in sorted(folder.glob("*.onnx")):
            if source.stem != "broken":
                ov.Backend(ov.Config(engine="ov")).build(source, source.with_suffix(".ov"))
    one = numpy_helper.from_array(np.float32(1.0).reshape(1), "one")
    table = numpy_helper.from_array(np.arange(255, -1, -1, dtype=np.uint8), "table")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "one"], ["xi"]),
        helper.make_node("LutU8", ["xi", "table"], ["yi"], domain="edgekit", channels_last=0),
        helper.make_node("DequantizeLinear", ["yi", "one"], ["y"]),
    ]
    _save(folder / "operators.onnx", nodes, [("x", [1, 4])], [("y", [1, 4])], [one, table])


def _save(
    path: Path, nodes: list[Any], inputs: Named, outputs: Named, initializers: list[Any], more: Sequence[Any] = ()
) -> None:
    import onnx
    from onnx import TensorProto, helper

    def values(named: Named) -> list[Any]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in named]

    graph = helper.make_graph(nodes, path.stem, values(inputs), [*values(outputs), *more], initializers)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid(*one) for one in (("", 17), ("edgekit", 2))], ir_version=8
    )
    onnx.checker.check_model(model)
    onnx.save(model, path)
