"""Train the three tasks together on rendered driving scenes, on one CPU core, and write the state_dict.

    python examples/multitask/train.py

Objects: a cell answers for the smallest object of its stride's size around whose middle it lies (Tian et al.,
"FCOS", ICCV 2019, with centre sampling); classes learn how well the box fits (quality focal loss: Li et al.,
"Generalized Focal Loss", NeurIPS 2020), boxes the generalised IoU (Rezatofighi et al., CVPR 2019).  The two
segmentations have edgekit's loss of their task.  AdamW, averaged weights, random windows, flips and
colours.  Nothing is chosen by a metric.  Killed, it continues where it was when it is started again.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from model import OUTPUTS, build, centres
from torch import Tensor
from torch.nn import functional

import edgekit
from edgekit.core.predictions import Objects
from edgekit.data import Sample
from edgekit.data.rendered import Config
from edgekit.training import Batch, TrainingConfig, train
from edgekit.training.losses import TaskLoss, of_task

HERE = Path(__file__).parent
SIZE = (288, 480)  # the same numbers stand in edgekit.yaml
NEAREST = 0.75  # scale of the whole frame; the largest window shows all of it
LARGEST = 1.3
REACHES = ((0, 56), (40, 112), (80, 1e9))  # longest side of the objects of each stride, in pixels
RADIUS = 1.5  # cells around an object's middle
MOST = 64  # objects in a window
CELLS = centres(SIZE)


class Windows:
    """Frames in memory; read as a random window of a random size, flipped half the time, in other colours."""

    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        image, truth = self.samples[index].images["image"], self.samples[index].truth
        scale = np.random.uniform(NEAREST, LARGEST)
        window = np.round(np.array(SIZE) / scale).astype(int)
        top, left = (np.random.randint(0, free + 1) for free in np.array(image.shape[:2]) - window)
        seen = np.s_[top : top + window[0], left : left + window[1]]
        planes = {"scene": truth["mask"][seen], "area": truth["drivable"][seen]}
        half = (SIZE[1] // 2, SIZE[0] // 2)
        planes = {name: cv2.resize(plane, half, interpolation=cv2.INTER_NEAREST) for name, plane in planes.items()}
        picture = coloured(cv2.resize(image[seen], SIZE[::-1], interpolation=cv2.INTER_AREA))
        rows = objects_in(truth["boxes"], (left, top), SIZE[1] / window[1])
        if np.random.random() < 0.5:
            picture, planes = picture[:, ::-1], {name: plane[:, ::-1].copy() for name, plane in planes.items()}
            rows[:, [0, 2]] = SIZE[1] - rows[:, [2, 0]]
        return {"image": picture.transpose(2, 0, 1)[None].copy()}, {**planes, "objects": rows}


def coloured(picture: np.ndarray) -> np.ndarray:
    """float32 0..1 of uint8 RGB, with another brightness, contrast and tint."""
    gain = np.random.uniform(0.7, 1.4) * np.random.uniform(0.95, 1.05, 3)
    changed = (picture.astype(np.float32) / 255 - 0.4) * np.random.uniform(0.8, 1.2) + 0.4
    return np.clip(changed * gain, 0, 1).astype(np.float32)


def objects_in(objects: Objects, corner: tuple[int, int], scale: float) -> np.ndarray:
    """``(64, 6)`` box in the window, class id, and 1 where nothing is to be learnt; unused rows have the class -1."""
    whole = (objects.boxes - np.tile(corner, 2)) * scale
    boxes = whole.clip(0, np.tile(SIZE[::-1], 2))
    shown = (boxes[:, 2:] - boxes[:, :2]).prod(1) / (whole[:, 2:] - whole[:, :2]).prod(1).clip(1e-6)
    vague = objects.crowd | (shown < 0.3)
    found = np.column_stack([boxes, objects.labels, vague])[shown > 0.02][:MOST]
    return np.concatenate([found, np.full((MOST - len(found), 6), -1)]).astype(np.float32)


def owners(objects: Tensor) -> Tensor:
    """For each cell the row of the object that it answers for, -1 for none, -2 where nothing is to be learnt."""
    boxes, vague = objects[:, :4], objects[:, 5] > 0
    used = objects[:, 4] >= 0
    sizes = boxes[:, 2:] - boxes[:, :2]
    middle, longest = boxes[:, :2] + sizes / 2, sizes.amax(1)
    xy, stride = CELLS[:, None, :2], CELLS[:, None, 2]
    inside = ((xy > boxes[None, :, :2]) & (xy < boxes[None, :, 2:])).all(-1)
    near = (xy - middle[None]).abs().amax(-1)
    low, high = (torch.tensor(ends)[(CELLS[:, 2] / 16).long()][:, None] for ends in zip(*REACHES, strict=True))
    # A small object may hold no cell's centre: then the cell in which its middle lies answers for it.
    taken = (near < RADIUS * stride) & inside | (near < 0.5 * stride)
    taken &= (longest >= low) & (longest < high) & (used & ~vague)[None]
    area = torch.where(taken, sizes.prod(1)[None], torch.inf)
    smallest = area.argmin(1)
    owner = torch.where(taken.any(1), smallest, -1)
    return torch.where((owner < 0) & (inside & (used & vague)[None]).any(1), -2, owner)


def object_loss(outputs: Mapping[str, Tensor], objects: Tensor) -> Tensor:
    """Quality focal loss of the classes and twice the generalised IoU loss, over the cells that answer for objects."""
    reach, kind = (
        torch.cat([outputs[name].flatten(2) for name in OUTPUTS if name.startswith(part)], 2).transpose(1, 2)
        for part in ("reach", "kind")
    )
    owner = torch.stack([owners(rows) for rows in objects])
    frame, cell = (owner >= 0).nonzero(as_tuple=True)
    wanted = objects[frame, owner[frame, cell]]
    xy, stride = CELLS[cell, :2], CELLS[cell, 2:]
    sides = reach[frame, cell] * stride
    overlap, general = overlaps(torch.cat([xy - sides[:, :2], xy + sides[:, 2:]], 1), wanted[:, :4])
    target = torch.zeros_like(kind)
    target[frame, cell, wanted[:, 4].long()] = overlap.detach().clamp(min=0.05)
    entropy = functional.binary_cross_entropy_with_logits(kind, target, reduction="none")
    focal = entropy * (target - kind.detach().sigmoid()).square()
    count = max(len(cell), 1)
    return (focal[owner != -2].sum() * 2 + (1 - general).sum() * 2) / count


def overlaps(found: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union of the boxes row by row, and its generalised form, below 0 where they lie apart."""
    common = (torch.minimum(found[:, 2:], wanted[:, 2:]) - torch.maximum(found[:, :2], wanted[:, :2])).clamp(min=0)
    around = (torch.maximum(found[:, 2:], wanted[:, 2:]) - torch.minimum(found[:, :2], wanted[:, :2])).prod(1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1) for boxes in (found, wanted)]
    union = areas[0] + areas[1] - common.prod(1)
    overlap = common.prod(1) / union.clamp(min=1e-6)
    return overlap, overlap - 1 + union / around.clamp(min=1e-6)


