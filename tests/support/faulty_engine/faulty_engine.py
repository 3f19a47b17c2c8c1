"""An engine plugin that does what a file says: for tests of what a node tells of its engine's faults.

``EDGEKIT_FAULT`` names the file, whose words are one of: ``hang`` (lets other threads run), ``hang-gil`` (does not),
``raise``, ``nan``, ``crash``, or ``slow N`` (N milliseconds a query); without it, or empty, the engine works.
"""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgekit.core.errors import TensorError
from edgekit.engine import ort
from edgekit.engine.ort.config import Config as OrtConfig


class Config(OrtConfig):
    """As ``ort``."""

    engine: Literal["faulty"]  # type: ignore[assignment]


class Backend(ort.Backend):
    """ONNX Runtime, with faults."""

    config: Config  # type: ignore[assignment]

    def fingerprint(self) -> dict[str, Any]:
        return super().fingerprint() | {"engine": "faulty"}

    def engine(self, path: Path) -> Any:
        engine = super().engine(path)
        engine.infer_impl = _Faulty(engine.infer_impl)  # type: ignore[method-assign]
        return engine


class _Faulty:
    def __init__(self, works: Any) -> None:
        self._works = works

    def __call__(self, feeds: Any) -> Any:
        file = os.environ.get("EDGEKIT_FAULT", "")
        fault, _, argument = (Path(file).read_text() if file and Path(file).is_file() else "").partition(" ")
        if fault == "hang":
            time.sleep(10_000)
        if fault == "hang-gil":
            ctypes.PyDLL(None).sleep(10_000)  # PyDLL: the interpreter's lock is kept
        if fault == "raise":
            raise TensorError("the device is gone")
        if fault == "crash":
            os.abort()
        if fault == "slow":
            time.sleep(float(argument) / 1e3)
        outputs = self._works(feeds)
        return {name: np.full_like(array, np.nan) for name, array in outputs.items()} if fault == "nan" else outputs
