"""``engine: native``: ONNX Runtime's engines, run by edgekit's C++ runtime instead of through Python.

What is built, and for which machines, is as for ``ort``: the same file from the same typed model. Only what opens it
differs: a gate over such a target judges the engine as a C++ stack that links libedgekit runs it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from edgekit.core.errors import BundleError, EnvironmentFault
from edgekit.core.tensors import Array, Arrays
from edgekit.engine import Engine, Probe, ort
from edgekit.engine.ort.session import runtime
from edgekit_native._native import Engine as Loaded
from edgekit_native._native import operators

EXAMPLE = {"engine": "native"}
"""The smallest section of a spec, for edgekit's contract tests."""


class Config(ort.Config):
    """An ONNX Runtime target whose engines the C++ runtime runs; the keys are those of ``ort``."""

    engine: Literal["native"]  # type: ignore[assignment]


class Backend(ort.Backend):
    """As ONNX Runtime's backend; engines are opened by libedgekit."""

    config: Config

    def contends(self) -> bool:
        """No: its engines are those of ``ort``, which races already."""
        return False

    def fingerprint(self) -> dict[str, Any]:
        """That of ONNX Runtime: the engine files are the same."""
        return super().fingerprint() | {"engine": "native"}

    def operators(self) -> int | None:
        """Those that libedgekit has in it, whether edgekit-ops is installed or not."""
        return operators() if self.config.operators and self.config.provider == "cpu" else None

    def admit(self, facts: Mapping[str, Any]) -> None:
        """Nothing is a package here: what differs is a fact of another machine."""

    def same_fact(self, key: str, built: Any, here: Any) -> bool:
        """As of ONNX Runtime's engines, which are the same files."""
        return super().same_fact(key, built, here) or (key == "engine" and built == "ort")

    def engine(self, path: Path) -> NativeEngine:  # type: ignore[override]
        """The engine in ``path``."""
        if not path.name.endswith(self.suffix):
            raise BundleError(f"{path}: not an engine of the native backend (expected a name ending in {self.suffix})")
        return NativeEngine(path, self.config)

    @staticmethod
    def probe() -> list[Probe]:
        """ONNX Runtime's probe of the CPU, which builds; and that the module loads, which this file has shown."""
        found = [probe for probe in ort.Backend.probe() if probe.name == "ort/cpu"]
        return [
            Probe("native", probe.works, f"edgekit's C++ runtime over {probe.detail}", probe.install) for probe in found
        ]


class NativeEngine(Engine):
    """An engine of libedgekit."""

    def __init__(self, path: Path, config: Config) -> None:
        self.path = path
        self.config = config
        self._loaded: Loaded | None = None
        self._affinity: set[int] | None = None

    def activate(self) -> None:
        config = self.config
        if config.pin:
            self._affinity = _pinned(config.pin)
        try:
            self._loaded = Loaded.open(
                self.path, threads=config.threads, spinning=config.spinning, pin=config.pin, provider=config.provider
            )
        except BaseException:
            self.deactivate()
            raise
        self.inputs, self.outputs = self._loaded.inputs, self._loaded.outputs

    def infer_impl(self, feeds: Arrays) -> dict[str, Array]:
        assert self._loaded is not None
        return self._loaded.infer(dict(feeds))

    def deactivate(self) -> None:
        self._loaded = None
        if self._affinity is not None:
            os.sched_setaffinity(0, self._affinity)
            self._affinity = None

    def describe(self) -> dict[str, Any]:
        facts = {
            "engine": "native",
            "version": runtime().__version__,
            "threads": self.config.threads,
            "pin": list(self.config.pin),
        }
        return facts if self._loaded is None else facts | {"runtime": self._loaded.describe()}


def _pinned(cpus: tuple[int, ...]) -> set[int]:
    """Pin the calling thread, which is the first worker; gives where it was before."""
    before = os.sched_getaffinity(0)
    missing = sorted(set(cpus) - before)
    if missing:
        raise EnvironmentFault(f"pin: this process may not use CPU {missing[0]}; choose from {sorted(before)}")
    os.sched_setaffinity(0, {cpus[0]})
    return before
