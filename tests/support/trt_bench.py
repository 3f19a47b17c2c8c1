"""A machine with a simulated GPU and one version of TensorRT, on which engine files can be made and opened."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgekit.engine import trt
from edgekit.engine.trt import bindings, guard
from edgekit.engine.trt.bindings import Api
from edgekit.engine.trt.runner import TrtEngine
from tests.support.fake_gpu import Gpu, plan, tensor

STATIC = plan(tensor("x", "INPUT", (1, 4)), tensor("y", "OUTPUT", (1, 4)))


@dataclass
class Bench:
    """A machine with the simulated device and one version of TensorRT."""

    folder: Path
    gpu: Gpu
    api: Api
    here: guard.Machine

    def engine(self, content: bytes = STATIC, made: dict[str, Any] | None = None, **keys: Any) -> TrtEngine:
        """An engine file with facts that fit this machine but for ``made``; not open."""
        path = self.folder / "model.engine"
        path.write_bytes(content)
        config = trt.Config(engine="trt", **keys)
        facts = guard.Facts(
            engine_sha256=hashlib.sha256(content).hexdigest(),
            onnx_sha256=hashlib.sha256(b"model").hexdigest(),
            flavour=self.here.flavour,
            tensorrt=self.here.tensorrt,
            compute_capability=str(self.here.compute_capability),
            cuda=self.here.cuda,
            device=self.here.device,
            driver=self.here.driver,
            options={},
        )
        guard.write(path, replace(facts, **(made or {})))
        return TrtEngine(path, config)


def machine(version: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The machine, in the place of this one until the test is over."""
    gpu = Gpu()
    module = gpu.tensorrt(version)
    flavour: Any = "tensorrt-rtx" if "rtx" in version else "tensorrt"
    api = Api(module, flavour, module.__version__)
    here = guard.Machine(flavour, api.version, "12.6", "8.7", "Orin", "540.4", 61440)
    monkeypatch.setattr(bindings, "load", lambda: api)
    monkeypatch.setattr(guard, "this_machine", lambda api: here)
    install(gpu, monkeypatch)
    return Bench(folder, gpu, api, here)


def install(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the device's runtime what ``from cuda.bindings import runtime`` finds."""
    cuda, bindings = ModuleType("cuda"), ModuleType("cuda.bindings")
    bindings.runtime = gpu.runtime  # type: ignore[attr-defined]
    for name, module in {"cuda": cuda, "cuda.bindings": bindings, "cuda.bindings.runtime": gpu.runtime}.items():
        monkeypatch.setitem(sys.modules, name, module)
