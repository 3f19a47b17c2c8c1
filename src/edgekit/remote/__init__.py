"""Engines that are built on the board where they will run, over SSH, with the board's own TensorRT.

    backend(config, progress)       the engine plugin of a target, or a :class:`Board` when it names a host
    on_host(spec, target, name)     the spec with another host for one target
    not_here(config)                why the engines of a target run neither here nor on its host
    on_target(config)               the target without its host, for a bundle

The board needs a light ``edgekit`` (no PyTorch) or ``trtexec`` alone.  The typed ONNX goes there, the engine and all
that was learned about it come back, and the golden inputs run there too.  Nothing stays on the board.
"""

from __future__ import annotations

from typing import Any

from edgekit import engine
from edgekit.core import plugins
from edgekit.core.errors import SpecError
from edgekit.core.progress import Progress, Silent
from edgekit.core.spec import Spec
from edgekit.engine import EngineConfig
from edgekit.remote.board import Board as Board
from edgekit.remote.board import BoardEngine as BoardEngine


def backend(config: EngineConfig, progress: Progress | None = None) -> Any:
    """What builds and opens the engines of a target: ``build``, ``open``, ``require``, ``fingerprint``, ``SUFFIX``."""
    host = getattr(config, "host", None)
    return plugins.load("engine", config.engine) if host is None else Board(host, config, progress or Silent())


def not_here(config: EngineConfig) -> str:
    """Why the engines of a target cannot be run while it is built; empty: they run here, or on its host."""
    return "" if getattr(config, "host", None) is not None else engine.not_here(config)


def on_target(config: EngineConfig) -> EngineConfig:
    """The target as its own machine sees it: with no host, so that a bundle holds no address."""
    return config.model_copy(update={"host": None}) if getattr(config, "host", None) is not None else config


def on_host(spec: Spec, target: str, host: str) -> Spec:
    """The spec whose ``target`` is built on ``host``.

    Raises:
        SpecError: the target's engine is not built on another machine, or ``host`` is no user@board.
    """
    from pydantic import ValidationError

    config: EngineConfig = spec.targets[target]
    if "host" not in type(config).model_fields:
        raise SpecError(f"--host: targets.{target} has engine {config.engine}, which is built on this machine only")
    try:
        moved = type(config).model_validate(config.model_dump() | {"host": host})
    except ValidationError as error:
        raise SpecError(f"--host: {host!r} is no host; expected user@board") from error
    return spec.model_copy(update={"targets": {**spec.targets, target: moved}})
