"""``engine: auto``: a target that names the machine, and the runtimes that may serve it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, model_validator

from edgekit.core import plugins
from edgekit.core.errors import EnvironmentFault, InputError
from edgekit.engine._backend import Backend, EngineConfig, backend, backend_class
from edgekit.engine._threads import ThreadsConfig


class AutoConfig(ThreadsConfig):
    """The processor of the machine that builds, with the fastest of the runtimes that are installed there.

    It is no backend: a bundle names the runtime that was chosen.
    """

    engine: Literal["auto"]
    precision: Literal["int8", "fp16", "bf16", "fp32"] | None = Field(
        None, description="default: what the compress steps lead to, else fp32; a runtime that has it not is left out"
    )

    @model_validator(mode="before")
    @classmethod
    def _here(cls, value: Any) -> Any:
        if isinstance(value, dict) and "host" in value:
            raise ValueError(
                f"engine: auto races its runtimes on the machine that builds, so it takes no host ({value['host']!r}); "
                "run edgekit build on the board itself, or name one runtime with engine: ort"
            )
        return value


@dataclass(frozen=True)
class Absent:
    """A runtime that could serve a target and does not work here: why, and what it would bring (empty: not known)."""

    engine: str
    reason: str
    gain: str

    def line(self) -> str:
        """In one sentence."""
        return f"{self.engine}: {self.reason}{self.gain and f'; {self.gain}'}"


@dataclass(frozen=True)
class Contenders:
    """The runtimes of this machine's processor, by name: those that work, and the others."""

    here: tuple[Backend, ...]
    absent: tuple[Absent, ...]


def contenders(config: AutoConfig) -> Contenders:
    """Every runtime that may serve the target, bound to it with the target's threads, pin and precision.

    Raises:
        EnvironmentFault: none works here; names each with its install line.
    """
    here, absent = list[Backend](), list[Absent]()
    for found in _bound(config):
        try:
            found.require()
        except EnvironmentFault as fault:
            absent.append(Absent(found.config.engine, str(fault), found.gain()))
        else:
            here.append(found)
    if not here:
        reasons = "; ".join(one.line() for one in absent)
        raise EnvironmentFault(f"engine: auto finds no runtime for this machine's processor: {reasons}")
    return Contenders(tuple(here), tuple(absent))


def backends(config: EngineConfig) -> tuple[Backend, ...]:
    """What may build and open the engines of a target here: one, or of ``engine: auto`` all that work.

    Raises:
        EnvironmentFault: as :func:`contenders`.
    """
    return contenders(config).here if isinstance(config, AutoConfig) else (backend(config),)


def lacking(config: EngineConfig) -> tuple[Absent, ...]:
    """Runtimes that are known to gain something for a target on this machine's processor, and are not installed."""
    if not isinstance(config, ThreadsConfig) or not backend(config).contends():
        return ()
    given = AutoConfig.model_validate(_keys(config) | {"engine": "auto"})
    return tuple(one for one in contenders(given).absent if one.gain)


def _bound(config: AutoConfig) -> Iterator[Backend]:
    """Every backend that contends, by name."""
    for name in plugins.names("engine"):
        try:
            kind = backend_class(name)
        except InputError:
            continue  # a plugin of another package and of another form: edgekit doctor tells
        section = plugins.load("engine", name).Config
        if issubclass(section, ThreadsConfig):
            found = kind(section.model_validate(_keys(config) | {"engine": name}))
            if found.contends():
                yield found


def _keys(config: ThreadsConfig) -> dict[str, Any]:
    """What every target of a processor can be told."""
    return {name: getattr(config, name) for name in ThreadsConfig.model_fields if name != "engine"}
