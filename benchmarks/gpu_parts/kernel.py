"""A kernel between the copies, launched one by one and as a graph: what an engine's query is to CUDA."""

from __future__ import annotations

import ctypes
import subprocess
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgekit.core.errors import MissingRequirement
from edgekit.core.tensors import TensorSpec
from edgekit.engine.trt.buffers import Buffers
from edgekit.engine.trt.cuda import Cuda
from gpu_parts import here

SOURCE = """
__global__ void affine(const float* x, float* y, int count) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at < count) y[at] = 2.0f * x[at] + 1.0f;
}
extern "C" int launch(const float* x, float* y, int count, cudaStream_t stream) {
    affine<<<(count + 255) / 256, 256, 0, stream>>>(x, y, count);
    return cudaGetLastError();
}
"""
COUNT, QUERIES = 100_000, 300
X, Y = TensorSpec("x", (COUNT,), "float32"), TensorSpec("y", (COUNT,), "float32")


class Kernel(Protocol):
    """Queues ``y = 2 x + 1``."""

    def launch(self, x: int, y: int, count: int, stream: int) -> None: ...


class Compiled:
    """The kernel, compiled by nvcc; it shares the device's primary context, and so its memory and streams.

    Raises:
        MissingRequirement: there is no nvcc.
    """

    def __init__(self, folder: Path, capability: str) -> None:
        self._launch = ctypes.CDLL(str(compiled(folder, capability))).launch
        self._launch.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)

    def launch(self, x: int, y: int, count: int, stream: int) -> None:
        status = self._launch(x, y, count, stream)
        assert status == 0, f"the launch failed with CUDA error {status}"


def capability() -> str:
    """The compute capability of the first device, such as ``87``."""
    from cuda.bindings import runtime

    found = ""
    for attribute in ("cudaDevAttrComputeCapabilityMajor", "cudaDevAttrComputeCapabilityMinor"):
        status, value = runtime.cudaDeviceGetAttribute(getattr(runtime.cudaDeviceAttr, attribute), 0)
        assert status == runtime.cudaError_t.cudaSuccess, f"{attribute}: {status.name}"
        found += str(value)
    return found


def compiled(folder: Path, capability: str) -> Path:
    """A shared library of :data:`SOURCE` for a compute capability."""
    nvcc = here.nvcc()
    if nvcc is None:
        raise MissingRequirement("nvcc", note="it comes with NVIDIA's CUDA toolkit")
    source, target = folder / "affine.cu", folder / "affine.so"
    source.write_text(SOURCE)
    command = [nvcc, "-shared", "-Xcompiler", "-fPIC", f"-arch=sm_{capability}", "-o", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"nvcc: {done.stdout}{done.stderr}"
    return target


def check(cuda: Cuda, kernel: Kernel) -> dict[str, Any]:
    """Raise AssertionError unless queries give ``2 x + 1``, launched one by one and as a graph."""
    buffers, stream = Buffers(cuda), cuda.open_stream()
    for spec in (X, Y):
        buffers.add(spec)
        buffers.take(spec.name, (COUNT,))
    places = buffers.addresses()

    def queue() -> None:
        buffers.copy_in([X], stream)
        kernel.launch(places["x"], places["y"], COUNT, stream)
        buffers.copy_out([Y], stream)

    try:
        _query(cuda, buffers, stream, queue, seed=0)
        with cuda.capture(stream) as made:
            queue()

        def replay() -> None:
            cuda.launch(made[0], stream)

        for seed in (1, 2, 3):
            _query(cuda, buffers, stream, replay, seed)
        figures = {"launched_us": _time(cuda, stream, queue), "graph_us": _time(cuda, stream, replay)}
        cuda.free_graph(made[0])
    finally:
        buffers.close()
        cuda.close_stream(stream)
    return figures


def _query(cuda: Cuda, buffers: Buffers, stream: int, query: Any, seed: int) -> None:
    views = buffers.views((X, Y))
    views["x"][...] = np.random.default_rng(seed).standard_normal(COUNT)
    views["y"][...] = 0
    query()
    cuda.wait(stream)
    assert np.array_equal(views["y"], 2 * views["x"] + 1), f"query {seed}: y is not 2 x + 1"


def _time(cuda: Cuda, stream: int, query: Any) -> float:
    """Microseconds of a query, median."""
    times = []
    for _ in range(QUERIES):
        began = time.perf_counter()
        query()
        cuda.wait(stream)
        times.append(time.perf_counter() - began)
    return round(float(np.median(times)) * 1e6, 1)
