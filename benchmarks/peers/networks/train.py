"""Train the CamVid networks of this benchmark, plain and vit, on one CPU core.

    python benchmarks/peers/networks/train.py plain --data data/camvid

Recipe: AdamW with a one-cycle schedule, cross-entropy with square-root
inverse-frequency class weights at the stride of the logits, random scale, crop, flip
and colour, bfloat16 autocast, exponential moving average of the weights, which is
what is saved, in float16.  Minutes, not hours: a benchmark of quantization needs
trained weights and a real metric, not the best network.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import torch
from torch import Tensor, nn

HERE = Path(__file__).parent
VOID = 11
CLASSES = 11
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


@dataclass(frozen=True)
class Recipe:
    """``crop`` (height, width) is what the network sees; ``stride`` is that of the logits it learns with."""

    crop: tuple[int, int]
    stride: int
    epochs: int
    rate: float
    scales: tuple[float, float]
    batch: int = 8
    decay: float = 0.05


RECIPES = {
    "plain": Recipe((240, 320), 8, 64, 3e-3, (0.6, 1.4)),
    "vit": Recipe((352, 480), 4, 26, 7e-4, (0.9, 1.3), batch=4),
}


@dataclass(frozen=True)
class Frames:
    """Images ``(N, 360, 480, 3)`` uint8 RGB and masks ``(N, 360, 480)`` uint8, all in memory."""

    images: np.ndarray
    masks: np.ndarray

    @classmethod
    def read(cls, root: Path, split: str) -> Frames:
        stems = (root / f"{split}.txt").read_text().split()
        images = [cv2.imread(str(root / "images" / split / f"{s}.jpg"))[..., ::-1] for s in stems]
        masks = [cv2.imread(str(root / "labels" / split / f"{s}.png"), cv2.IMREAD_UNCHANGED) for s in stems]
        return cls(np.stack(images), np.stack(masks))


def normalised(image: np.ndarray) -> np.ndarray:
    """``float32 (3, H, W)`` of uint8 ``(H, W, 3)``."""
    return ((image.astype(np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1)


def augment(
    image: np.ndarray, mask: np.ndarray, recipe: Recipe, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Random scale, crop (padding is void), flip, brightness, contrast and tint."""
    height, width = recipe.crop
    scale = float(np.exp(rng.uniform(*np.log(recipe.scales))))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    pad_y, pad_x = max(0, height - size[1]), max(0, width - size[0])
    if pad_y or pad_x:
        border = (pad_y // 2, pad_y - pad_y // 2, pad_x // 2, pad_x - pad_x // 2)
        image = cv2.copyMakeBorder(image, *border, cv2.BORDER_CONSTANT, value=(124, 116, 104))
        mask = cv2.copyMakeBorder(mask, *border, cv2.BORDER_CONSTANT, value=VOID)
    y = rng.integers(0, mask.shape[0] - height + 1)
    x = rng.integers(0, mask.shape[1] - width + 1)
    image, mask = image[y : y + height, x : x + width], mask[y : y + height, x : x + width]
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    gain = rng.uniform(0.7, 1.35) * rng.uniform(0.94, 1.06, size=3)
    values = (np.arange(256.0)[:, None] - 110) * rng.uniform(0.75, 1.3) + 110
    table = np.clip(values * gain, 0, 255).astype(np.uint8)
    return cv2.LUT(np.ascontiguousarray(image), table[None]), mask


def batches(frames: Frames, recipe: Recipe, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Images ``(N, 3, h, w)`` float32 and labels ``(N, h / stride, w / stride)`` int64, each cell's centre pixel."""
    order = rng.permutation(len(frames.images))
    half, step = recipe.stride // 2, recipe.stride
    for start in range(0, len(order) - recipe.batch + 1, recipe.batch):
        chosen = order[start : start + recipe.batch]
        pairs = [augment(frames.images[i], frames.masks[i], recipe, rng) for i in chosen]
        images = np.stack([normalised(image) for image, _ in pairs])
        labels = np.stack([mask[half::step, half::step] for _, mask in pairs]).astype(np.int64)
        yield torch.from_numpy(images), torch.from_numpy(labels)


def class_weights(masks: np.ndarray) -> Tensor:
    counts = np.bincount(masks.ravel(), minlength=CLASSES + 1)[:CLASSES].astype(np.float64)
    weights = np.sqrt(np.median(counts) / counts).clip(0.3, 3.0)
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)


@torch.no_grad()
def miou(model: nn.Module, frames: Frames, size: tuple[int, int]) -> tuple[float, list[float]]:
    """Mean and each class's intersection over union; logits are resized to the masks."""
    model.eval()
    confusion = np.zeros((CLASSES, CLASSES), np.int64)
    for image, mask in zip(frames.images, frames.masks, strict=True):
        resized = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
        logits = model(torch.from_numpy(normalised(resized)[None].copy()))
        logits = nn.functional.interpolate(logits, size=mask.shape, mode="bilinear", align_corners=False)
        valid = mask != VOID
        index = mask[valid].astype(np.int64) * CLASSES + logits.argmax(1)[0].numpy()[valid]
        confusion += np.bincount(index, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    right = np.diag(confusion)
    iou = right / np.maximum(1, confusion.sum(0) + confusion.sum(1) - right)
    return float(iou.mean()), iou.round(3).tolist()


def save(path: Path, payload: object) -> None:
    """Write whole or not at all."""
    temporary = path.with_suffix(".tmp")
    torch.save(payload, temporary)
    os.replace(temporary, path)


def learn(
    model: nn.Module, forward: Callable[[Tensor], Tensor], recipe: Recipe, frames: Frames, resume: Path
) -> nn.Module:
    """The moving average of ``model`` after training; ``resume`` holds the state every four epochs."""
    model = model.to(memory_format=torch.channels_last)
    multi_avg_fn = torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=multi_avg_fn, use_buffers=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    steps = len(frames.images) // recipe.batch * recipe.epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=steps, pct_start=0.15)
    parts = {"model": model, "average": average, "optimizer": optimizer, "schedule": schedule}
    weights = class_weights(frames.masks)
    first = 0
    if resume.exists():
        state = torch.load(resume, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        first = state["epoch"]
    start = time.monotonic()
    for epoch in range(first, recipe.epochs):
        model.train()
        total = count = 0.0
        for images, labels in batches(frames, recipe, np.random.default_rng([0, epoch])):
            with torch.autocast("cpu", torch.bfloat16):
                logits = forward(images.to(memory_format=torch.channels_last))
            loss = nn.functional.cross_entropy(logits.float(), labels, weights, ignore_index=VOID)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            average.update_parameters(model)
            total, count = total + loss.item(), count + 1
        took = time.monotonic() - start
        print(f"epoch {epoch + 1}/{recipe.epochs} loss {total / count:.4f} {took:.0f} s", flush=True)
        if (epoch + 1) % 4 == 0:
            save(resume, {name: part.state_dict() for name, part in parts.items()} | {"epoch": epoch + 1})
    return average.module


def load(name: str) -> ModuleType:
    """The module of this folder named ``name``, however this script was started."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("network", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="default: benchmarks/peers/weights/NETWORK.pth")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    recipe, module = RECIPES[args.network], load(args.network)
    out = args.out or HERE.parent / "weights" / f"{args.network}.pth"
    resume = out.with_suffix(".resume")
    frames = Frames.read(args.data, "train")
    if args.network == "plain":
        model = module.build(batch_norm=True)
        model = module.fold(learn(model, model, recipe, frames, resume))
    else:
        model = module.build()
        model = learn(model, model.cells, recipe, frames, resume)
    save(out, {name: value.contiguous().half() for name, value in model.state_dict().items()})
    model.load_state_dict(torch.load(out, weights_only=True))
    size = module.SIZE if args.network == "vit" else (360, 480)
    for split in ("val", "test"):
        print(split, *miou(model, Frames.read(args.data, split), size), flush=True)
    resume.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
