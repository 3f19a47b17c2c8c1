from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.core.errors import ModelError
from edgekit.engine import ort
from edgekit.qdq.profiles import PROFILES
from edgekit.quantize import ptq
from edgekit.technique import Job
from tests.support import tensorrt_rtx
from tests.support.fake_quant import OPERATORS, fake_quant
from tests.support.graphs import convnet, node, normal, relative_l2, write
from tests.support.hard_graphs import GRAPHS, HardFrames
from tests.support.runtime import session

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "hard_graphs.json").read_text())
CASES = [(graph, profile) for graph in GRAPHS for profile in PROFILES]


def run(model: bytes, feeds: dict[str, np.ndarray], optimised: bool) -> dict[str, np.ndarray]:
    made = session(model, optimised)
    names = [value.name for value in made.get_outputs()]
    return dict(zip(names, made.run(names, feeds), strict=True))


def exact(path: Path, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """FP32 outputs of the file; ONNX Runtime refuses repeated names, which mean nothing."""
    model = onnx.load(path)
    for index, made in enumerate(model.graph.node):
        made.name = f"{made.op_type}{index}"
    return run(model.SerializeToString(), feeds, optimised=False)


def error(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    assert list(found) == list(expected)
    assert all(found[name].shape == value.shape for name, value in expected.items())
    return max(relative_l2(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize(("name", "profile"), CASES)
def test_means_the_same(name: str, profile: str, tmp_path: Path) -> None:
    """Close to FP32, and in ONNX Runtime, optimised or not, what PyTorch's fake quantization gives."""
    graph = GRAPHS[name]
    source = graph.write(tmp_path / "fp32.onnx")
    found = ptq.apply(Job(source, HardFrames(graph), profile), ptq.Config())
    model = onnx.load_from_string(found.model)
    onnx.checker.check_model(model, full_check=True)
    weights = {tensor.name for tensor in model.graph.initializer}
    before = onnx.load(source)
    held = {tensor.name for tensor in before.graph.initializer}
    assert [v for v in model.graph.input if v.name not in weights] == [
        v for v in before.graph.input if v.name not in held
    ]
    assert list(model.graph.output) == list(before.graph.output)

    feeds = graph.feeds(100)
    limit = GOLDEN["relative_l2_to_fp32"][name] * (GOLDEN["seven_bits"] if PROFILES[profile].weight_bits == 7 else 1)
    expected = exact(source, feeds)
    plain, optimised = (run(found.model, feeds, optimised) for optimised in (False, True))
    assert error(plain, expected) < limit
    assert error(optimised, expected) < limit
    if {n.op_type for n in model.graph.node} <= set(OPERATORS):
        meant = fake_quant(model, feeds)
        assert error(plain, meant) <= GOLDEN["relative_l2_to_fake_quant"]
        assert error(optimised, meant) <= GOLDEN["relative_l2_of_the_optimised_engine_to_fake_quant"]


@pytest.mark.parametrize("name", GRAPHS)
def test_tensorrt_takes_it_where_it_takes_fp32(name: str, tmp_path: Path) -> None:
    graph = GRAPHS[name]
    source = graph.write(tmp_path / "fp32.onnx")
    job = Job(source, HardFrames(graph), "tensorrt")
    assert tensorrt_rtx.parse(ptq.apply(job, ptq.Config()).model) == tensorrt_rtx.parse(source.read_bytes())


class TestRefused:
    def test_float16(self, tmp_path: Path) -> None:
        nodes = [node("Conv", "x w", "y", pads=[1, 1, 1, 1])]
        value = ("x", (1, 8, 16, 16), "float16")
        weights = {"w": normal(1, 8, 8, 3, 3).astype(np.float16)}
        path = write(tmp_path / "m.onnx", nodes, [value], [("y", value[1], "float16")], weights)
        feeds = [{"x": normal(1, *value[1]).astype(np.float16)}]
        with pytest.raises(ModelError, match="Conv_y: it does not compute in float32"):
            ptq.apply(Job(path, feeds), ptq.Config())

    @pytest.mark.parametrize("profile", PROFILES)
    def test_weights_that_are_not_finite(self, tmp_path: Path, profile: str) -> None:
        weights = {"w": normal(1, 8, 8, 3, 3)}
        weights["w"][2, 1, 0, 0] = np.nan
        value = ("x", (1, 8, 16, 16), "float32")
        nodes = [node("Conv", "x w", "y", pads=[1, 1, 1, 1])]
        path = write(tmp_path / "m.onnx", nodes, [value], [("y", value[1], "float32")], weights)
        with pytest.raises(ModelError, match=r"'[wy]' holds NaN or infinity"):
            ptq.apply(Job(path, [{"x": normal(1, *value[1])}], profile), ptq.Config())


class TestActivationsOfAnySize:
    @pytest.mark.parametrize("profile", PROFILES)
    @pytest.mark.parametrize("scale", [0.0, 1e-30, 1e20])
    def test_a_dead_or_an_exploding_branch(self, tmp_path: Path, scale: float, profile: str) -> None:
        path = convnet(tmp_path / "m.onnx")
        feed = {"x": normal(0, 1, 3, 16, 16) * np.float32(scale)}
        found = ptq.apply(Job(path, [feed], profile), ptq.Config())
        (tmp_path / "typed.onnx").write_bytes(found.model)
        ort.Backend(ort.Config(engine="ort")).build(tmp_path / "typed.onnx", tmp_path / f"m{ort.Backend.suffix}")
        with ort.Backend(ort.Config(engine="ort")).engine(tmp_path / f"m{ort.Backend.suffix}") as engine:
            result = engine.infer(feed)["y"]
        assert np.isfinite(result).all()
        if scale > 1:
            assert relative_l2(result, exact(path, feed)["y"]) < 0.1
