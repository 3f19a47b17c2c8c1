"""Graphs that quantizers get wrong: shared and dead weights, outputs that are read, subgraphs, odd attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support.graphs import Value, node, normal

IMAGE = (1, 8, 16, 16)
PADS = [1, 1, 1, 1]
Feeds = dict[str, np.ndarray]


@dataclass(frozen=True)
class Hard:
    """A graph and its frames.

    Args:
        nodes: in order.
        weights: names that start with ``w`` and are not here are 3 x 3 kernels of 8 to 8 channels.
        inputs: default: ``x``, an image of 8 channels.
        outputs: names; their shapes are inferred.
        frame: one frame for a seed; default: normal values.
        change: done to the finished model.
    """

    nodes: Sequence[Any]
    weights: Mapping[str, np.ndarray] | None = None
    inputs: Sequence[Value] = (("x", IMAGE, "float32"),)
    outputs: str = "y"
    frame: Callable[[int], Feeds] | None = None
    change: Callable[[onnx.ModelProto], None] | None = None

    def write(self, path: Path) -> Path:
        """The model as a file."""
        made = {name for item in self.nodes for name in item.output}
        names = {name for item in self.nodes for name in item.input if name.startswith("w")} - made
        weights = {name: normal(len(name), 8, 8, 3, 3, scale=0.15) for name in names} | dict(self.weights or {})
        given = {name: value for name, *value in self.inputs} | {"z": (IMAGE, "float32")}
        outputs = [(name, *given.get(name, (None, "float32"))) for name in self.outputs.split()]
        graph = helper.make_graph(
            list(self.nodes),
            "hard",
            [helper.make_tensor_value_info(n, _element(kind), list(shape)) for n, shape, kind in self.inputs],
            [helper.make_tensor_value_info(n, _element(kind), shape) for n, shape, kind in outputs],
            [numpy_helper.from_array(np.array(a), name) for name, a in weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        model = onnx.shape_inference.infer_shapes(model)
        if self.change is not None:
            self.change(model)
        onnx.checker.check_model(model)
        path.write_bytes(model.SerializeToString())
        return path

    def feeds(self, seed: int) -> Feeds:
        """The frame of a seed."""
        if self.frame is not None:
            return self.frame(seed)
        return {name: normal(seed * 16 + k, *shape) for k, (name, shape, _) in enumerate(self.inputs)}


@dataclass(frozen=True)
class HardFrames:
    """Calibration frames of a hard graph."""

    graph: Hard
    count: int = 6

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Feeds]:
        return (self.graph.feeds(seed) for seed in range(self.count))


def _element(kind: str) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(kind)))


def conv(inputs: str, output: str, **attributes: Any) -> Any:
    return node("Conv", inputs, output, **({"pads": PADS} | attributes))


def branch(op: str, captured: str, name: str) -> Any:
    made = helper.make_tensor_value_info(f"{name}/out", TensorProto.FLOAT, list(IMAGE))
    return helper.make_graph([helper.make_node(op, [captured], [f"{name}/out"], name=name)], name, [], [made])


def condition(captured: str) -> list[Any]:
    """An If on the sign of the sum of ``x``, whose branches read a tensor from outside."""
    branches = {"then_branch": branch("Neg", captured, "then"), "else_branch": branch("Abs", captured, "else")}
    return [
        node("ReduceSum", "x", "sum", keepdims=0),
        node("Greater", "sum zero", "flag"),
        helper.make_node("If", ["flag"], ["z"], name="if", **branches),
    ]


def loop(captured: str) -> Any:
    """Three rounds that add a tensor from outside to a state; the body's own state has an outer tensor's name."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["state", captured], ["next"])],
        "body",
        [value("step", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("state", 1, list(IMAGE))],
        [value("on", TensorProto.BOOL, []), value("next", 1, list(IMAGE))],
    )
    return helper.make_node("Loop", ["count", "true", "x"], ["z"], name="loop", body=body)


def dead(*shape: int) -> np.ndarray:
    """A kernel with some output channels of zeros."""
    made = normal(5, *shape, scale=0.2)
    made[1::3] = 0
    return made


def older(model: onnx.ModelProto) -> None:
    """What exporters wrote for IR version 3 and opset 11: weights are listed as inputs."""
    model.ir_version = 3
    model.opset_import[0].version = 11
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    del model.graph.value_info[:]


