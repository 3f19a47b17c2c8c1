"""Device memory: over the simulated device, and the real cuda-bindings where there is no driver."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.support import fake_trt
from tests.support.fake_gpu import Gpu
from tests.support.trt_bench import install

from edgekit.core.errors import EnvironmentFault, InputError, MissingRequirement
from edgekit.engine.trt.cuda import Cuda, CudaPython, PyCuda, load_cuda


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    made = Gpu("cuda-12.9")
    install(made, monkeypatch)
    return made


def there_and_back(cuda: Cuda, sent: np.ndarray) -> np.ndarray:
    """Copy page-locked ``sent`` to the device and from there to other page-locked memory."""
    stream, address = cuda.open_stream(), cuda.allocate(sent.nbytes)
    source, target = cuda.pinned(sent.nbytes), cuda.pinned(sent.nbytes)
    source[:] = sent
    cuda.copy_in(address, source, stream)
    cuda.copy_out(target, address, stream)
    cuda.wait(stream)
    cuda.free(address)
    cuda.close_stream(stream)
    return target.copy()


def test_copies(gpu: Gpu) -> None:
    sent = np.arange(100, dtype=np.uint8)
    np.testing.assert_array_equal(there_and_back(load_cuda("cuda-python"), sent), sent)
    assert gpu.held() == 0


def test_nothing_is_an_allocation_too(gpu: Gpu) -> None:
    cuda = CudaPython()
    cuda.free(cuda.allocate(0))
    assert cuda.pinned(0).shape == (0,)
    assert gpu.held() == 0


def test_free_memory(gpu: Gpu) -> None:
    cuda = CudaPython()
    before = cuda.free_bytes()
    address = cuda.allocate(1000)
    assert before - cuda.free_bytes() == 1000
    cuda.free(address)


def test_graph_replays_what_was_queued(gpu: Gpu) -> None:
    cuda = CudaPython()
    stream, address = cuda.open_stream(), cuda.allocate(4)
    source, target = cuda.pinned(4), cuda.pinned(4)
    with cuda.capture(stream) as made:
        cuda.copy_in(address, source, stream)
        cuda.copy_out(target, address, stream)
    for value in (3, 9):
        source[:] = value
        cuda.launch(made[0], stream)
        cuda.wait(stream)
        assert (target == value).all()
    cuda.free_graph(made[0])
    cuda.free(address)
    cuda.close_stream(stream)
    del source, target
    assert gpu.held() == 0


def test_out_of_memory_names_the_size(gpu: Gpu) -> None:
    cuda = CudaPython()
    gpu.failing["cudaMalloc"] = "cudaErrorMemoryAllocation"
    with pytest.raises(EnvironmentFault, match=r"2\.0 MiB.*text of cudaErrorMemoryAllocation"):
        cuda.allocate(2 << 20)


NO_DRIVER = r"cudaErrorInsufficientDriver|cudaErrorNoDevice"


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


RECORDED = ("cuda-13.5", "tensorrt-rtx-1.7")


@pytest.mark.parametrize("name", RECORDED)
def test_record_is_what_the_installed_package_says(name: str) -> None:
    """A record that was edited by hand, or made by another script, is found out."""
    recorded = fake_trt.record(name)
    source = recorded["source"]
    if installed(source["project"]) != source["version"]:
        pytest.skip(f"{source['project']} {source['version']} is not installed: {installed(source['project'])}")
    script = Path(fake_trt.__file__).with_name("record_trt_api.py")
    command = [sys.executable, str(script), "--read", recorded["package"]]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert found == {key: value for key, value in recorded.items() if key != "source"}


def real_cuda() -> CudaPython:
    """``CudaPython`` over the installed cuda-bindings, without asking for a device."""
    runtime = pytest.importorskip("cuda.bindings.runtime")
    made = object.__new__(CudaPython)
    made._cuda = runtime
    if runtime.cudaGetDeviceCount()[0] == runtime.cudaError_t.cudaSuccess:
        pytest.skip("there is a GPU; this test shows what happens without a driver")
    return made


def test_real_bindings_without_a_driver() -> None:
    real_cuda()
    with pytest.raises(MissingRequirement, match=NO_DRIVER):
        load_cuda("cuda-python")


@pytest.mark.parametrize(
    "call",
    [
        lambda cuda, array: cuda.allocate(16),
        lambda cuda, array: cuda.free(0x100),
        lambda cuda, array: cuda.pinned(16),
        lambda cuda, array: cuda.open_stream(),
        lambda cuda, array: cuda.close_stream(0x100),
        lambda cuda, array: cuda.copy_in(0x100, array, 0x200),
        lambda cuda, array: cuda.copy_out(array, 0x100, 0x200),
        lambda cuda, array: cuda.wait(0x100),
        lambda cuda, array: cuda.free_bytes(),
        lambda cuda, array: cuda.capture(0x100).__enter__(),
        lambda cuda, array: cuda.launch(0x100, 0x200),
        lambda cuda, array: cuda.free_graph(0x100),
    ],
)
def test_real_bindings_take_plain_integers(call: Any) -> None:
    """Every call reaches CUDA, which says that there is no driver; a wrong argument would be a TypeError."""
    with pytest.raises(MissingRequirement, match=NO_DRIVER):
        call(real_cuda(), np.zeros(4, np.uint8))


def test_cuda_bindings_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(MissingRequirement, match="cuda-bindings<13"):
        load_cuda("cuda-python")


def test_pycuda_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(MissingRequirement, match="pip install pycuda"):
        load_cuda("pycuda")


class FakePyCuda:
    """pycuda.driver, as far as it is used; its names are those of pycuda 2026.1's wrapper."""

    def __init__(self) -> None:
        self.Error = type("Error", (Exception,), {})
        self.contexts = 0
        self.clock = iter((10, 13))
        self.memory: dict[int, np.ndarray] = {}
        self.full = False

    def init(self) -> None: ...

    def Device(self, number: int) -> Any:  # noqa: N802
        return SimpleNamespace(retain_primary_context=lambda: self)

    def push(self) -> None:
        self.contexts += 1

    def pop(self) -> None:
        self.contexts -= 1

    def detach(self) -> None: ...

    def mem_alloc(self, size: int) -> Any:
        if self.full:
            raise self.Error("cuMemAlloc failed: out of memory")
        memory, fake = np.zeros(size, np.uint8), self

        class Allocation:
            def __int__(self) -> int:
                return int(memory.ctypes.data)

            def free(self) -> None:
                del fake.memory[int(self)]

        self.memory[memory.ctypes.data] = memory
        return Allocation()

    def pagelocked_empty(self, shape: int, dtype: Any) -> np.ndarray:
        return np.empty(shape, dtype)

    def Stream(self) -> Any:  # noqa: N802
        return SimpleNamespace(handle=77, synchronize=lambda: None)

    def memcpy_htod_async(self, to: int, source: np.ndarray, stream: Any) -> None:
        self.memory[to][: source.nbytes] = source

    def memcpy_dtoh_async(self, to: np.ndarray, source: int, stream: Any) -> None:
        to[:] = self.memory[source][: to.nbytes]

    def Event(self) -> Any:  # noqa: N802
        event = SimpleNamespace(at=None)
        clock = self.clock

        def record(stream: Any) -> None:
            event.at = next(clock)

        event.record, event.time_since = record, lambda other: float(event.at - other.at)
        return event

    def mem_get_info(self) -> tuple[int, int]:
        return 5, 10


