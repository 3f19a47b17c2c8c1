"""The runner over a simulated device: bindings generated from the recorded signatures of every version."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import fake_gpu, fake_trt
from tests.support.fake_gpu import Gpu, plan, tensor
from tests.support.trt_bench import STATIC, Bench, machine

from edgekit.core.errors import (
    BundleError,
    CheckFailed,
    EdgekitError,
    EnvironmentFault,
    InputError,
    MissingRequirement,
    ModelError,
    TensorError,
)
from edgekit.engine.trt import guard

RANGES = [[[1, 4], [2, 4], [4, 4]], [[5, 4], [8, 4], [16, 4]]]
DYNAMIC = plan(tensor("x", "INPUT", (-1, 4), profiles=RANGES), tensor("y", "OUTPUT", (-1, 4)), profiles=2)
X = np.arange(4, dtype=np.float32).reshape(1, 4)


@pytest.fixture(params=fake_trt.VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bench(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The machine; everything that was taken from its device must be given back at the end."""
    made = machine(version, tmp_path, monkeypatch)
    yield made
    assert made.gpu.held() == 0, "memory, a stream or a graph was not given back"


def test_computes(bench: Bench) -> None:
    with bench.engine() as engine:
        np.testing.assert_array_equal(engine.infer({"x": X})["y"], 2 * X + 1)
        np.testing.assert_array_equal(engine.infer({"x": -X})["y"], 1 - 2 * X)
        facts = engine.describe()
    assert facts["flavour"] == bench.here.flavour
    assert facts["cuda_graph"] is True


def test_outputs_belong_to_the_caller(bench: Bench) -> None:
    with bench.engine() as engine:
        first = engine.infer({"x": X})["y"]
        engine.infer({"x": X + 7})
        np.testing.assert_array_equal(first, 2 * X + 1)


def test_static_shapes_replay_one_graph(bench: Bench) -> None:
    with bench.engine() as engine:
        for _ in range(3):
            engine.infer({"x": X})
    assert bench.gpu.calls["cudaGraphLaunch"] == 3
    # Once to warm up, once into the capture.
    assert bench.gpu.calls["IExecutionContext.execute_async_v3"] == 2


@pytest.mark.parametrize("graph", [True, False])
def test_enqueue_and_device_apart(bench: Bench, graph: bool) -> None:
    with bench.engine(cuda_graph=graph) as engine:
        assert engine.parts_ms() == {}
        engine.infer({"x": X})
        parts = engine.parts_ms()
    assert set(parts) == {"enqueue", "device"}
    assert parts["enqueue"] > 0
    assert parts["device"] == 3  # copy in, the network, copy out: a millisecond each on the simulated device


def test_without_graph(bench: Bench) -> None:
    with bench.engine(cuda_graph=False) as engine:
        np.testing.assert_array_equal(engine.infer({"x": X})["y"], 2 * X + 1)
        assert engine.describe()["cuda_graph"] is False
    assert "cudaGraphLaunch" not in bench.gpu.calls


def test_dynamic_shapes_choose_their_profile(bench: Bench) -> None:
    with bench.engine(DYNAMIC) as engine:
        assert engine.inputs[0].shape == (None, 4)
        for batch in (2, 16, 1, 4, 5):
            x = np.full((batch, 4), batch, np.float32)
            np.testing.assert_array_equal(engine.infer({"x": x})["y"], 2 * x + 1)
        with pytest.raises(TensorError, match=r"x \[17, 4\].*\[1, 4\] to \[4, 4\].*\[5, 4\] to \[16, 4\]"):
            engine.infer({"x": np.zeros((17, 4), np.float32)})
        np.testing.assert_array_equal(engine.infer({"x": X})["y"], 2 * X + 1)
    assert "cudaGraphLaunch" not in bench.gpu.calls
    assert bench.gpu.calls["IExecutionContext.set_optimization_profile_async"] == 4


