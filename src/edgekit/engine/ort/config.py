"""What a target of ONNX Runtime can be told in the spec."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgekit.engine._threads import ThreadsConfig


class Config(ThreadsConfig):
    """An ONNX Runtime target."""

    engine: Literal["ort"]
    precision: Literal["int8", "fp16", "bf16", "fp32"] | None = Field(
        None, description="default: what the compress steps lead to, else fp32"
    )
    profile: Literal["ort-x86", "ort-x86-ops", "ort-arm"] | None = Field(
        None, description="Q/DQ placement; default: that of the machine edgekit runs on"
    )
    provider: Literal["cpu", "cuda"] = "cpu"
    spinning: bool = Field(False, description="threads burn CPU while they wait: a little faster, and CPU time lies")
    operators: bool = Field(True, description="build INT8 engines with edgekit-ops where that package is installed")
