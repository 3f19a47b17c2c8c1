"""The tiny segmentation network as a distillation's job: a teacher that was trained for a moment, a damaged student."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgekit.core.tensors import TensorSpec
from edgekit.model import export
from edgekit.model.load import LoadedModel
from edgekit.technique import Job, Own
from edgekit.training import TrainingConfig, losses, of_task, restore, supervised, train
from tests.support.tiny_segmentation import CONFIG, SIZE, Flat, Frames, Net

SECTIONS = {"image": {"kind": "image", "resize": list(SIZE)}}
QUICK = {"steps": 6, "batch": 2, "learning_rate": 0.003, "device": "cpu", "checkpoint_every": 2, "ema": 0}
FRAMES = Frames(0, 16)


@cache
def weights() -> dict[str, Tensor]:
    """The teacher's."""
    torch.manual_seed(1)
    network = Flat(Net())
    task = of_task(CONFIG)
    assert task is not None
    config = TrainingConfig(steps=60, batch=4, learning_rate=0.01, device="cpu")
    names = {"inputs": ("image",), "outputs": ("logits", "gate")}
    return dict(train(network, Frames(0, 32), supervised(task), config, **names).state)


def teacher() -> nn.Module:
    network = Flat(Net()).eval()
    restore(network, weights())
    return network


def student() -> nn.Module:
    """The teacher with every second channel of its stem switched off, and noise on its head."""
    network = teacher()
    with torch.no_grad():
        stem: Any = network.get_submodule("network.stem.0")
        stem.weight[::2] = 0
        head: Any = network.get_submodule("network.head")
        head.weight += torch.from_numpy(np.random.default_rng(0).normal(0, 0.5, head.weight.shape).astype(np.float32))
    return network


@dataclass(frozen=True)
class Unlabelled:
    frames: Frames = FRAMES

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray], None]:
        return self.frames[index][0], None


def exporter(folder: Path) -> Callable[..., bytes]:
    def exported(network: nn.Module, shapes: Mapping[str, tuple[int, ...]] | None = None) -> bytes:
        shape = (shapes or {}).get("image", (1, 3, *SIZE))
        loaded = LoadedModel((TensorSpec("image", shape),), ("logits", "gate"), module=network)
        export.export(loaded, folder / "exported.onnx")
        return (folder / "exported.onnx").read_bytes()

    return exported


def unexported(network: nn.Module, shapes: Mapping[str, tuple[int, ...]] | None = None) -> bytes:
    """Where only the weights matter: an export takes seconds."""
    return b""


def job(folder: Path, examples: Any = FRAMES, export: Callable[..., bytes] = unexported) -> Job:
    """A job that keeps checkpoints in ``folder``."""
    source = folder / "fp32.onnx"
    return Job(
        source,
        FRAMES,
        inputs=("image",),
        outputs=("logits", "gate"),
        network=student,
        own=Own(teacher, source, SECTIONS, examples),
        export=export,
        preprocess=SECTIONS,
        examples=examples,
        seen=lambda sections: examples,
        loss=of_task(CONFIG),
        distance=losses.distance_of(CONFIG),
        class_scores=losses.scores_of(CONFIG),
        examples_hash=lambda: "tiny",
        scratch=folder / "scratch",
    )


def outputs(network: nn.Module, count: int = 4) -> list[np.ndarray]:
    """Logits of held-out frames."""
    found = []
    with torch.no_grad():
        for index in range(count):
            feeds, _ = Frames(500, count)[index]
            found.append(network.eval()(torch.from_numpy(feeds["image"]))[0].numpy())
    return found


def apart(one: nn.Module, other: nn.Module) -> float:
    """Mean distance of the class probabilities of two networks on held-out frames."""
    first, second = (torch.softmax(torch.from_numpy(np.concatenate(outputs(n))), 1) for n in (one, other))
    return float((first - second).abs().mean())


def outputs_of(network: nn.Module, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    with torch.no_grad():
        found = network.eval()(torch.from_numpy(feeds["image"]))
    return dict(zip(("logits", "gate"), (tensor.numpy() for tensor in found), strict=True))


class Killed(BaseException):
    """The end of a run, as a signal would be."""


@dataclass
class Dying:
    """Progress that ends the run when a step of ``title`` has advanced ``at`` times."""

    title: str
    at: int

    @contextlib.contextmanager
    def track(self, title: str, total: int | None = None, **more: Any) -> Iterator[Callable[[], None]]:
        count = 0

        def advance() -> None:
            nonlocal count
            count += 1
            if title == self.title and count == self.at:
                raise Killed

        yield advance
