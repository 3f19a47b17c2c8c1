"""What a target of OpenVINO can be told in the spec."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgekit.engine._threads import ThreadsConfig


class Config(ThreadsConfig):
    """An OpenVINO target: the processor of this machine."""

    engine: Literal["ov"]
    precision: Literal["int8", "fp16", "bf16", "fp32"] | None = Field(
        None,
        description="default: what the compress steps lead to, else fp32; fp16, bf16 where the processor has them",
    )
    profile: Literal["openvino", "openvino-avx2"] | None = Field(
        None, description="Q/DQ placement; default: that of the machine edgekit runs on"
    )
