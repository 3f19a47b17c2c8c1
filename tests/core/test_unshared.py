"""Layers that share integer constants, each with its own afterwards: the file still says the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from tests.graphs import convnet, node, write

from edgekit.core.unshared import unshared


def shared(path: Path) -> bytes:
    """Two matrix products over one int8 weight and one zero point, which a rounded activation has as well."""
    held = {"w": np.arange(-8, 8, dtype=np.int8).reshape(4, 4), "z": np.int8(0), "s": np.float32(0.5)}
    nodes = [
        node("QuantizeLinear", "x s z", "xq"),
        node("DequantizeLinear", "xq s z", "xd"),
        node("DequantizeLinear", "w s z", "w1"),
        node("MatMul", "xd w1", "a"),
        node("DequantizeLinear", "w s z", "w2"),
        node("MatMul", "a w2", "y"),
    ]
    return write(path, nodes, [("x", (2, 4), "float32")], [("y", (2, 4), "float32")], held).read_bytes()


def test_each_layer_has_its_own(tmp_path: Path) -> None:
    before = shared(tmp_path / "m.onnx")
    after = onnx.load_from_string(unshared(before))
    onnx.checker.check_model(after, full_check=True)
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in after.graph.initializer}
    weights = [n for n in after.graph.node if n.op_type == "DequantizeLinear" and n.input[0] in constants]
    assert len(weights) == 2
    for place in (0, 2):
        names = [n.input[place] for n in weights]
        assert len(set(names)) == 2
        np.testing.assert_array_equal(*(constants[name] for name in names))
    # The activation's zero point may be shared: nothing turns it into another type.
    rounding = [n for n in after.graph.node if n.input[0] in ("x", "xq")]
    assert {n.input[2] for n in rounding} == {"z"}


def test_what_shares_nothing_keeps_its_bytes(tmp_path: Path) -> None:
    content = convnet(tmp_path / "m.onnx").read_bytes()
    assert unshared(content) == content
    for broken in (b"not a model", content[:-20], b""):
        assert unshared(broken) == broken
    once = unshared(shared(tmp_path / "s.onnx"))
    assert unshared(once) == once
