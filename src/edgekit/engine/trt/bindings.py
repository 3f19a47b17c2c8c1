"""Which TensorRT is here: ``tensorrt`` 10.x or 11.x, or ``tensorrt_rtx``, behind one name.

The three share their Python API; what differs is asked of the module attribute by attribute, never concluded
from a version number.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, Literal

from edgekit.core.errors import MissingRequirement

Flavour = Literal["tensorrt", "tensorrt-rtx"]
_CANDIDATES: tuple[tuple[str, Flavour], ...] = (
    ("tensorrt", "tensorrt"),
    ("tensorrt_rtx", "tensorrt-rtx"),
    ("tensorrt_rtx_bindings", "tensorrt-rtx"),
)


@dataclass(frozen=True)
class Api:
    """The bindings, their flavour and their version, such as ``10.3.0``."""

    module: Any
    flavour: Flavour
    version: str

    def has(self, path: str) -> bool:
        """Whether the bindings have the dotted name, such as ``BuilderFlag.FP16``."""
        value = self.module
        for part in path.split("."):
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True

    @property
    def typed_only(self) -> bool:
        """No precision flags: every network is strongly typed (TensorRT 11, TensorRT for RTX)."""
        return not self.has("BuilderFlag.FP16")

    @property
    def types_quantized(self) -> bool:
        """A strongly typed network may hold Q/DQ: from 10.12 on, with which ``DataType.E8M0`` came."""
        return self.typed_only or self.has("DataType.E8M0")

    def capabilities(self) -> tuple[str, ...]:
        """Compute capabilities that the builder takes, such as ``8.9``; empty: only that of the GPU here."""
        if not self.builds_elsewhere:
            return ()
        numbers = sorted(int(name[2:]) for name in self.module.ComputeCapability.__members__ if name.startswith("SM"))
        return tuple(f"{number // 10}.{number % 10}" for number in numbers)

    @property
    def builds_elsewhere(self) -> bool:
        """The builder takes a compute capability, so it needs no GPU of that kind, nor any."""
        return self.has("IBuilderConfig.set_compute_capability")


@cache
def load() -> Api:
    """The first bindings that import.

    Raises:
        MissingRequirement: none is installed, or the library beside them is missing; the message names the
            install line of this platform.
    """
    from edgekit.engine.trt import errors

    failures = []
    for name, flavour in _CANDIDATES:
        try:
            module: ModuleType = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                failures.append(f"{name} is installed, but it does not import: {error}")
        # A shared library that the bindings need is missing.
        except (ImportError, OSError) as error:
            failures.append(f"{name} is installed, but it does not import: {error}")
        else:
            return Api(module, flavour, str(module.__version__))
    raise MissingRequirement("; ".join(["TensorRT", *failures]), errors.install_line())


@cache
def logger(api: Api) -> Any:
    """The one logger that the library keeps for the whole process: ``problems`` are its errors, then ``warnings``."""
    trt = api.module

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.problems: list[str] = []
            self.warnings: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.problems.append(message)
            elif severity == trt.ILogger.Severity.WARNING:
                self.warnings.append(message)

        def clear(self) -> None:
            self.problems.clear()
            self.warnings.clear()

    return Logger()
