"""What every task's loss promises."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from edgekit.core import plugins
from edgekit.core.errors import DataError
from edgekit.core.predictions import Objects
from edgekit.tasks import (
    TaskConfig,
    antispoofing,
    classification,
    detection,
    embedding,
    multitask,
    outputs,
    regression,
    segmentation,
)
from edgekit.tasks.detection.families import points
from edgekit.training import Placed, losses

HALF = np.repeat(np.array([[0, 1]], np.uint8), 8, axis=0).repeat(4, axis=1)


@dataclass(frozen=True)
class Example:
    """A task, a batch's truth as examples give it, and outputs that are right, or wrong, about it."""

    task: TaskConfig
    truth: Any
    right: Callable[[], dict[str, Tensor]]
    wrong: Callable[[], dict[str, Tensor]]
    unfit: Any = ("a text",)


def scores(*ids: Any) -> Tensor:
    return 6.0 * torch.nn.functional.one_hot(torch.as_tensor(np.array(ids)).long(), 3).float().movedim(-1, 1)


def vectors(*angles: float) -> Tensor:
    turned = torch.tensor(angles)
    return torch.stack([turned.cos(), turned.sin(), 0 * turned], 1)


SIZE = (32, 48)
DETECTOR = detection.Config(output="head", classes=("a", "b"), family="yolox", strides=(8, 16))
OBJECTS = Objects(
    np.array([[4, 4, 20, 24], [25, 3, 46, 30]], np.float32), np.array([0, 1]), np.zeros(2, bool),
    np.array([320, 567], np.float32),
)  # fmt: skip


def head(objects: Objects, sure: float = 0.97) -> Tensor:
    """A raw YOLOX head whose cells in the middle of an object find it."""
    at = points(SIZE, DETECTOR.resolved())
    found = np.zeros((len(at), 7), np.float32)
    found[:, 4:] = 1 - sure
    for box, label in zip(objects.boxes, objects.labels, strict=True):
        middle, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        near = (np.abs(at[:, :2] - middle) < 1.5 * at[:, 2:3]).all(1)
        found[near, :2] = (middle - at[near, :2]) / at[near, 2:3] + 0.5
        found[near, 2:4] = np.log(size / at[near, 2:3])
        found[near, 4] = found[near, 5 + label] = sure
    return torch.from_numpy(found[None].repeat(2, 0))


def swapped(objects: Objects) -> Objects:
    return Objects(objects.boxes[::-1] * np.float32(0.5), objects.labels, objects.crowd, objects.areas)


def classifier() -> Example:
    return Example(
        classification.Config(output="scores", classes=("a", "b", "c")),
        torch.tensor([0, 2]),
        lambda: {"scores": scores(0, 2)},
        lambda: {"scores": scores(1, 1)},
    )


def segmenter() -> Example:
    return Example(
        segmentation.Config(output="logits", classes=("a", "b", "c")),
        torch.from_numpy(np.stack([HALF, 1 - HALF])),
        lambda: {"logits": scores(HALF, 1 - HALF)},
        lambda: {"logits": scores(1 - HALF, HALF)},
    )


def two_tasks() -> Example:
    first, second = classifier(), segmenter()
    return Example(
        multitask.Config.model_validate(
            {"tasks": {"class": first.task.model_dump(), "area": second.task.model_dump()}}
        ),
        tuple({"class": int(a), "area": b.numpy()} for a, b in zip(first.truth, second.truth, strict=True)),
        lambda: first.right() | second.right(),
        lambda: first.wrong() | second.wrong(),
    )


