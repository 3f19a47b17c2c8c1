"""Engines that are built on the board where they will run, over SSH, with the board's own TensorRT.

    backend(config, progress)       what builds the engines of a target: here, or a :class:`Board` when it names a host
    backends(config, progress)      the same of ``engine: auto``, where several race, here
    on_host(spec, target, name)     the spec with another host for one target
    on_target(config)               the target without its host, for a bundle

The board needs a light ``edgekit`` (no PyTorch) or ``trtexec`` alone.  The typed ONNX goes there, the engine and all
that was learned about it come back, and the golden inputs run there too.  Nothing stays on the board.
"""

from __future__ import annotations

from edgekit import engine
from edgekit.core.errors import SpecError
from edgekit.core.progress import Progress, Silent
from edgekit.core.spec import Spec
from edgekit.engine import AutoConfig, Backend, EngineConfig, RemoteConfig
from edgekit.remote.board import Board as Board
from edgekit.remote.board import BoardEngine as BoardEngine


def backend(config: EngineConfig, progress: Progress | None = None) -> Backend:
    """What builds and opens the engines of a target, here or on its host; asked once a target, and handed on."""
    if isinstance(config, RemoteConfig) and config.host is not None:
        return Board(config.host, config, progress or Silent())
    return engine.backend(config)


def backends(config: EngineConfig, progress: Progress | None = None) -> tuple[Backend, ...]:
    """What may build and open the engines of a target: one, or of ``engine: auto`` all runtimes that work here."""
    return engine.backends(config) if isinstance(config, AutoConfig) else (backend(config, progress),)


def on_target(config: EngineConfig) -> EngineConfig:
    """The target as its own machine sees it: with no host, so that a bundle holds no address."""
    return config.model_copy(update={"host": None}) if isinstance(config, RemoteConfig) else config


def on_host(spec: Spec, target: str, host: str) -> Spec:
    """The spec whose ``target`` is built on ``host``.

    Raises:
        SpecError: the target's engine is not built on another machine, or ``host`` is no user@board.
    """
    from pydantic import ValidationError

    config: EngineConfig = spec.targets[target]
    if not isinstance(config, RemoteConfig):
        raise SpecError(f"--host: targets.{target} has engine {config.engine}, which is built on this machine only")
    try:
        moved = type(config).model_validate(config.model_dump() | {"host": host})
    except ValidationError as error:
        raise SpecError(f"--host: {host!r} is no host; expected user@board") from error
    return spec.model_copy(update={"targets": {**spec.targets, target: moved}})
