"""Quantization, one technique per file.

A technique is a module with a frozen ``Config`` (its keys in a compress step) and
``apply(source, feeds, config, advance) -> Quantized``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict


class TechniqueConfig(BaseModel):
    """Base of every technique's ``Config``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str


@dataclass(frozen=True)
class Quantized:
    """A typed ONNX model (bytes) and the record of how its ranges were found."""

    model: bytes
    record: dict[str, Any]
