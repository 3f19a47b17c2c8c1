"""A bench whose engines take as long as their convolutions have work, in whole blocks; it counts and times nothing.

Its models are no ONNX files: :func:`counted` writes the layers that run, so a table of engines is made in a moment.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgekit.core.reports import Latency, Metric
from edgekit.stats.faster import EACH, OPENINGS
from edgekit.technique import Job
from tests.support.pruning import job_of

FIXED_MS = 0.2
SLOW, FAST = 1.5e-4, 1e-4
"""Milliseconds of a block times a block of a layer with a kernel of one position, and of a wider one."""


@dataclass
class CountedBench:
    """Milliseconds by counting blocks of ``block`` channels; ``timed`` holds the models that were timed."""

    block: int = 4
    metric: Metric = field(default_factory=lambda: Metric("closeness", higher=True))
    target: str = "counted"
    timed: list[bytes] = field(default_factory=list)

    def control_accuracy(self) -> float:
        return 1.0

    def accuracy(self, model: bytes) -> float:
        return 1.0

    def latency(self, models: Mapping[str, bytes], queries: int = 100) -> dict[str, Latency]:
        self.timed += models.values()
        return {name: Latency(*(self.milliseconds(model),) * 4, queries) for name, model in models.items()}

    def times_ms(self, models: Mapping[str, bytes]) -> Mapping[str, Sequence[float]]:
        return {name: [self.milliseconds(model)] * (OPENINGS * EACH) for name, model in models.items()}

    def size_mib(self, model: bytes) -> float:
        return len(model) / 2**20

    def departs(self, model: bytes, precision: str) -> str:
        return ""

    def milliseconds(self, model: bytes) -> float:
        total = FIXED_MS
        for positions, kernel, inputs, outputs, groups in json.loads(model):
            read = 3 if groups == outputs else self._blocks(inputs // groups)
            total += positions * kernel * read * self._blocks(outputs) * (FAST if kernel > 1 else SLOW)
        return total

    def _blocks(self, channels: int) -> int:
        return math.ceil(channels / self.block)


def counted(network: nn.Module, feeds: Mapping[str, Any]) -> bytes:
    """Positions, kernel, input and output channels and groups of every convolution that runs, as JSON."""
    found: list[list[int]] = []

    def seen(module: Any, given: Any, made: Any) -> None:
        kernel = math.prod(module.kernel_size)
        found.append([made[0, 0].numel(), kernel, module.in_channels, module.out_channels, module.groups])

    hooks = [one.register_forward_hook(seen) for one in network.modules() if isinstance(one, nn.modules.conv._ConvNd)]
    with torch.no_grad():
        network(*(torch.from_numpy(array) for array in feeds.values()))
    for hook in hooks:
        hook.remove()
    return json.dumps(found).encode()


def counted_job(name: str, folder: Path) -> Job:
    """The job of a reference network whose models are counted; ``scratch`` is in ``folder``."""
    job = job_of(name, folder)
    assert job.network is not None
    feeds = next(iter(job.frames))
    job.source.write_bytes(counted(job.network(), feeds))

    def export(network: nn.Module, shapes: object = None) -> bytes:
        return counted(network, feeds)

    return replace(job, export=export, bench=CountedBench(), machine="counted", scratch=folder / "work" / "one")
