from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.support.graphs import convnet, node, normal, write

from edgekit.core.errors import BundleError, EnvironmentFault, InputError, MissingRequirement, ModelError, TensorError
from edgekit.core.tensors import TensorSpec
from edgekit.engine import ort

CONFIG = ort.Config(engine="ort")
W = normal(0, 4, 3)


@pytest.fixture(scope="module")
def affine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """y = x @ W for x (2, 4)."""
    path = tmp_path_factory.mktemp("ort") / "affine.onnx"
    nodes = [node("MatMul", "x w", "y")]
    return write(path, nodes, [("x", (2, 4), "float32")], [("y", (2, 3), "float32")], {"w": W})


def plain(path: Path, config: ort.Config = CONFIG) -> ort.OrtEngine:
    return ort.reference(path, config)


def feed(seed: int = 0) -> dict[str, np.ndarray]:
    return {"x": normal(seed, 2, 4)}


class TestInfer:
    def test_equals_numpy(self, affine: Path) -> None:
        with plain(affine) as engine:
            assert engine.inputs == (TensorSpec("x", (2, 4)),)
            assert engine.outputs == (TensorSpec("y", (2, 3)),)
            for seed in range(5):
                np.testing.assert_allclose(engine.infer(feed(seed))["y"], feed(seed)["x"] @ W, rtol=1e-6, atol=1e-6)

    def test_several_inputs_and_outputs_of_several_dtypes(self, tmp_path: Path) -> None:
        nodes = [
            node("Add", "ids ids", "twice"),
            node("Cast", "pixels", "wide", to=onnx.TensorProto.FLOAT),
            node("Mul", "wide gain", "scaled"),
            node("Not", "flag", "inverse"),
            node("Max", "pixels pixels", "same"),
        ]
        inputs = [
            ("ids", (3,), "int64"),
            ("pixels", (2, 2), "uint8"),
            ("gain", (1,), "float32"),
            ("flag", (2,), "bool"),
        ]
        outputs = [
            ("twice", (3,), "int64"),
            ("scaled", (2, 2), "float32"),
            ("inverse", (2,), "bool"),
            ("same", (2, 2), "uint8"),
        ]
        feeds = {
            "flag": np.array([True, False]),  # not in the order of the model
            "ids": np.array([1, -(2**40), 3]),
            "pixels": np.array([[0, 255], [7, 128]], np.uint8),
            "gain": np.array([0.5], np.float32),
        }
        with plain(write(tmp_path / "m.onnx", nodes, inputs, outputs)) as engine:
            assert [s.dtype for s in engine.inputs] == ["int64", "uint8", "float32", "bool"]
            found = engine.infer(feeds)
        assert list(found) == ["twice", "scaled", "inverse", "same"]
        np.testing.assert_array_equal(found["twice"], [2, -(2**41), 6])
        np.testing.assert_array_equal(found["scaled"], [[0, 127.5], [3.5, 64]])
        np.testing.assert_array_equal(found["inverse"], [False, True])
        np.testing.assert_array_equal(found["same"], feeds["pixels"])
        assert {k: v.dtype.name for k, v in found.items()} == {s.name: s.dtype for s in engine.outputs}

    def test_scalar_input_and_output(self, tmp_path: Path) -> None:
        path = write(tmp_path / "m.onnx", [node("Mul", "a a", "b")], [("a", (), "float32")], [("b", (), "float32")])
        with plain(path) as engine:
            found = engine.infer({"a": np.array(3, np.float32)})["b"]
        assert found.shape == ()
        assert found == 9

    @pytest.mark.parametrize("rows", [2, "n"])
    def test_an_output_that_is_an_input(self, tmp_path: Path, rows: int | str) -> None:
        value = ("x", (rows, 3), "float32")
        path = write(tmp_path / "m.onnx", [node("Neg", "x", "y")], [value], [("y", (rows, 3), "float32"), value])
        with plain(path) as engine:
            for seed in range(3):
                x = normal(seed, 2, 3)
                found = engine.infer({"x": x})
                np.testing.assert_array_equal(found["x"], x)
                np.testing.assert_array_equal(found["y"], -x)
                assert not np.shares_memory(found["x"], x)

    def test_dynamic_shapes(self, tmp_path: Path) -> None:
        nodes = [node("NonZero", "x", "where"), node("Neg", "x", "y")]
        outputs = [("where", (2, None), "int64"), ("y", ("n", 3), "float32")]
        with plain(write(tmp_path / "m.onnx", nodes, [("x", ("n", 3), "float32")], outputs)) as engine:
            assert engine.inputs == (TensorSpec("x", (None, 3)),)
            assert engine.outputs[0].shape == (2, None)
            held = []
            for rows in (1, 4, 2):
                x = normal(rows, rows, 3)
                x[0, 1] = 0
                found = engine.infer({"x": x})
                held.append((x, found))
            for x, found in held:
                np.testing.assert_array_equal(found["where"], np.nonzero(x))
                np.testing.assert_array_equal(found["y"], -x)

    @pytest.mark.parametrize(
        "view",
        [lambda x: x.T.copy().T, lambda x: np.repeat(x, 2, axis=1)[:, ::2], lambda x: x[::-1].copy()[::-1]],
        ids=["transposed", "strided", "reversed"],
    )
    def test_non_contiguous_feeds(self, affine: Path, view: Callable[[np.ndarray], np.ndarray]) -> None:
        x = view(feed()["x"])
        assert not x.flags.c_contiguous
        with plain(affine) as engine:
            np.testing.assert_allclose(engine.infer({"x": x})["y"], feed()["x"] @ W, rtol=1e-6, atol=1e-6)

    def test_feeds_stay_the_callers(self, affine: Path) -> None:
        x = feed()["x"]
        before = x.copy()
        with plain(affine) as engine:
            first = engine.infer({"x": x})["y"]
            x += 1
            second = engine.infer({"x": x})["y"]
        np.testing.assert_allclose(first, before @ W, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(second, (before + 1) @ W, rtol=1e-6, atol=1e-6)


class TestBuffers:
    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.sampled_from(["hold", "view", "drop", "forget"]), min_size=1, max_size=30))
    def test_an_array_that_the_caller_holds_never_changes(self, affine: Path, actions: list[str]) -> None:
        held: list[tuple[np.ndarray, np.ndarray]] = []
        with plain(affine) as engine:
            for seed, action in enumerate(actions):
                array = engine.infer(feed(seed))["y"]
                if action == "hold":
                    held.append((array, feed(seed)["x"] @ W))
                elif action == "view":
                    held.append((array[1:, ::2], (feed(seed)["x"] @ W)[1:, ::2]))
                elif action == "forget" and held:
                    held.pop(0)
                del array
        for array, expected in held:
            np.testing.assert_allclose(array, expected, rtol=1e-5, atol=1e-6)

    def test_holding_one_of_two_outputs_keeps_both_buffers(self, tmp_path: Path) -> None:
        nodes = [node("Neg", "x", "a"), node("Identity", "x", "b")]
        shape = (64,)
        outputs = [("a", shape, "float32"), ("b", shape, "float32")]
        with plain(write(tmp_path / "m.onnx", nodes, [("x", shape, "float32")], outputs)) as engine:
            held = [engine.infer({"x": np.full(shape, k, np.float32)})["b"] for k in range(12)]
        assert [float(h[0]) for h in held] == list(range(12))

    def test_a_steady_loop_reuses_its_buffers(self, affine: Path) -> None:
        seen = set()
        with plain(affine) as engine:
            for seed in range(50):
                found = engine.infer(feed(seed))  # the last result lives while the next is computed
                seen.add(found["y"].ctypes.data)
        assert len(seen) == 2

    def test_results_outlive_the_engine(self, affine: Path) -> None:
        with plain(affine) as engine:
            found = engine.infer(feed())["y"]
        del engine
        np.testing.assert_allclose(found, feed()["x"] @ W, rtol=1e-6, atol=1e-6)


