"""Fine-tune YOLOX-nano on rendered driving scenes, on CPU or GPU, and write its state_dict.

    python examples/yolox/train.py --coco yolox_nano_coco.pth

Starts from the published COCO weights (SiLU), takes over the class scores of the nearest COCO
classes, and changes the activation to ReLU, which costs nothing in INT8.  Recipe: SimOTA assignment,
IoU loss for boxes and binary cross-entropy for objectness and classes (Ge et al., "YOLOX: Exceeding
YOLO Series in 2021", sections 2.2 and 2.3), AdamW, averaged weights.  Nothing chooses by the evaluation
scenes.  Killed, it continues where it was when it is started again.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from model import STRIDES, build
from torch import Tensor, nn
from torch.nn import functional

from edgekit.core.predictions import Objects
from edgekit.data.rendered import OBJECT_CLASSES, Config
from edgekit.training import Batch, TrainingConfig, train

SIZE = (256, 416)  # the same numbers stand in edgekit.yaml
NEAREST_IN_COCO = {"vehicle": 2, "person": 0, "cyclist": 1, "sign": 11, "traffic_light": 9}
RADIUS = 2.5  # cells around an object's centre that may answer for it
GREY = 114


def coco_start(weights: Path) -> nn.Module:
    """The network for our classes with everything that the COCO checkpoint knows."""
    coco = build()
    coco.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    state = coco.state_dict()
    rows = [NEAREST_IN_COCO[name] for name in OBJECT_CLASSES]
    for name in [name for name in state if ".cls_preds." in name]:
        state[name] = state[name][rows].clone()
    network = build(len(OBJECT_CLASSES), "ReLU")
    network.load_state_dict(state)
    return network


class Scenes:
    """Rendered frames in memory; read with a random scale, place, flip and colour."""

    def __init__(self, count: int, seed: int) -> None:
        samples = Config(count=count, seed=seed, scenes="varied", truth="boxes").open()
        found = [(sample.images["image"], sample.truth) for sample in samples]
        self.images = [image for image, _ in found]
        self.objects: list[Objects] = [truth for _, truth in found]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        image, objects = self.images[index], self.objects[index]
        scale = SIZE[1] / image.shape[1] * float(np.exp(np.random.uniform(np.log(0.8), np.log(1.6))))
        shift = np.random.uniform(0, 1, 2) * (np.array(SIZE[::-1]) - np.array(image.shape[1::-1]) * scale)
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        frame = cv2.warpAffine(image, matrix, SIZE[::-1], flags=flags, borderValue=(GREY,) * 3)
        boxes = objects.boxes * scale + np.tile(shift, 2)
        if np.random.random() < 0.5:
            frame, boxes = (
                frame[:, ::-1],
                np.stack([SIZE[1] - boxes[:, 2], boxes[:, 1], SIZE[1] - boxes[:, 0], boxes[:, 3]], axis=1),
            )
        return {"images": _planes(_coloured(frame))}, _rows(boxes, objects)


def _coloured(frame: np.ndarray) -> np.ndarray:
    pixels = frame.astype(np.float32)
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = grey + (pixels - grey) * np.random.uniform(0.6, 1.4)
    return np.clip(pixels * np.random.uniform(0.6, 1.4) * np.random.uniform(0.94, 1.06, 3), 0, 255)


def _planes(frame: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(frame[..., ::-1].transpose(2, 0, 1)[None], np.float32)


def _rows(boxes: np.ndarray, objects: Objects) -> np.ndarray:
    """``(64, 6)`` box, class id and 1 for a crowd; unused rows have the class -1."""
    inside = boxes.clip(0, np.tile(SIZE[::-1], 2))
    sizes = inside[:, 2:] - inside[:, :2]
    share = sizes.prod(axis=1) / np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-6)
    kept = (sizes.min(axis=1, initial=1e9) >= 2) & (share > 0.25)
    rows = np.full((64, 6), -1, np.float32)
    found = np.column_stack([inside, objects.labels, objects.crowd])[kept][: len(rows)]
    rows[: len(found)] = found
    return rows


@dataclass(frozen=True)
class Cells:
    """Centre and stride of every cell, in the order of the output: ``(A, 2)`` and ``(A, 1)`` pixels."""

    centres: Tensor
    strides: Tensor

    @classmethod
    def of(cls, size: tuple[int, int]) -> Cells:
        centres, strides = [], []
        for stride in STRIDES:
            y, x = torch.meshgrid(torch.arange(size[0] // stride), torch.arange(size[1] // stride), indexing="ij")
            centres.append((torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
            strides.append(torch.full((len(centres[-1]), 1), float(stride)))
        return cls(torch.cat(centres), torch.cat(strides))

    def boxes(self, raw: Tensor) -> Tensor:
        """Left, top, right, bottom of the raw ``(..., A, 4)`` output."""
        middle = raw[..., :2] * self.strides + self.centres - 0.5 * self.strides
        size = raw[..., 2:4].clamp(max=10).exp() * self.strides
        return torch.cat([middle - size / 2, middle + size / 2], -1)


CELLS = Cells.of(SIZE)


def loss(outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """5 x IoU loss + objectness + classes, over the positive cells of the batch."""
    assert isinstance(batch.truth, Tensor)
    total, positives = torch.zeros(()), 0
    for output, rows in zip(outputs["output"], batch.truth, strict=True):
        rows = rows[rows[:, 4] >= 0]
        crowd, objects = rows[rows[:, 5] > 0], rows[rows[:, 5] == 0]
        boxes = CELLS.boxes(output)
        cells, owners = assign(output.detach(), boxes.detach(), objects)
        objectness = torch.zeros(len(output))
        objectness[cells] = 1
        counted = (objectness > 0) | ~inside(CELLS.centres, crowd[:, :4]).any(1)
        total = total + functional.binary_cross_entropy(output[counted, 4], objectness[counted], reduction="sum")
        if len(cells):
            overlap = iou(boxes[cells], objects[owners, :4])
            classes = functional.one_hot(objects[owners, 4].long(), output.shape[1] - 5) * overlap.detach()[:, None]
            total = total + 5 * (1 - overlap.square()).sum()
            total = total + functional.binary_cross_entropy(output[cells, 5:], classes, reduction="sum")
        positives += len(cells)
    return total / max(positives, 1)


def assign(output: Tensor, boxes: Tensor, objects: Tensor) -> tuple[Tensor, Tensor]:
    """SimOTA: the cells that answer for an object, and the row of that object."""
    if len(objects) == 0:
        return torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long)
    middle = (objects[:, :2] + objects[:, 2:4]) / 2
    near = ((CELLS.centres[:, None] - middle[None]).abs() < RADIUS * CELLS.strides[:, None]).all(-1)
    within = inside(CELLS.centres, objects[:, :4])
    overlap = iou(boxes[:, None], objects[None, :, :4])
    scores = (output[:, 5:] * output[:, 4:5]).sqrt()[:, None].expand(-1, len(objects), -1)
    wanted = functional.one_hot(objects[:, 4].long(), scores.shape[2]).float().expand_as(scores)
    classes = functional.binary_cross_entropy(scores, wanted, reduction="none").sum(-1)
    cost = classes - 3 * (overlap + 1e-8).log() + 1e5 * ~(near & within) + 1e9 * ~(near | within)
    taken = torch.zeros_like(cost, dtype=torch.bool)
    for column in range(len(objects)):
        count = int(overlap[:, column].topk(10).values.sum().clamp(min=1))
        taken[cost[:, column].topk(count, largest=False).indices, column] = True
    taken &= near | within
    twice = taken.sum(1) > 1
    taken[twice] = functional.one_hot(cost[twice].argmin(1), len(objects)).bool()
    cells = taken.any(1).nonzero()[:, 0]
    return cells, taken[cells].long().argmax(1)


def inside(points: Tensor, boxes: Tensor) -> Tensor:
    """Bool ``(points, boxes)``."""
    return ((points[:, None] > boxes[None, :, :2]) & (points[:, None] < boxes[None, :, 2:])).all(-1)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes that broadcast."""
    size = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    both = size.prod(-1)
    return both / ((a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - both + 1e-7)


class Flat(nn.Module):
    """A tuple of outputs, as the training loop reads them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor]:
        return (self.network(images),)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--coco", type=Path, required=True, help="published state_dict of YOLOX-nano")
    parser.add_argument("--scenes", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("weights.pth"))
    args = parser.parse_args()
    network = coco_start(args.coco)
    config = TrainingConfig(
        steps=args.steps, batch=args.batch, learning_rate=args.rate, warmup=100, weight_decay=5e-4, ema=0.998,
        clip_norm=10.0, checkpoint_every=100,
    )  # fmt: skip
    print(f"rendering {args.scenes} scenes", flush=True)
    scenes = Scenes(args.scenes, seed=1)
    done = train(
        Flat(network), scenes, loss, config, inputs=["images"], outputs=["output"],
        checkpoint=args.out.with_suffix(".checkpoint"),
    )  # fmt: skip
    print(f"{done.steps} steps in {done.seconds:.0f} s")
    torch.save(network.state_dict(), args.out)


if __name__ == "__main__":
    main()
