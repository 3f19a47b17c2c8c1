from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from pydantic import ValidationError
from tests.graphs import convnet, node, normal, relative_l2, write

from edgekit.core.errors import DataError, ModelError
from edgekit.engine import ort
from edgekit.quantize import Quantized, ptq

LIMITS = json.loads((Path(__file__).parents[1] / "golden" / "ptq.json").read_text())["relative_l2"]
PTQ = ptq.Config(method="ptq")
IMAGE = ("x", (1, 8, 16, 16), "float32")


def frames(count: int = 6, **shapes: tuple[int, ...]) -> Iterator[dict[str, np.ndarray]]:
    shapes = shapes or {"x": (1, 3, 16, 16)}
    for seed in range(count):
        yield {name: normal(seed, *shape) for name, shape in shapes.items()}


def quantized(source: Path, config: ptq.Config = PTQ, **shapes: tuple[int, ...]) -> tuple[Quantized, onnx.ModelProto]:
    found = ptq.apply(source, frames(**shapes), config)
    model = onnx.load_from_string(found.model)
    onnx.checker.check_model(model, full_check=True)
    return found, model


def outputs(path: Path, feeds: dict[str, np.ndarray], optimised: bool = False) -> dict[str, np.ndarray]:
    with ort.open(path, ort.Config(engine="ort"), optimised=optimised) as engine:
        return engine.infer(feeds)


def engine_of(model: bytes, folder: Path) -> Path:
    (folder / "typed.onnx").write_bytes(model)
    target = folder / f"engine{ort.SUFFIX}"
    ort.build(folder / "typed.onnx", target, ort.Config(engine="ort"))
    return target