class TestChecks:
    @pytest.mark.parametrize(
        ("feeds", "message"),
        [
            ({}, r"missing input 'x'; expected x: float32\[2, 4\]"),
            ({"y": feed()["x"]}, r"missing input 'x', unknown input 'y'; expected x: float32\[2, 4\]"),
            ({"x": feed()["x"], "z": feed()["x"]}, r"^unknown input 'z'; expected x: float32\[2, 4\]"),
            ({"x": normal(0, 2, 5)}, r"input 'x' has shape \[2, 5\]; expected x: float32\[2, 4\]"),
            ({"x": normal(0, 1, 2, 4)}, r"input 'x' has shape \[1, 2, 4\]; expected x: float32\[2, 4\]"),
            (
                {"x": feed()["x"].astype(np.float64)},
                r"dtype float64; expected float32: make an array of float32",
            ),
            ({"x": feed()["x"].astype(">f4")}, r"dtype >f4; expected float32"),
            ({"x": [[1.0] * 4] * 2}, r"input 'x' is list; expected a numpy array x: float32\[2, 4\]"),
        ],
    )
    def test_wrong_feeds(self, affine: Path, feeds: dict[str, np.ndarray], message: str) -> None:
        with plain(affine) as engine, pytest.raises(TensorError, match=message):
            engine.infer(feeds)

    def test_a_refused_feed_leaves_the_engine_usable(self, affine: Path) -> None:
        with plain(affine) as engine:
            with pytest.raises(TensorError):
                engine.infer({})
            np.testing.assert_allclose(engine.infer(feed())["y"], feed()["x"] @ W, rtol=1e-6, atol=1e-6)

    def test_a_failure_inside_the_runtime_is_translated(self, tmp_path: Path) -> None:
        nodes = [node("Gather", "table i", "y")]
        path = write(
            tmp_path / "m.onnx", nodes, [("i", (1,), "int64")], [("y", (1,), "float32")], {"table": normal(0, 3)}
        )
        with plain(path) as engine, pytest.raises(TensorError, match=r"m\.onnx: inference failed: .*indices"):
            engine.infer({"i": np.array([99])})


