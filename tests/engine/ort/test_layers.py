"""Layer events of ONNX Runtime, from a recorded profile and from live engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.graphs import convnet, node, normal, write
from tests.support.recorded_layers import PRECISIONS, RECORDED, events, graph, profile

from edgekit.core.errors import CheckFailed, InputError, MissingRequirement
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.engine import Engine, LayerEvent, ort
from edgekit.engine.ort import layers, peaks, runner
from edgekit.engine.ort.fusion import origins
from edgekit.onnxfile.graph import read_graph
from edgekit.profiling.roofline import flops, traffic

CONFIG = ort.Config(engine="ort")
IMAGE = {"image": np.zeros((1, 3, 32, 48), np.float32)}


@pytest.mark.parametrize("precision", PRECISIONS)
class TestRecorded:
    def test_every_kernel_is_mapped_to_its_source(self, precision: str) -> None:
        found = events(precision)
        expected = RECORDED[precision]["expected"]
        assert [e.query for e in found] == [0] * len(expected) + [1] * len(expected)
        for event, wanted in zip(found, expected * 2, strict=True):
            about = {
                "name": event.name,
                "op": event.op,
                "nodes": list(event.nodes),
                "module": event.module,
                "weight": list(event.weight.shape) if event.weight else None,
                "inputs": [[t.dtype, list(t.shape)] for t in event.inputs],
                "flops": flops(event),
                "bytes": traffic(event),
            }
            assert about == wanted
            assert event.provider == "CPUExecutionProvider"

    def test_times_are_the_recorded_ones(self, precision: str) -> None:
        recorded = [e for e in profile(precision) if e["cat"] == "Node"]
        expected = sorted((e["ts"], e["dur"], e["args"]["op_name"]) for e in recorded)
        assert [(e.start_us, e.duration_us, e.op) for e in events(precision)] == expected

    def test_marks_beside_kernels_do_not_count(self, precision: str) -> None:
        recorded = profile(precision)
        kernel = next(e for e in recorded if e["cat"] == "Node")
        base = kernel["name"].removesuffix("_kernel_time")
        marks = [kernel | {"name": f"{base}_{mark}", "dur": 10**6} for mark in ("fence_before", "fence_after")]
        outside = kernel | {"ts": 0, "dur": 1}
        found = layers.layer_events([*marks, outside, *recorded], graph(precision, "engine"), None, 2)
        assert [e.start_us for e in found] == [e.start_us for e in events(precision)]

    def test_a_truncated_profile_is_refused(self, precision: str) -> None:
        recorded, engine = profile(precision), graph(precision, "engine")
        with pytest.raises(CheckFailed, match="holds 2 of 3 queries"):
            layers.layer_events(recorded, engine, None, 3)
        last = max(e["ts"] for e in recorded if e["name"] == "model_run")
        kept = [e for e in recorded if e["cat"] != "Node" or e["ts"] < last]
        with pytest.raises(CheckFailed, match="no kernel of query 1"):
            layers.layer_events(kept, engine, None, 2)

    def test_without_a_source_the_engine_names_itself(self, precision: str) -> None:
        found = events(precision, with_source=False)
        assert [e.nodes for e in found if e.op.endswith("Conv")]
        assert {e.module for e in found} == {""}

    def test_a_kernel_that_the_file_does_not_hold_keeps_its_name(self, precision: str) -> None:
        recorded = profile(precision)
        for event in recorded:
            if event["cat"] == "Node":
                event["name"], event["args"]["node_index"] = "inner_kernel_time", "900"
        found = layers.layer_events(recorded, graph(precision, "engine"), graph(precision, "source"), 2)
        assert {(e.name, e.nodes, e.module) for e in found} == {("inner/900", (), "")}

    def test_no_source_node_belongs_to_two_layers(self, precision: str) -> None:
        found = origins(graph(precision, "engine"), graph(precision, "source"))
        nodes = [name for origin in found for name in origin.nodes]
        assert len(nodes) == len(set(nodes))
        computed = {n.name for n in graph(precision, "source").nodes if n.op in {"Conv", "Relu", "Add"}}
        assert computed <= set(nodes)


class TestLive:
    @pytest.mark.parametrize("precision", PRECISIONS)
    def test_modules_and_exact_operations(self, precision: str, tiny_bundle: Path) -> None:
        with ort.Backend(CONFIG).engine(tiny_bundle / "engines" / f"{precision}.ort.onnx") as engine:
            before = engine.infer(IMAGE)
            found = engine.profile_layers(IMAGE, 3, tiny_bundle / "models" / f"{precision}.onnx")
            np.testing.assert_array_equal(engine.infer(IMAGE)["logits"], before["logits"])
        assert {e.query for e in found} == {0, 1, 2}
        convolutions = {e.module: flops(e) for e in found if "Conv" in e.op}
        pixels = 32 * 48
        assert convolutions == {
            "stem.0": 2 * pixels * 8 * 3 * 9,
            "body": 2 * pixels * 8 * 8 * 9,
            "head": 2 * pixels * 3 * 8,
        }
        names = [e.name for e in found if e.query == 1]
        assert len(names) == len(set(names))

    def test_a_plain_file_without_names_or_modules(self, tmp_path: Path) -> None:
        path = convnet(tmp_path / "m.onnx")
        with ort.reference(path, CONFIG) as engine:
            found = engine.profile_layers({"x": normal(0, 1, 3, 16, 16)}, 1, path)
        assert [(e.op, e.nodes) for e in found] == [
            ("Conv", ("Conv_c1",)),
            ("Relu", ("Relu_r1",)),
            ("Conv", ("Conv_c2",)),
            ("Add", ("Add_y",)),
        ]
        assert [flops(e) for e in found] == [2 * 256 * 8 * 27, 2048, 2 * 256 * 8 * 72, 2048]

    def test_fused_product_and_addition(self, tmp_path: Path) -> None:
        nodes = [node("MatMul", "x w", "m"), node("Add", "m b", "s"), node("Relu", "s", "y")]
        weights = {"w": normal(1, 32, 16), "b": normal(2, 16)}
        inputs, outputs = [("x", (4, 32), "float32")], [("y", (4, 16), "float32")]
        source = write(tmp_path / "m.onnx", nodes, inputs, outputs, weights)
        ort.Backend(CONFIG).build(source, tmp_path / "m.ort.onnx")
        with ort.Backend(CONFIG).engine(tmp_path / "m.ort.onnx") as engine:
            found = engine.profile_layers({"x": normal(0, 4, 32)}, 1, source)
        assert sorted(n for e in found for n in e.nodes) == ["Add_s", "MatMul_m", "Relu_y"]
        product = next(e for e in found if "MatMul_m" in e.nodes)
        assert product.nodes[0] == "MatMul_m"
        assert flops(product) == 2 * 4 * 32 * 16

    def test_peaks_are_measured_with_the_engines_threads(self, tmp_path: Path) -> None:
        with ort.reference(convnet(tmp_path / "m.onnx"), CONFIG) as engine:
            peaks = engine.measure_peaks(seconds=0.01)
        assert set(peaks) == {"float32", "int8"}
        assert all(rate > 1e6 for rate in peaks.values())

    def test_the_peak_model_is_a_product(self, tmp_path: Path) -> None:
        weight = normal(0, 5, 5)
        path = tmp_path / "product.onnx"
        path.write_bytes(peaks.matmul("MatMul", 1, 1, 1, weight))
        assert [n.op for n in read_graph(path).nodes] == ["MatMul"]
        with ort.reference(path, CONFIG) as engine:
            x = normal(1, 5, 5)
            np.testing.assert_allclose(engine.infer({"x": x})["y"], x @ weight, rtol=1e-5)


class Plain(Engine):
    """A backend without a layer profile."""

    def activate(self) -> None:
        self.inputs = self.outputs = (TensorSpec("x", (1,)),)

    def infer_impl(self, feeds: Arrays) -> dict[str, Array]:
        return dict(feeds)

    def deactivate(self) -> None:
        pass

    def describe(self) -> dict[str, Any]:
        return {}


def test_what_cannot_be_profiled_is_refused(tmp_path: Path) -> None:
    feeds = {"x": np.zeros(1, np.float32)}
    with pytest.raises(InputError, match="Plain is not open"):
        Plain().profile_layers(feeds, 1)
    with Plain() as engine:
        with pytest.raises(InputError, match="Plain: this backend has no layer profile"):
            engine.profile_layers(feeds, 1)
        with pytest.raises(InputError, match="a layer profile of 0 queries"):
            engine.profile_layers(feeds, 0)
        assert engine.measure_peaks() == {}
    cuda = ort.OrtEngine(tmp_path / "m.onnx", ort.Config(engine="ort", provider="cuda"))
    with pytest.raises(InputError, match=r"m\.onnx: .* only the launch of a layer on cuda"):
        cuda.profile_layers_impl(feeds, 1, None)
    assert cuda.measure_peaks() == {}


def test_a_failed_profile_leaves_the_engine_usable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = {"x": normal(0, 1, 3, 16, 16)}
    with ort.reference(convnet(tmp_path / "m.onnx"), CONFIG) as engine:
        expected = engine.infer(x)["y"]
        with monkeypatch.context() as patch:

            def refuse(*args: object) -> None:
                raise MissingRequirement("a runtime", "nothing")

            patch.setattr(runner, "open_session", refuse)
            with pytest.raises(MissingRequirement):
                engine.profile_layers(x, 1)
        np.testing.assert_array_equal(engine.infer(x)["y"], expected)


@pytest.mark.parametrize(
    ("query", "start", "duration"), [(-1, 0.0, 1.0), (0, 0.0, -1.0), (0, float("nan"), 1.0), (0, 0.0, float("nan"))]
)
def test_impossible_times_are_refused(query: int, start: float, duration: float) -> None:
    with pytest.raises(InputError, match="layer 'conv'"):
        LayerEvent("conv", "Conv", query, start, duration, (), ())
