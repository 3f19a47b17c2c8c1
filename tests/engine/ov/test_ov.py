"""OpenVINO as a backend: what goes in and out, what belongs to whom, threads, files and what they depend on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.support.graphs import convnet, node, normal, relative_l2, write

from edgekit.core import plugins
from edgekit.core.errors import BundleError, EnvironmentFault, InputError, MissingRequirement, ModelError, TensorError
from edgekit.core.tensors import TensorSpec
from edgekit.engine import layers_path, ort, ov
from edgekit.engine.ov import precision, session
from edgekit.runtime import denormals, processor

CONFIG = ov.Config(engine="ov")
W = normal(0, 4, 3)


def built(source: Path, config: ov.Config = CONFIG) -> ov.OvEngine:
    target = source.with_suffix(ov.Backend.suffix)
    ov.Backend(config).build(source, target)
    return ov.Backend(config).engine(target)


@pytest.fixture(scope="module")
def affine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """y = x @ W for x (2, 4)."""
    path = tmp_path_factory.mktemp("ov") / "affine.onnx"
    return write(path, [node("MatMul", "x w", "y")], [("x", (2, 4), "float32")], [("y", (2, 3), "float32")], {"w": W})


def feed(seed: int = 0) -> dict[str, np.ndarray]:
    return {"x": normal(seed, 2, 4)}


class TestInfer:
    def test_equals_numpy(self, affine: Path) -> None:
        with built(affine) as engine:
            assert (engine.inputs, engine.outputs) == ((TensorSpec("x", (2, 4)),), (TensorSpec("y", (2, 3)),))
            for seed in range(5):
                np.testing.assert_allclose(engine.infer(feed(seed))["y"], feed(seed)["x"] @ W, rtol=1e-5, atol=1e-6)

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
            "ids": np.array([1, -(2**30), 3]),
            "pixels": np.array([[0, 255], [7, 128]], np.uint8),
            "gain": np.array([0.5], np.float32),
        }
        with built(write(tmp_path / "m.onnx", nodes, inputs, outputs)) as engine:
            found = engine.infer(feeds)
        assert list(found) == ["twice", "scaled", "inverse", "same"]
        np.testing.assert_array_equal(found["twice"], [2, -(2**31), 6])
        np.testing.assert_array_equal(found["scaled"], [[0, 127.5], [3.5, 64]])
        np.testing.assert_array_equal(found["inverse"], [False, True])
        np.testing.assert_array_equal(found["same"], feeds["pixels"])
        assert {k: v.dtype.name for k, v in found.items()} == {s.name: s.dtype for s in engine.outputs}

    def test_scalar_input_and_output(self, tmp_path: Path) -> None:
        path = write(tmp_path / "m.onnx", [node("Mul", "a a", "b")], [("a", (), "float32")], [("b", (), "float32")])
        with built(path) as engine:
            found = engine.infer({"a": np.array(3, np.float32)})["b"]
        assert (found.shape, float(found)) == ((), 9)

    @pytest.mark.parametrize("rows", [2, "n"])
    def test_an_output_that_is_an_input(self, tmp_path: Path, rows: int | str) -> None:
        value = ("x", (rows, 3), "float32")
        path = write(tmp_path / "m.onnx", [node("Neg", "x", "y")], [value], [("y", (rows, 3), "float32"), value])
        with built(path) as engine:
            for seed in range(3):
                x = normal(seed, 2, 3)
                found = engine.infer({"x": x})
                np.testing.assert_array_equal(found["x"], x)
                np.testing.assert_array_equal(found["y"], -x)
                assert not np.shares_memory(found["x"], x)

    def test_dynamic_shapes(self, tmp_path: Path) -> None:
        nodes = [node("NonZero", "x", "where"), node("Neg", "x", "y")]
        outputs = [("where", (2, None), "int64"), ("y", ("n", 3), "float32")]
        with built(write(tmp_path / "m.onnx", nodes, [("x", ("n", 3), "float32")], outputs)) as engine:
            assert engine.inputs == (TensorSpec("x", (None, 3)),)
            held = []
            for rows in (1, 4, 2):
                x = normal(rows, rows, 3)
                x[0, 1] = 0
                held.append((x, engine.infer({"x": x})))
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
        with built(affine) as engine:
            np.testing.assert_allclose(engine.infer({"x": x})["y"], feed()["x"] @ W, rtol=1e-5, atol=1e-6)

    def test_read_only_feeds(self, affine: Path) -> None:
        x = feed()["x"]
        x.flags.writeable = False
        with built(affine) as engine:
            np.testing.assert_allclose(engine.infer({"x": x})["y"], x @ W, rtol=1e-5, atol=1e-6)

    def test_inputs_are_read_where_they_lie(self, affine: Path) -> None:
        x = feed()["x"]
        tensor = ov.runner._shared(x)
        x[0, 0] = 7
        assert tensor.data[0, 0] == 7

    def test_a_failure_inside_the_runtime_is_translated(self, affine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with built(affine) as engine:
            monkeypatch.setattr(engine, "inputs", (TensorSpec("x", (2, 5)),))
            with pytest.raises(TensorError, match=r"affine\.ov: inference failed: .*shape"):
                engine.infer({"x": normal(0, 2, 5)})
            monkeypatch.undo()
            np.testing.assert_allclose(engine.infer(feed())["y"], feed()["x"] @ W, rtol=1e-5, atol=1e-6)


class TestBuffers:
    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.sampled_from(["hold", "view", "drop", "forget"]), min_size=1, max_size=30))
    def test_an_array_that_the_caller_holds_never_changes(self, affine: Path, actions: list[str]) -> None:
        held: list[tuple[np.ndarray, np.ndarray]] = []
        with built(affine) as engine:
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

    def test_a_steady_loop_reuses_its_buffers(self, affine: Path) -> None:
        seen = set()
        with built(affine) as engine:
            for seed in range(50):
                found = engine.infer(feed(seed))  # the last result lives while the next is computed
                seen.add(found["y"].ctypes.data)
        assert len(seen) == 2


class TestDenormals:
    @pytest.mark.skipif(not denormals.works(), reason="no switch for this processor or system")
    @pytest.mark.parametrize("threads", [1, 2])
    def test_flushed_on_every_calling_thread_and_nowhere_after(self, tmp_path: Path, threads: int) -> None:
        self.hold(tmp_path, threads)

    @pytest.mark.skipif(not denormals.works(), reason="no switch for this processor or system")
    def test_flushed_after_precisions_were_tried(self, tmp_path: Path) -> None:
        """OpenVINO gives threads that a model has left to the next one: only a new process shows who made them."""
        script = (
            "import sys; from pathlib import Path; from edgekit.engine.ov import precision\n"
            "assert precision.tried('f32')\n"
            "from tests.engine.ov.test_ov import TestDenormals\n"
            "TestDenormals.hold(Path(sys.argv[1]), 1)\n"
        )
        subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, cwd=Path(__file__).parents[3])

    @staticmethod
    def hold(tmp_path: Path, threads: int) -> None:
        weights = {"w": np.full((16, 16, 1, 1), 1e-20, np.float32)}
        shape = (1, 16, 32, 32)
        path = write(
            tmp_path / "m.onnx",
            [node("Conv", "x w", "y")],
            [("x", shape, "float32")],
            [("y", shape, "float32")],
            weights,
        )
        x, found = {"x": np.full(shape, 1e-20, np.float32)}, []

        def ask() -> None:
            found.append(float(np.abs(engine.infer(x)["y"]).max()))
            found.append(float(np.float32(1e-30) * np.float32(1e-10)))

        with built(path, ov.Config(engine="ov", threads=threads)) as engine:
            ask()
            other = threading.Thread(target=ask)
            other.start()
            other.join()
        assert [value == 0 for value in found] == [True, False, True, False]


class TestFiles:
    def test_open_takes_engine_files_only(self, affine: Path) -> None:
        with pytest.raises(BundleError, match=r"not an engine of the ov backend \(expected a name ending in \.ov\)"):
            ov.Backend(CONFIG).engine(affine)

    def test_constructor_touches_no_file(self, tmp_path: Path) -> None:
        engine = ov.Backend(CONFIG).engine(tmp_path / "absent.ov")
        with pytest.raises(BundleError, match=r"absent\.ov: not an engine of OpenVINO: No such file"), engine:
            pass
        with pytest.raises(InputError, match="is not open"):
            engine.infer(feed())

    def test_an_operator_that_openvino_lacks_is_named(self, tmp_path: Path) -> None:
        made = onnx.helper.make_node("Whirl", ["x"], ["y"], domain="acme")
        value = onnx.helper.make_tensor_value_info
        graph = onnx.helper.make_graph([made], "g", [value("x", 1, [1])], [value("y", 1, [1])])
        opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("acme", 1)]
        path = tmp_path / "m.onnx"
        onnx.save(onnx.helper.make_model(graph, opset_imports=opsets), path)
        with pytest.raises(ModelError, match=r"m\.onnx: OpenVINO refuses the model: .*Whirl"):
            ov.Backend(CONFIG).build(path, tmp_path / "e.ov")
        assert not (tmp_path / "e.ov").exists()

    def test_equal_builds_in_processes_of_their_own_are_equal(self, tmp_path: Path) -> None:
        source = convnet(tmp_path / "m.onnx")
        code = (
            "import sys; from pathlib import Path; from edgekit.engine import ov\n"
            "ov.Backend(ov.Config(engine='ov')).build(Path(sys.argv[1]), Path(sys.argv[2]))"
        )
        subprocess.run([sys.executable, "-c", code, source, tmp_path / "other.ov"], check=True)
        built(source)
        assert source.with_suffix(".ov").read_bytes() == (tmp_path / "other.ov").read_bytes()

    def test_fingerprint_names_what_an_engine_file_depends_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = ov.Backend(CONFIG).fingerprint()
        assert set(found) - {"int8_products"} == {"engine", "openvino", "device", "machine", "isa"}
        assert found == ov.Backend(ov.Config(engine="ov", threads=2)).fingerprint()
        monkeypatch.setattr(session, "version", lambda: "0.0.1")
        assert ov.Backend(CONFIG).fingerprint() == found | {"openvino": "0.0.1"}
        flags = ("avx512_vnni", "avx512_bf16", "amx_bf16")
        monkeypatch.setattr(
            processor, "instruction_sets", lambda sets=("avx512_vnni",): [name for name in sets if name in flags]
        )
        assert ov.Backend(CONFIG).fingerprint()["isa"] == ["avx512_vnni", "avx512_bf16", "amx_bf16"]


class TestPrecision:
    def test_a_control_computes_in_float32(self, tmp_path: Path) -> None:
        source = convnet(tmp_path / "m.onnx")
        x = {"x": normal(7, 1, 3, 16, 16)}
        with ort.reference(source) as reference, built(source) as engine:
            assert engine.describe()["floats"] == "f32"
            assert relative_l2(engine.infer(x)["y"], reference.infer(x)["y"]) < 1e-5
            listed = engine.layer_list()
        assert listed is not None
        layers_path(engine.path).write_text(listed)
        found = ov.Backend(CONFIG).achieved(engine.path, source, "fp32")
        assert found is not None
        assert found.verdict == "pass"
        assert {layer.achieved for layer in found.layers if layer.wanted} == {"fp32"}

    def test_without_a_list_nothing_is_said(self, tmp_path: Path) -> None:
        assert ov.Backend(CONFIG).achieved(tmp_path / "e.ov", convnet(tmp_path / "m.onnx"), "fp32") is None

    @pytest.mark.parametrize("wanted", ["fp16", "bf16"])
    def test_what_the_processor_lacks(self, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(precision, "computes_in", lambda hint: "f32")
        half = write(
            tmp_path / "half.onnx",
            [node("Conv", "x w", "y")],
            [("x", (1, 3, 8, 8), "float16")],
            [("y", (1, 4, 8, 8), "float16")],
            {"w": normal(0, 4, 3, 1, 1).astype(np.float16)},
        )
        config = ov.Config.model_validate({"engine": "ov", "precision": wanted})
        for action in (ov.Backend(config).require, lambda: ov.Backend(CONFIG).build(half, tmp_path / "e.ov")):
            with pytest.raises(
                MissingRequirement, match=r"arithmetic .* ran in f32; take precision: int8 or fp32"
            ) as at:
                action()
            assert at.value.exit_code == 3
        assert not (tmp_path / "e.ov").exists()
        ov.Backend(CONFIG).require()

    def test_the_processor_is_asked_by_a_run(self) -> None:
        assert precision.computes_in("f32") == "f32"
        flags = set(processor.instruction_sets(("avx512_bf16", "amx_bf16", "bf16")))
        if sys.platform == "linux" and not flags:
            assert precision.computes_in("bf16") == "f32"

    def test_placement_is_that_of_the_processor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(processor, "int8_products", lambda: None)
        assert ov.Backend(CONFIG).quantization_profile() == "openvino"
        monkeypatch.setattr(processor, "int8_products", lambda: "u8u8")
        assert ov.Backend(CONFIG).quantization_profile() == "openvino-avx2"
        assert ov.Backend(ov.Config(engine="ov", profile="openvino")).quantization_profile() == "openvino"


class TestThreads:
    def test_threads_give_the_same_result(self, affine: Path) -> None:
        with built(affine) as one, built(affine, ov.Config(engine="ov", threads=2)) as two:
            np.testing.assert_allclose(one.infer(feed())["y"], two.infer(feed())["y"], rtol=1e-6)
            assert one.describe() | {"threads": 2} == two.describe()
            assert two.model.get_property("INFERENCE_NUM_THREADS") == 2
            assert two.model.get_property("NUM_STREAMS") == 1

    def test_pins_inside_and_restores_after(self, affine: Path) -> None:
        before = os.sched_getaffinity(0)
        cpu = max(before)
        with built(affine, ov.Config(engine="ov", pin=(cpu,))) as engine:
            assert os.sched_getaffinity(0) == {cpu}
            engine.infer(feed())
        assert os.sched_getaffinity(0) == before
        with pytest.raises(BundleError), ov.Backend(ov.Config(engine="ov", pin=(cpu,))).engine(Path("absent.ov")):
            pass
        assert os.sched_getaffinity(0) == before

    def test_a_cpu_that_does_not_exist(self, affine: Path) -> None:
        with (
            pytest.raises(EnvironmentFault, match="pin: this process may not use CPU 4095; choose from"),
            built(affine, ov.Config(engine="ov", pin=(4095,))),
        ):
            pass

    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            ({"pin": (0, 1)}, "pin names 2 CPUs for 1 threads; give one CPU per thread"),
            ({"threads": 0}, "greater than or equal to 1"),
            ({"precision": "fp8"}, "'int8', 'fp16', 'bf16' or 'fp32'"),
            ({"provider": "cuda"}, "Extra inputs are not permitted"),
        ],
    )
    def test_config_mistakes(self, keys: dict[str, object], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            ov.Config.model_validate({"engine": "ov"} | keys)
        assert ov.Config(engine="ov", threads=2).cpus == 2


class TestWithoutOpenvino:
    @pytest.fixture(autouse=True)
    def absent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing() -> None:
            raise MissingRequirement("OpenVINO", session.INSTALL)

        monkeypatch.setattr(session, "runtime", missing)
        monkeypatch.setattr(precision, "runtime", missing)

    def test_every_way_in_names_the_install_line(self, affine: Path, tmp_path: Path) -> None:
        backend = ov.Backend(CONFIG)
        for action in (
            backend.require,
            backend.fingerprint,
            lambda: backend.build(affine, tmp_path / "e.ov"),
            lambda: backend.engine(tmp_path / "e.ov").open(),
        ):
            with pytest.raises(
                MissingRequirement, match=r'OpenVINO is not .*install it with: pip install "edgekit\[ov\]'
            ) as at:
                action()
            assert at.value.exit_code == 3

    def test_it_is_no_fault(self) -> None:
        (probe,) = ov.Backend.probe()
        assert (probe.works, probe.optional, probe.install) == (False, True, 'pip install "edgekit[ov]"')


def test_found_as_a_plugin() -> None:
    assert "ov" in plugins.names("engine")
    (probe,) = ov.Backend.probe()
    assert (probe.name, probe.works) == ("ov/cpu", True)
    assert "ran a model in fp32" in probe.detail
