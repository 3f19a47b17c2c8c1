"""How to train, as a step of a spec says it."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from edgekit.training.augment import Augmentation


class TrainingConfig(BaseModel):
    """How to train; steps, not epochs, so that runs on different amounts of data compare."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(1000, ge=1, description="optimizer steps")
    batch: int = Field(8, ge=1, description="frames that go through the network together")
    accumulate: int = Field(
        1, ge=1, description="batches whose gradients are averaged in one step: many frames a step in little memory"
    )
    augment: Augmentation | None = Field(None, description="random changes of the frames, which their truth follows")
    learning_rate: float = Field(1e-4, gt=0, description="at the end of the warm-up")
    warmup: int = Field(0, ge=0, description="steps over which the learning rate rises from 0")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="after the warm-up; cosine ends at 0")
    weight_decay: float = Field(0.0, ge=0, description="of weights with two or more dimensions (AdamW)")
    ema: float = Field(0.99, ge=0, lt=1, description="share of the average that a step keeps; 0 averages nothing")
    clip_norm: float | None = Field(1.0, gt=0, description="largest L2 norm of all gradients")
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="of the forward pass; weights stay fp32")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes CUDA where there is one")
    channels_last: bool = Field(False, description="keep images and kernels channel by channel in memory")
    validate_every: int = Field(100, ge=1, description="steps between two validations")
    patience: int | None = Field(None, ge=1, description="stop after that many validations without a new best")
    checkpoint_every: int = Field(100, ge=1, description="steps between two checkpoints")
    seed: int = Field(0, ge=0, description="of the order of frames and of random layers")

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.warmup >= self.steps:
            raise ValueError(f"warmup {self.warmup} must be below steps {self.steps}")
        return self

    @property
    def curve_every(self) -> int:
        """Steps between two points of the loss: some fifty of a run."""
        return math.ceil(self.steps / 50)

    @property
    def frames(self) -> int:
        """Frames a step."""
        return self.batch * self.accumulate

    def rate(self, step: int) -> float:
        """Learning rate of step 0 .. steps - 1 (Loshchilov and Hutter, "SGDR", 2017, equation 5, one period)."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / (self.warmup + 1)
        if self.schedule == "constant":
            return self.learning_rate
        share = (step - self.warmup) / (self.steps - self.warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
