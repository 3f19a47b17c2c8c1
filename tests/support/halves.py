"""Networks in two float types: graphs to convert, and checks of what comes out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgekit.qdq.graph import Graph, runtime, session
from edgekit.quantize import half
from edgekit.technique import Job, Quantized
from tests.support.graphs import node, normal, relative_l2, write

LIMITS = json.loads((Path(__file__).parents[1] / "golden" / "half.json").read_text())["relative_l2"]
IMAGE = ("x", (1, 4, 8, 8), "float32")
ELEMENTS = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


class Frames:
    """Seeded frames, or given ones."""

    def __init__(self, *feeds: dict[str, np.ndarray], count: int = 3, **shapes: tuple[int, ...]) -> None:
        self.feeds = feeds
        self.count = len(feeds) or count
        self.shapes = shapes or {"x": IMAGE[1]}

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for seed in range(self.count):
            yield self.feeds[seed] if self.feeds else {n: normal(seed, *shape) for n, shape in self.shapes.items()}


def config(**keys: Any) -> half.Config:
    return half.Config.model_validate({"method": "half"} | keys)


def applied(source: Path, frames: Any = None, **keys: Any) -> tuple[Quantized, onnx.ModelProto]:
    found = half.apply(Job(source, Frames() if frames is None else frames), config(**keys))
    model = onnx.load_from_string(found.model)
    check_types(model, onnx.load(source))
    return found, model


def check_types(model: onnx.ModelProto, source: onnx.ModelProto) -> None:
    """Valid, the interface unchanged, and no Cast too many."""
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    assert [(v.name, v.type) for v in model.graph.input] == [(v.name, v.type) for v in source.graph.input]
    assert [(v.name, v.type) for v in model.graph.output] == [(v.name, v.type) for v in source.graph.output]
    names = [n.name for n in model.graph.node]
    assert len(set(names)) == len(names)
    casts = [n for n in model.graph.node if n.op_type == "Cast"]
    made = {n.output[0]: n for n in casts}
    read = {*Graph(model).consumers, *(v.name for v in model.graph.output)}
    assert all(n.output[0] in read for n in casts)
    assert not [n for n in casts if n.input[0] in made]
    assert max(Counter((n.input[0], n.attribute[0].i) for n in casts).values(), default=1) == 1


def infer(model: Any, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Outputs of the model as it is written, without ONNX Runtime's rewrites."""
    options = runtime().SessionOptions()
    options.graph_optimization_level = runtime().GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    values: list[np.ndarray] = session(model, options).run(None, feeds)
    return values