class MultiTaskLoss:
    """The sum of the losses of the tasks in the spec; each reads its own part of the truth."""

    def __init__(self) -> None:
        tasks: Mapping[str, Any] = edgekit.read_spec(HERE / "edgekit.yaml").task.tasks
        self.losses: dict[str, TaskLoss] = {"objects": object_loss}
        self.losses |= {name: loss for name in ("area", "scene") if (loss := of_task(tasks[name])) is not None}

    def __call__(self, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        assert isinstance(batch.truth, tuple)
        truth = batch.truth
        parts = {name: torch.from_numpy(np.stack([one[name] for one in truth])) for name in self.losses}
        device = outputs["area"].device
        return torch.stack([loss(outputs, parts[name].to(device)) for name, loss in self.losses.items()]).sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenes", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate")
    parser.add_argument("--out", type=Path, default=HERE / "weights.pth")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(f"rendering {args.scenes} scenes", flush=True)
    learn(list(Config(count=args.scenes, seed=1, scenes="varied", truth="all").open()), args)


def learn(samples: list[Sample], args: argparse.Namespace) -> None:
    """Train on the samples and write the weights."""
    torch.manual_seed(0)
    network = build()
    config = TrainingConfig(
        steps=args.steps, batch=args.batch, learning_rate=args.rate, warmup=100, weight_decay=0.02, ema=0.995,
        clip_norm=10.0, precision="bf16", channels_last=True, device="cpu", checkpoint_every=100,
    )  # fmt: skip
    resume = args.out.with_suffix(".resume")
    done = train(
        network, Windows(samples), MultiTaskLoss(), config, inputs=["image"], outputs=list(OUTPUTS), checkpoint=resume
    )
    print(f"{done.steps} steps in {done.seconds:.0f} s")
    torch.save(dict(done.state), args.out)
    resume.unlink()


if __name__ == "__main__":
    main()
