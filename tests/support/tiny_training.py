"""A tiny network, noisy frames and a quick training run, for tests of training."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgekit.data import Sample
from edgekit.training import Batch, Trained, TrainingConfig, Vary, train

QUICK = {"steps": 12, "batch": 3, "learning_rate": 0.01, "device": "cpu", "validate_every": 4, "checkpoint_every": 5}


class Blobs:
    """Seven frames of noise; the truth is their mean plus one.  ``noisy`` adds NumPy's global random numbers."""

    def __init__(self, noisy: bool = False, truth: bool = True) -> None:
        self.noisy, self.truth = noisy, truth

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
        image = np.random.default_rng(index).standard_normal((1, 3, 8, 8)).astype(np.float32)
        if self.noisy:
            image += np.random.standard_normal(image.shape).astype(np.float32) * random.random()
        return {"image": image}, 1 + image.mean(keepdims=True).reshape(1) if self.truth else None


class Pictures:
    """Seven pictures of noise, which can be augmented; the truth is the mean of a mask that follows them."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        return self.varied(index, lambda sample, keypoints: sample)

    def varied(self, index: int, vary: Vary) -> tuple[dict[str, np.ndarray], np.ndarray]:
        rng = np.random.default_rng(index)
        image, mask = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8), rng.integers(0, 4, (8, 8)).astype(np.uint8)
        sample = vary(Sample(str(index), {"image": image}, mask), None)
        feeds = {"image": np.ascontiguousarray(sample.images["image"].transpose(2, 0, 1)[None] / np.float32(255))}
        return feeds, sample.truth.mean(keepdims=True).reshape(1).astype(np.float32)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(4, 1)
        self.out2 = self.out  # shared under two names

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = torch.relu(self.norm(self.conv(image))).mean((2, 3))
        return (self.out2(self.drop(self.out(self.drop(x)).expand(-1, 4))),)


def net() -> Net:
    torch.manual_seed(0)
    return Net()


def squared(outputs: Any, batch: Batch) -> Tensor:
    assert batch.truth is not None
    return (outputs["y"] - batch.truth).square().mean()


def norm_of(network: nn.Module) -> float:
    """A metric that any change of the weights changes."""
    return float(sum(p.detach().double().square().sum() for p in network.parameters()))


def run(network: nn.Module | None = None, examples: Any = None, loss: Any = squared, **settings: Any) -> Trained:
    own = {
        k: settings.pop(k)
        for k in ("validate", "higher", "checkpoint", "frozen", "title", "metric", "trace")
        if k in settings
    }
    config = TrainingConfig(**(QUICK | settings))
    given = (network or net(), examples or Blobs(noisy=True), loss, config)
    return train(*given, inputs=("image",), outputs=("y",), **own)


def same(first: Trained, second: Trained) -> bool:
    assert first.state.keys() == second.state.keys()
    equal = all(torch.equal(first.state[name], second.state[name]) for name in first.state)
    return equal and first.history == second.history and first.metric == second.metric


class Killed(BaseException):
    """The end of a run, as a signal would be."""


def dying(at: int, loss: Any = squared) -> Any:
    """The loss, until call ``at``."""
    calls = iter(range(10_000))

    def over(outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        if next(calls) == at:
            raise Killed
        return loss(outputs, batch)  # type: ignore[no-any-return]

    return over
