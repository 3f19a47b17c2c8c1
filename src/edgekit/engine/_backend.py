"""The contract of a backend: everything that is asked of one, and what holds for those that do not say otherwise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from edgekit.core import plugins
from edgekit.core.errors import InputError
from edgekit.core.probes import Probe
from edgekit.core.progress import Progress, Silent
from edgekit.core.reports import Achieved
from edgekit.core.spec import SpecPath
from edgekit.core.tensors import Arrays
from edgekit.engine._engine import Engine
from edgekit.engine._parts import Part
from edgekit.engine._turns import opened_in_turn
from edgekit.stats.faster import EACH, OPENINGS, SETTLING

SILENT = Silent()


class EngineConfig(BaseModel):
    """Base of every backend's ``Config``: one target of the spec."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: str
    precision: str | None = Field(
        None, description="what the engine computes in; default: int8 when the spec quantizes"
    )

    @property
    def cpus(self) -> int:
        """Processors that one query keeps busy."""
        return 1


class RemoteConfig(EngineConfig):
    """Base of a target whose engines can be built on another machine, over SSH."""

    host: str | None = Field(
        None, pattern=r"^[^\s@-][^\s@]*@[^\s@]+$", description="user@board: built there over SSH, with its TensorRT"
    )
    timing_cache: SpecPath | None = Field(
        None, description="file of measured kernel times, read and added to; only the same device and version share it"
    )


@dataclass(frozen=True)
class RaceTimes:
    """Milliseconds of each engine by name: in :data:`~edgekit.stats.faster.OPENINGS` equal parts, or one median.

    ``by`` is what measured them.
    """

    ms: Mapping[str, Sequence[float]]
    by: str = "edgekit"


