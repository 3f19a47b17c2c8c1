"""A CUDA device and TensorRT engines on it, simulated: what the fake bindings do when they are called.

The functions of ``cuda.bindings.runtime`` and of TensorRT are those of the recorded signatures; this module gives
them their effect.  Work on a stream is done when the stream is waited for, never before, so a forgotten wait shows;
device memory and page-locked memory are told apart, so an address of the wrong kind shows.  The one network it
knows computes ``2 x + 1``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from tests.support import cuda_records, fake_trt

MAGIC = b"FAKEPLAN"
DTYPES = {"FLOAT": "f4", "HALF": "f2", "INT8": "i1", "UINT8": "u1", "INT32": "i4", "INT64": "i8", "BOOL": "?"}
TOTAL = 8 << 30
LAYERS = (("conv", 0.25), ("relu", 0.5))


def tensor(name: str, mode: str, shape: tuple[int, ...], dtype: str = "FLOAT", **more: Any) -> dict[str, Any]:
    """One tensor of a plan; ``more``: location, format, profiles [[min, opt, max], ...]."""
    return {"name": name, "mode": mode, "shape": list(shape), "dtype": dtype, **more}


def plan(*tensors: dict[str, Any], profiles: int = 1) -> bytes:
    """A serialized engine for the fake."""
    return MAGIC + json.dumps({"tensors": tensors, "profiles": profiles}).encode()


@dataclass
class Stream:
    queue: list[Callable[[], None]] = field(default_factory=list)
    capturing: list[Callable[[], None]] | None = None

    def add(self, work: Callable[[], None]) -> None:
        (self.queue if self.capturing is None else self.capturing).append(work)


class Gpu:
    """The device.  ``failing`` maps a CUDA function to the error that it gives; ``refusing`` a method of TensorRT to
    what it returns and what it logs; ``calls`` counts both."""

    def __init__(self, cuda: str = "cuda-13.5") -> None:
        self.failing: dict[str, str] = {}
        self.refusing: dict[str, tuple[Any, str]] = {}
        self.calls: dict[str, int] = {}
        self.device: dict[int, np.ndarray] = {}
        self.pinned: dict[int, np.ndarray] = {}
        self.streams: dict[int, Stream] = {}
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.events: dict[int, int | None] = {}
        self.done = 0
        self._handles = iter(range(0x1000, 0x100000))
        self.runtime = self._runtime(cuda)

    def held(self) -> int:
        """Allocations, streams, graphs and events that nobody gave back."""
        return len(self.device) + len(self.pinned) + len(self.streams) + len(self.graphs) + len(self.events)

    def at(self, address: int, size: int, places: dict[int, np.ndarray]) -> np.ndarray:
        """The bytes at ``address``, which must lie in one allocation of ``places``."""
        for start, memory in places.items():
            if start <= address and address + size <= start + memory.nbytes:
                return memory[address - start : address - start + size]
        raise AssertionError(f"an illegal memory access: {size} bytes at {address:#x}")

    # --- cuda.bindings.runtime ---

    def _runtime(self, cuda: str) -> ModuleType:
        module = ModuleType("cuda.bindings.runtime")
        enumerations, functions = cuda_records.read(cuda)
        vars(module).update(enumerations, **fake_trt.record(cuda)["values"])
        for name, parameters in functions.items():
            setattr(module, name, self._function(module, name, parameters))
        return module

    def _function(self, module: ModuleType, name: str, parameters: list[str]) -> Callable[..., Any]:
        def call(*args: Any) -> tuple[Any, ...]:
            if len(args) != len(parameters):
                raise TypeError(f"{name}() takes {parameters}, given {args}")
            action = getattr(self, f"_{name}", None)
            if action is None:
                raise NotImplementedError(f"the fake has no behaviour for {name}{args}")
            self.calls[name] = self.calls.get(name, 0) + 1
            fault = self.failing.get(name)
            if name == "cudaMalloc" and args[0] > TOTAL:
                fault = "cudaErrorMemoryAllocation"
            if fault is not None:
                return (module.cudaError_t[fault], *([None] * cuda_records.results(name)))  # type: ignore[index]
            result = action(*args)
            return (module.cudaError_t["cudaSuccess"], *result)  # type: ignore[index]

        return call

    def _cudaSetDevice(self, device: int) -> tuple[()]:  # noqa: N802
        assert device == 0
        return ()

    def _cudaGetErrorString(self, error: Any) -> tuple[bytes]:  # noqa: N802
        return (f"text of {error.name}".encode(),)

    def _cudaMemGetInfo(self) -> tuple[int, int]:  # noqa: N802
        return TOTAL - sum(memory.nbytes for memory in self.device.values()), TOTAL

    def _cudaMalloc(self, size: int) -> tuple[int]:  # noqa: N802
        assert all(stream.capturing is None for stream in self.streams.values()), "an allocation during a capture"
        return (self._new(size, self.device),)

    def _cudaHostAlloc(self, size: int, flags: int) -> tuple[int]:  # noqa: N802
        return (self._new(size, self.pinned),)

    def _new(self, size: int, places: dict[int, np.ndarray]) -> int:
        assert size > 0
        memory = np.full(size, 0xAB, np.uint8)
        places[memory.ctypes.data] = memory
        return int(memory.ctypes.data)

    def _cudaFree(self, address: int) -> tuple[()]:  # noqa: N802
        del self.device[address]
        return ()

    def _cudaFreeHost(self, address: int) -> tuple[()]:  # noqa: N802
        del self.pinned[address]
        return ()

    def _cudaStreamCreateWithFlags(self, flags: int) -> tuple[int]:  # noqa: N802
        handle = next(self._handles)
        self.streams[handle] = Stream()
        return (handle,)

    def _cudaStreamDestroy(self, stream: int) -> tuple[()]:  # noqa: N802
        del self.streams[stream]
        return ()

    def _cudaStreamSynchronize(self, stream: int) -> tuple[()]:  # noqa: N802
        assert self.streams[stream].capturing is None, "a wait during a capture"
        while self.streams[stream].queue:
            self.streams[stream].queue.pop(0)()
            self.done += 1
        return ()

    def _cudaEventCreate(self) -> tuple[int]:  # noqa: N802
        handle = next(self._handles)
        self.events[handle] = None
        return (handle,)

    def _cudaEventDestroy(self, event: int) -> tuple[()]:  # noqa: N802
        del self.events[event]
        return ()

    def _cudaEventRecord(self, event: int, stream: int) -> tuple[()]:  # noqa: N802
        assert event in self.events

        def come_by() -> None:
            self.events[event] = self.done

        self.streams[stream].add(come_by)
        return ()

    def _cudaEventElapsedTime(self, first: int, last: int) -> tuple[float]:  # noqa: N802
        # A millisecond for each piece of work between them.
        return (float(self.events[last] - self.events[first] - 1),)  # type: ignore[operator]  # None: the device has not come to it

    def _cudaMemcpyAsync(self, to: int, source: int, size: int, kind: Any, stream: int) -> tuple[()]:  # noqa: N802
        places = (self.device, self.pinned) if kind.name == "cudaMemcpyHostToDevice" else (self.pinned, self.device)

        def copy() -> None:
            self.at(to, size, places[0])[:] = self.at(source, size, places[1])

        self.streams[stream].add(copy)
        return ()

    def _cudaStreamBeginCapture(self, stream: int, mode: Any) -> tuple[()]:  # noqa: N802
        assert not self.streams[stream].queue, "a capture while work is queued"
        self.streams[stream].capturing = []
        return ()

    def _cudaStreamEndCapture(self, stream: int) -> tuple[int]:  # noqa: N802
        handle = next(self._handles)
        self.graphs[handle] = self.streams[stream].capturing or []
        self.streams[stream].capturing = None
        return (handle,)

    def _cudaGraphInstantiate(self, graph: int, flags: int) -> tuple[int]:  # noqa: N802
        handle = next(self._handles)
        self.graphs[handle] = list(self.graphs[graph])
        return (handle,)

    def _cudaGraphDestroy(self, graph: int) -> tuple[()]:  # noqa: N802
        del self.graphs[graph]
        return ()

    _cudaGraphExecDestroy = _cudaGraphDestroy  # noqa: N815

    def _cudaGraphLaunch(self, graph: int, stream: int) -> tuple[()]:  # noqa: N802
        self.streams[stream].queue.extend(self.graphs[graph])
        return ()

    # --- TensorRT ---

    def tensorrt(self, version: str) -> ModuleType:
        """The bindings of ``version`` on this device."""
        module, acts = _bindings(version)
        acts.clear()
        _Library(self, module).fill(acts)
        return module


@cache
def _bindings(version: str) -> tuple[ModuleType, dict[str, Callable[..., Any]]]:
    acts: dict[str, Callable[..., Any]] = {}
    return fake_trt.generate(version, acts), acts


class _Library:
    """What TensorRT does; the methods are named after those they stand for."""

    def __init__(self, gpu: Gpu, module: ModuleType) -> None:
        self.gpu = gpu
        self.module: Any = module
        self.log: Any = None

    def fill(self, acts: dict[str, Callable[..., Any]]) -> None:
        for kind in (
            "Runtime",
            "ICudaEngine",
            "IExecutionContext",
            "EngineInspector",
            "Refitter",
            "OnnxParserRefitter",
        ):
            for name, action in vars(type(self)).items():
                owner, _, method = name.partition("__")
                known = fake_trt.record_has(self.module, kind, method)
                if owner == kind and known:
                    acts[f"{kind}.{method}"] = self._refusable(f"{kind}.{method}", action)
        acts["Runtime.__init__"] = self._start
        acts["IProfiler.__init__"] = acts["ILogger.__init__"] = lambda this: None
        acts["init_libnvinfer_plugins"] = lambda log, namespace: True
        acts["Refitter.__init__"] = lambda this, engine, log: this.fake.update(engine=engine)
        acts["OnnxParserRefitter.__init__"] = lambda this, refitter, log: this.fake.update(refitter=refitter)

    def _refusable(self, path: str, action: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any) -> Any:
            self.gpu.calls[path] = self.gpu.calls.get(path, 0) + 1
            if path in self.gpu.refusing:
                result, text = self.gpu.refusing[path]
                if self.log is not None:
                    self.log.log(self.module.ILogger.Severity.ERROR, text)
                return result
            return action(self, *args)

        return act

    def _start(self, this: Any, log: Any) -> None:
        self.log = log

    def Runtime__deserialize_cuda_engine(self, this: Any, content: bytes) -> Any:  # noqa: N802
        if not content.startswith(MAGIC):
            self.log.log(self.module.ILogger.Severity.ERROR, "the magic number does not match")
            return None
        document = json.loads(content[len(MAGIC) :])
        return fake_trt.make(
            self.module,
            "ICudaEngine",
            tensors={each["name"]: each for each in document["tensors"]},
            num_io_tensors=len(document["tensors"]),
            num_optimization_profiles=document["profiles"],
            device_memory_size_v2=1 << 20,
            num_layers=len(LAYERS),
        )

    def ICudaEngine__get_tensor_name(self, this: Any, index: int) -> str:  # noqa: N802
        return list(this.fake["tensors"])[index]

    def ICudaEngine__get_tensor_mode(self, this: Any, name: str) -> Any:  # noqa: N802
        return self.module.TensorIOMode[this.fake["tensors"][name]["mode"]]

    def ICudaEngine__get_tensor_dtype(self, this: Any, name: str) -> Any:  # noqa: N802
        return self.module.DataType[this.fake["tensors"][name]["dtype"]]

    def ICudaEngine__get_tensor_shape(self, this: Any, name: str) -> tuple[int, ...]:  # noqa: N802
        return tuple(this.fake["tensors"][name]["shape"])

    def ICudaEngine__get_tensor_location(self, this: Any, name: str) -> Any:  # noqa: N802
        return self.module.TensorLocation[this.fake["tensors"][name].get("location", "DEVICE")]

    def ICudaEngine__get_tensor_format(self, this: Any, name: str) -> Any:  # noqa: N802
        return self.module.TensorFormat[this.fake["tensors"][name].get("format", "LINEAR")]

    def ICudaEngine__get_tensor_profile_shape(self, this: Any, name: str, profile: int) -> list[Any]:  # noqa: N802
        return [tuple(each) for each in this.fake["tensors"][name]["profiles"][profile]]

    def ICudaEngine__create_execution_context(self, this: Any) -> Any:  # noqa: N802
        return fake_trt.make(
            self.module,
            "IExecutionContext",
            engine=this,
            tensors=this.fake["tensors"],
            active_optimization_profile=0,
            shapes={},
            addresses={},
            ran=False,
            profiler=None,
        )

    def ICudaEngine__create_engine_inspector(self, this: Any) -> Any:  # noqa: N802
        return fake_trt.make(self.module, "EngineInspector", execution_context=None)

    def EngineInspector__get_engine_information(self, this: Any, layout: Any) -> str:  # noqa: N802
        assert layout == self.module.LayerInformationFormat.JSON
        found = {"Dimensions": [1, 4], "Format/Datatype": "Row major linear FP32"}
        layers = [
            {"Name": name, "LayerType": "CaskConvolution", "Inputs": [found], "Outputs": [found]} for name, _ in LAYERS
        ]
        return json.dumps({"Layers": layers, "Bindings": []})

    def IExecutionContext__set_input_shape(self, this: Any, name: str, shape: Any) -> bool:  # noqa: N802
        low, _, high = this.fake["tensors"][name]["profiles"][this.fake["active_optimization_profile"]]
        fits = all(a <= size <= b for a, size, b in zip(low, shape, high, strict=True))
        if fits:
            this.fake["shapes"][name] = tuple(shape)
            this.fake["ran"] = False
        return fits

    def IExecutionContext__get_tensor_shape(self, this: Any, name: str) -> tuple[int, ...]:  # noqa: N802
        own = this.fake["tensors"][name]
        if own.get("data_dependent"):
            return (-1,)
        given = next(iter(this.fake["shapes"].values()), ())
        return tuple(given[at] if size < 0 else size for at, size in enumerate(own["shape"]))

    def IExecutionContext__set_optimization_profile_async(self, this: Any, profile: int, stream: int) -> bool:  # noqa: N802
        self.gpu.streams[stream].add(lambda: None)
        this.fake.update(active_optimization_profile=profile, shapes={})
        return True

    def IExecutionContext__set_tensor_address(self, this: Any, name: str, address: int) -> bool:  # noqa: N802
        this.fake["addresses"][name] = address
        return name in this.fake["tensors"] and address % 4 == 0

    def IExecutionContext__is_stream_capturable(self, this: Any, stream: int) -> bool:  # noqa: N802
        return True

    def IExecutionContext__execute_async_v3(self, this: Any, stream: int) -> bool:  # noqa: N802
        tensors, addresses = this.fake["tensors"], dict(this.fake["addresses"])
        assert set(addresses) == set(tensors), "a tensor without an address"
        where = self.gpu.streams[stream]
        assert this.fake["ran"] or where.capturing is None, "TensorRT must run once before it is captured"
        this.fake["ran"] = True
        arrays = {}
        for name, own in tensors.items():
            dynamic = any(size < 0 for size in own["shape"])
            assert not dynamic or own["mode"] == "OUTPUT" or name in this.fake["shapes"], f"{name} has no shape"
            shape = this.fake["shapes"].get(name) or self.IExecutionContext__get_tensor_shape(this, name)
            size = int(np.prod(shape)) * np.dtype(DTYPES[own["dtype"]]).itemsize
            places = self.gpu.pinned if own.get("location") == "HOST" else self.gpu.device
            arrays[name] = self.gpu.at(addresses[name], size, places).view(DTYPES[own["dtype"]]).reshape(shape)
        where.add(lambda: self._compute(tensors, arrays, this.fake["profiler"]))
        return True

    def _compute(self, tensors: dict[str, Any], arrays: dict[str, np.ndarray], profiler: Any) -> None:
        first = next(array for name, array in arrays.items() if tensors[name]["mode"] == "INPUT")
        for name, array in arrays.items():
            if tensors[name]["mode"] == "OUTPUT":
                array[...] = first.astype(np.float32) * 2 + 1
        for name, took_ms in LAYERS if profiler is not None else ():
            profiler.report_layer_time(name, took_ms)

    def OnnxParserRefitter__refit_from_file(self, this: Any, path: str) -> bool:  # noqa: N802
        return True

    def Refitter__refit_cuda_engine(self, this: Any) -> bool:  # noqa: N802
        return True
