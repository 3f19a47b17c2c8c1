"""What a target of ONNX Runtime can be told in the spec."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from edgekit.engine import EngineConfig


class Config(EngineConfig):
    """An ONNX Runtime target."""

    engine: Literal["ort"]
    precision: Literal["int8", "fp16", "bf16", "fp32"] | None = Field(
        None, description="default: what the compress steps lead to, else fp32"
    )
    profile: Literal["ort-x86", "ort-arm"] | None = Field(
        None, description="Q/DQ placement; default: that of the machine edgekit runs on"
    )
    threads: int = Field(1, ge=1, description="threads of one query")
    provider: Literal["cpu", "cuda"] = "cpu"
    pin: tuple[int, ...] = Field((), description="one CPU number per thread")
    spinning: bool = Field(False, description="threads burn CPU while they wait: a little faster, and CPU time lies")

    @field_validator("pin")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value) or any(cpu < 0 for cpu in value):
            raise ValueError("pin takes different CPU numbers >= 0")
        return value

    @model_validator(mode="after")
    def _one_cpu_a_thread(self) -> Config:
        if self.pin and len(self.pin) != self.threads:
            raise ValueError(f"pin names {len(self.pin)} CPUs for {self.threads} threads; give one CPU per thread")
        return self

    @property
    def cpus(self) -> int:
        """The threads of one query."""
        return self.threads
