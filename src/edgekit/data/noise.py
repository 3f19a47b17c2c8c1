"""Random pixels, to try a pipeline before there are frames.

Ranges found on noise are wrong for real frames, so noise is never a default: a spec asks for
it by name, and the manifest of the bundle says ``"real": false``.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from edgekit.data import DataConfig, Dataset, Sample


class Config(DataConfig):
    """``count`` images of ``size`` (height, width) in pixels."""

    format: Literal["noise"] = "noise"
    real: ClassVar[bool] = False
    count: int = Field(16, ge=1)
    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = Field(
        description="(height, width) in pixels"
    )
    seed: int = Field(0, ge=0)

    def open(self) -> Noise:
        return Noise(self.count, self.size, self.seed)


class Noise(Dataset):
    """Frames ``image`` ``(H, W, 3)`` uint8, uniformly random, without truth."""

    def __init__(self, count: int, size: tuple[int, int], seed: int) -> None:
        self.count = count
        self.size = size
        self.seed = seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        """Frame ``index``; raises IndexError when it is not in 0 .. len - 1."""
        if not 0 <= index < self.count:
            raise IndexError(f"noise: index {index} is not in 0..{self.count - 1}")
        pixels = np.random.default_rng([self.seed, index]).integers(0, 256, (*self.size, 3), np.uint8)
        return Sample(id=f"noise-{index}", images={"image": pixels})

    def fingerprint(self) -> str:
        """SHA-256 (hex) over what decides the frames."""
        return hashlib.sha256(f"noise {self.count} {self.size} {self.seed}".encode()).hexdigest()
