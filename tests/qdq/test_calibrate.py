from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

from edgekit.core.errors import DataError, ModelError
from edgekit.qdq.calibrate import calibrate
from edgekit.qdq.graph import Graph, simplified
from edgekit.qdq.observe import Observer
from edgekit.qdq.profiles import profile
from edgekit.qdq.ranges import MeanSquare, MinMax
from tests.support.graphs import convnet, node, normal, write
from tests.support.reference_models import Frames

FRAMES = Frames({"x": (1, 3, 16, 16)}, 5)
INNER = ("c1", "r1", "c2")


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return Graph(simplified(convnet(tmp_path / "m.onnx")))


def activations(path: Path, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every tensor of the original file, from ONNX's own reference implementation."""
    model = onnx.load(path)
    for name in INNER:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, None))
    evaluator = ReferenceEvaluator(model)
    return dict(zip(evaluator.output_names, evaluator.run(None, feeds), strict=True)) | feeds


def dynamic(folder: Path) -> Graph:
    nodes = [node("MatMul", "x w", "m"), node("Relu", "m", "r"), node("MatMul", "r w", "y")]
    shape = ("n", 4)
    path = write(folder / "d.onnx", nodes, [("x", shape, "float32")], [("y", shape, "float32")], {"w": normal(1, 4, 4)})
    return Graph(simplified(path))


class TestCalibrate:
    def test_ranges_against_the_reference_implementation(self, graph: Graph, tmp_path: Path) -> None:
        names = ("x", *INNER, "y")
        found = calibrate(graph, names, FRAMES, MinMax)
        every = [activations(tmp_path / "m.onnx", feeds) for feeds in FRAMES]
        assert found.frames == 5
        for name in names:
            low = min(0.0, *(float(values[name].min()) for values in every))
            high = max(0.0, *(float(values[name].max()) for values in every))
            assert found.ranges(profile("ort-x86"))[name] == pytest.approx((low, high), rel=1e-4, abs=1e-6)

    def test_a_search_knows_the_grid_of_the_profile(self, graph: Graph) -> None:
        found = calibrate(graph, ("c1",), FRAMES, lambda name: MeanSquare(name, 1 << 16))
        asymmetric, symmetric = found.ranges(profile("ort-x86"))["c1"], found.ranges(profile("tensorrt"))["c1"]
        assert asymmetric != symmetric
        assert found.ranges(profile("ort-arm"))["c1"] == found.ranges(profile("openvino"))["c1"] == asymmetric

    def test_advances_after_every_frame(self, graph: Graph) -> None:
        seen: list[int] = []
        made = 0

        class Counting(Frames):
            def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
                nonlocal made
                for feeds in super().__iter__():
                    made += 1
                    yield feeds

        calibrate(graph, ("x",), Counting(FRAMES.shapes, 5), MinMax, lambda: seen.append(made))
        assert seen == [1, 2, 3, 4, 5]

    def test_frames_are_streamed(self, graph: Graph) -> None:
        """At most the frame before is still alive when the next one is made, and they are read once."""
        alive: list[weakref.ref[np.ndarray]] = []
        most = 0

        class Watched(Frames):
            def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
                nonlocal most
                for seed in range(self.count):
                    most = max(most, sum(r() is not None for r in alive))
                    array = normal(seed, 1, 3, 16, 16)
                    alive.append(weakref.ref(array))
                    feed = {"x": array}
                    del array
                    yield feed
                    del feed

        calibrate(graph, ("x", *INNER), Watched(FRAMES.shapes, 12), MinMax)
        assert len(alive) == 12
        assert most <= 1

    def test_dynamic_sizes(self, tmp_path: Path) -> None:
        feeds = [{"x": normal(n, n, 4)} for n in (1, 7, 3)]
        found = calibrate(dynamic(tmp_path), ("x", "r"), feeds, MinMax).ranges(profile("ort-x86"))
        assert found["x"][1] == pytest.approx(max(float(f["x"].max()) for f in feeds))

    def test_a_tensor_that_no_frame_fills(self, tmp_path: Path) -> None:
        found = calibrate(dynamic(tmp_path), ("x", "r"), [{"x": np.zeros((0, 4), np.float32)}], MinMax)
        with pytest.raises(DataError, match=r"tensor 'r' was empty in every calibration frame; give data\.cal"):
            found.ranges(profile("ort-x86"))
        feeds = [{"x": np.zeros((0, 4), np.float32)}, {"x": normal(1, 2, 4)}]
        assert calibrate(dynamic(tmp_path), ("x", "r"), feeds, MinMax).ranges(profile("ort-x86"))

    def test_only_inputs(self, graph: Graph) -> None:
        assert calibrate(graph, ("x",), FRAMES, MinMax).ranges(profile("tensorrt"))["x"][1] > 3

    def test_no_frame(self, graph: Graph) -> None:
        with pytest.raises(DataError, match=r"the calibration set is empty; give data\.calibration at least one frame"):
            calibrate(graph, ("x",), (), MinMax)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, graph: Graph, bad: float) -> None:
        feeds = {"x": np.full((1, 3, 16, 16), bad, np.float32)}
        with pytest.raises(ModelError, match="tensor 'x' holds NaN or infinity during calibration"):
            calibrate(graph, ("x",), [feeds], MinMax)
        with pytest.raises(ModelError, match="tensor 'c1' holds NaN or infinity during calibration"):
            calibrate(graph, ("c1",), [feeds], MinMax)

    @pytest.mark.parametrize(
        "feeds",
        [
            {"x": normal(1, 1, 3, 8, 8)},
            {"x": normal(1, 1, 3, 16, 16).astype(np.float64)},
            {"y": normal(1, 1, 3, 16, 16)},
            {"x": normal(1, 1, 3, 16, 16), "z": normal(1, 1)},
        ],
        ids=["shape", "type", "missing", "too many"],
    )
    def test_frames_that_do_not_fit(self, graph: Graph, feeds: dict[str, np.ndarray]) -> None:
        with pytest.raises(ModelError, match="the model does not run on the calibration frames"):
            calibrate(graph, ("x", "c1"), [feeds], MinMax)


class TestObserver:
    def test_strided_frames(self, graph: Graph) -> None:
        image = normal(3, 1, 16, 16, 3).transpose(0, 3, 1, 2)
        assert not image.flags["C_CONTIGUOUS"]
        observer = Observer(graph, ("c1",))
        first = observer({"x": image})["c1"].copy()
        assert np.array_equal(observer({"x": np.ascontiguousarray(image)})["c1"], first)

    def test_outputs_and_inner_tensors(self, graph: Graph, tmp_path: Path) -> None:
        feeds = next(iter(FRAMES))
        found = Observer(graph, ("y", "r1", "y"))(feeds)
        session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
        assert sorted(found) == ["r1", "y"]
        assert np.allclose(found["y"], session.run(["y"], feeds)[0], atol=1e-5)
        assert found["r1"].min() == 0