def initializers(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def by_op(model: onnx.ModelProto, op: str) -> list[Any]:
    return [n for n in model.graph.node if n.op_type == op]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return convnet(tmp_path / "fp32.onnx")


class TestTypes:
    def test_activations_are_uint8_per_tensor(self, source: Path) -> None:
        _, model = quantized(source)
        constants = initializers(model)
        quantizers = by_op(model, "QuantizeLinear")
        assert len(quantizers) >= 3
        for q in quantizers:
            assert constants[q.input[2]].dtype == np.uint8
            assert constants[q.input[1]].shape == constants[q.input[2]].shape == ()
            assert constants[q.input[1]] > 0

    def test_weights_are_int8_per_output_channel_and_symmetric(self, source: Path) -> None:
        _, model = quantized(source)
        constants = initializers(model)
        weights = [d for d in by_op(model, "DequantizeLinear") if d.input[0] in constants]
        kernels = [d for d in weights if constants[d.input[0]].dtype == np.int8]
        assert len(kernels) == 2
        for d in kernels:
            assert constants[d.input[0]].shape[0] == constants[d.input[1]].shape[0] == 8
            assert not constants[d.input[2]].any()
            assert constants[d.input[2]].dtype == np.int8
            assert next(a.i for a in d.attribute if a.name == "axis") == 0

    def test_every_weight_is_within_half_a_step(self, source: Path) -> None:
        _, model = quantized(source)
        constants = initializers(model)
        originals = initializers(onnx.load(source))
        for name in ("w1", "w2"):
            (d,) = [d for d in by_op(model, "DequantizeLinear") if d.input[0] == f"{name}_quantized"]
            scale = constants[d.input[1]].reshape(-1, 1, 1, 1)
            restored = constants[d.input[0]].astype(np.float32) * scale
            assert np.all(np.abs(restored - originals[name]) <= scale * 0.501)
            assert np.allclose(np.abs(originals[name]).max(axis=(1, 2, 3)), 127 * scale.ravel(), rtol=0.01)

    def test_runs_as_integer_convolutions(self, source: Path, tmp_path: Path) -> None:
        found, _ = quantized(source)
        engine = engine_of(found.model, tmp_path)
        ops = [n.op_type for n in onnx.load(engine).graph.node]
        assert ops.count("QLinearConv") == 2
        assert not {"Conv", "FusedConv"} & set(ops)
        assert "QLinearAdd" in ops
        x = {"x": normal(99, 1, 3, 16, 16)}
        reference = outputs(source, x)["y"]
        assert relative_l2(outputs(engine, x, optimised=True)["y"], reference) < LIMITS["convnet"]

    @pytest.mark.parametrize("calibrator", ["percentile", "minmax"])
    def test_ranges_of_a_known_distribution(self, source: Path, calibrator: Any) -> None:
        found, _ = quantized(source, ptq.Config(method="ptq", calibrator=calibrator, percentile=99.0))
        values = np.concatenate([f["x"].ravel() for f in frames()])
        expected = (values.min(), values.max()) if calibrator == "minmax" else np.percentile(values, (0.5, 99.5))
        assert found.record["ranges"]["x"] == pytest.approx(list(expected), abs=0.02)


class TestContract:
    def test_record(self, source: Path) -> None:
        found, model = quantized(source)
        assert found.record["frames"] == 6
        assert found.record["method"] == "ptq"
        assert found.record["config"] == {
            "method": "ptq",
            "calibrator": "percentile",
            "percentile": 99.99,
            "exclude": [],
        }
        assert json.loads(json.dumps(found.record)) == found.record
        assert list(found.record["ranges"]) == sorted(found.record["ranges"])
        assert {"x", "y"} <= set(found.record["ranges"])
        assert all(low <= 0 <= high for low, high in found.record["ranges"].values())
        assert [i.name for i in model.graph.input] == ["x"]
        assert [o.name for o in model.graph.output] == ["y"]

    def test_same_frames_same_bytes(self, source: Path) -> None:
        first, second = quantized(source)[0], quantized(source)[0]
        assert first.model == second.model
        assert first.record == second.record

    def test_advances_after_every_frame(self, source: Path) -> None:
        seen: list[int] = []
        made = 0

        def feeds() -> Iterator[dict[str, np.ndarray]]:
            nonlocal made
            for feed in frames(5):
                made += 1
                yield feed

        ptq.apply(source, feeds(), PTQ, lambda: seen.append(made))
        assert seen == [1, 2, 3, 4, 5]

    def test_frames_are_streamed(self, source: Path) -> None:
        """At most the frame in use and the one before it are alive, and the iterator is read once."""
        alive: list[weakref.ref[np.ndarray]] = []
        most = 0

        def feeds() -> Iterator[dict[str, np.ndarray]]:
            nonlocal most
            for seed in range(12):
                gc.collect()
                most = max(most, sum(r() is not None for r in alive))
                array = normal(seed, 1, 3, 16, 16)
                alive.append(weakref.ref(array))
                feed = {"x": array}
                del array
                yield feed
                del feed

        ptq.apply(source, feeds(), PTQ)
        assert len(alive) == 12
        assert most <= 1

    def test_no_frame(self, source: Path) -> None:
        with pytest.raises(DataError, match=r"the calibration set is empty; give data\.calibration"):
            ptq.apply(source, iter(()), PTQ)

    def test_nan_activations_name_the_tensor(self, source: Path) -> None:
        feed = {"x": np.full((1, 3, 16, 16), np.nan, np.float32)}
        with pytest.raises(ModelError, match="tensor 'x' holds NaN or infinity"):
            ptq.apply(source, iter([feed]), PTQ)

    @pytest.mark.parametrize(
        "keys",
        [{"calibrator": "entropy"}, {"percentile": 50}, {"percentile": 100.1}, {"percentil": 99}, {"method": "qat"}],
    )
    def test_config_mistakes(self, keys: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            ptq.Config.model_validate({"method": "ptq"} | keys)

    def test_nothing_to_quantize(self, tmp_path: Path) -> None:
        path = write(tmp_path / "m.onnx", [node("Softmax", "x", "y", axis=1)], [IMAGE], [("y", IMAGE[1], "float32")])
        with pytest.raises(ModelError, match=r"m\.onnx: no operator to quantize; INT8 needs one of Conv, Gemm"):
            ptq.apply(path, frames(x=IMAGE[1]), PTQ)


class TestExclude:
    def test_an_excluded_node_stays_float(self, source: Path) -> None:
        config = ptq.Config(method="ptq", exclude=("Conv_c1",))
        found, model = quantized(source, config)
        first, second = by_op(model, "Conv")
        assert (first.name, first.input[1]) == ("Conv_c1", "w1")
        assert second.input[1].startswith("w2_")
        assert found.record["float_nodes"] == ["Conv_c1"]

    def test_everything_excluded(self, source: Path) -> None:
        names = tuple(n.name for n in onnx.load(source).graph.node)
        with pytest.raises(ModelError, match="no operator to quantize"):
            ptq.apply(source, frames(), ptq.Config(method="ptq", exclude=names))

    def test_unknown_name(self, source: Path) -> None:
        config = ptq.Config(method="ptq", exclude=("Conv_c11",))
        with pytest.raises(ModelError, match=r"exclude: the model has no node 'Conv_c11'; did you mean 'Conv_c1'\?"):
            ptq.apply(source, frames(), config)

    def test_only_the_head_before_a_resize_stays_float(self, tmp_path: Path) -> None:
        """Node names are optional in ONNX: an unnamed head must not take the other unnamed nodes with it."""
        weights = {"w1": normal(1, 8, 8, 3, 3, scale=0.2), "w2": normal(2, 4, 8, 1, 1, scale=0.2)}
        nodes = [
            node("Conv", "x w1", "c1", pads=[1, 1, 1, 1]),
            node("Relu", "c1", "r1"),
            node("Conv", "r1 w2", "c2"),
            onnx.helper.make_node("Resize", ["c2", "", "s"], ["y"], mode="linear"),
        ]
        for made in nodes:
            made.name = ""
        weights["s"] = np.array([1, 1, 2, 2], np.float32)
        path = write(tmp_path / "m.onnx", nodes, [IMAGE], [("y", (1, 4, 32, 32), "float32")], weights)
        found, _ = quantized(path, x=IMAGE[1])
        ops = [n.op_type for n in onnx.load(engine_of(found.model, tmp_path)).graph.node]
        assert ops.count("QLinearConv") == 1
        assert len(found.record["float_nodes"]) == 1


def depthwise(path: Path) -> Path:
    weights = {"w1": normal(1, 8, 1, 3, 3), "w2": normal(2, 8, 4, 3, 3, scale=0.3), "w3": normal(3, 4, 8, 1, 1)}
    nodes = [
        node("Conv", "x w1", "c1", pads=[1, 1, 1, 1], group=8),
        node("Conv", "c1 w2", "c2", pads=[1, 1, 1, 1], group=2),
        node("Conv", "c2 w3", "y"),
    ]
    return write(path, nodes, [IMAGE], [("y", (1, 4, 16, 16), "float32")], weights)


def transposed(path: Path) -> Path:
    weights = {"w1": normal(1, 8, 8, 3, 3, scale=0.2), "w2": normal(2, 8, 4, 2, 2, scale=0.2)}
    nodes = [node("Conv", "x w1", "c1", pads=[1, 1, 1, 1]), node("ConvTranspose", "c1 w2", "y", strides=[2, 2])]
    return write(path, nodes, [IMAGE], [("y", (1, 4, 32, 32), "float32")], weights)


def attention(path: Path) -> Path:
    """A transformer block: LayerNormalization, two products of activations, Softmax, and GELU by Erf."""
    weights = {
        "g": normal(1, 32, scale=0.1) + 1,
        "b": normal(2, 32, scale=0.1),
        **{name: normal(k, 32, 32, scale=0.2) for k, name in enumerate(("wq", "wk", "wv", "w1"), 3)},
        "sqrt2": np.float32(np.sqrt(2)),
        "one": np.float32(1),
        "half": np.float32(0.5),
    }
    nodes = [
        node("LayerNormalization", "x g b", "n"),
        *(node("MatMul", f"n w{k}", k) for k in "qkv"),
        node("Transpose", "k", "kt", perm=[0, 2, 1]),
        node("MatMul", "q kt", "scores"),
        node("Softmax", "scores", "p", axis=-1),
        node("MatMul", "p v", "a"),
        node("Add", "a x", "r"),
        node("MatMul", "r w1", "h"),
        node("Div", "h sqrt2", "hs"),
        node("Erf", "hs", "e"),
        node("Add", "e one", "e1"),
        node("Mul", "h e1", "he"),
        node("Mul", "he half", "y"),
    ]
    shape = (1, 12, 32)
    return write(path, nodes, [("x", shape, "float32")], [("y", shape, "float32")], weights)


def branches(path: Path) -> Path:
    weights = {"w1": normal(1, 4, 8, 1, 1), "w2": normal(2, 4, 8, 3, 3, scale=0.3)}
    nodes = [
        node("Conv", "x w1", "c1"),
        node("Conv", "x w2", "c2", pads=[1, 1, 1, 1]),
        node("Concat", "c1 c2", "j", axis=1),
        node("GlobalAveragePool", "j", "m"),
        node("Sigmoid", "m", "s"),
        node("Mul", "j s", "se"),
        node("Add", "se x", "y"),
    ]
    return write(path, nodes, [IMAGE], [("y", IMAGE[1], "float32")], weights)


def shared(path: Path) -> Path:
    nodes = [
        node("Conv", "x w", "c1", pads=[1, 1, 1, 1]),
        node("Relu", "c1", "r1"),
        node("Conv", "r1 w", "c2", pads=[1, 1, 1, 1]),
        node("Add", "c2 r1", "y"),
    ]
    weights = {"w": normal(1, 8, 8, 3, 3, scale=0.2)}
    return write(path, nodes, [IMAGE], [("y", IMAGE[1], "float32")], weights)


def two_inputs(path: Path) -> Path:
    nodes = [
        node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
        node("Add", "c z", "y"),
        node("Flatten", "y", "f"),
        node("Gemm", "f wg bg", "logits", transB=1),
    ]
    weights = {
        "w": normal(1, 8, 8, 3, 3, scale=0.2),
        "wg": normal(2, 5, 2048, scale=0.02),
        "bg": normal(3, 5),
    }
    values = [("y", IMAGE[1], "float32"), ("logits", (1, 5), "float32")]
    return write(path, nodes, [IMAGE, ("z", IMAGE[1], "float32")], values, weights)


NETWORKS: dict[str, Callable[[Path], Path]] = {
    f.__name__: f for f in (depthwise, transposed, attention, branches, shared, two_inputs)
}


class TestNetworks:
    @pytest.mark.parametrize("name", NETWORKS)
    def test_close_to_fp32(self, name: str, tmp_path: Path) -> None:
        source = NETWORKS[name](tmp_path / "fp32.onnx")
        shapes = {"x": (1, 12, 32)} if name == "attention" else {"x": IMAGE[1]}
        if name == "two_inputs":
            shapes["z"] = IMAGE[1]
        found, model = quantized(source, **shapes)
        feeds = {key: normal(50 + k, *shape) for k, (key, shape) in enumerate(shapes.items())}
        reference = outputs(source, feeds)
        engine = engine_of(found.model, tmp_path)
        for result in (outputs(tmp_path / "typed.onnx", feeds), outputs(engine, feeds, optimised=True)):
            assert list(result) == list(reference)
            for key, value in reference.items():
                assert 1e-5 < relative_l2(result[key], value) < LIMITS[name]
        assert [i.name for i in model.graph.input] == list(shapes)
        integer = {"QLinearConv", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat", "MatMulInteger"}
        assert integer & {n.op_type for n in onnx.load(engine).graph.node}

    def test_batch_norm_is_folded(self, tmp_path: Path) -> None:
        weights = {"w": normal(1, 8, 8, 3, 3, scale=0.2)} | {k: np.abs(normal(2, 8)) + 0.5 for k in "gbmv"}
        nodes = [
            node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
            node("BatchNormalization", "c g b m v", "n"),
            node("Relu", "n", "y"),
        ]
        path = write(tmp_path / "m.onnx", nodes, [IMAGE], [("y", IMAGE[1], "float32")], weights)
        _, model = quantized(path, x=IMAGE[1])
        assert not by_op(model, "BatchNormalization")

    @pytest.mark.parametrize("scale", [0.0, 1e-30, 1e20])
    def test_activations_of_any_size(self, tmp_path: Path, scale: float) -> None:
        """A dead or an exploding branch gives a valid model with finite outputs."""
        path = convnet(tmp_path / "m.onnx")
        feed = {"x": normal(0, 1, 3, 16, 16) * np.float32(scale)}
        found = ptq.apply(path, iter([feed]), PTQ)
        result = outputs(engine_of(found.model, tmp_path), feed, optimised=True)["y"]
        assert np.isfinite(result).all()
        if scale > 1:
            assert relative_l2(result, outputs(path, feed)["y"]) < 0.1
