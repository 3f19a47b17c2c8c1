"""Inference engines, one file per backend.

A backend is a module with a frozen ``Config`` (its keys under ``targets`` in the
spec), ``build(source, target, config)``, ``open(path, config)``,
``require(config)``, ``fingerprint(config)``, ``quantization_profile(config)`` and ``probe()``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Self

from edgekit.core.errors import InputError
from edgekit.core.tensors import Array, Arrays, TensorSpec, check_feeds


class EngineConfig(BaseModel):
    """Base of every backend's ``Config``: one target of the spec."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: str
    precision: str | None = Field(
        None, description="what the engine computes in; default: int8 when the spec quantizes"
    )


@dataclass(frozen=True)
class Probe:
    """What a run (not a list of names) proved about a backend or one of its providers."""

    name: str
    works: bool
    detail: str
    install: str | None = None


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
        if not self._open:
            raise InputError(f"{type(self).__name__} is not open; use it as: with engine: engine.infer(...)")
        check_feeds(feeds, self.inputs)
        return self.infer_impl(feeds)

    @abstractmethod
    def activate(self) -> None:
        """Load the engine; sets :attr:`inputs` and :attr:`outputs`."""

    @abstractmethod
    def infer_impl(self, feeds: Arrays) -> dict[str, Array]:
        """Compute; ``feeds`` are already checked."""

    @abstractmethod
    def deactivate(self) -> None:
        """Release what :meth:`activate` took."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Facts for reports: provider, threads, versions."""
