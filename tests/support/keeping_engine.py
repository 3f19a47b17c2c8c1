"""An engine plugin that a child process finds by its entry point: it keeps some memory at every query."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

MODULE = """
from typing import Literal

import numpy as np

from edgekit.core.tensors import TensorSpec
from edgekit import engine
from edgekit.engine import Engine, EngineConfig


class Config(EngineConfig):
    engine: Literal["keeping"]
    kib_a_query: int = 0
    mib_a_query: int = 0
    device_mib: float | None = None
    says: str = ""


class Backend(engine.Backend):
    suffix = ".keeping"

    def require(self):
        pass

    def fingerprint(self):
        return {"engine": "keeping"}

    def quantization_profile(self):
        return "ort-x86"

    def build(self, source, target, progress=None):
        raise NotImplementedError

    def engine(self, path):
        return Keeping(self.config)

    @staticmethod
    def probe():
        return []


class Keeping(Engine):
    def __init__(self, config):
        self.config, self.kept = config, []

    def activate(self):
        self.inputs = self.outputs = (TensorSpec("x", (1, 4)),)
        print(self.config.says)

    def infer_impl(self, feeds):
        if self.config.kib_a_query:
            self.kept.append(b"x" * (1024 * self.config.kib_a_query))
        scratch = np.ones(self.config.mib_a_query << 20, np.uint8)  # is given back
        return dict(feeds)

    def deactivate(self):
        self.kept.clear()

    def describe(self):
        return {}

    def device_memory_mib(self):
        return self.config.device_mib
"""


def install_keeping_engine(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the backend ``keeping`` on the path of child processes."""
    install_engine(site, monkeypatch, "keeping", MODULE)


def install_engine(site: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str) -> None:
    """Put the distribution ``acme-engine``, a backend ``name``, into ``site`` and on the path of child processes."""
    info = site / "acme_engine-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_engine.py").write_text(module)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-engine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[edgekit.engine]\n{name} = acme_engine\n")
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), before] if before else [str(site)]))
