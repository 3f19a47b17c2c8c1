"""The CUDA calls of the TensorRT runner: device memory, page-locked host memory, a stream, events, graphs.

NVIDIA's cuda-bindings by default; pycuda where it is what a system has (docs/decisions/0011-cuda-bindings.md).
Addresses and handles are plain integers, as TensorRT takes them.  Importing this module touches no device.
"""

from __future__ import annotations

import contextlib
import ctypes
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from edgekit.core.errors import EnvironmentFault, InputError, MissingRequirement
from edgekit.core.tensors import Array

INSTALL = "pip install cuda-bindings (of the CUDA major version that the driver runs: 'cuda-bindings<13' on JetPack 6)"
INSTALL_PYCUDA = "pip install pycuda (it compiles: nvcc and CUDA's headers are needed)"
DRIVER = "NVIDIA's driver (on Jetson: JetPack; elsewhere https://www.nvidia.com/drivers)"


class Cuda(ABC):
    """What the runner asks of CUDA on the first device.

    Every method raises :class:`EnvironmentFault` when CUDA refuses, naming CUDA's reason, and
    :class:`MissingRequirement` when there is no driver, no device, or a driver that is too old.
    """

    _NO_GRAPHS = "pycuda has no CUDA graphs; set cuda_graph: false, or memory: cuda-python"

    @abstractmethod
    def allocate(self, size_bytes: int) -> int:
        """The address of new device memory."""

    @abstractmethod
    def free(self, address: int) -> None:
        """Give back what :meth:`allocate` gave."""

    @abstractmethod
    def pinned(self, size_bytes: int) -> Array:
        """Page-locked host memory, uint8 ``[size_bytes]``; released with the last array that shows it."""

    @abstractmethod
    def open_stream(self) -> int:
        """A stream that does not wait for the default stream."""

    @abstractmethod
    def close_stream(self, stream: int) -> None:
        """Give back what :meth:`open_stream` gave."""

    @abstractmethod
    def copy_in(self, address: int, source: Array, stream: int) -> None:
        """Queue a copy of the page-locked ``source`` to device memory."""

    @abstractmethod
    def copy_out(self, target: Array, address: int, stream: int) -> None:
        """Queue a copy of device memory to the page-locked ``target``."""

    @abstractmethod
    def wait(self, stream: int) -> None:
        """Return when everything queued on ``stream`` is done."""

    @abstractmethod
    def open_event(self) -> int:
        """A mark in the work of a stream, with the time at which the device comes to it."""

    @abstractmethod
    def close_event(self, event: int) -> None:
        """Give back what :meth:`open_event` gave."""

    @abstractmethod
    def mark(self, event: int, stream: int) -> None:
        """Queue ``event`` on ``stream``."""

    @abstractmethod
    def elapsed_ms(self, first: int, last: int) -> float:
        """Milliseconds on the device between two events that it has come to."""

    @abstractmethod
    def free_bytes(self) -> int:
        """Memory of the device that nobody holds."""

    def capture(self, stream: int) -> contextlib.AbstractContextManager[list[int]]:
        """Record what the block queues on ``stream`` instead of running it; the list then holds the graph."""
        raise InputError(self._NO_GRAPHS)

    def launch(self, graph: int, stream: int) -> None:
        """Queue the work of a captured graph."""
        raise InputError(self._NO_GRAPHS)

    def free_graph(self, graph: int) -> None:
        """Give back what :meth:`capture` gave."""
        raise InputError(self._NO_GRAPHS)

    @abstractmethod
    def close(self) -> None:
        """Let go of the device."""


def load_cuda(name: Literal["cuda-python", "pycuda"]) -> Cuda:
    """The library ``name`` on the first device.

    Raises:
        MissingRequirement: it is not installed, or there is no device or driver for it.
    """
    return CudaPython() if name == "cuda-python" else PyCuda()


