from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from pydantic import ValidationError

from edgekit.core.errors import DataError, ModelError, SpecError
from edgekit.engine import ort
from edgekit.qdq.graph import simplified
from edgekit.quantize import ptq
from edgekit.technique import Job, Quantized
from tests.support.graphs import convnet, node, normal, relative_l2, write
from tests.support.reference_models import Frames

LIMITS = json.loads((Path(__file__).parents[1] / "golden" / "ptq.json").read_text())["relative_l2"]
PTQ = ptq.Config()
IMAGE = ("x", (1, 8, 16, 16), "float32")
SMALL = {"x": (1, 3, 16, 16)}
CALIBRATORS = ("minmax", "percentile", "entropy", "mse")


def quantized(
    source: Path, config: ptq.Config = PTQ, profile: str = "ort-x86", **shapes: tuple[int, ...]
) -> tuple[Quantized, onnx.ModelProto]:
    found = ptq.apply(Job(source, Frames(shapes or SMALL), profile), config)
    model = onnx.load_from_string(found.model)
    onnx.checker.check_model(model, full_check=True)
    return found, model


def outputs(path: Path, feeds: dict[str, np.ndarray], optimised: bool = False) -> dict[str, np.ndarray]:
    with (
        ort.Backend(ort.Config(engine="ort")).engine(path)
        if optimised
        else ort.reference(path, ort.Config(engine="ort"))
    ) as engine:
        return engine.infer(feeds)


def engine_of(model: bytes, folder: Path) -> Path:
    (folder / "typed.onnx").write_bytes(model)
    target = folder / f"engine{ort.Backend.suffix}"
    ort.Backend(ort.Config(engine="ort")).build(folder / "typed.onnx", target)
    return target


