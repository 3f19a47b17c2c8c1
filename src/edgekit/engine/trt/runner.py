"""Run a TensorRT engine: checked feeds in, arrays out, with or without copies."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core.errors import InputError
from edgekit.core.tensors import Array, Arrays
from edgekit.engine import Engine, LayerEvent
from edgekit.engine.trt import bindings, guard, layers
from edgekit.engine.trt.config import Config
from edgekit.engine.trt.cuda import Cuda, load_cuda
from edgekit.engine.trt.session import Session, Shapes
from edgekit.onnxfile.graph import read_graph


class TrtEngine(Engine):
    """One execution context with its buffers and its stream; for one thread at a time.

    :meth:`infer` copies in and out.  :meth:`pinned_inputs` with :meth:`infer_pinned` leave out the copies on the
    host, :meth:`infer_device` every copy.
    """

    def __init__(self, path: Path, config: Config) -> None:
        self.path = path
        self.config = config
        self._session: Session | None = None
        self._cuda: Cuda | None = None

    def activate(self) -> None:
        """Check the facts beside the engine against this machine, deserialise it, take memory, capture the graph.

        Raises:
            BundleError: the engine is foreign, was changed or fits another machine; nothing was deserialised.
            MissingRequirement: TensorRT, the CUDA library, the driver or the device is not here.
            EnvironmentFault: too little memory.
            ModelError: a type, layout or size that edgekit cannot feed, or work that no CUDA graph can hold.
        """
        config = self.config
        api = bindings.load()
        self._facts = guard.check(self.path, guard.this_machine(api))
        with ExitStack() as undo:
            undo.callback(self.deactivate)
            weights = guard.weights_of(self.path, self._facts) if config.weight_stripped else None
            self._cuda = load_cuda(config.memory)
            session = self._session = Session(
                api,
                self._cuda,
                self.path.name,
                self.path.read_bytes(),
                dla_core=config.dla_core,
                host_code=config.version_compatible,
                weights=weights,
            )
            self.inputs, self.outputs = session.inputs, session.outputs
            if session.static and config.cuda_graph:
                session.capture()
            undo.pop_all()

    def infer_impl(self, feeds: Arrays) -> dict[str, Array]:
        session = self._ready()
        self._fill(session, feeds)
        session.run()
        return {name: array.copy() for name, array in session.buffers.views(self.outputs).items()}

    def parts_ms(self) -> dict[str, float]:
        return {} if self._session is None else self._session.parts_ms()

    def _fill(self, session: Session, feeds: Arrays) -> None:
        session.set_shapes({name: array.shape for name, array in feeds.items()})
        for name, view in session.buffers.views(self.inputs).items():
            np.copyto(view, feeds[name])

    def pinned_inputs(self, shapes: Shapes | None = None) -> dict[str, Array]:
        """The page-locked arrays of the inputs, to be filled in place before :meth:`infer_pinned`.

        Args:
            shapes: of every input; needed when the model has dynamic sizes.  Arrays of an earlier call with
                other shapes are not read any more.

        Raises:
            InputError: the engine is not open, or shapes are missing.
            TensorError: a shape does not fit the input, or no optimization profile holds it.
        """
        session = self._ready()
        if shapes is not None:
            session.set_shapes(self._checked(shapes))
        elif session.shapes is None:
            raise InputError(f"{self.path.name} has dynamic sizes; give the shape of every input")
        return session.buffers.views(self.inputs)

    def infer_pinned(self) -> dict[str, Array]:
        """Run one query over :meth:`pinned_inputs`; the arrays returned are overwritten by the next query."""
        session = self._ready()
        if session.shapes is None:
            raise InputError(f"{self.path.name}: fill pinned_inputs(shapes) first")
        session.run()
        return session.buffers.views(self.outputs)

    def infer_device(
        self, addresses: Mapping[str, int], shapes: Shapes | None = None, stream: int | None = None
    ) -> None:
        """Run one query over tensors that lie in device memory already; nothing is copied.

        Args:
            addresses: of every input and output, dense, aligned to 256 bytes.
            shapes: of every input; needed when the model has dynamic sizes.
            stream: where the work is queued, and the caller waits for it; None: the engine's own, and this call
                waits.  No two queries of one engine may be under way at once.

        Raises:
            InputError: the engine is not open, or an address or shape is missing.
            TensorError: a shape does not fit the input, or no optimization profile holds it.
        """
        session = self._ready()
        self.pinned_inputs(shapes)
        wanted = set(session.buffers.addresses())
        if set(addresses) != wanted:
            raise InputError(f"addresses of {sorted(addresses)}; expected exactly those of {sorted(wanted)}")
        session.work(session.context, addresses, session.stream if stream is None else stream)
        if stream is None:
            session.cuda.wait(session.stream)

    def _ready(self) -> Session:
        if self._session is None:
            raise InputError(
                f"{type(self).__name__} is not open; use it as: with engine: engine.infer(...), or call open() first"
            )
        return self._session

    def _checked(self, shapes: Shapes) -> dict[str, tuple[int, ...]]:
        wanted = {spec.name: spec for spec in self.inputs}
        if set(shapes) != set(wanted):
            raise InputError(f"shapes of {sorted(shapes)}; expected exactly those of {sorted(wanted)}")
        for name, spec in wanted.items():
            spec.check(np.broadcast_to(np.zeros((), spec.dtype), tuple(shapes[name])))
        return {name: tuple(shape) for name, shape in shapes.items()}

    def profile_layers_impl(self, feeds: Arrays, queries: int, source: Path | None) -> tuple[LayerEvent, ...]:
        session = self._ready()
        self._fill(session, feeds)
        trt = session.api.module
        reports: list[list[tuple[str, float]]] = []

        class Profiler(trt.IProfiler):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()

            def report_layer_time(self, layer_name: str, ms: float) -> None:
                reports[-1].append((layer_name, ms))

        # A profiler cannot be taken off a context, and a graph would leave it out.
        context, profiler = session.new_context(), Profiler()
        context.profiler = profiler
        session.tell_shapes(context, {name: array.shape for name, array in feeds.items()})
        for _ in range(queries):
            reports.append([])
            session.queue(context)
            session.cuda.wait(session.stream)
        inspector = session.engine.create_engine_inspector()
        inspector.execution_context = context
        document = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
        return layers.layer_events(reports, document, None if source is None else read_graph(source))

    def layer_list(self) -> str | None:
        """The engine inspector's JSON; None when the engine was built without detailed profiling."""
        session = self._ready()
        if not self.config.detailed_profiling:
            return None
        inspector = session.engine.create_engine_inspector()
        return str(inspector.get_engine_information(session.api.module.LayerInformationFormat.JSON))

    def device_memory_mib(self) -> float | None:
        """Device memory that went since the engine was opened, in MiB, by the driver's count; None when closed.

        The CUDA context is not in it; what another process takes meanwhile is.
        """
        return None if self._session is None else self._session.device_bytes() / 2**20

    def deactivate(self) -> None:
        session, cuda = self._session, self._cuda
        self._session = self._cuda = None
        try:
            if session is not None:
                session.close()
        finally:
            if cuda is not None:
                cuda.close()

    def describe(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"engine": "trt", "precision": self.config.precision, "memory": self.config.memory}
        if self._session is not None:
            facts |= {
                "flavour": self._session.api.flavour,
                "version": self._session.api.version,
                "compute_capability": self._facts.compute_capability,
                "device": self._facts.device,
                "cuda_graph": self._session.graph is not None,
                "layers": int(self._session.engine.num_layers),
            }
        return facts
