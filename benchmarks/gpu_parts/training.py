"""The training loop on a device against the CPU: FP32, automatic mixed precision, channels last, resume to the step."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgekit.training import Batch, Trained, TrainingConfig, train

STEPS, DIES_AT = 40, 23
# Of losses and of all weights.  Convolutions on a GPU round to TF32 and add in another order, 16-bit ones to less.
CLOSE = {"fp32": 0.02, "bf16": 0.15, "fp16": 0.05}
RESUMED = 1e-4
"""Relative L2; some kernels add in no fixed order, so bits are reported and not asked for."""


class Net(nn.Module):
    """A convolution, a batch norm, a depthwise convolution, a dropout and a head: three classes a pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.Conv2d(16, 32, 1), nn.ReLU())
        self.drop = nn.Dropout2d(0.0)  # its random numbers are the device's own: they would tell nothing
        self.head = nn.Conv2d(32, 3, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return (self.head(self.drop(self.body(self.stem(image)))),)


class Frames:
    """Noise whose brightest channel is the class of the pixel."""

    def __len__(self) -> int:
        return 32

    def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        image = np.random.default_rng(index).standard_normal((1, 3, 32, 32)).astype(np.float32)
        return {"image": image}, image[0].argmax(0)


class Killed(BaseException):
    """The end of a run, as a signal would be."""


def check(device: str, steps: int = STEPS) -> dict[str, Any]:
    """Raise AssertionError unless a run on ``device`` learns what one on the CPU does.

    Raises:
        MissingRequirement: the device is not there.
    """
    found = {"fp32": _run(device, steps)}
    reference = _run("cpu", steps)
    found |= {precision: _run(device, steps, precision=precision) for precision in ("bf16", "fp16")}
    last = _run(device, steps, channels_last=True)
    figures: dict[str, Any] = {"cpu_loss": _rounded(_losses(reference)[-1])}
    for precision, run in found.items():
        _learnt(precision, run)
        apart = _apart(run.state, reference.state), abs(_losses(run)[-1] / _losses(reference)[-1] - 1)
        assert max(apart) <= CLOSE[precision], f"{precision}: weights and loss are {apart} from the CPU's"
        figures |= {f"{precision}_weights_rel_l2": _rounded(apart[0]), f"{precision}_loss_rel": _rounded(apart[1])}
        figures[f"{precision}_ms_a_step"] = _rounded(1e3 * run.seconds / steps)
    assert _apart(last.state, reference.state) <= CLOSE["fp32"], "channels_last: the weights are not those of the CPU"
    return figures | _resumed(device, steps)


def _resumed(device: str, steps: int) -> dict[str, Any]:
    figures = {}
    for precision in ("fp32", "fp16"):
        whole = _run(device, steps, precision=precision)
        with tempfile.TemporaryDirectory() as folder:
            kept = Path(folder) / "checkpoint"
            with contextlib.suppress(Killed):
                _run(device, steps, kept, dies_at=min(DIES_AT, steps - 2), precision=precision)
            again = _run(device, steps, kept, precision=precision)
        assert (again.steps, len(again.history)) == (whole.steps, len(whole.history)), "a resumed run has other steps"
        apart = _apart(again.state, whole.state)
        assert apart <= RESUMED, f"{precision}: a resumed run ends {apart:.2g} from one that was not interrupted"
        figures[f"{precision}_resumed_same_bits"] = apart == 0
    return figures


def _run(device: str, steps: int, checkpoint: Path | None = None, dies_at: int | None = None, **keys: Any) -> Trained:
    torch.manual_seed(0)
    calls = iter(range(1_000_000))

    def loss(outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        if next(calls) == dies_at:
            raise Killed
        assert batch.truth is not None
        return nn.functional.cross_entropy(outputs["logits"], batch.truth)

    settings = {"batch": 4, "learning_rate": 0.01, "validate_every": 10, "checkpoint_every": 5} | keys
    config = TrainingConfig(steps=steps, device=device, **settings)
    return train(Net(), Frames(), loss, config, inputs=("image",), outputs=("logits",), checkpoint=checkpoint)


def _losses(run: Trained) -> list[float]:
    return [point.loss for point in run.history if point.loss is not None]


def _learnt(what: str, run: Trained) -> None:
    losses = _losses(run)
    assert losses[-1] < 0.8 * losses[0], f"{what}: the loss went from {losses[0]:.3g} to {losses[-1]:.3g}"


def _apart(state: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> float:
    """Relative L2 of all weights together."""
    pairs = [
        (state[name].double(), tensor.double()) for name, tensor in reference.items() if tensor.is_floating_point()
    ]
    difference = sum(float((one - other).square().sum()) for one, other in pairs)
    return float((difference / sum(float(other.square().sum()) for _, other in pairs)) ** 0.5)


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