def initializers(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def by_op(model: onnx.ModelProto, op: str) -> list[Any]:
    return [n for n in model.graph.node if n.op_type == op]


def kernels_of(model: onnx.ModelProto) -> dict[str, tuple[np.ndarray, np.ndarray, int | None]]:
    """Integers, scales and axis of the weights of every Conv, by its name."""
    constants = initializers(model)
    producer = {made: n for n in model.graph.node for made in n.output}
    found = {}
    for conv in by_op(model, "Conv"):
        d = producer[conv.input[1]]
        axis = next((a.i for a in d.attribute if a.name == "axis"), None)
        assert not constants[d.input[2]].any()
        found[conv.name] = constants[d.input[0]], constants[d.input[1]], axis
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return convnet(tmp_path / "fp32.onnx")


class TestTypes:
    @pytest.mark.parametrize(
        ("profile", "dtype"), [("ort-x86", "uint8"), ("ort-arm", "int8"), ("tensorrt", "int8"), ("openvino", "uint8")]
    )
    def test_activations_are_per_tensor(self, source: Path, profile: str, dtype: str) -> None:
        found, model = quantized(source, profile=profile)
        constants = initializers(model)
        quantizers = by_op(model, "QuantizeLinear")
        assert len(quantizers) >= 2
        for q in quantizers:
            assert constants[q.input[2]].dtype == dtype
            assert constants[q.input[1]].shape == constants[q.input[2]].shape == ()
            assert constants[q.input[1]] > 0
            assert constants[q.input[2]] == 0 or profile != "tensorrt"
        assert found.record["activations"].startswith(f"{dtype} per tensor")
        assert ("symmetric" in found.record["activations"]) is (profile == "tensorrt")

    def test_weights_are_int8_per_output_channel_and_symmetric(self, source: Path) -> None:
        _, model = quantized(source)
        kernels = kernels_of(model)
        assert len(kernels) == 2
        for values, scales, axis in kernels.values():
            assert values.dtype == np.int8
            assert values.shape[0] == scales.shape[0] == 8
            assert axis == 0

    @pytest.mark.parametrize("bits", [8, 4])
    def test_every_weight_is_within_half_a_step(self, source: Path, bits: Any) -> None:
        _, model = quantized(source, ptq.Config(weight_bits=bits))
        originals = initializers(onnx.load(source))
        highest = 2 ** (bits - 1) - 1
        for values, scales, name in (
            (*kernels_of(model)["Conv_c1"][:2], "w1"),
            (*kernels_of(model)["Conv_c2"][:2], "w2"),
        ):
            step = scales.reshape(-1, 1, 1, 1)
            assert np.all(np.abs(values * step - originals[name]) <= step * 0.501)
            assert np.abs(values).max() == highest
            assert np.allclose(np.abs(originals[name]).max(axis=(1, 2, 3)), highest * scales, rtol=0.01)

    def test_per_tensor_weights(self, source: Path) -> None:
        found, model = quantized(source, ptq.Config(weights="per-tensor"))
        assert [(scales.shape, axis) for _, scales, axis in kernels_of(model).values()] == [((), None)] * 2
        assert found.record["weights"] == "int8 per-tensor, symmetric"

    def test_runs_as_integer_convolutions(self, source: Path, tmp_path: Path) -> None:
        found, _ = quantized(source)
        engine = engine_of(found.model, tmp_path)
        ops = [n.op_type for n in onnx.load(engine).graph.node]
        assert ops.count("QLinearConv") == 2
        assert not {"Conv", "FusedConv"} & set(ops)
        x = {"x": normal(99, 1, 3, 16, 16)}
        reference = outputs(source, x)["y"]
        assert relative_l2(outputs(engine, x, optimised=True)["y"], reference) < LIMITS["convnet"]

    @pytest.mark.parametrize("calibrator", ["percentile", "minmax"])
    def test_ranges_of_a_known_distribution(self, source: Path, calibrator: Any) -> None:
        found, _ = quantized(source, ptq.Config(calibrator=calibrator, percentile=99.0))
        values = np.concatenate([f["x"].ravel() for f in Frames(SMALL)])
        expected = (values.min(), values.max()) if calibrator == "minmax" else np.percentile(values, (0.5, 99.5))
        assert found.record["ranges"]["x"] == pytest.approx(list(expected), abs=0.02)

    @pytest.mark.parametrize("calibrator", CALIBRATORS)
    @pytest.mark.parametrize("profile", ["ort-x86", "tensorrt"])
    def test_every_calibrator_is_close_to_fp32(
        self, source: Path, tmp_path: Path, calibrator: Any, profile: str
    ) -> None:
        found, _ = quantized(source, ptq.Config(calibrator=calibrator), profile)
        (tmp_path / "typed.onnx").write_bytes(found.model)
        x = {"x": normal(99, 1, 3, 16, 16)}
        error = relative_l2(outputs(tmp_path / "typed.onnx", x)["y"], outputs(source, x)["y"])
        assert 1e-4 < error < LIMITS["convnet"]


class TestContract:
    def test_record(self, source: Path) -> None:
        found, model = quantized(source)
        assert found.precision == "int8"
        assert not found.also
        assert found.record["frames"] == 6
        assert found.record["method"] == "ptq"
        assert found.record["profile"] == "ort-x86"
        assert found.record["config"] == json.loads(PTQ.model_dump_json())
        assert found.record["float_nodes"] == {}
        assert json.loads(json.dumps(found.record)) == found.record
        assert list(found.record["ranges"]) == sorted(found.record["ranges"])
        assert {"x", "r1", "c2"} <= set(found.record["ranges"])
        assert all(low <= 0 <= high for low, high in found.record["ranges"].values())
        assert [i.name for i in model.graph.input] == ["x"]
        assert [o.name for o in model.graph.output] == ["y"]

    def test_defaults(self) -> None:
        assert PTQ.calibrator == "percentile"
        assert (PTQ.percentile, PTQ.weights, PTQ.weight_bits) == (99.99, "per-channel", 8)
        assert not PTQ.exclude
        assert not PTQ.profiles

    def test_same_frames_same_bytes(self, source: Path) -> None:
        first, second = quantized(source)[0], quantized(source)[0]
        assert first.model == second.model
        assert first.record == second.record

    def test_no_frame(self, source: Path) -> None:
        with pytest.raises(DataError, match=r"the calibration set is empty; give data\.calibration"):
            ptq.apply(Job(source, ()), PTQ)

    def test_nan_activations_name_the_tensor(self, source: Path) -> None:
        feed = {"x": np.full((1, 3, 16, 16), np.nan, np.float32)}
        with pytest.raises(ModelError, match=r"tensor '\w+' holds NaN or infinity"):
            ptq.apply(Job(source, [feed]), PTQ)

    @pytest.mark.parametrize(
        "keys",
        [
            {"calibrator": "median"},
            {"percentile": 50},
            {"percentile": 100.1},
            {"percentil": 99},
            {"method": "qat"},
            {"weights": "per-row"},
            {"weight_bits": 6},
        ],
    )
    def test_config_mistakes(self, keys: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            ptq.Config.model_validate({"method": "ptq"} | keys)

    def test_nothing_to_quantize(self, tmp_path: Path) -> None:
        path = write(tmp_path / "m.onnx", [node("Softmax", "x", "y", axis=1)], [IMAGE], [("y", IMAGE[1], "float32")])
        with pytest.raises(ModelError, match=r"no operator to quantize: INT8 needs one of Conv, Gemm"):
            ptq.apply(Job(path, Frames({"x": IMAGE[1]})), PTQ)


class TestProfiles:
    def test_one_calibration_for_all(self, source: Path) -> None:
        """Each further model is the one that a job for its profile makes."""
        reads = 0

        class Counted(Frames):
            def __iter__(self) -> Any:
                nonlocal reads
                reads += 1
                return super().__iter__()

        found = ptq.apply(Job(source, Counted(SMALL)), ptq.Config(profiles=("tensorrt", "openvino", "ort-x86")))
        assert reads == 1
        assert list(found.also) == list(found.record["also"]) == ["tensorrt", "openvino"]
        for profile, model in {"ort-x86": found.model, **found.also}.items():
            alone, _ = quantized(source, profile=profile)
            assert alone.model == model
            record = found.record["also"].get(profile, found.record)
            assert record["ranges"].items() >= alone.record["ranges"].items()
            assert record["profile"] == profile

    def test_unknown(self, source: Path) -> None:
        with pytest.raises(SpecError, match="no Q/DQ profile 'tensorrtt'; did you mean 'tensorrt'"):
            quantized(source, ptq.Config(profiles=("tensorrtt",)))


class TestPlace:
    def test_known_ranges_give_the_same_model(self, source: Path) -> None:
        for profile in ("ort-x86", "tensorrt"):
            found, _ = quantized(source, profile=profile)
            ranges = {name: tuple(ends) for name, ends in found.record["ranges"].items()}
            assert ptq.place(source, ranges, profile, PTQ) == found.model

    def test_a_range_is_missing(self, source: Path) -> None:
        with pytest.raises(ModelError, match="no range is known for tensor 'r1'; calibrate the same model"):
            ptq.place(source, {"x": (-1.0, 1.0), "y": (-1.0, 1.0)}, "ort-x86", PTQ)


class TestExclude:
    def test_an_excluded_node_stays_float(self, source: Path) -> None:
        found, model = quantized(source, ptq.Config(exclude=("Conv_c1",)))
        first, second = by_op(model, "Conv")
        assert (first.name, first.input[1]) == ("Conv_c1", "w1")
        assert second.input[1].startswith("w2/")
        assert found.record["float_nodes"] == {"Conv_c1": "excluded"}

    def test_everything_excluded(self, source: Path) -> None:
        names = tuple(n.name for n in onnx.load(source).graph.node)
        with pytest.raises(ModelError, match=r"no operator to quantize.*Conv_c1: excluded"):
            quantized(source, ptq.Config(exclude=names))

    def test_unknown_name(self, source: Path) -> None:
        with pytest.raises(
            ModelError, match=r"exclude: the model has no module and no node 'Conv_c11'; did you mean 'Conv_c1'\?"
        ):
            quantized(source, ptq.Config(exclude=("Conv_c11",)))

    def test_an_unnamed_node_alone_stays_float(self, tmp_path: Path) -> None:
        """Node names are optional in ONNX: the name that one is given does not mean the other unnamed nodes."""
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
        names = [n.name for n in simplified(path).graph.node if n.op_type == "Conv"]
        found, _ = quantized(path, ptq.Config(exclude=(names[-1],)), x=IMAGE[1])
        ops = [n.op_type for n in onnx.load(engine_of(found.model, tmp_path)).graph.node]
        assert ops.count("QLinearConv") == 1
        assert found.record["float_nodes"] == {names[-1]: "excluded"}
