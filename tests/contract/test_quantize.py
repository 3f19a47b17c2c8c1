"""Every technique that needs calibration frames only, and every Q/DQ profile, on every reference model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from edgekit.core import plugins
from edgekit.engine import ort
from edgekit.qdq.profiles import PROFILES
from edgekit.technique import Job, Quantized
from tests.support import tensorrt_rtx
from tests.support.fake_quant import fake_quant
from tests.support.graphs import relative_l2
from tests.support.reference_models import MODELS, reference

LIMITS = json.loads((Path(__file__).parents[1] / "golden" / "quantize.json").read_text())
CONVOLUTIONS = {"Conv", "FusedConv", "ConvTranspose"}
TECHNIQUES = [("ptq", profile) for profile in PROFILES] + [("half", "ort-x86")]
MODEL = pytest.mark.parametrize("model", MODELS)
PROFILE = pytest.mark.parametrize("profile", PROFILES)
EVERY = pytest.mark.parametrize(("technique", "profile"), TECHNIQUES)

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reference")


@pytest.fixture(scope="module")
def typed(sources: Path) -> Any:
    """The result of a technique for a model and a profile, made once."""

    @cache
    def make(technique: str, profile: str, model: str) -> Quantized:
        module = plugins.load("quantize", technique)
        config = module.Config.model_validate({"method": technique})
        source = reference(model).write(sources)
        found: Quantized = module.apply(Job(source, reference(model).frames(), profile), config)
        return found

    return make


def feeds_of(model: str) -> Arrays:
    """A frame that calibration has not seen."""
    return next(iter(reference(model).frames(1, first=100)))


def run(path: Path, feeds: Arrays, optimised: bool = False) -> Arrays:
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


def worst(found: Arrays, expected: Arrays) -> float:
    assert list(found) == list(expected)
    return max(relative_l2(found[name], expected[name]) for name in expected)


def beyond(model: onnx.ModelProto, start: onnx.NodeProto, forward: bool) -> Iterator[onnx.NodeProto]:
    """All nodes that ``start`` feeds, or that feed it."""
    left = [start]
    seen = set()
    while left:
        here = left.pop()
        ends = set(here.output if forward else here.input)
        for node in model.graph.node:
            if ends & set(node.input if forward else node.output) and node.name not in seen:
                seen.add(node.name)
                left.append(node)
                yield node


@MODEL
class TestEveryTechnique:
    @EVERY
    def test_interface(self, typed: Any, technique: str, profile: str, model: str) -> None:
        before = onnx.load_from_string(reference(model).model)
        after = onnx.load_from_string(typed(technique, profile, model).model)
        onnx.checker.check_model(after, full_check=True)
        for old, new in ((before.graph.input, after.graph.input), (before.graph.output, after.graph.output)):
            assert [(v.name, v.type) for v in new] == [(v.name, v.type) for v in old]

    @EVERY
    def test_same_frames_same_bytes(self, typed: Any, sources: Path, technique: str, profile: str, model: str) -> None:
        module = plugins.load("quantize", technique)
        job = Job(reference(model).write(sources), reference(model).frames(), profile)
        again = module.apply(job, module.Config.model_validate({"method": technique}))
        assert again.model == typed(technique, profile, model).model
        assert again.record == typed(technique, profile, model).record

    @EVERY
    def test_close_to_fp32(
        self, typed: Any, sources: Path, tmp_path: Path, technique: str, profile: str, model: str
    ) -> None:
        (tmp_path / "typed.onnx").write_bytes(typed(technique, profile, model).model)
        expected = run(reference(model).write(sources), feeds_of(model))
        found = run(tmp_path / "typed.onnx", feeds_of(model))
        key = profile if technique == "ptq" else technique
        assert 1e-6 < worst(found, expected) < LIMITS["relative_l2_to_fp32"][model][key]

    @EVERY
    def test_survives_save_and_restore(
        self, typed: Any, tmp_path: Path, technique: str, profile: str, model: str
    ) -> None:
        content = typed(technique, profile, model).model
        onnx.save(onnx.load_from_string(content), tmp_path / "again.onnx")
        engine = engine_of(content, tmp_path)
        plain, optimised = run(tmp_path / "typed.onnx", feeds_of(model)), run(engine, feeds_of(model), optimised=True)
        again = engine_of((tmp_path / "again.onnx").read_bytes(), tmp_path)
        for name, value in run(tmp_path / "again.onnx", feeds_of(model)).items():
            assert np.array_equal(value, plain[name])
        for name, value in run(again, feeds_of(model), optimised=True).items():
            assert np.array_equal(value, optimised[name])


@MODEL
class TestFakeQuant:
    def test_the_interpreter_agrees_on_fp32(self, sources: Path, model: str) -> None:
        path = reference(model).write(sources)
        assert worst(fake_quant(onnx.load(path), feeds_of(model)), run(path, feeds_of(model))) < 1e-5

    @PROFILE
    def test_file_computes_what_pytorch_does(self, typed: Any, tmp_path: Path, profile: str, model: str) -> None:
        content = typed("ptq", profile, model).model
        expected = fake_quant(onnx.load_from_string(content), feeds_of(model))
        engine = engine_of(content, tmp_path)
        assert worst(run(tmp_path / "typed.onnx", feeds_of(model)), expected) <= LIMITS["relative_l2_to_fake_quant"]
        optimised = run(engine, feeds_of(model), optimised=True)
        assert worst(optimised, expected) <= LIMITS["relative_l2_of_the_optimised_engine_to_fake_quant"]


@MODEL
class TestOnnxRuntime:
    def test_no_float_convolution_but_the_documented_ones(self, typed: Any, tmp_path: Path, model: str) -> None:
        found = typed("ptq", "ort-x86", model)
        engine = onnx.load(engine_of(found.model, tmp_path))
        before = Counter(n.op_type for n in onnx.load_from_string(found.model).graph.node)
        after = Counter(n.op_type for n in engine.graph.node)
        documented = sum(name.startswith("node_conv") for name in found.record["float_nodes"])
        assert sum(after[op] for op in CONVOLUTIONS) == documented + before["ConvTranspose"]
        assert after["QLinearConv"] == before["Conv"] - documented
        assert after["QGemm"] == before["Gemm"] + before["MatMul"] - len(found.record["float_nodes"]) + documented

    def test_no_rounding_twice_and_no_layout_change_between_convolutions(
        self, typed: Any, tmp_path: Path, model: str
    ) -> None:
        engine = onnx.load(engine_of(typed("ptq", "ort-x86", model).model, tmp_path))
        for node in engine.graph.node:
            readers = [n for n in engine.graph.node if set(node.output) & set(n.input)]
            if node.op_type == "DequantizeLinear":
                assert "QuantizeLinear" not in {n.op_type for n in readers}
            if node.op_type == "Transpose" and model in ("plain", "mobilenet", "fusion", "signal"):
                around = [{n.op_type for n in beyond(engine, node, forward)} for forward in (True, False)]
                assert not all("QLinearConv" in ops for ops in around)

    def test_arm_kernels_take_the_signed_profile(self, typed: Any, tmp_path: Path, model: str) -> None:
        """What ONNX Runtime makes of it where signed activations are allowed, which on x86 takes an option."""
        counts = []
        for profile in ("ort-x86", "ort-arm"):
            options = onnxruntime.SessionOptions()
            options.add_session_config_entry("session.qdqisint8allowed", "1")
            options.log_severity_level = 3
            options.optimized_model_filepath = str(tmp_path / f"{profile}.onnx")
            content = typed("ptq", profile, model).model
            onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            engine = onnx.load(tmp_path / f"{profile}.onnx")
            counts.append(Counter(n.op_type for n in engine.graph.node if n.op_type.startswith("Q")))
        assert counts[0] == counts[1]


@MODEL
class TestTensorRt:
    def test_parses_and_builds(self, typed: Any, model: str) -> None:
        content = typed("ptq", "tensorrt", model).model
        assert tensorrt_rtx.parse(content) == []
        assert tensorrt_rtx.build(content)

    def test_opset_and_operators(self, typed: Any, model: str) -> None:
        """What TensorRT asks of Q/DQ, checked without it: symmetric int8, float biases, weights that are constants."""
        found = onnx.load_from_string(typed("ptq", "tensorrt", model).model)
        held = {t.name: onnx.numpy_helper.to_array(t) for t in found.graph.initializer}
        for node in found.graph.node:
            assert node.domain in ("", "ai.onnx")
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                assert held[node.input[2]].dtype == np.int8
                assert not held[node.input[2]].any()
                assert np.all(held[node.input[1]] > 0)