# One for each loss; a new loss adds a line.
EXAMPLES: dict[str, Callable[[], Example]] = {
    "segmentation": segmenter,
    "classification": classifier,
    "multitask": two_tasks,
    "antispoofing": lambda: Example(
        antispoofing.Config(output="s", classes=("a", "live", "c"), live_class=1, threshold=0.5, attacks=("print",)),
        ("bona_fide", "print"),
        lambda: {"s": scores(1, 0)},
        lambda: {"s": scores(2, 1)},
    ),
    "embedding": lambda: Example(
        embedding.Config(output="v"),
        ("anna", "berta", "anna", "berta"),
        lambda: {"v": vectors(0.1, 3.1, 0.0, 3.2)},
        lambda: {"v": vectors(0.1, 0.0, 3.2, 3.1)},
        unfit=(1, 2, 3, 4),
    ),
    "regression": lambda: Example(
        regression.Config(output="y", components=("angle", "size"), scale=(90.0, 2.0), period={"angle": 360.0}),
        torch.tensor([[359.0, 3.0], [10.0, float("nan")]]),
        lambda: {"y": torch.tensor([[0.5 / 90, 1.5], [10 / 90, 7.0]])},
        lambda: {"y": torch.tensor([[2.0, 2.5], [-1.5, 7.0]])},
    ),
    "detection": lambda: Example(
        DETECTOR,
        (Placed(OBJECTS, SIZE), Placed(OBJECTS, SIZE)),
        lambda: {"head": head(OBJECTS)},
        lambda: {"head": head(swapped(OBJECTS))},
        unfit=(OBJECTS, OBJECTS),
    ),
}


@pytest.fixture(params=plugins.names(losses.KIND))
def example(request: pytest.FixtureRequest) -> Example:
    if request.param not in EXAMPLES:
        pytest.fail(f"the loss {request.param!r} has no example; add one to EXAMPLES in {__file__}")
    return EXAMPLES[request.param]()


class TestLoss:
    def test_right_costs_less_than_wrong(self, example: Example) -> None:
        loss = losses.of_task(example.task)
        assert loss is not None
        right, wrong = (float(loss(made(), example.truth)) for made in (example.right, example.wrong))
        assert np.isfinite([right, wrong]).all()
        assert 0 <= right < 0.5 * wrong

    def test_gradients_reach_every_output_that_is_wrong(self, example: Example) -> None:
        loss = losses.of_task(example.task)
        assert loss is not None
        given = {name: tensor.requires_grad_() for name, tensor in example.wrong().items()}
        value = loss(given, example.truth)
        assert value.ndim == 0
        value.backward()
        for name, tensor in given.items():
            assert tensor.grad is not None, name
            assert torch.isfinite(tensor.grad).all()
            assert tensor.grad.any()

    def test_a_step_against_the_gradient_costs_less(self, example: Example) -> None:
        loss = losses.of_task(example.task)
        assert loss is not None
        given = {name: tensor.requires_grad_() for name, tensor in example.wrong().items()}
        before = loss(given, example.truth)
        before.backward()
        moved = {name: (t - 1e-2 * t.grad / t.grad.norm()).detach() for name, t in given.items() if t.grad is not None}
        assert float(loss({**given, **moved}, example.truth)) < float(before.detach())

    def test_a_truth_of_another_form_is_named(self, example: Example) -> None:
        loss = losses.of_task(example.task)
        assert loss is not None
        with pytest.raises(DataError, match="truth"):
            loss(example.right(), example.unfit)

    def test_distance_is_zero_to_itself_and_names_outputs(self, example: Example) -> None:
        distance = losses.distance_of(example.task)
        if distance is None:
            pytest.skip("knows nothing of its outputs")
        right, wrong = example.right(), example.wrong()
        assert all(abs(float(value)) < 1e-5 for value in distance(right, right, 2.0).values())
        found = distance(wrong, right, 2.0)
        assert found
        assert found.keys() <= right.keys()
        assert all(float(value) > 0.01 for value in found.values())


TOY = """
def loss(task):
    return lambda outputs, truth: (outputs[task.output] - truth).abs().mean()
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed distribution with a loss for the task ``outputs``, which has none."""
    info = tmp_path / "toy_loss-1.0.dist-info"
    info.mkdir()
    (tmp_path / "toy_loss.py").write_text(TOY)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-loss\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgekit.training.losses]\noutputs = toy_loss\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins.forget()
    yield
    sys.modules.pop("toy_loss", None)
    plugins.forget()


@pytest.mark.usefixtures("toy")
def test_a_loss_of_another_package() -> None:
    loss = losses.of_task(outputs.Config(output="y"))
    assert loss is not None
    assert float(loss({"y": torch.ones(2, 3)}, torch.zeros(2, 3))) == 1.0
    assert plugins.code(losses.KIND, "outputs")


def test_outputs_of_unknown_meaning_have_none() -> None:
    assert losses.of_task(outputs.Config(output="y")) is None
    assert losses.distance_of(outputs.Config(output="y")) is None