def emulated(model: onnx.ModelProto, element: int) -> onnx.ModelProto:
    """The same numbers in FP32 operators: every 16-bit result is rounded by a pair of Casts.

    ONNX Runtime has no bfloat16 operators on a CPU but the Cast.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    types = {v.name: v.type.tensor_type.elem_type for v in model.graph.value_info}
    del made.graph.node[:], made.graph.value_info[:]
    for tensor in made.graph.initializer:
        if tensor.data_type == element:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for item in model.graph.node:
        copy = made.graph.node.add()
        copy.CopyFrom(item)
        for attribute in copy.attribute:
            if item.op_type == "Cast" and attribute.name == "to" and attribute.i == element:
                attribute.i = TensorProto.FLOAT
        for index, name in enumerate(item.output):
            if types.get(name) == element:
                copy.output[index] = f"{name}/exact"
                made.graph.node.append(helper.make_node("Cast", [f"{name}/exact"], [f"{name}/16"], to=element))
                made.graph.node.append(helper.make_node("Cast", [f"{name}/16"], [name], to=TensorProto.FLOAT))
    onnx.checker.check_model(made, full_check=True)
    return made


def check_close(source: Path, model: onnx.ModelProto, feeds: dict[str, np.ndarray], dtype: str) -> None:
    reference = infer(onnx.load(source), feeds)
    runs = [infer(emulated(model, ELEMENTS[dtype]), feeds)] + ([infer(model, feeds)] if dtype == "fp16" else [])
    for results in runs:
        for result, expected in zip(results, reference, strict=True):
            assert result.dtype == expected.dtype
            if expected.dtype == np.float32 and expected.any():
                assert relative_l2(result, expected) < LIMITS[dtype]


def constants(model: onnx.ModelProto) -> dict[str, int]:
    return {t.name: t.data_type for t in model.graph.initializer}


def casts(model: onnx.ModelProto) -> list[tuple[str, str]]:
    return [(n.input[0], n.output[0]) for n in model.graph.node if n.op_type == "Cast"]


def graph(path: Path, nodes: Iterable[onnx.NodeProto], weights: Any = None, outputs: str = "y") -> Path:
    """Write nodes over ``x`` (1, 4, 8, 8); outputs are float32 of rank 4."""
    write(path, list(nodes), [IMAGE], [(name, (None,) * 4, "float32") for name in outputs.split()], weights)
    onnx.save(onnx.shape_inference.infer_shapes(onnx.load(path)), path)
    return path


def scaled(path: Path) -> Path:
    """Conv -> two branches: one goes beyond FP16's range and comes back, one does not; joined by Conv."""
    weights = {
        "w": normal(1, 4, 4, 1, 1),
        "up": np.float32(6e4),
        "down": np.float32(1 / 256),
        "w2": normal(2, 4, 8, 1, 1),
    }
    nodes = [
        node("Conv", "x w", "c"),
        node("Sigmoid", "c", "a"),
        node("Tanh", "c", "b0"),
        node("Relu", "b0", "b"),
        node("Mul", "b up", "big"),
        node("Sqrt", "big", "root"),
        node("Mul", "root down", "b2"),
        node("Concat", "a b2", "j", axis=1),
        node("Conv", "j w2", "y"),
    ]
    return graph(path, nodes, weights)


def attention(path: Path) -> Path:
    """LayerNormalization, two products of activations, Softmax, and a norm written out with its epsilon."""
    weights = {
        "g": normal(1, 32, scale=0.1) + 1,
        "b": normal(2, 32, scale=0.1),
        **{name: normal(k, 32, 32, scale=0.2) for k, name in enumerate(("wq", "wk", "wv"), 3)},
        "two": np.float32(2),
        "eps": np.float32(1e-6),
    }
    nodes = [
        node("LayerNormalization", "x g b", "n"),
        *(node("MatMul", f"n w{k}", k) for k in "qkv"),
        node("Transpose", "k", "kt", perm=[0, 2, 1]),
        node("MatMul", "q kt", "scores"),
        node("Softmax", "scores", "p", axis=-1),
        node("MatMul", "p v", "a"),
        node("Add", "a x", "r"),
        node("ReduceMean", "r", "mean", axes=[-1]),
        node("Sub", "r mean", "d"),
        node("Pow", "d two", "d2"),
        node("ReduceMean", "d2", "var", axes=[-1]),
        node("Add", "var eps", "ve"),
        node("Sqrt", "ve", "sd"),
        node("Div", "d sd", "y"),
    ]
    shape = (1, 12, 32)
    return write(path, nodes, [("x", shape, "float32")], [("y", shape, "float32")], weights)


def two_inputs(path: Path) -> Path:
    """Images and indices of an embedding; an output that is also read inside; integers stay integers."""
    weights = {
        "w": normal(1, 4, 4, 3, 3, scale=0.2),
        "table": normal(2, 10, 4),
        "shape": np.array([1, 4, 1, 1], np.int64),
        "flat": np.array([1, -1], np.int64),
        "wg": normal(3, 5, 256, scale=0.05),
    }
    nodes = [
        node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
        node("Gather", "table ids", "e"),
        node("Reshape", "e shape", "e4"),
        node("Add", "c e4", "y"),
        node("Relu", "y", "r"),
        node("Reshape", "r flat", "f"),
        node("Gemm", "f wg", "logits", transB=1),
        node("ArgMax", "logits", "best", axis=1, keepdims=0),
    ]
    outputs = [("y", IMAGE[1], "float32"), ("logits", (1, 5), "float32"), ("best", (1,), "int64")]
    return write(path, nodes, [IMAGE, ("ids", (1,), "int64")], outputs, weights)