@pytest.mark.parametrize("dtype", fake_gpu.DTYPES)
def test_every_type_that_numpy_has(bench: Bench, dtype: str) -> None:
    kind = fake_gpu.DTYPES[dtype]
    content = plan(tensor("x", "INPUT", (3,), dtype), tensor("y", "OUTPUT", (3,), dtype))
    with bench.engine(content) as engine:
        x = np.array([0, 1, 3]).astype(kind)
        expected = (x.astype(np.float32) * 2 + 1).astype(kind)
        found = engine.infer({"x": x})["y"]
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(found, expected)


def test_scalar_and_host_output(bench: Bench) -> None:
    content = plan(tensor("x", "INPUT", ()), tensor("y", "OUTPUT", (), location="HOST"))
    with bench.engine(content) as engine:
        assert engine.infer({"x": np.array(3, np.float32)})["y"] == 7


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"dtype": "BF16"}, "type BF16"),
        ({"format": "CHW32"}, "CHW32"),
        ({"location": "HOST"}, "holds sizes"),
    ],
)
def test_inputs_that_cannot_be_fed(bench: Bench, changed: dict[str, Any], reason: str) -> None:
    content = plan(tensor("x", "INPUT", (1, 4)) | changed, tensor("y", "OUTPUT", (1, 4)))
    with pytest.raises(ModelError, match=f"model.engine.*{reason}"), bench.engine(content):
        pass


def test_output_of_unknown_size(bench: Bench) -> None:
    content = plan(tensor("x", "INPUT", (1, 4)), tensor("y", "OUTPUT", (-1,), data_dependent=True))
    with pytest.raises(ModelError, match="'y' depends on the data"), bench.engine(content):
        pass


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"tensorrt": "9.9.9"}, r"9\.9\.9.*edgekit build"),
        ({"compute_capability": "7.2"}, r"7\.2.*8\.7.*edgekit build"),
        ({"engine_sha256": "0" * 64}, "its bytes are not those"),
        ({"flavour": "tensorrt-other"}, "tensorrt-other.*edgekit build"),
    ],
)
def test_foreign_engine_is_refused_unread(bench: Bench, made: dict[str, Any], reason: str) -> None:
    with pytest.raises(BundleError, match=reason), bench.engine(made=made):
        pass
    assert not bench.gpu.calls


def test_engine_without_facts_is_refused_unread(bench: Bench) -> None:
    engine = bench.engine()
    guard.guard_path(engine.path).unlink()
    with pytest.raises(BundleError, match="foreign engine"), engine:
        pass
    assert not bench.gpu.calls


def test_unreadable_plan_tells_what_tensorrt_said(bench: Bench) -> None:
    with pytest.raises(BundleError, match=r"magic number does not match.*edgekit build"), bench.engine(b"garbage"):
        pass


@pytest.mark.parametrize(
    ("call", "gives", "error", "reason"),
    [
        ("ICudaEngine.create_execution_context", None, EnvironmentFault, r"needs 1\.0 MiB.*out of memory"),
        ("IExecutionContext.execute_async_v3", False, EnvironmentFault, "cannot run the engine.*out of memory"),
        ("IExecutionContext.set_tensor_address", False, InputError, "refuses address.*out of memory"),
    ],
)
def test_tensorrt_refuses(bench: Bench, call: str, gives: Any, error: type[EdgekitError], reason: str) -> None:
    bench.gpu.refusing[call] = (gives, "out of memory")
    with pytest.raises(error, match=reason), bench.engine():
        pass


@pytest.mark.parametrize(
    ("call", "status", "error", "reason"),
    [
        ("cudaSetDevice", "cudaErrorInsufficientDriver", MissingRequirement, "new enough for this CUDA"),
        ("cudaSetDevice", "cudaErrorNoDevice", MissingRequirement, "NVIDIA GPU"),
        ("cudaMalloc", "cudaErrorMemoryAllocation", EnvironmentFault, "MiB of device memory.*smaller batch"),
        ("cudaHostAlloc", "cudaErrorMemoryAllocation", EnvironmentFault, "page-locked"),
        ("cudaStreamCreateWithFlags", "cudaErrorUnknown", EnvironmentFault, "text of cudaErrorUnknown"),
        ("cudaStreamSynchronize", "cudaErrorIllegalAddress", EnvironmentFault, "work on the device failed"),
        ("cudaGraphInstantiate", "cudaErrorNotSupported", ModelError, "cuda_graph: false"),
        ("cudaStreamBeginCapture", "cudaErrorStreamCaptureUnsupported", ModelError, "cuda_graph: false"),
    ],
)
def test_cuda_refuses(bench: Bench, call: str, status: str, error: type[EdgekitError], reason: str) -> None:
    bench.gpu.failing[call] = status
    with pytest.raises(error, match=reason), bench.engine():
        pass


