"""A deserialised TensorRT engine with its context, buffers and stream, and a CUDA graph when every shape is fixed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edgekit.core.errors import BundleError, EnvironmentFault, InputError, ModelError, TensorError
from edgekit.core.tensors import TensorSpec
from edgekit.engine.trt import bindings, guard
from edgekit.engine.trt.bindings import Api
from edgekit.engine.trt.buffers import Buffers
from edgekit.engine.trt.cuda import Cuda

# TensorRT's names of the types that NumPy has.
_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}
Shapes = Mapping[str, tuple[int, ...]]


class Session:
    """What one open engine holds.

    Args:
        name: of the engine file, for messages.
        plan: the serialized engine, already checked by :func:`edgekit.engine.trt.guard.check`.
        dla_core: the accelerator it was built for; None: the GPU.
        host_code: let the engine bring its own runtime (a version-compatible one does).
        weights: the ONNX file that a weight-stripped engine gets its weights from.

    Raises:
        BundleError: TensorRT cannot read the plan.
        EnvironmentFault: too little memory.
        ModelError: a type, layout or size that edgekit cannot feed.
    """

    def __init__(
        self,
        api: Api,
        cuda: Cuda,
        name: str,
        plan: bytes,
        *,
        dla_core: int | None = None,
        host_code: bool = False,
        weights: Path | None = None,
    ) -> None:
        self.api = api
        self.cuda = cuda
        self.name = name
        self.graph: int | None = None
        self.shapes: dict[str, tuple[int, ...]] | None = None
        self.enqueue_ms: float | None = None
        self.free_before = cuda.free_bytes()
        with ExitStack() as undo:
            self.stream = cuda.open_stream()
            undo.callback(cuda.close_stream, self.stream)
            self.began, self.ended = cuda.open_event(), cuda.open_event()
            undo.callback(self._close_events)
            self.runtime = self._runtime(dla_core, host_code)
            self.engine = self.runtime.deserialize_cuda_engine(plan)
            if self.engine is None:
                raise BundleError(f"{name}: TensorRT cannot read the engine{self.words()}; {guard.REBUILD}")
            if weights is not None:
                self._refit(weights)
            self.context = self.new_context()
            self.buffers = Buffers(cuda)
            undo.callback(self.buffers.close)
            self.inputs, self.outputs = self._tensors()
            self.static = all(None not in spec.shape for spec in self.inputs)
            if self.static:
                self.set_shapes({spec.name: fixed(spec) for spec in self.inputs})
            undo.pop_all()

    def _runtime(self, dla_core: int | None, host_code: bool) -> Any:
        trt, log = self.api.module, bindings.logger(self.api)
        log.clear()
        trt.init_libnvinfer_plugins(log, "")
        runtime = trt.Runtime(log)
        if dla_core is not None:
            runtime.DLA_core = dla_core
        runtime.engine_host_code_allowed = host_code
        return runtime

    def _refit(self, weights: Path) -> None:
        trt, log = self.api.module, bindings.logger(self.api)
        refitter = trt.Refitter(self.engine, log)
        parser = trt.OnnxParserRefitter(refitter, log)
        if not parser.refit_from_file(str(weights)) or not refitter.refit_cuda_engine():
            raise BundleError(f"{self.name}: TensorRT cannot take the weights of {weights}{self.words()}")

    def new_context(self) -> Any:
        """An execution context of its own memory."""
        context = self.engine.create_execution_context()
        if context is None:
            need = self.engine.device_memory_size_v2 / 2**20
            raise EnvironmentFault(
                f"{self.name}: TensorRT cannot make an execution context, which needs {need:.1f} MiB of device "
                f"memory{self.words()}; close other programs on the device, or build with smaller profiles"
            )
        return context

    def words(self) -> str:
        """What TensorRT said last, to follow a message."""
        said = bindings.logger(self.api).problems[-2:]
        return f" ({'; '.join(said)})" if said else ""

    def _tensors(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        trt, engine = self.api.module, self.engine
        inputs: list[TensorSpec] = []
        outputs: list[TensorSpec] = []
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            spec = self._spec(name)
            on_host = engine.get_tensor_location(name) == trt.TensorLocation.HOST
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            if on_host and is_input:
                raise ModelError(
                    f"{self.name}: input {name!r} holds sizes, not data; make it a constant in the ONNX file, or let "
                    "an axis of another input be dynamic"
                )
            (inputs if is_input else outputs).append(spec)
            self.buffers.add(spec, on_host)
        return tuple(inputs), tuple(outputs)

    def _spec(self, name: str) -> TensorSpec:
        trt, engine = self.api.module, self.engine
        kind = engine.get_tensor_dtype(name).name
        if kind not in _DTYPES:
            raise ModelError(
                f"{self.name}: tensor {name!r} has type {kind}, which NumPy has not; put a Cast to float32 "
                f"beside it in the ONNX file; supported: {', '.join(_DTYPES)}"
            )
        layout = engine.get_tensor_format(name)
        if layout != trt.TensorFormat.LINEAR:
            raise ModelError(f"{self.name}: tensor {name!r} lies as {layout.name}; expected LINEAR (row by row)")
        shape = tuple(None if size < 0 else int(size) for size in engine.get_tensor_shape(name))
        return TensorSpec(name, shape, _DTYPES[kind])

    def set_shapes(self, shapes: Shapes) -> None:
        """Make context and buffers ready for inputs of ``shapes``.

        Raises:
            TensorError: no optimization profile holds them.
        """
        if self.shapes == shapes:
            return
        self.shapes = None
        self.tell_shapes(self.context, shapes)
        for spec in self.inputs:
            self.buffers.take(spec.name, shapes[spec.name])
        for spec in self.outputs:
            shape = tuple(int(size) for size in self.context.get_tensor_shape(spec.name))
            if any(size < 0 for size in shape):
                raise ModelError(
                    f"{self.name}: the size of output {spec.name!r} depends on the data; end the model before "
                    "such a node (NonZero, NonMaxSuppression), and do that step after the engine"
                )
            self.buffers.take(spec.name, shape)
        self.shapes = dict(shapes)

    def tell_shapes(self, context: Any, shapes: Shapes) -> None:
        """Choose the profile of ``context`` and set the shapes of its inputs; nothing to do when all are fixed."""
        if self.static:
            return
        profile = self._profile(shapes, context.active_optimization_profile)
        if profile != context.active_optimization_profile:
            if not context.set_optimization_profile_async(profile, self.stream):
                raise EnvironmentFault(f"{self.name}: TensorRT cannot use profile {profile}{self.words()}")
            self.cuda.wait(self.stream)
        for name, shape in shapes.items():
            if not context.set_input_shape(name, shape):
                raise TensorError(f"{self.name}: input {name!r} of shape {list(shape)} is refused{self.words()}")

    def _profile(self, shapes: Shapes, active: int) -> int:
        """The optimization profile that holds ``shapes``: the active one if it does, else the first."""
        count = self.engine.num_optimization_profiles
        ranges = [{name: self.engine.get_tensor_profile_shape(name, at) for name in shapes} for at in range(count)]
        for profile in sorted(range(count), key=lambda index: index != active):
            if all(_within(shape, ranges[profile][name]) for name, shape in shapes.items()):
                return profile
        known = "; ".join(f"{name} {list(r[0])} to {list(r[2])}" for one in ranges for name, r in one.items())
        given = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        raise TensorError(f"{self.name}: no profile was built for {given}; it has {known}; add one under profiles")

    def capture(self) -> None:
        """Run once, as TensorRT asks before a capture, then record the copies and the work as one graph.

        Raises:
            ModelError: no CUDA graph can hold this engine.
        """
        fix = "set cuda_graph: false for this target"
        asks = self.api.has("IExecutionContext.is_stream_capturable")
        if asks and not self.context.is_stream_capturable(self.stream):
            raise ModelError(f"{self.name}: TensorRT says that no CUDA graph can hold this engine; {fix}")
        self.queue(self.context)
        self.cuda.wait(self.stream)
        try:
            with self.cuda.capture(self.stream) as made:
                self.queue(self.context)
        except EnvironmentFault as error:
            raise ModelError(f"{self.name}: no CUDA graph can hold this engine ({error}); {fix}") from error
        (self.graph,) = made

    def queue(self, context: Any) -> None:
        """Queue copies in, the work, copies out."""
        self.buffers.copy_in(self.inputs, self.stream)
        self.work(context, self.buffers.addresses(), self.stream)
        self.buffers.copy_out(self.outputs, self.stream)

    def work(self, context: Any, addresses: Mapping[str, int], stream: int) -> None:
        """Queue the network alone over the tensors at ``addresses``."""
        for name, address in addresses.items():
            if not context.set_tensor_address(name, address):
                raise InputError(f"{self.name}: TensorRT refuses address {address:#x} for {name!r}{self.words()}")
        if not context.execute_async_v3(stream):
            raise EnvironmentFault(f"{self.name}: TensorRT cannot run the engine{self.words()}")

    def run(self) -> None:
        """One query over the buffers."""
        start = time.perf_counter()
        self.cuda.mark(self.began, self.stream)
        if self.graph is not None:
            self.cuda.launch(self.graph, self.stream)
        else:
            self.queue(self.context)
        self.cuda.mark(self.ended, self.stream)
        self.enqueue_ms = (time.perf_counter() - start) * 1e3
        self.cuda.wait(self.stream)

    def parts_ms(self) -> dict[str, float]:
        """Of the last :meth:`run`: until all was queued, and from the first to the last of it on the device."""
        if self.enqueue_ms is None:
            return {}
        return {"enqueue": self.enqueue_ms, "device": self.cuda.elapsed_ms(self.began, self.ended)}

    def _close_events(self) -> None:
        self.cuda.close_event(self.began)
        self.cuda.close_event(self.ended)

    def device_bytes(self) -> int:
        """Device memory that went since before the session, at least what is known to be held."""
        known = self.buffers.device_bytes() + int(self.engine.device_memory_size_v2)
        return max(self.free_before - self.cuda.free_bytes(), known)

    def close(self) -> None:
        """Release everything; TensorRT's objects before what they were made by."""
        with ExitStack() as undo:
            undo.callback(self.cuda.close_stream, self.stream)
            undo.callback(self._close_events)
            undo.callback(self.buffers.close)
            if self.graph is not None:
                undo.callback(self.cuda.free_graph, self.graph)
            del self.context
            del self.engine
            del self.runtime


def fixed(spec: TensorSpec) -> tuple[int, ...]:
    """The shape of a tensor without dynamic sizes."""
    return tuple(size for size in spec.shape if size is not None)


def _within(shape: tuple[int, ...], extents: Any) -> bool:
    low, _, high = extents
    return all(least <= size <= most for least, size, most in zip(low, shape, high, strict=True))