@pytest.fixture
def pycuda(monkeypatch: pytest.MonkeyPatch) -> FakePyCuda:
    made, package = FakePyCuda(), ModuleType("pycuda")
    package.driver = made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycuda", package)
    return made


def test_pycuda_copies(pycuda: FakePyCuda) -> None:
    cuda = load_cuda("pycuda")
    sent = np.arange(9, dtype=np.uint8)
    np.testing.assert_array_equal(there_and_back(cuda, sent), sent)
    assert cuda.free_bytes() == 5
    cuda.close()
    assert (pycuda.memory, pycuda.contexts) == ({}, 0)


def test_pycuda_events(pycuda: FakePyCuda) -> None:
    cuda = PyCuda()
    stream, first, last = cuda.open_stream(), cuda.open_event(), cuda.open_event()
    cuda.mark(first, stream)
    cuda.mark(last, stream)
    assert cuda.elapsed_ms(first, last) == 3
    cuda.close_event(first)
    with pytest.raises(KeyError):
        cuda.mark(first, stream)


def test_pycuda_errors(pycuda: FakePyCuda) -> None:
    cuda = PyCuda()
    pycuda.full = True
    with pytest.raises(EnvironmentFault, match=r"1\.0 MiB of device memory: cuMemAlloc failed: out of memory"):
        cuda.allocate(1 << 20)


def test_pycuda_has_no_graphs(pycuda: FakePyCuda) -> None:
    cuda = PyCuda()
    for use in (lambda: cuda.capture(77), lambda: cuda.launch(1, 77), lambda: cuda.free_graph(1)):
        with pytest.raises(InputError, match="cuda_graph: false"):
            use()
