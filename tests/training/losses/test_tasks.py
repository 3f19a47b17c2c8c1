"""Losses beside the tasks that judge the same outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from edgekit.core.errors import DataError, SpecError
from edgekit.core.predictions import Geometry, Objects
from edgekit.tasks import antispoofing, classification, detection, embedding, multitask, regression
from edgekit.tasks.detection.families import points, to_pixels
from edgekit.tasks.detection.heads import misfit
from edgekit.training import Placed, losses, of_task
from edgekit.training.losses._heads import GRIDS

SIZE = (64, 96)
OBJECTS = Objects(
    np.array([[8, 8, 40, 44], [50, 12, 90, 60]], np.float32), np.array([1, 0]), np.zeros(2, bool),
    np.array([1152, 1920], np.float32),
)  # fmt: skip


def config(family: str, **keys: Any) -> detection.Config:
    output: Any = ("p8", "p16", "p32")[: len(keys.get("strides", (8, 16, 32)))] if keys.pop("maps", False) else "head"
    return detection.Config.model_validate(
        {"output": output, "classes": ("a", "b"), "family": family, "score_threshold": 0.3} | keys
    )


HEADS = {
    "yolox": config("yolox"),
    "yolov8": config("yolov8", bins=8),
    "yolov5": config("yolov5", maps=True),
    "yolov3": config("yolov3", maps=True),
    "fastestdet": config("fastestdet", strides=(16,), output=("p16",)),
    "fcos": config("fcos", maps=True, strides=(8, 16, 32)),
    "parts": config(
        "yolox", output={"boxes": "boxes", "scores": "scores", "objectness": "sure"}, score_coding="sigmoid"
    ),
}


def blank(task: detection.Config) -> dict[str, torch.Tensor]:
    """Outputs of a network that has learned nothing."""
    family, count = task.resolved(), len(points(SIZE, task.resolved()))
    widths = {"boxes": 4, "scores": 2, "objectness": 1}
    found = {}
    for part, names in task.parts.items():
        width = widths.get(part, family.columns(2))
        for name, stride in zip(names, family.strides, strict=False):
            cells = (SIZE[0] // stride, SIZE[1] // stride)
            shape = {"rows": (1, count, width), "columns": (1, width, count)}.get(
                family.layout, (1, family.per_cell * width, *cells)
            )
            assert not misfit(part, family.layout, width, family.per_cell, shape)
            found[name] = torch.full(shape, 0.1)
    return found


@pytest.mark.parametrize("name", HEADS)
def test_outputs_that_cost_little_are_the_objects_to_the_task(name: str) -> None:
    """The numbers of a head themselves are trained: what reads engines then finds the truth in them."""
    task = HEADS[name]
    loss = of_task(task)
    assert loss is not None
    free = {key: value.requires_grad_() for key, value in blank(task).items()}
    optimizer = torch.optim.Adam(free.values(), 0.05)
    truth = (Placed(OBJECTS, SIZE),)
    for _ in range(250):
        value = loss({key: _ending(task, tensor) for key, tensor in free.items()}, truth)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    made = {key: _ending(task, tensor).detach().numpy() for key, tensor in free.items()}
    found = task.create().decode(made, Geometry(SIZE, SIZE, (0, 0, *SIZE)))
    best = found.scores.argsort()[::-1][:2]
    order = best[found.labels[best].argsort()[::-1]]
    assert found.labels[order].tolist() == [1, 0]
    np.testing.assert_allclose(found.boxes[order], OBJECTS.boxes, atol=2.0)


def _ending(task: detection.Config, tensor: torch.Tensor) -> torch.Tensor:
    """The sigmoid that some heads end in."""
    if task.resolved().score_coding != "probability":
        return tensor
    if task.resolved().layout == "rows":
        return torch.cat([tensor[..., :4], tensor[..., 4:].sigmoid()], -1)
    return torch.cat([tensor[:, :1].sigmoid(), tensor[:, 1:5], tensor[:, 5:].sigmoid()], 1)


@pytest.mark.parametrize("coding", GRIDS)
def test_boxes_are_those_that_the_task_reads(coding: Any) -> None:
    family = next(t.resolved() for t in HEADS.values() if t.resolved().box_coding == coding)
    at = points(SIZE, family)
    raw = np.random.default_rng(0).normal(0, 1, (len(at), family.box_columns)).astype(np.float32)
    made = GRIDS[coding](torch.from_numpy(raw)[None], torch.from_numpy(at), family)
    np.testing.assert_allclose(made[0].numpy(), to_pixels(raw, at, family, SIZE), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("family", ["yolox-decoded", "ssd", "detr"])
def test_heads_without_a_loss_say_what_to_do(family: str) -> None:
    with pytest.raises(SpecError, match=rf"task\.family {family}: its loss needs boxes coded as grid-exp.*raw head"):
        of_task(config(family, **({"strides": (8,), "anchors": [[[8.0, 8.0]]]} if family == "ssd" else {})))


@pytest.mark.parametrize("family", ["yolox-decoded", "detr", "yolov8-decoded"])
def test_every_head_of_rows_knows_how_far_it_is_from_a_teacher(family: str) -> None:
    task = config(family)
    distance = losses.distance_of(task)
    assert distance is not None
    resolved = task.resolved()
    generator = torch.Generator().manual_seed(0)
    shape = (2, 30, resolved.columns(2)) if resolved.layout == "rows" else (2, resolved.columns(2), 30)
    first, second = (torch.rand(shape, generator=generator) for _ in range(2))
    assert float(distance({"head": first}, {"head": first}, 1.0)["head"]) == pytest.approx(0, abs=1e-5)
    assert float(distance({"head": second}, {"head": first}, 1.0)["head"]) > 0.05


def test_a_crowd_is_neither_right_nor_wrong() -> None:
    task = HEADS["yolox"]
    loss = of_task(task)
    assert loss is not None
    crowd = Objects(OBJECTS.boxes, OBJECTS.labels, np.array([True, True]), OBJECTS.areas)
    sure = blank(task)["head"].clone()
    sure[..., 4:] = 0.01
    at = torch.from_numpy(points(SIZE, task.resolved()))
    inside = ((at[:, :2] > 8) & (at[:, :2] < torch.tensor([40, 44]))).all(1)
    more = sure.clone()
    more[:, inside, 4] = 0.9
    one, other = (float(loss({"head": head}, (Placed(crowd, SIZE),))) for head in (sure, more))
    assert one == pytest.approx(other)
    plain = Objects(OBJECTS.boxes[:0], OBJECTS.labels[:0], OBJECTS.crowd[:0], OBJECTS.areas[:0])
    assert float(loss({"head": more}, (Placed(plain, SIZE),))) > 2 * one


def test_objects_come_to_the_models_input_and_back() -> None:
    geometry = Geometry((100, 200), SIZE, (8, 0, 48, 96))
    made = losses.placing(HEADS["yolox"])(OBJECTS, geometry)
    assert made.size == SIZE
    scale = 0.48
    np.testing.assert_allclose(made.objects.boxes[0], [8 * scale, 8 * scale + 8, 40 * scale, 44 * scale + 8], rtol=1e-6)


def test_another_input_size_is_named() -> None:
    loss = of_task(HEADS["yolox"])
    assert loss is not None
    with pytest.raises(DataError, match=r"126 candidates, but strides \[8, 16, 32\] on an input of 64x64 make 84"):
        loss(blank(HEADS["yolox"]), (Placed(OBJECTS, (64, 64)),))


@pytest.mark.parametrize("coordinates", ["original", "input-pixels", "input-share"])
@pytest.mark.parametrize("layout", ["pairs", "planes"])
def test_landmarks_that_cost_nothing_are_the_labels_to_the_task(coordinates: Any, layout: Any) -> None:
    task = regression.Config(output="y", points=("l", "r"), coordinates=coordinates, layout=layout, scale=2.0, offset=1)
    truth = {"l_x": 10.0, "l_y": 20.0, "r_x": 60.0, "r_y": 25.0}
    geometry = Geometry((100, 200), SIZE, (8, 0, 48, 96))
    made = losses.placing(task)(truth, geometry)
    outputs = {"y": ((made - 1) / 2).astype(np.float32)[None]}
    judge = task.create()
    assert judge.errors(judge.decode(outputs, geometry), truth, "f").max() < 1e-3
    loss = of_task(task)
    assert loss is not None
    assert float(loss({"y": torch.from_numpy(outputs["y"])}, torch.from_numpy(made[None]))) < 1e-10


def test_classification_is_the_cross_entropy_in_every_form() -> None:
    logits, truth = torch.tensor([[0.3, 1.0], [2.0, -1.0]]), torch.tensor([1, 1])
    expected = float(functional.cross_entropy(logits, truth))
    given = {"softmax": logits, "none": logits.softmax(1), "sigmoid": logits[:, 1:] - logits[:, :1]}
    for activation, scores in given.items():
        task = classification.Config(output="s", classes=("a", "b"), activation=activation)  # type: ignore[arg-type]
        loss = of_task(task)
        assert loss is not None
        assert float(loss({"s": scores}, truth)) == pytest.approx(expected, rel=1e-5)


def test_a_class_id_that_is_none() -> None:
    loss = of_task(classification.Config(output="s", classes=("a", "b")))
    assert loss is not None
    with pytest.raises(DataError, match=r"truth is the class id 2; allowed: 0\.\.1"):
        loss({"s": torch.zeros(1, 2)}, torch.tensor([2]))


def test_a_species_that_is_unknown_is_named() -> None:
    task = antispoofing.Config(output="s", classes=("a", "l"), live_class=1, threshold=0.5, attacks=("print",))
    loss = of_task(task)
    assert loss is not None
    with pytest.raises(DataError, match="truth is 'prints'; did you mean 'print'"):
        loss({"s": torch.zeros(1, 2)}, ("prints",))


def test_an_embedding_needs_more_than_one_frame() -> None:
    loss = of_task(embedding.Config(output="v"))
    assert loss is not None
    with pytest.raises(DataError, match=r"set training\.batch to 8 or more"):
        loss({"v": torch.zeros(1, 4)}, ("anna",))
    vectors = torch.randn(3, 4, requires_grad=True)
    value = loss({"v": vectors}, ("anna", "berta", "carla"))
    value.backward()
    assert float(value.detach()) == 0


def test_losses_of_several_tasks_have_weights() -> None:
    parts = {"one": classification.Config(output="a", classes=("a", "b")),
             "two": classification.Config(output="b", classes=("a", "b"))}  # fmt: skip
    outputs = {"a": torch.tensor([[1.0, 0.0]]), "b": torch.tensor([[0.0, 3.0]])}
    truth = ({"one": 0, "two": 0},)
    each = [torch.nn.functional.cross_entropy(logits, torch.tensor([0])) for logits in outputs.values()]
    for weights in ({}, {"two": 0.25}, {"one": 3.0, "two": 0.5}):
        loss = of_task(multitask.Config(tasks=parts, loss_weights=weights))
        assert loss is not None
        expected = sum(weights.get(name, 1) * value for name, value in zip(parts, each, strict=True))
        torch.testing.assert_close(loss(outputs, truth), expected)
    wanted = {name: tensor.flip(1) for name, tensor in outputs.items()}
    plain, weighed = (
        losses.distance_of(multitask.Config(tasks=parts, loss_weights=weights)) for weights in ({}, {"two": 4.0})
    )
    assert plain is not None
    assert weighed is not None
    before, after = plain(outputs, wanted, 2.0), weighed(outputs, wanted, 2.0)
    assert [float(after[n] / before[n]) for n in ("a", "b")] == pytest.approx([1, 4])


def test_a_task_of_weight_0_needs_neither_truth_nor_loss() -> None:
    parts = {"kind": classification.Config(output="s", classes=("a", "b")), "objects": config("detr")}
    with pytest.raises(SpecError):
        of_task(multitask.Config(tasks=parts))
    task = multitask.Config(tasks=parts, loss_weights={"objects": 0.0})
    loss = of_task(task)
    assert loss is not None
    assert losses.placing(task)({"kind": 1}, Geometry(SIZE, SIZE, (0, 0, *SIZE))) == {"kind": 1}
    assert float(loss({"s": torch.zeros(1, 2)}, ({"kind": 1},))) == pytest.approx(np.log(2))


def test_several_tasks_read_their_parts() -> None:
    parts = {"kind": classification.Config(output="s", classes=("a", "b")), "objects": HEADS["yolox"]}
    task = multitask.Config(tasks=parts, truth={"kind": "scene"})
    geometry = Geometry(SIZE, SIZE, (0, 0, *SIZE))
    made = losses.placing(task)({"scene": 1, "objects": OBJECTS, "more": None}, geometry)
    assert made["kind"] == 1
    assert isinstance(made["objects"], Placed)
    loss, alone = of_task(task), of_task(HEADS["yolox"])
    assert loss is not None
    assert alone is not None
    outputs = blank(HEADS["yolox"]) | {"s": torch.zeros(1, 2)}
    expected = float(alone(outputs, (made["objects"],))) + np.log(2)
    assert float(loss(outputs, (made,))) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(DataError, match="truth has no part 'scene'"):
        losses.placing(task)({"objects": OBJECTS}, geometry)