def test_refusal_inside_a_capture_ends_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second execution is the captured one; the stream must be usable, so it can be closed."""
    engine = bench.engine()
    library = bench.api.module.IExecutionContext
    real, count = library.execute_async_v3, iter([True])

    def second_fails(self: Any, stream_handle: int) -> bool:
        return bool(real(self, stream_handle)) and next(count, False)

    monkeypatch.setattr(library, "execute_async_v3", second_fails)
    with pytest.raises(ModelError, match="no CUDA graph can hold this engine"), engine:
        pass
    assert bench.gpu.calls["cudaStreamEndCapture"] == 1
    bench.gpu.graphs.clear()  # what a capture leaves that was broken off is CUDA's


def test_capturability_is_asked_where_it_can_be(bench: Bench, version: str) -> None:
    bench.gpu.refusing["IExecutionContext.is_stream_capturable"] = (False, "it allocates")
    if "is_stream_capturable" in fake_trt.record(version)["classes"]["IExecutionContext"]["methods"]:
        with pytest.raises(ModelError, match="cuda_graph: false"), bench.engine():
            pass
    else:
        with bench.engine():
            pass


def test_pinned_views_share_memory(bench: Bench) -> None:
    with bench.engine() as engine:
        inputs = engine.pinned_inputs()
        inputs["x"][:] = X
        first = engine.infer_pinned()["y"]
        np.testing.assert_array_equal(first, 2 * X + 1)
        engine.pinned_inputs()["x"][:] = X + 1
        engine.infer_pinned()
        np.testing.assert_array_equal(first, 2 * X + 3)
        del inputs, first


def test_pinned_views_outlive_the_engine(bench: Bench) -> None:
    with bench.engine() as engine:
        view = engine.pinned_inputs()["x"]
        view[:] = 5
    assert len(bench.gpu.pinned) == 1
    assert (view == 5).all()
    del view
    assert not bench.gpu.pinned


def test_pinned_needs_shapes_when_dynamic(bench: Bench) -> None:
    with bench.engine(DYNAMIC) as engine:
        with pytest.raises(InputError, match="dynamic sizes"):
            engine.pinned_inputs()
        with pytest.raises(InputError, match="first"):
            engine.infer_pinned()
        with pytest.raises(InputError, match=r"\['z'\].*\['x'\]"):
            engine.pinned_inputs({"z": (1, 4)})
        with pytest.raises(TensorError, match=r"\[1, 5\]"):
            engine.pinned_inputs({"x": (1, 5)})
        engine.pinned_inputs({"x": (3, 4)})["x"][:] = 2
        np.testing.assert_array_equal(engine.infer_pinned()["y"], np.full((3, 4), 5, np.float32))


def on_device(gpu: Gpu, array: np.ndarray) -> int:
    """Device memory of a caller's own, holding ``array``."""
    _, address = gpu.runtime.cudaMalloc(array.nbytes)
    gpu.device[address][:] = array.view(np.uint8).ravel()
    return int(address)


@pytest.mark.parametrize("content", [STATIC, DYNAMIC], ids=["static", "dynamic"])
def test_device_path_copies_nothing(bench: Bench, content: bytes) -> None:
    gpu = bench.gpu
    with bench.engine(content) as engine:
        given = {"x": on_device(gpu, X), "y": on_device(gpu, np.zeros_like(X))}
        copies = gpu.calls.get("cudaMemcpyAsync", 0)
        engine.infer_device(given, {"x": (1, 4)})
        np.testing.assert_array_equal(gpu.device[given["y"]].view(np.float32), (2 * X + 1)[0])
        assert gpu.calls.get("cudaMemcpyAsync", 0) == copies
        # The engine's own buffers still work.
        np.testing.assert_array_equal(engine.infer({"x": X + 1})["y"], 2 * X + 3)
        with pytest.raises(InputError, match=r"addresses of \['x'\]; expected.*\['x', 'y'\]"):
            engine.infer_device({"x": given["x"]}, {"x": (1, 4)})
        for address in given.values():
            gpu.runtime.cudaFree(address)


