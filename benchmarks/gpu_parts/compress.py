"""Pruning, fine-tuning and distillation with their training on a device: what they leave is a network that learnt.

No ONNX tool is needed: nothing is exported, and the network is rebuilt from the record as a later step would do it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgekit.distill import logits
from edgekit.prune import channels
from edgekit.technique import Change, Changed, Job, Own, TechniqueConfig
from edgekit.training import TrainingConfig, restore, supervised, train
from gpu_parts.training import Frames, Net

STEPS = 60
RATIO = 0.5
GAIN = 0.8
"""Share of the loss before that may be left after training."""


class Loaded(nn.Module):
    """As edgekit loads a user's network."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = Net()

    def forward(self, *feeds: Tensor) -> Any:
        return self.network(*feeds)


def check(device: str, steps: int = STEPS) -> dict[str, Any]:
    """Raise AssertionError unless training on ``device`` repairs what pruning broke, and a student nears its teacher.

    Raises:
        MissingRequirement: the device, or torch-pruning, is not there.
    """
    teacher = _trained(device, steps)
    job = _job(teacher)
    training = {"steps": steps, "batch": 4, "learning_rate": 0.01, "device": device, "validate_every": steps}
    keys = {"method": "channels", "ratio": RATIO, "round_to": 4}
    bare = channels.Config.model_validate(keys)
    tuned = channels.Config.model_validate(keys | {"training": training, "loss": "task"})
    cut, mended = (_changed(channels.apply(job, config), config) for config in (bare, tuned))
    figures = _compared("prune", channels.rebuild(teacher(), cut), channels.rebuild(teacher(), mended), _loss)

    def student() -> nn.Module:
        return channels.rebuild(teacher(), cut).eval()

    config = logits.Config.model_validate({"method": "logits", "training": training})
    taught = _changed(logits.apply(_job(teacher, student), config), config)
    near = partial(_apart, teacher())
    return figures | _compared("distill", student(), logits.rebuild(student(), taught), near)


def _compared(what: str, before: nn.Module, after: nn.Module, measure: Callable[[nn.Module], float]) -> dict[str, Any]:
    """The measure before and after training."""
    start, end = measure(before.eval()), measure(after.eval())
    assert end < GAIN * start, f"{what}: training took the loss from {start:.3g} to {end:.3g}"
    return {f"{what}_before": float(f"{start:.3g}"), f"{what}_after": float(f"{end:.3g}")}


def _changed(made: Changed, config: TechniqueConfig) -> Change:
    """As the chain gives it to a later step."""
    return replace(made.change, config=config)


def _loss(network: nn.Module) -> float:
    """Cross-entropy on frames that were not trained on."""
    with torch.no_grad():
        pairs = [(network(image)[0], truth) for image, truth in _unseen()]
        return float(np.mean([float(nn.functional.cross_entropy(given, truth)) for given, truth in pairs]))


def _apart(teacher: nn.Module, network: nn.Module) -> float:
    """Squared distance of the outputs on frames that were not trained on."""
    with torch.no_grad():
        return float(np.mean([float((network(x)[0] - teacher(x)[0]).square().mean()) for x, _ in _unseen()]))


def _unseen() -> list[tuple[Tensor, Tensor]]:
    made = []
    for index in range(100, 108):
        image = np.random.default_rng(index).standard_normal((1, 3, 32, 32)).astype(np.float32)
        made.append((torch.from_numpy(image), torch.from_numpy(image[0].argmax(0)[None])))
    return made


def _trained(device: str, steps: int) -> Any:
    """What gives a copy of a network that was trained a while."""
    config = TrainingConfig(steps=2 * steps, batch=4, learning_rate=0.02, device=device, validate_every=2 * steps)
    network = Loaded()
    state = train(network, Frames(), supervised(_task), config, inputs=("image",), outputs=("logits",)).state

    def fresh() -> nn.Module:
        made = Loaded().eval()
        restore(made, state)
        return made

    return fresh


def _task(outputs: Mapping[str, Tensor], truth: Any) -> Tensor:
    return nn.functional.cross_entropy(outputs["logits"], truth)


def _job(own: Any, network: Any = None) -> Job:
    """Nothing is exported: the weights are what is looked at."""
    frames = [feeds for feeds, _ in (Frames()[index] for index in range(8))]
    return Job(
        Path("none.onnx"), frames, inputs=("image",), outputs=("logits",), network=network or own, own=Own(own, Path()),
        export=lambda network, shapes=None: b"", examples=Frames(), seen=lambda sections: Frames(), loss=_task,
    )  # fmt: skip
