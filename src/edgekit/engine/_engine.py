"""A model that is ready to run: what every backend's engine does, and what only some can."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from edgekit.core.errors import InputError
from edgekit.core.layers import LayerEvent
from edgekit.core.tensors import Array, Arrays, TensorSpec, check_feeds


class Engine(ABC):
    """A model that runs between :meth:`open` and :meth:`close`, or inside ``with engine:``, which calls both.

    :meth:`infer` checks the feeds, :meth:`infer_impl` computes.  Outputs belong to the caller: the next call does not
    change them.  A backend writes :meth:`activate`, :meth:`infer_impl`, :meth:`deactivate` and :meth:`describe`.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    _open = False

    def open(self) -> Self:
        """Load the engine, so that it can run; an engine that is open stays as it is.

        Raises:
            EdgekitError: the file or the machine does not fit; nothing is held then.
        """
        if not self._open:
            self.activate()
            self._open = True
        return self

    def close(self) -> None:
        """Release what the engine holds; one that is closed stays as it is, and may be opened again."""
        if self._open:
            self._open = False
            self.deactivate()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def infer(self, feeds: Arrays) -> dict[str, Array]:
        """Run one query.

        Raises:
            TensorError: a name, shape or dtype differs from :attr:`inputs`.
            InputError: the engine is not open.
        """
        self._check(feeds)
        return self.infer_impl(feeds)

    def profile_layers(self, feeds: Arrays, queries: int, source: Path | None = None) -> tuple[LayerEvent, ...]:
        """Run ``queries`` queries and say how long each layer took.

        Profiling slows a run down, so it has a run of its own: these queries say nothing about latency.

        Args:
            feeds: as for :meth:`infer`.
            queries: at least 1; the first are slower than the rest.
            source: the typed ONNX model that the engine was built from; without it ``nodes`` and ``module``
                of the events may be empty.

        Raises:
            InputError: this backend has no layer profile, or the engine is not open.
        """
        self._check(feeds)
        if queries < 1:
            raise InputError(f"a layer profile of {queries} queries; at least 1 is needed")
        return self.profile_layers_impl(feeds, queries, source)

    def parts_ms(self) -> dict[str, float]:
        """Milliseconds of the last :meth:`infer` on an accelerator; empty: all of it ran on the caller's thread.

        ``enqueue`` is the time until all work was queued, ``device`` from the first of it to the last; they overlap.
        """
        return {}

    def measure_peaks(self, seconds: float = 0.2) -> dict[str, float]:
        """Operations per second by dtype, the best of ``seconds`` of large matrix products in this runtime with
        this engine's threads (a multiplication and an addition are two); empty: this backend cannot measure them."""
        return {}

    def _check(self, feeds: Arrays) -> None:
        if not self._open:
            raise InputError(
                f"{type(self).__name__} is not open; use it as: with engine: engine.infer(...), or call open() first"
            )
        check_feeds(feeds, self.inputs)

    @abstractmethod
    def activate(self) -> None:
        """Load the engine; sets :attr:`inputs` and :attr:`outputs`.  Called by :meth:`open` alone."""

    @abstractmethod
    def infer_impl(self, feeds: Arrays) -> dict[str, Array]:
        """Compute; ``feeds`` are already checked."""

    def profile_layers_impl(self, feeds: Arrays, queries: int, source: Path | None) -> tuple[LayerEvent, ...]:
        """Profile; the arguments are already checked."""
        raise InputError(f"{type(self).__name__}: this backend has no layer profile")

    @abstractmethod
    def deactivate(self) -> None:
        """Release what :meth:`activate` took.  Called by :meth:`close` alone."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Facts for reports: provider, threads, versions."""

    def layer_list(self) -> str | None:
        """The open engine's own list of its layers, in the runtime's words; None: this backend has none."""
        return None

    def arena_mib(self, feeds: Arrays) -> dict[str, float]:
        """MiB that the runtime's allocator took from the system for queries of ``feeds``, in a session of its own.

        By memory (``cpu``, ``cuda``); empty: this backend has no arena, or does not tell.

        Turns the standard error of the process aside meanwhile: for a process with one thread.
        """
        return {}

    def device_memory_mib(self) -> float | None:
        """Memory of the accelerator that this process holds now, in MiB; None for an engine that uses none."""
        return None
