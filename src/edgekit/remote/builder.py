"""The two ways in which a board builds: with its own edgekit, or with ``trtexec`` alone."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from edgekit.core.progress import Progress
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.engine import EngineConfig, RemoteConfig, backend_class
from edgekit.remote.ssh import Folder

MODEL = "model.onnx"


def version() -> str:
    """That of this edgekit; the package's own module names it, and loads nothing else."""
    return str(importlib.import_module("edgekit").__version__)


def engine_name(config: EngineConfig) -> str:
    """The engine there; whatever a build writes beside it has a name that begins with this one."""
    return f"model{backend_class(config.engine).suffix}"


class Way(Protocol):
    """How a board builds engines and runs them."""

    name: str

    def fingerprint(self, config: EngineConfig) -> dict[str, Any]:
        """What an engine built there depends on."""

    def build(self, folder: Folder, source: Path, made: Path, config: EngineConfig, progress: Progress) -> None:
        """Build the model that lies in ``folder``; facts about it that only this side can write go into ``made``.

        ``source`` is the model here, ``made`` the folder into which the files will be copied.
        """

    def caches(self, config: EngineConfig) -> dict[str, Path]:
        """Timing caches of the target: name there, and the file here; asked before and after a build."""

    def finish(self, source: Path, engine: Path, config: EngineConfig) -> None:
        """After the copy: write what is to lie beside the engine and did not come with it."""

    def run(
        self, folder: Folder, feeds: Arrays, outputs: Sequence[TensorSpec], config: EngineConfig
    ) -> dict[str, Array]:
        """One query on the engine that lies in ``folder``."""

    def race(self, engines: Mapping[str, Path], feeds: Arrays, config: EngineConfig) -> dict[str, list[float]]:
        """Milliseconds by name of the engines here: in turn, in as many equal parts as :mod:`edgekit.stats.faster`
        opens them, or one median of each; empty: not known."""


def without_host(config: EngineConfig, cache: str | None = None) -> dict[str, Any]:
    """The target for the board itself: no host, and the timing cache, if any, in its folder."""
    document = config.model_dump(mode="json")
    return document | ({"host": None, "timing_cache": cache} if isinstance(config, RemoteConfig) else {})


def timing_cache(config: EngineConfig) -> Path | None:
    """The target's file of kernel times, on this machine."""
    return config.timing_cache if isinstance(config, RemoteConfig) else None