class CudaPython(Cuda):
    """cuda-bindings: the runtime API, whose primary context is the one that TensorRT uses."""

    def __init__(self) -> None:
        try:
            from cuda.bindings import runtime
        except ImportError as error:
            raise MissingRequirement("cuda-bindings", INSTALL) from error
        self._cuda: Any = runtime
        self._check("cannot use the first CUDA device", runtime.cudaSetDevice(0))

    def allocate(self, size_bytes: int) -> int:
        what = f"cannot take {size_bytes / 2**20:.1f} MiB of device memory"
        return int(self._check(what, self._cuda.cudaMalloc(max(size_bytes, 1))))

    def free(self, address: int) -> None:
        self._check("cannot free device memory", self._cuda.cudaFree(address))

    def pinned(self, size_bytes: int) -> Array:
        what = f"cannot take {size_bytes / 2**20:.1f} MiB of page-locked memory"
        given = self._cuda.cudaHostAlloc(max(size_bytes, 1), self._cuda.cudaHostAllocDefault)
        address = int(self._check(what, given))
        owner = (ctypes.c_ubyte * size_bytes).from_address(address)
        # A view that outlives the engine must not point at freed memory.
        weakref.finalize(owner, self._cuda.cudaFreeHost, address).atexit = False
        return np.ctypeslib.as_array(owner)

    def open_stream(self) -> int:
        given = self._cuda.cudaStreamCreateWithFlags(self._cuda.cudaStreamNonBlocking)
        return int(self._check("cannot open a stream", given))

    def close_stream(self, stream: int) -> None:
        self._check("cannot close a stream", self._cuda.cudaStreamDestroy(stream))

    def copy_in(self, address: int, source: Array, stream: int) -> None:
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        given = self._cuda.cudaMemcpyAsync(address, source.ctypes.data, source.nbytes, kind, stream)
        self._check("cannot copy to the device", given)

    def copy_out(self, target: Array, address: int, stream: int) -> None:
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        given = self._cuda.cudaMemcpyAsync(target.ctypes.data, address, target.nbytes, kind, stream)
        self._check("cannot copy from the device", given)

    def wait(self, stream: int) -> None:
        self._check("the work on the device failed", self._cuda.cudaStreamSynchronize(stream))

    def open_event(self) -> int:
        return int(self._check("cannot make an event", self._cuda.cudaEventCreate()))

    def close_event(self, event: int) -> None:
        self._check("cannot free an event", self._cuda.cudaEventDestroy(event))

    def mark(self, event: int, stream: int) -> None:
        self._check("cannot queue an event", self._cuda.cudaEventRecord(event, stream))

    def elapsed_ms(self, first: int, last: int) -> float:
        return float(self._check("cannot read the time of an event", self._cuda.cudaEventElapsedTime(first, last)))

    def free_bytes(self) -> int:
        return int(self._check("cannot ask for the device's memory", self._cuda.cudaMemGetInfo())[0])

    @contextlib.contextmanager
    def capture(self, stream: int) -> Iterator[list[int]]:
        # Other threads may allocate meanwhile; this one only queues.
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._check("cannot begin a CUDA graph", self._cuda.cudaStreamBeginCapture(stream, mode))
        made: list[int] = []
        try:
            yield made
        except BaseException:
            # The stream is unusable until its capture ends; the block's own error is the one to tell.
            _, begun = self._cuda.cudaStreamEndCapture(stream)
            if begun is not None and int(begun):
                self._cuda.cudaGraphDestroy(begun)
            raise
        graph = self._check("the work cannot be a CUDA graph", self._cuda.cudaStreamEndCapture(stream))
        try:
            made.append(int(self._check("cannot make a CUDA graph", self._cuda.cudaGraphInstantiate(graph, 0))))
        finally:
            self._cuda.cudaGraphDestroy(graph)

    def launch(self, graph: int, stream: int) -> None:
        self._check("cannot launch a CUDA graph", self._cuda.cudaGraphLaunch(graph, stream))

    def free_graph(self, graph: int) -> None:
        self._check("cannot free a CUDA graph", self._cuda.cudaGraphExecDestroy(graph))

    def close(self) -> None:
        """Nothing: the primary context belongs to the process."""

    def _check(self, what: str, given: tuple[Any, ...]) -> Any:
        status, *results = given
        if status == self._cuda.cudaError_t.cudaSuccess:
            return results[0] if len(results) == 1 else tuple(results)
        reason = f"{status.name}: {self._words(status)}"
        if status.name in NO_DRIVER:
            raise MissingRequirement(f"a CUDA device ({reason})", NO_DRIVER[status.name])
        text = f"{what}: {reason}"
        if status == self._cuda.cudaError_t.cudaErrorMemoryAllocation:
            raise EnvironmentFault(f"{text}; close other programs on the device, or use a smaller batch or profile")
        raise EnvironmentFault(text)

    def _words(self, status: Any) -> str:
        _, words = self._cuda.cudaGetErrorString(status)
        return words.decode() if isinstance(words, bytes) else str(words)