def resized(path: Path) -> Path:
    weights = {"w": normal(1, 4, 4, 1, 1), "scales": np.array([1, 1, 2, 2], np.float32), "top": np.float32(3e38)}
    nodes = [
        node("Conv", "x w", "c"),
        helper.make_node("Resize", ["c", "", "scales"], ["u"], name="Resize_u", mode="linear"),
        helper.make_node("Clip", ["u", "", "top"], ["k"], name="Clip_k"),
        node("MaxPool", "k", "y", kernel_shape=[2, 2]),
    ]
    return graph(path, nodes, weights)


NETWORKS: dict[str, Callable[[Path], Path]] = {f.__name__: f for f in (scaled, attention, two_inputs, resized)}


def feeds_of(name: str, seed: int = 50) -> dict[str, np.ndarray]:
    feeds = {"x": normal(seed, *((1, 12, 32) if name == "attention" else IMAGE[1]))}
    return feeds | ({"ids": np.array([seed % 10])} if name == "two_inputs" else {})


def made(name: str, folder: Path, **keys: Any) -> tuple[Path, Quantized, onnx.ModelProto]:
    source = NETWORKS[name](folder / "fp32.onnx")
    return source, *applied(source, Frames(*(feeds_of(name, seed) for seed in range(3))), **keys)


CHOICES = st.lists(
    st.tuples(
        st.sampled_from(
            ["Conv", "Relu", "Sigmoid", "Add", "Concat", "Large", "Transpose", "Softmax", "Norm", "Shared"]
        ),
        st.integers(0, 99),
        st.integers(0, 99),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


def random_graph(path: Path, choices: list[tuple[str, int, int, bool]]) -> tuple[Path, list[str]]:
    """A graph of (1, 4, 8, 8) tensors that reads any of those made before; the marked nodes shall stay FP32."""
    tensors, nodes, keep = ["x"], [node("Tanh", "x", "t")], []
    weights = {
        "ws": normal(0, 4, 4, 1, 1),
        "g": np.ones(8, np.float32),
        "up": np.float32(1e5),
        "down": np.float32(1e-5),
    }
    tensors.append("t")
    for k, (kind, first, second, kept) in enumerate(choices):
        a, b, y = tensors[first % len(tensors)], tensors[second % len(tensors)], f"v{k}"
        weights[f"w{k}"] = normal(k, 4, 8 if kind == "Concat" else 4, 1, 1, scale=0.5)
        nodes += {
            "Conv": [node("Conv", f"{a} w{k}", y)],
            "Shared": [node("Conv", f"{a} ws", y)],
            "Add": [node("Add", f"{a} {b}", y)],
            "Concat": [node("Concat", f"{a} {b}", f"j{k}", axis=1), node("Conv", f"j{k} w{k}", y)],
            "Large": [node("Mul", f"{a} up", f"l{k}"), node("Mul", f"l{k} down", y)],
            "Transpose": [node("Transpose", a, y, perm=[0, 1, 3, 2])],
            "Softmax": [node("Softmax", a, y, axis=1)],
            # Of nearly equal values a norm keeps the rounding errors: x gives it something to do.
            "Norm": [node("Add", f"{a} x", f"n{k}"), node("LayerNormalization", f"n{k} g", y)],
        }.get(kind, [node(kind, a, y)])
        keep += [nodes[-1].name] if kept else []
        tensors.append(y)
    read = {name for n in nodes for name in n.input}
    leaves = [name for name in tensors[1:] if name not in read] + tensors[1:3]
    used = {name: value for name, value in weights.items() if name in read}
    return graph(path, nodes, used, " ".join(dict.fromkeys(leaves))), keep