class TestLifecycle:
    def test_infer_needs_an_open_engine(self, affine: Path) -> None:
        engine = plain(affine)
        with pytest.raises(InputError, match="OrtEngine is not open; use it as: with engine"):
            engine.infer(feed())
        with engine:
            engine.infer(feed())
        with pytest.raises(InputError, match="is not open"):
            engine.infer(feed())

    def test_reopens_after_close(self, affine: Path) -> None:
        engine = plain(affine)
        results = []
        for _ in range(3):
            with engine:
                results.append(engine.infer(feed())["y"])
        np.testing.assert_array_equal(results[0], results[2])

    def test_constructor_touches_no_file(self, tmp_path: Path) -> None:
        engine = plain(tmp_path / "absent.onnx")
        with pytest.raises(ModelError, match=r"absent\.onnx: ONNX Runtime refuses the model"), engine:
            pass
        with pytest.raises(InputError, match="is not open"):
            engine.infer(feed())

    @pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08:\x05hello", bytes(range(128, 192))])
    def test_not_an_onnx_file(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / f"bad{ort.Backend.suffix}"
        path.write_bytes(content)
        with pytest.raises(ModelError, match="ONNX Runtime refuses the model"), ort.Backend(CONFIG).engine(path):
            pass
        with pytest.raises(ModelError, match="ONNX Runtime refuses the model"):
            ort.Backend(CONFIG).build(path, tmp_path / f"out{ort.Backend.suffix}")
        assert not (tmp_path / f"out{ort.Backend.suffix}").exists()

    def test_truncated_engine(self, tmp_path: Path) -> None:
        engine = tmp_path / f"e{ort.Backend.suffix}"
        ort.Backend(CONFIG).build(convnet(tmp_path / "m.onnx"), engine)
        engine.write_bytes(engine.read_bytes()[:-200])
        with pytest.raises(ModelError, match="ONNX Runtime refuses the model"), ort.Backend(CONFIG).engine(engine):
            pass

    def test_open_takes_engine_files_only(self, affine: Path) -> None:
        with pytest.raises(
            BundleError, match=r"not an engine of the ort backend \(expected a name ending in \.ort\.onnx"
        ):
            ort.Backend(CONFIG).engine(affine)

    def test_unsupported_tensor_type(self, tmp_path: Path) -> None:
        path = write(tmp_path / "m.onnx", [node("Abs", "a", "b")], [("a", (1,), "int16")], [("b", (1,), "int16")])
        with pytest.raises(ModelError, match=r"'a' has type tensor\(int16\); supported: float32"), plain(path):
            pass


class TestBuild:
    def test_equals_the_plain_model(self, tmp_path: Path) -> None:
        source, engine = convnet(tmp_path / "m.onnx"), tmp_path / f"e{ort.Backend.suffix}"
        ort.Backend(CONFIG).build(source, engine)
        x = {"x": normal(7, 1, 3, 16, 16)}
        with plain(source) as reference, ort.Backend(CONFIG).engine(engine) as optimised:
            assert (optimised.inputs, optimised.outputs) == (reference.inputs, reference.outputs)
            np.testing.assert_allclose(optimised.infer(x)["y"], reference.infer(x)["y"], rtol=1e-4, atol=1e-5)
        before, after = ([n.op_type for n in onnx.load(file).graph.node] for file in (source, engine))
        assert {"Relu", "Add"} <= set(before)
        assert not {"Relu", "Add"} & set(after)  # fused into the convolutions

    def test_threads_give_the_same_result(self, affine: Path) -> None:
        with plain(affine) as one, plain(affine, ort.Config(engine="ort", threads=2, spinning=True)) as two:
            np.testing.assert_allclose(one.infer(feed())["y"], two.infer(feed())["y"], rtol=1e-6)
            assert one.describe() | {"threads": 2} == two.describe()
            assert one.describe()["provider"] == "CPUExecutionProvider"
            assert one.describe()["version"] == onnxruntime.__version__


class TestPin:
    def test_pins_inside_and_restores_after(self, affine: Path) -> None:
        before = os.sched_getaffinity(0)
        cpu = max(before)
        with plain(affine, ort.Config(engine="ort", pin=(cpu,))) as engine:
            assert os.sched_getaffinity(0) == {cpu}
            assert engine.describe()["pin"] == [cpu]
            engine.infer(feed())
        assert os.sched_getaffinity(0) == before

    def test_restores_after_an_error(self, affine: Path, tmp_path: Path) -> None:
        before = os.sched_getaffinity(0)
        config = ort.Config(engine="ort", pin=(min(before),))
        with pytest.raises(TensorError), plain(affine, config) as engine:
            engine.infer({})
        assert os.sched_getaffinity(0) == before
        with pytest.raises(ModelError), plain(tmp_path / "absent.onnx", config):
            pass
        assert os.sched_getaffinity(0) == before

    def test_a_cpu_that_does_not_exist(self, affine: Path) -> None:
        before = os.sched_getaffinity(0)
        with (
            pytest.raises(
                EnvironmentFault, match=r"pin: this process may not use CPU 4095; choose from \[\d"
            ) as caught,
            plain(affine, ort.Config(engine="ort", pin=(4095,))),
        ):
            pass
        assert caught.value.exit_code == 3
        assert os.sched_getaffinity(0) == before

    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            ({"pin": (0, 0), "threads": 2}, "pin takes different CPU numbers >= 0"),
            ({"pin": (-1,)}, "pin takes different CPU numbers >= 0"),
            ({"pin": (0, 1)}, "pin names 2 CPUs for 1 threads; give one CPU per thread"),
            ({"pin": (0,), "threads": 2}, "pin names 1 CPUs for 2 threads"),
            ({"threads": 0}, "greater than or equal to 1"),
            ({"provider": "tpu"}, "'cpu' or 'cuda'"),
            ({"precision": "int4"}, "'int8', 'fp16', 'bf16' or 'fp32'"),
            ({"thread": 2}, "Extra inputs are not permitted"),
        ],
    )
    def test_config_mistakes(self, keys: dict[str, object], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            ort.Config.model_validate({"engine": "ort"} | keys)


class TestProviders:
    CUDA = ort.Config(engine="ort", provider="cuda")

    @pytest.mark.skipif(
        "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this build has the CUDA provider"
    )
    def test_a_build_without_cuda(self, affine: Path, tmp_path: Path) -> None:
        for action in (
            lambda: plain(affine, self.CUDA).__enter__(),
            lambda: ort.Backend(self.CUDA).build(affine, tmp_path / "e"),
            lambda: ort.Backend(self.CUDA).require(),
        ):
            with pytest.raises(
                MissingRequirement, match=r"CUDAExecutionProvider.*pip install onnxruntime-gpu"
            ) as caught:
                action()
            assert caught.value.exit_code == 3
        found = {p.name: p for p in ort.Backend.probe()}
        assert not found["ort/cuda"].works
        assert "onnxruntime-gpu" in (found["ort/cuda"].install or "")

    def test_a_session_that_falls_back_is_refused(self, affine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """onnxruntime-gpu without a driver lists CUDA and quietly makes a CPU session."""
        real = onnxruntime.InferenceSession
        asked: list[str] = []

        def falls_back(path: str, options: object, providers: list[str], disabled_optimizers: list[str]) -> object:
            asked.extend(providers)
            return real(path, options, providers=["CPUExecutionProvider"])

        monkeypatch.setattr(
            onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
        )
        monkeypatch.setattr(onnxruntime, "InferenceSession", falls_back)
        with pytest.raises(MissingRequirement, match="fell back to CPUExecutionProvider"), plain(affine, self.CUDA):
            pass
        assert asked == ["CUDAExecutionProvider"]
        (probe,) = [p for p in ort.Backend.probe() if p.name == "ort/cuda"]
        assert not probe.works
        assert "does not run" in probe.detail

    def test_cpu_is_proven_by_a_run(self) -> None:
        (probe,) = [p for p in ort.Backend.probe() if p.name == "ort/cpu"]
        assert probe.works
        assert onnxruntime.__version__ in probe.detail
        assert "ran a model" in probe.detail

    def test_fingerprint_names_what_an_engine_file_depends_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = ort.Backend(CONFIG).fingerprint()
        assert set(found) - {"int8_products"} == {"engine", "onnxruntime", "provider", "machine", "isa"}
        assert found["onnxruntime"] == onnxruntime.__version__
        assert found == ort.Backend(ort.Config(engine="ort", threads=2)).fingerprint()
        monkeypatch.setattr(
            onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
        )
        assert ort.Backend(self.CUDA).fingerprint() == found | {"provider": "cuda"}
        monkeypatch.setattr(onnxruntime, "__version__", "0.0.1")
        assert ort.Backend(CONFIG).fingerprint() == found | {"onnxruntime": "0.0.1"}