NO_DRIVER = {
    "cudaErrorInsufficientDriver": f"{DRIVER}, new enough for this CUDA; or an older cuda-bindings: {INSTALL}",
    "cudaErrorNoDevice": "an NVIDIA GPU that this process may use (see CUDA_VISIBLE_DEVICES)",
    "cudaErrorSystemDriverMismatch": DRIVER,
    "cudaErrorStubLibrary": DRIVER,
}


class PyCuda(Cuda):
    """pycuda: the driver API, on the primary context so that TensorRT sees the same memory.

    It binds no stream capture (2026.1), so an engine runs without CUDA graphs.
    """

    def __init__(self) -> None:
        try:
            from pycuda import driver
        except ImportError as error:
            raise MissingRequirement("pycuda", INSTALL_PYCUDA) from error
        self._cuda: Any = driver
        self._memory: dict[int, Any] = {}
        self._streams: dict[int, Any] = {}
        self._events: dict[int, Any] = {}
        try:
            driver.init()
            self._context = driver.Device(0).retain_primary_context()
        except driver.Error as error:
            raise MissingRequirement(f"a CUDA device ({error})", DRIVER) from error
        self._context.push()

    def allocate(self, size_bytes: int) -> int:
        with self._translated(f"cannot take {size_bytes / 2**20:.1f} MiB of device memory"):
            memory = self._cuda.mem_alloc(max(size_bytes, 1))
        self._memory[int(memory)] = memory
        return int(memory)

    def free(self, address: int) -> None:
        with self._translated("cannot free device memory"):
            self._memory.pop(address).free()

    def pinned(self, size_bytes: int) -> Array:
        with self._translated(f"cannot take {size_bytes / 2**20:.1f} MiB of page-locked memory"):
            memory: Array = self._cuda.pagelocked_empty(max(size_bytes, 1), np.uint8)
        return memory[:size_bytes]

    def open_stream(self) -> int:
        with self._translated("cannot open a stream"):
            stream = self._cuda.Stream()
        self._streams[stream.handle] = stream
        return int(stream.handle)

    def close_stream(self, stream: int) -> None:
        del self._streams[stream]

    def copy_in(self, address: int, source: Array, stream: int) -> None:
        with self._translated("cannot copy to the device"):
            self._cuda.memcpy_htod_async(address, source, self._streams[stream])

    def copy_out(self, target: Array, address: int, stream: int) -> None:
        with self._translated("cannot copy from the device"):
            self._cuda.memcpy_dtoh_async(target, address, self._streams[stream])

    def wait(self, stream: int) -> None:
        with self._translated("the work on the device failed"):
            self._streams[stream].synchronize()

    def open_event(self) -> int:
        with self._translated("cannot make an event"):
            event = self._cuda.Event()
        self._events[id(event)] = event
        return id(event)

    def close_event(self, event: int) -> None:
        del self._events[event]

    def mark(self, event: int, stream: int) -> None:
        with self._translated("cannot queue an event"):
            self._events[event].record(self._streams[stream])

    def elapsed_ms(self, first: int, last: int) -> float:
        with self._translated("cannot read the time of an event"):
            return float(self._events[last].time_since(self._events[first]))

    def free_bytes(self) -> int:
        with self._translated("cannot ask for the device's memory"):
            return int(self._cuda.mem_get_info()[0])

    def close(self) -> None:
        self._context.pop()
        self._context.detach()

    @contextlib.contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._cuda.Error as error:
            raise EnvironmentFault(f"{what}: {error}") from error