def test_device_path_on_a_stream_of_the_caller(bench: Bench) -> None:
    gpu = bench.gpu
    with bench.engine() as engine:
        given = {"x": on_device(gpu, X), "y": on_device(gpu, np.zeros_like(X))}
        _, stream = gpu.runtime.cudaStreamCreateWithFlags(0)
        engine.infer_device(given, stream=stream)
        assert not gpu.device[given["y"]].any(), "the call waited for the work"
        gpu.runtime.cudaStreamSynchronize(stream)
        np.testing.assert_array_equal(gpu.device[given["y"]].view(np.float32), (2 * X + 1)[0])
        gpu.runtime.cudaStreamDestroy(stream)
        for address in given.values():
            gpu.runtime.cudaFree(address)


def test_layer_profile(bench: Bench) -> None:
    with bench.engine() as engine:
        events = engine.profile_layers({"x": X}, 3)
        np.testing.assert_array_equal(engine.infer({"x": X})["y"], 2 * X + 1)
    assert [(e.name, e.query, e.duration_us) for e in events[:3]] == [
        ("conv", 0, 250.0),
        ("relu", 0, 500.0),
        ("conv", 1, 250.0),
    ]
    assert len(events) == 6
    assert (events[0].inputs[0].dtype, events[0].inputs[0].shape) == ("float32", (1, 4))


def test_layer_profile_of_dynamic_shapes(bench: Bench) -> None:
    with bench.engine(DYNAMIC) as engine:
        assert len(engine.profile_layers({"x": np.zeros((8, 4), np.float32)}, 2)) == 4
        np.testing.assert_array_equal(engine.infer({"x": X})["y"], 2 * X + 1)


def test_layer_profile_without_reports(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_gpu, "LAYERS", ())
    with bench.engine() as engine, pytest.raises(CheckFailed, match="query 0"):
        engine.profile_layers({"x": X}, 1)


def test_device_memory(bench: Bench) -> None:
    engine = bench.engine()
    assert engine.device_memory_mib() is None
    with engine:
        # The context of the fake needs 1 MiB, and each buffer 16 bytes.
        assert engine.device_memory_mib() == pytest.approx(1 + 32 / 2**20)
        _, address = bench.gpu.runtime.cudaMalloc(5 << 20)
        assert engine.device_memory_mib() == pytest.approx(5 + 32 / 2**20)
        bench.gpu.runtime.cudaFree(address)
    assert engine.device_memory_mib() is None


def test_weights_of_a_stripped_engine(bench: Bench) -> None:
    engine = bench.engine(weight_stripped=True)
    with pytest.raises(BundleError, match="holds no weights"), engine:
        pass
    (bench.folder / "model.onnx").write_bytes(b"model")
    with engine:
        np.testing.assert_array_equal(engine.infer({"x": X})["y"], 2 * X + 1)
    assert bench.gpu.calls["Refitter.refit_cuda_engine"] == 1
    bench.gpu.refusing["OnnxParserRefitter.refit_from_file"] = (False, "a weight has another size")
    with pytest.raises(BundleError, match="another size"), engine:
        pass


def test_dla_and_host_code_reach_the_runtime(bench: Bench) -> None:
    with bench.engine(dla_core=1, version_compatible=True) as engine:
        runtime = engine._session.runtime  # type: ignore[union-attr]
        assert (runtime.DLA_core, runtime.engine_host_code_allowed) == (1, True)
        del runtime
    with bench.engine() as engine:
        assert engine._session.runtime.engine_host_code_allowed is False  # type: ignore[union-attr]


def test_closed_engine_says_so(bench: Bench) -> None:
    engine = bench.engine()
    for use in (engine.pinned_inputs, engine.infer_pinned, lambda: engine.infer_device({})):
        with pytest.raises(InputError, match="not open"):
            use()
