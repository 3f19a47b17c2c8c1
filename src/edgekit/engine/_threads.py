"""What every backend on processors can be told about its threads."""

from __future__ import annotations

import os

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from edgekit.core.errors import EnvironmentFault
from edgekit.engine._backend import EngineConfig


class ThreadsConfig(EngineConfig):
    """Base of a target whose queries run on threads of this process."""

    threads: int = Field(1, ge=1, description="threads of one query")
    pin: tuple[int, ...] = Field((), description="one CPU number per thread")

    @field_validator("pin")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value) or any(cpu < 0 for cpu in value):
            raise ValueError("pin takes different CPU numbers >= 0")
        return value

    @model_validator(mode="after")
    def _one_cpu_a_thread(self) -> Self:
        if self.pin and len(self.pin) != self.threads:
            raise ValueError(f"pin names {len(self.pin)} CPUs for {self.threads} threads; give one CPU per thread")
        return self

    @property
    def cpus(self) -> int:
        """The threads of one query."""
        return self.threads


def pin_thread(pin: tuple[int, ...], to: set[int]) -> set[int]:
    """Let the calling thread use the CPUs ``to`` alone; what it could use before.

    Raises:
        EnvironmentFault: one of ``pin`` is not this process's to use.
    """
    before = os.sched_getaffinity(0)
    missing = sorted(set(pin) - before)
    if missing:
        raise EnvironmentFault(f"pin: this process may not use CPU {missing[0]}; choose from {sorted(before)}")
    os.sched_setaffinity(0, to)
    return before