class Backend(ABC):
    """Builds and opens the engines of one target.

    A plugin of ``edgekit.engine`` is a module with two names: ``Config``, an :class:`EngineConfig` whose fields are the
    target's keys in the spec, and ``Backend``, a subclass of this class.  What is abstract here it must write;
    everything else has its one default here.  A constructor touches no device: :meth:`require` does.

    Args:
        config: the target; its class is the plugin's ``Config``.
    """

    config: EngineConfig

    suffix: str
    """How the name of an engine file ends, such as ``.ort.onnx``."""

    int8_control: str = "fp32"
    """Precision of the engine that an INT8 one is compared with, in accuracy and in time: what the user would run
    otherwise.  FP32 is at hand for every model; a backend on which FP16 is as good as free says ``fp16``."""

    int8_races: bool = True
    """Whether a new INT8 engine and its control are timed in turn; false where times here say nothing (a simulator)."""

    slower_fails: bool = False
    """Whether a build whose INT8 engine loses this race has failed (exit code 1), rather than is told so."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config

    def control(self, precision: str) -> str:
        """The precision that one of ``precision`` is compared with."""
        return self.int8_control if precision == "int8" else "fp32"

    @abstractmethod
    def require(self) -> None:
        """Raise unless an engine of this target can be built here.

        Raises:
            MissingRequirement: the runtime or its device is not here; names the install line.
            EnvironmentFault: it cannot build for this target; names what can.
        """

    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """What an engine file depends on, JSON; ``engine`` is the plugin's name.  See :meth:`same_fact`.

        Raises:
            MissingRequirement: the runtime is not here.
        """

    def made_for(self, path: Path) -> dict[str, Any]:
        """What the engine in ``path``, built here, depends on: the :meth:`fingerprint`, or what of it the file uses."""
        return self.fingerprint()

    @abstractmethod
    def quantization_profile(self) -> str:
        """The Q/DQ placement that is fast on this target: a name of :mod:`edgekit.qdq.profiles`."""

    def portable_profile(self) -> str:
        """The placement for another machine, of which nothing is known: that of this one without what it may lack."""
        return self.quantization_profile()

    @abstractmethod
    def build(self, source: Path, target: Path, progress: Progress = SILENT) -> None:
        """Write the engine of a typed ONNX file; what belongs to it goes beside it, under names that begin with its.

        Args:
            source: Q/DQ and Cast say what computes in which type.
            target: its name ends in :attr:`suffix`.
            progress: shows the steps.

        Raises:
            ModelError: the runtime refuses the model.
            EnvironmentFault: it cannot build here.
        """

    @abstractmethod
    def engine(self, path: Path) -> Engine:
        """The engine in ``path``, made by :meth:`build`; it is loaded when it is opened.

        Raises:
            BundleError: it is no engine of this backend.
        """

    @staticmethod
    @abstractmethod
    def probe() -> list[Probe]:
        """What this backend can really do on this machine: found by running something, not by names."""

    def contends(self) -> bool:
        """Whether it is one of the runtimes of this machine's processor that ``engine: auto`` chooses among.

        The target's ``Config`` is then an :class:`edgekit.engine.ThreadsConfig` whose other keys have defaults.
        """
        return False

    def gain(self) -> str:
        """What the runtime is known to bring on this machine, said where it is not installed; empty: nothing."""
        return ""

    def hint(self, source: Path) -> str:
        """What makes an engine of a typed model faster and is not installed, in a sentence; empty: nothing."""
        return ""

    def runs_elsewhere(self) -> str:
        """Why engines that are built here cannot be run from here; empty: they can."""
        return ""

    def admit(self, facts: Mapping[str, Any]) -> None:
        """Raise where an engine with such facts (:meth:`made_for`) needs a package that is not installed here.

        Raises:
            MissingRequirement: names it and its install line.
        """
        return

    def same_fact(self, key: str, built: Any, here: Any) -> bool:
        """Whether an engine whose :meth:`fingerprint` has ``built`` under ``key`` may run where it is ``here``."""
        return bool(built == here)

    def parts(self, path: Path, source: Path, frames: Sequence[Arrays]) -> Iterator[Part] | None:
        """Every layer of the engine in ``path`` on its own, fed with the tensors of ``source``, its typed model.

        None: this backend shows no inner tensors.

        Raises:
            ModelError: one of the files is no ONNX model, or the runtime refuses it.
        """
        return None

    def achieved(self, path: Path, source: Path, precision: str) -> Achieved | None:
        """What the layers of the engine in ``path`` really compute in, by the list at :func:`layers_path`.

        None: there is no such list.

        Args:
            path: the engine.
            source: the typed model that it was built from.
            precision: of both.
        """
        return None

    def race(self, engines: Mapping[str, Path], feeds: Mapping[str, Arrays]) -> RaceTimes:
        """Times of engines that run in turn, each on its own feeds, and are opened anew again and again.

        Without any, nothing was measured.
        """
        openers = {name: partial(self.engine, file) for name, file in engines.items()}
        return RaceTimes(opened_in_turn(openers, feeds, OPENINGS, EACH, SETTLING))


def layers_path(engine: Path) -> Path:
    """Where an engine's layer list lies: ``<engine>.layers.json`` beside it."""
    return engine.with_name(f"{engine.name}.layers.json")


def backend_class(name: str) -> type[Backend]:
    """The ``Backend`` of plugin ``name``.

    Raises:
        InputError: there is no such plugin, or it does not have the form of :class:`Backend`; names what is lacking.
    """
    module = plugins.load("engine", name)
    found = vars(module).get("Backend")
    if not (isinstance(found, type) and issubclass(found, Backend)) or found is Backend:
        raise InputError(
            f"engine {name!r}: the module {module.__name__} has no class Backend(edgekit.engine.Backend); a module's "
            "functions (build, open, ...) are no backend any more: make them methods of that class, which is bound to "
            "one target's config (see: Add a backend, in CONTRIBUTING.md)"
        )
    lacking = [*sorted(found.__abstractmethods__), *([] if hasattr(found, "suffix") else ["suffix"])]
    if lacking:
        raise InputError(f"engine {name!r}: {module.__name__}.Backend lacks {', '.join(lacking)}")
    return found


def backend(config: EngineConfig) -> Backend:
    """What builds and opens the engines of a target on this machine; asked once a target, and handed on.

    With a ``host`` see :func:`edgekit.remote.backend`.

    Raises:
        InputError: the plugin is of another form; see :func:`backend_class`.
    """
    return backend_class(config.engine)(config)


def target_of(document: Mapping[str, Any]) -> EngineConfig:
    """The target that a ``Config`` wrote as plain data (``model_dump(mode="json")``)."""
    target: EngineConfig = plugins.load("engine", document["engine"]).Config.model_validate(document)
    return target
