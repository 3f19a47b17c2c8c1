"""Inference engines, one file per backend.

A backend is a module with a frozen ``Config`` (its keys under ``targets`` in the
spec), ``build(source, target, config, progress)``, ``open(path, config)``,
``require(config)``, ``fingerprint(config)``, ``quantization_profile(config)`` and ``probe()``.
One that builds for other machines has ``runs_elsewhere(config)`` too: why its engines cannot run here, or "".
``same_fact(key, built, here, config)`` says which of its fingerprint's values fit each other; without it equal ones.
``INT8_CONTROL`` names the precision that its INT8 engines race when they are built; without it they do not race, and
are compared with FP32.  ``SLOWER_FAILS`` says whether one that loses is a failure (exit code 1) or only told.
``achieved(path, source, precision, config)`` compares an engine's layer list with what was asked for, see
:func:`layers_path`; a backend without such lists leaves it out.
``parts(path, source, config, frames)`` yields every layer of an engine on its own, as :class:`Part`, for the parity
check; a backend that cannot show inner tensors leaves it out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Self

from edgekit.core import plugins
from edgekit.core.errors import InputError
from edgekit.core.layers import LayerEvent as LayerEvent
from edgekit.core.layers import LayerTensor as LayerTensor
from edgekit.core.probes import Probe as Probe
from edgekit.core.tensors import Array, Arrays, TensorSpec, check_feeds
from edgekit.engine._parts import Part as Part
from edgekit.engine._turns import in_turn as in_turn
from edgekit.engine._turns import opened_in_turn as opened_in_turn


class EngineConfig(BaseModel):
    """Base of every backend's ``Config``: one target of the spec."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: str
    precision: str | None = Field(
        None, description="what the engine computes in; default: int8 when the spec quantizes"
    )


def not_here(config: EngineConfig) -> str:
    """Why engines of this target, although they can be built, cannot run on this machine; empty: they can."""
    ask = getattr(plugins.load("engine", config.engine), "runs_elsewhere", None)
    return "" if ask is None else str(ask(config))


def layers_path(engine: Path) -> Path:
    """Where an engine's layer list lies: ``<engine>.layers.json`` beside it."""
    return engine.with_name(f"{engine.name}.layers.json")


class Engine(ABC):
    """A model ready to run; a context manager that releases it.

    :meth:`infer` checks the feeds, :meth:`infer_impl` computes.  Outputs belong to
    the caller: the next call does not change them.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    _open = False

    def __enter__(self) -> Self:
        if not self._open:
            self.activate()
            self._open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open:
            self._open = False
            self.deactivate()

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
            raise InputError(f"{type(self).__name__} is not open; use it as: with engine: engine.infer(...)")
        check_feeds(feeds, self.inputs)

    @abstractmethod
    def activate(self) -> None:
        """Load the engine; sets :attr:`inputs` and :attr:`outputs`."""

    @abstractmethod
    def infer_impl(self, feeds: Arrays) -> dict[str, Array]:
        """Compute; ``feeds`` are already checked."""

    def profile_layers_impl(self, feeds: Arrays, queries: int, source: Path | None) -> tuple[LayerEvent, ...]:
        """Profile; the arguments are already checked."""
        raise InputError(f"{type(self).__name__}: this backend has no layer profile")

    @abstractmethod
    def deactivate(self) -> None:
        """Release what :meth:`activate` took."""

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


def control_of(engine: ModuleType, precision: str) -> str:
    """The precision of the engine that one of ``precision`` is compared with, on this backend."""
    return str(getattr(engine, "INT8_CONTROL", "fp32")) if precision == "int8" else "fp32"


def slower_fails(config: EngineConfig) -> bool:
    """Whether a build whose INT8 engine loses its race has failed."""
    return bool(getattr(plugins.load("engine", config.engine), "SLOWER_FAILS", False))