def rename(*names: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for made, name in zip(model.graph.node, names, strict=True):
            made.name = name

    return change


GRAPHS: dict[str, Hard] = {
    # -- layers
    "depthwise and grouped": Hard(
        [conv("x w1", "c1", group=8), conv("c1 w2", "c2", group=2), conv("c2 w3", "y", pads=[0] * 4)],
        {"w1": normal(1, 8, 1, 3, 3), "w2": normal(2, 8, 4, 3, 3, scale=0.3), "w3": normal(3, 4, 8, 1, 1)},
    ),
    "transposed": Hard(
        [conv("x w", "c"), node("ConvTranspose", "c v", "y", strides=[2, 2])], {"v": normal(2, 8, 4, 2, 2, scale=0.2)}
    ),
    "transposed in groups": Hard(
        [conv("x w", "c"), node("ConvTranspose", "c v b", "t", strides=[2, 2], group=4), node("Relu", "t", "y")],
        {"v": normal(2, 8, 3, 2, 2, scale=0.2), "b": normal(3, 12)},
    ),
    "same padding": Hard(
        [
            conv("x w", "c", pads=None, auto_pad="SAME_UPPER", strides=[2, 2]),
            conv("c w2", "d", pads=None, auto_pad="SAME_LOWER", strides=[2, 2]),
            conv("d v", "y", pads=None, auto_pad="VALID"),
        ],
        {"v": normal(1, 8, 8, 2, 2, scale=0.3)},
    ),
    "gemm attributes": Hard(
        [
            node("Gemm", "x v", "a", transA=1, alpha=0.5),
            node("Gemm", "a v b", "c", beta=2.0),
            node("Gemm", "c v b", "d"),
            node("Gemm", "d v b", "y", transB=1),
        ],
        {"v": normal(1, 16, 16, scale=0.2), "b": normal(2, 16)},
        [("x", (16, 16), "float32")],
    ),
    "matmul with three dimensions": Hard(
        [node("MatMul", "x v", "a"), node("Relu", "a", "r"), node("MatMul", "r u", "y")],
        {"v": normal(1, 3, 16, 16, scale=0.3), "u": normal(2, 16, 4)},
        [("x", (3, 5, 16), "float32")],
    ),
    "transformer": Hard(
        [
            node("LayerNormalization", "x g b", "n"),
            *(node("MatMul", f"n m{k}", k) for k in "qkv"),
            node("Transpose", "k", "kt", perm=[0, 2, 1]),
            node("MatMul", "q kt", "scores"),
            node("Softmax", "scores", "p", axis=-1),
            node("MatMul", "p v", "a"),
            node("Add", "a x", "r"),
            node("MatMul", "r m1", "h"),
            node("Div", "h sqrt2", "hs"),
            node("Erf", "hs", "e"),
            node("Add", "e one", "e1"),
            node("Mul", "h e1", "he"),
            node("Mul", "he half", "y"),
        ],
        {
            "g": normal(1, 32, scale=0.1) + 1,
            "b": normal(2, 32, scale=0.1),
            **{f"m{name}": normal(k, 32, 32, scale=0.2) for k, name in enumerate("qkv1", 3)},
            "sqrt2": np.float32(np.sqrt(2)),
            "one": np.float32(1),
            "half": np.float32(0.5),
        },
        [("x", (1, 12, 32), "float32")],
    ),
    "branches": Hard(
        [
            conv("x w1", "c1", pads=[0] * 4),
            conv("x w2", "c2"),
            node("Concat", "c1 c2", "j", axis=1),
            node("GlobalAveragePool", "j", "m"),
            node("Sigmoid", "m", "s"),
            node("Mul", "j s", "se"),
            node("Add", "se x", "y"),
        ],
        {"w1": normal(1, 4, 8, 1, 1), "w2": normal(2, 4, 8, 3, 3, scale=0.3)},
    ),
    "moves": Hard(
        [
            conv("x w", "c"),
            node("Split", "c", "a b", axis=1),
            node("Concat", "b a", "j", axis=1),
            node("DepthToSpace", "j", "d", blocksize=2),
            helper.make_node("Resize", ["d", "", "s"], ["u"], name="up", mode="nearest"),
            node("Slice", "u first last axes", "i"),
            node("Conv", "i v", "e"),
            node("Unsqueeze", "e one", "q"),
            node("Squeeze", "q one", "f"),
            node("MaxPool", "f", "p", kernel_shape=[2, 2], strides=[2, 2]),
            node("Conv", "p v", "y"),
        ],
        {
            "s": np.float32([1, 1, 2, 2]),
            "first": np.int64([0, 4]),
            "last": np.int64([2, 60]),
            "axes": np.int64([1, 2]),
            "v": normal(3, 2, 2, 1, 1),
            "one": np.int64([1]),
        },
    ),
    "pool with indices": Hard([conv("x w", "c"), node("MaxPool", "c", "p i", kernel_shape=[2, 2]), conv("p w2", "y")]),
    "prelu": Hard(
        [conv("x w", "c"), node("PRelu", "c k", "p"), conv("p w2", "d"), node("PRelu", "d j", "q"), conv("q w3", "y")],
        {"k": np.abs(normal(1, 8, 1, 1, scale=0.2)), "j": normal(2, 8, 1, 1) + 2},
    ),
    "a maximum": Hard([conv("x w", "a"), conv("x w2", "b"), node("Max", "a b", "m"), conv("m w3", "y")], outputs="m y"),
    "a maximum of a relu": Hard(
        [
            conv("x w", "c"),
            node("Relu", "c", "r"),
            node("MaxPool", "r", "p", kernel_shape=[3, 3], pads=PADS),
            conv("x w2", "d"),
            node("Mul", "d ten", "t"),
            node("Max", "p t", "m"),
            conv("m w3", "y"),
        ],
        {"ten": np.float32(10), "w": -np.abs(normal(1, 8, 8, 3, 3, scale=0.05))},
        frame=lambda seed: {"x": np.abs(normal(seed, *IMAGE))},
    ),
    # -- sharing
    "shared weights": Hard([conv("x w", "c"), node("Relu", "c", "r"), conv("r w", "d"), node("Add", "d r", "y")]),
    "shared weights on two grids": Hard(
        [conv("x w b", "c"), node("Mul", "c small", "m"), conv("m w d", "y")],
        {"small": np.float32(1e-3), "b": normal(1, 8), "d": normal(2, 8, scale=0.01)},
    ),
    "weights tied with a float use": Hard(
        [conv("x v", "c", pads=[0] * 4), node("Softmax", "c", "s", axis=1), node("Mul", "s v", "y")],
        {"v": normal(1, 8, 8, 1, 1)},
    ),
    "weights that are an operand": Hard(
        [
            conv("x v", "c", pads=[0] * 4),
            node("GlobalAveragePool", "c", "g"),
            node("Add", "g v", "a"),
            conv("a v", "y", pads=[0] * 4),
        ],
        {"v": np.abs(normal(1, 8, 8, 1, 1))},
    ),
    "added to itself": Hard([conv("x w", "c"), node("Add", "c c", "a"), node("Mul", "a a", "m"), conv("m w2", "y")]),
    # -- values
    "dead channels": Hard(
        [conv("x w b", "c"), node("Relu", "c", "r"), conv("r w2 d", "y")],
        {"w": dead(8, 8, 3, 3), "b": normal(1, 8, scale=0.01), "w2": dead(8, 8, 3, 3), "d": normal(2, 8, scale=0.1)},
    ),
    "dead activations": Hard(
        [conv("x w b", "c"), node("Relu", "c", "r"), conv("r w2 d", "e"), node("Add", "e x", "y")],
        {"b": np.full(8, -100, np.float32), "d": normal(2, 8)},
    ),
    "weights of zero": Hard(
        [conv("x w b", "c"), conv("c w2 b", "y")], {"w": np.zeros((8, 8, 3, 3), np.float32), "b": normal(2, 8)}
    ),
    "a huge bias on tiny weights": Hard(
        [conv("x w b", "c"), conv("c w2", "y")], {"w": normal(1, 8, 8, 3, 3, scale=1e-9), "b": normal(2, 8, scale=100)}
    ),
    "constant activations": Hard(
        [conv("x w b", "c"), node("Relu", "c", "r"), conv("r w2", "y")],
        {"w": np.zeros((8, 8, 3, 3), np.float32), "b": np.full(8, 0.7, np.float32)},
    ),
    "clip above zero": Hard(
        [conv("x w", "c"), node("Clip", "c low high", "k"), conv("k w2", "y")],
        {"low": np.float32(0.3), "high": np.float32(2)},
    ),
    # -- outputs
    "an input that is an output": Hard([conv("x w", "c"), node("Relu", "c", "r"), conv("r w2", "y")], outputs="y x"),
    "an output that is read": Hard(
        [conv("x w", "c"), conv("c w2", "d"), node("Sigmoid", "d", "s"), node("Mul", "d s", "y")], outputs="c d y"
    ),
    "saturations on outputs": Hard(
        [
            conv("x w", "c"),
            node("Relu", "c", "r"),
            conv("r w2", "d"),
            node("Clip", "d low high", "k"),
            conv("k w3", "e"),
            node("Relu", "e", "y"),
        ],
        {"low": np.float32(-0.5), "high": np.float32(0.5)},
        outputs="r k y e",
    ),
    # -- inputs
    "two inputs": Hard(
        [
            conv("x w", "c"),
            node("Add", "c z", "y"),
            node("Flatten", "y", "f"),
            node("Gemm", "f v b", "logits", transB=1),
        ],
        {"v": normal(2, 5, 2048, scale=0.02), "b": normal(3, 5)},
        [("x", IMAGE, "float32"), ("z", IMAGE, "float32")],
        "y logits",
    ),
    "a batch of any size": Hard(
        [conv("x w", "c"), node("Relu", "c", "r"), conv("r w2", "d"), node("Add", "d r", "y")],
        inputs=[("x", ("batch", 8, "height", "width"), "float32")],
        frame=lambda seed: {"x": normal(seed, 1 + seed % 3, 8, 12 + seed % 2, 10)},
    ),
    "pixels of one byte": Hard(
        [node("Cast", "x", "f", to=1), node("Mul", "f scale", "s"), conv("s w", "c"), conv("c w2", "y")],
        {"scale": np.float32(1 / 255)},
        [("x", IMAGE, "uint8")],
        frame=lambda seed: {"x": np.random.default_rng(seed).integers(0, 256, IMAGE, np.uint8)},
    ),
    "indices": Hard(
        [
            node("Gather", "table x", "e"),
            node("MatMul", "e m", "a"),
            node("Relu", "a", "r"),
            node("MatMul", "r m", "y"),
        ],
        {"table": normal(1, 20, 16), "m": normal(2, 16, 16, scale=0.3)},
        [("x", (1, 20), "int64")],
        frame=lambda seed: {"x": np.random.default_rng(seed).permutation(20)[None]},
    ),
    # -- subgraphs
    "an if that reads a folded relu": Hard(
        [conv("x w", "c"), node("Relu", "c", "r"), conv("r w2", "y"), *condition("r")],
        {"zero": np.float32(0)},
        outputs="y z",
    ),
    "an if that reads a convolution": Hard(
        [conv("x w", "c"), conv("c w2", "y"), *condition("c")], {"zero": np.float32(0)}, outputs="c y z"
    ),
    "an if that reads a maximum": Hard(
        [conv("x w", "a"), conv("x w2", "b"), node("Max", "a b", "m"), conv("m w3", "y"), *condition("m")],
        {"zero": np.float32(0)},
        outputs="y z",
    ),
    "a loop": Hard(
        [conv("x w", "state2"), conv("state2 w2", "y"), loop("state2")],
        {"count": np.int64(3), "true": np.bool_(True)},
        outputs="y z",
    ),
    # -- names and versions
    "names that repeat": Hard(
        [conv("x w", "c"), node("Relu", "c", "r"), conv("r w2", "y")], change=rename("same", "same", "same")
    ),
    "our names": Hard(
        [
            conv("x w", "x/rounded"),
            node("Relu", "x/rounded", "y/exact"),
            conv("y/exact w2", "x/integer"),
            node("Sigmoid", "x/integer", "w/axis0/integer"),
            node("Mul", "x/integer w/axis0/integer", "x/integer/rounded"),
            conv("x/integer/rounded w", "y"),
        ],
        {"w/axis0": normal(2, 8, 8, 3, 3), "w": normal(1, 8, 8, 3, 3, scale=0.15)},
        outputs="y y/exact",
        change=rename("x/QuantizeLinear", "y/DequantizeLinear", "y", "x", "w/axis0/DequantizeLinear", "w"),
    ),
    "opset 11": Hard(
        [conv("x w", "c"), node("Relu", "c", "r"), conv("r w2", "d"), node("Softmax", "d", "y", axis=1)], change=older
    ),
}
