"""A tiny segmentation network with every layer that quantization-aware training must follow, its frames and its job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgekit.core.reports import Metric
from edgekit.core.tensors import TensorSpec
from edgekit.model import export
from edgekit.model.load import LoadedModel
from edgekit.tasks import segmentation
from edgekit.technique import Job
from edgekit.training import of_task, restore

SIZE = (16, 24)
CONFIG = segmentation.Config(output="logits", classes=("floor", "red", "green"), ignore_index=255)


class Net(nn.Module):
    """Every shape that training must follow: batch norms, depthwise, shared, functional, a vector head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.BatchNorm2d(16), nn.ReLU())
        self.project = nn.Conv2d(16, 16, 1)
        self.shared = nn.Conv2d(16, 16, 3, padding=1)
        self.late = nn.BatchNorm2d(32)
        self.gate = nn.Linear(16, 32)
        self.head = nn.Conv2d(32, 3, 1)
        self.drop = nn.Dropout2d(0.05)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(image)
        x = x + self.project(self.depthwise(x))
        y = torch.relu(self.shared(x))
        y = self.late(torch.cat([y, torch.relu(self.shared(y))], 1))
        gate = self.gate(x.mean((2, 3)))
        return self.head(self.drop(y)) + 0.0 * gate.mean(), gate


class Flat(nn.Module):
    """As the loader wraps a user's network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(image))


def frame(seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """A noisy floor with a red and a green square, and its mask."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 0.7, (3, *SIZE)).astype(np.float32)
    mask = np.zeros(SIZE, np.uint8)
    for label, channel in ((1, 0), (2, 1)):
        y, x = int(rng.integers(0, SIZE[0] - 7)), int(rng.integers(0, SIZE[1] - 7))
        image[:, y : y + 7, x : x + 7] -= 0.5
        image[channel, y : y + 7, x : x + 7] += 1.2
        mask[y : y + 7, x : x + 7] = label
    return {"image": image[None]}, mask


@dataclass(frozen=True)
class Frames:
    """Frames from ``start``; iterated, the inputs only."""

    start: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        return frame(self.start + index)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return (self[i][0] for i in range(self.count))


def run(model: bytes, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds), strict=True))


@dataclass(frozen=True)
class Bench:
    """Mean IoU over 12 frames, in ONNX Runtime."""

    metric: Metric = field(default_factory=lambda: Metric("miou", higher=True))
    target: str = "cpu"

    def control_accuracy(self) -> float:
        raise NotImplementedError("these tests ask for single models")

    def accuracy(self, model: bytes) -> float:
        accumulator = CONFIG.create().accumulator()
        for feeds, mask in (Frames(900, 12)[i] for i in range(12)):
            labels = segmentation.LabelMap(run(model, feeds)["logits"][0].argmax(0).astype(np.uint8))
            accumulator.update(labels, mask, "frame")
        return accumulator.compute()["miou"]

    def latency(self, models: Any) -> Any:
        raise AssertionError("latency is not asked for")

    def departs(self, model: bytes, precision: str) -> str:
        return ""

    def size_mib(self, model: bytes) -> float:
        raise AssertionError("size is not asked for")


def make_job(weights: dict[str, Tensor], folder: Path, build: Callable[[], nn.Module] = Net) -> Job:
    def network() -> nn.Module:
        made = Flat(build()).eval()
        restore(made, weights)
        return made

    def exported(module: nn.Module) -> bytes:
        spec = (TensorSpec("image", (1, 3, *SIZE)),)
        export.export(LoadedModel(spec, ("logits", "gate"), module=module), folder / "exported.onnx")
        return (folder / "exported.onnx").read_bytes()

    (folder / "fp32.onnx").write_bytes(exported(network()))
    return Job(
        folder / "fp32.onnx", Frames(0, 16), network=network, export=exported,
        examples=Frames(0, 64), loss=of_task(CONFIG),
    )  # fmt: skip
