"""Layers that share integer constants, each with its own afterwards: the file still says the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgekit.runtime.unshared import unshared
from tests.support.graphs import convnet, node, write
from tests.support.runtime import session


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


INTEGERS = np.random.default_rng(0).integers(-127, 128, (8, 8)).astype(np.int8)
HELD = {"s": np.float32(0.05), "u": np.uint8(128), "t": np.linspace(0.001, 0.01, 8, dtype=np.float32)}
HELD |= {"z": np.zeros(8, np.int8), "w": INTEGERS}
ONE = node("DequantizeLinear", "w t z", "p", axis=1)


def constant(name: str, value: np.ndarray) -> onnx.NodeProto:
    return node("Constant", "", name, value=numpy_helper.from_array(value))


def products(weights: list[onnx.NodeProto], left: str, right: str) -> list[onnx.NodeProto]:
    """Two rounded matrix products after the nodes that make their weights."""
    made = list(weights)
    for x, w, y in (("x", left, "a"), ("a", right, "b")):
        made += [node("QuantizeLinear", f"{x} s u", f"{x}/q"), node("DequantizeLinear", f"{x}/q s u", f"{x}/d")]
        made.append(node("MatMul", f"{x}/d {w}", y))
    return [*made, node("QuantizeLinear", "b s u", "b/q"), node("DequantizeLinear", "b/q s u", "y")]


def rounded(weights: str, made: str) -> list[onnx.NodeProto]:
    return [
        node("QuantizeLinear", f"{weights} t z", f"{made}/q", axis=1),
        node("DequantizeLinear", f"{made}/q t z", made, axis=1),
    ]


def inside(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """An If whose one branch holds the layers of ``graph``, with constants of their own."""
    branch = onnx.GraphProto.FromString(graph.SerializeToString())
    del branch.input[:]
    for made in branch.node:
        made.input[:] = [name if name == "x" else f"in/{name}" for name in made.input]
        made.output[:] = [f"in/{name}" for name in made.output]
    for value in (*branch.output, *branch.initializer):
        value.name = f"in/{value.name}"
    other = helper.make_graph([node("Identity", "x", "o")], "o", [], [helper.make_tensor_value_info("o", 1, [2, 8])])
    asked = node("If", "c", "chosen", then_branch=branch, else_branch=other)
    return [node("ReduceSum", "x", "r", keepdims=0), node("Greater", "r s", "c"), asked]


# Nodes that make the weights, and what the two products read.
SHARED = {
    "two readers of one constant": ([ONE, node("DequantizeLinear", "w t z", "q", axis=1)], "p", "q"),
    "two layers of one reader": ([ONE], "p", "p"),
    "a zero point": ([ONE, node("DequantizeLinear", "v t z", "q", axis=1)], "p", "q"),
    "no zero point": ([node("DequantizeLinear", "w t", "p", axis=1)], "p", "p"),
    "Constant nodes": ([constant("w", INTEGERS), constant("z", HELD["z"]), ONE], "p", "p"),
    "turned after": ([node("DequantizeLinear", "w t z", "d", axis=0), node("Transpose", "d", "p"),
                      node("Transpose", "d", "q")], "p", "q"),
    "turned before": ([node("Transpose", "w", "i"), node("DequantizeLinear", "i t z", "p", axis=1)], "p", "p"),
    "cut": ([node("Split", "w", "i j", axis=1), node("Concat", "j i", "k", axis=1),
             node("DequantizeLinear", "k t z", "p", axis=1)], "p", "p"),
    "rounded in the file": (rounded("f", "p"), "p", "p"),
    "rounded twice in the file": (rounded("f", "p") + rounded("f", "q"), "p", "q"),
    "a name that is taken": ([ONE, node("Identity", "p", "p/own2"), node("Identity", "w/own2", "i")], "p", "p/own2"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SHARED)
@pytest.mark.parametrize("nested", [False, True])
def test_the_engine_takes_every_way_to_share(kind: str, nested: bool, tmp_path: Path) -> None:
    """Fails without a copy of its own for every layer on an x86 processor without VNNI."""
    weights, left, right = SHARED[kind]
    held = HELD | {"v": INTEGERS.T.copy(), "w/own2": INTEGERS, "f": INTEGERS * np.float32(0.005)}
    nodes, outputs = products(weights, left, right), [("y", (2, 8), "float32")]
    read = {name for n in nodes for name in n.input} - {name for n in nodes for name in n.output}
    held = {name: value for name, value in held.items() if name in read}
    path = write(tmp_path / "m.onnx", nodes, [("x", (2, 8), "float32")], outputs, held)
    if nested:
        nodes = nodes + inside(onnx.load(path).graph)
        outputs = [*outputs, ("chosen", (2, 8), "float32")]
        path = write(tmp_path / "m.onnx", nodes, [("x", (2, 8), "float32")], outputs, held)
    content = path.read_bytes()
    made = unshared(content)
    onnx.checker.check_model(onnx.load_from_string(made), full_check=True)
    assert unshared(made) == made != content
    feeds = {"x": np.linspace(-3, 6, 16, dtype=np.float32).reshape(2, 8)}
    expected = session(content, optimised=False).run(None, feeds)
    for found in (session(content), session(made), session(made, optimised=False)):
        for value, wanted in zip(found.run(None, feeds), expected, strict=True):
            # One step of the last rounding.
            np.testing.assert_allclose(value, wanted, rtol=0, atol=0.0501)
        assert np.abs(wanted).max() > 1


def test_readers_outside_of_the_layers_keep_what_they_read(tmp_path: Path) -> None:
    """A graph's output, and a constant that may be replaced at run time, keep their names."""
    nodes, floats = products([ONE], "p", "p"), [("x", (2, 8), "float32")]
    outputs = [("y", (2, 8), "float32"), ("p", (8, 8), "float32")]
    content = write(tmp_path / "m.onnx", nodes, floats, outputs, HELD).read_bytes()
    made = onnx.load_from_string(unshared(content))
    read = [n.input[1] for n in made.graph.node if n.op_type == "MatMul"]
    assert len({*read, "p"}) == 3
    np.testing.assert_array_equal(*(s.run(["p"], {"x": np.ones((2, 8), np.float32)})[0] for s in (
        session(content), session(content, optimised=False))))  # fmt: skip
    replaceable = [*floats, *((name, HELD[name].shape, str(HELD[name].dtype)) for name in ("w", "z", "t"))]
    content = write(tmp_path / "i.onnx", nodes, replaceable, outputs, HELD).read_bytes()
    assert unshared(content) == content
