"""Train the hard CamVid network on one CPU core, widen its gains, and write its state_dict.

    python examples/hard/train.py --data data/camvid

Recipe: AdamW with a one-cycle schedule, cross-entropy with square-root
inverse-frequency class weights, random scale, crop, flip and colour at half
resolution, bfloat16 autocast, exponential moving average of the weights.  Val and
test are only printed.

The last step, :func:`widen_gains`, changes no output and costs INT8 dearly.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from model import CLASSES, Block, HardNet, build
from torch import Tensor, nn

VOID = 11
SIZE = (180, 240)
SCALES = (0.38, 0.85)  # of the 360x480 frames; 0.5 is what the network is used with
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


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


def augment(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random scale, crop to :data:`SIZE` (padding is void), flip, brightness, contrast and tint."""
    height, width = SIZE
    scale = float(np.exp(rng.uniform(*np.log(SCALES))))
    stretch = float(np.exp(rng.uniform(-0.1, 0.1)))
    size = (round(image.shape[1] * scale * stretch), round(image.shape[0] * scale))
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


def batches(frames: Frames, size: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Images ``(N, 3, 180, 240)`` float32 and labels ``(N, 180, 240)`` int64."""
    order = rng.permutation(len(frames.images))
    for start in range(0, len(order) - size + 1, size):
        pairs = [augment(frames.images[i], frames.masks[i], rng) for i in order[start : start + size]]
        images = np.stack([normalised(image) for image, _ in pairs])
        labels = np.stack([mask for _, mask in pairs]).astype(np.int64)
        yield torch.from_numpy(images), torch.from_numpy(labels)


def class_weights(masks: np.ndarray) -> Tensor:
    counts = np.bincount(masks.ravel(), minlength=CLASSES + 1)[:CLASSES].astype(np.float64)
    weights = np.sqrt(np.median(counts) / counts).clip(0.3, 3.0)
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)


class QuickPReLU(nn.PReLU):
    """The same function as two multiply-adds, whose gradient is several times faster on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        positive = x.relu()
        return positive + self.weight.to(x.dtype).view(-1, 1, 1) * (x - positive)


def quicken(model: nn.Module, kind: type[nn.PReLU]) -> None:
    """Make every PReLU of ``model`` one of ``kind``."""
    for module in model.modules():
        if isinstance(module, nn.PReLU):
            module.__class__ = kind


@torch.no_grad()
def widen_gains(model: HardNet, octaves: int, seed: int = 0) -> None:
    """Spread the ranges of channels over ``2 ** (2 * octaves)``, without changing any output.

    A PReLU is positively homogeneous: where one stands between two convolutions, a channel may be
    multiplied by a gain before it and divided by it behind.  The gains are powers of two, so not
    even rounding changes.  Training leaves such gains behind on its own - nothing in the loss or in
    batch norm holds them, see figure 2 of Nagel et al., "Data-Free Quantization Through Weight
    Equalization and Bias Correction" (ICCV 2019) - but the few minutes of this script are too short
    for it.  One scale a tensor then leaves the channels with small gains a handful of steps, and
    the division puts the opposite spread into the input channels of the next weights, where a scale
    for each output channel does not reach it.  Cross-layer equalization undoes it.
    """
    generator = torch.Generator().manual_seed(seed)
    pairs = [(block.first[1], block.second) for block in model.modules() if isinstance(block, Block)]
    pairs.append((model.up1[1], model.classifier))
    for norm, conv in pairs:
        exponents = torch.randint(-octaves, octaves + 1, (norm.num_features,), generator=generator)
        gains = torch.exp2(exponents.float())
        norm.weight.mul_(gains)
        norm.bias.mul_(gains)
        conv.weight.div_(gains.view(1, -1, 1, 1))


@torch.no_grad()
def miou(model: nn.Module, frames: Frames) -> tuple[float, list[float]]:
    """Mean and each class's intersection over union; logits are resized to the masks."""
    model.eval()
    confusion = np.zeros((CLASSES, CLASSES), np.int64)
    for image, mask in zip(frames.images, frames.masks, strict=True):
        resized = cv2.resize(image, SIZE[::-1], interpolation=cv2.INTER_LINEAR)
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


def learn(frames: Frames, epochs: int, batch: int, rate: float, resume: Path) -> HardNet:
    """The moving average of the network after training; ``resume`` holds the state every four epochs."""
    model = build().to(memory_format=torch.channels_last)
    quicken(model, QuickPReLU)
    multi_avg_fn = torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=multi_avg_fn, use_buffers=True)
    slopes = [p for m in model.modules() if isinstance(m, nn.PReLU) for p in m.parameters()]
    known = {id(p) for p in slopes}
    others = [p for p in model.parameters() if id(p) not in known]
    groups = [{"params": others, "weight_decay": 0.02}, {"params": slopes, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate)
    steps = len(frames.images) // batch * epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.15)
    parts = {"model": model, "average": average, "optimizer": optimizer, "schedule": schedule}
    weights = class_weights(frames.masks)
    first = 0
    if resume.exists():
        state = torch.load(resume, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        first = state["epoch"]
    start = time.monotonic()
    for epoch in range(first, epochs):
        model.train()
        total = count = 0.0
        for images, labels in batches(frames, batch, np.random.default_rng([0, epoch])):
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(images.to(memory_format=torch.channels_last))
            loss = nn.functional.cross_entropy(logits.float(), labels, weights, ignore_index=VOID)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            average.update_parameters(model)
            total, count = total + loss.item(), count + 1
        print(f"epoch {epoch + 1}/{epochs} loss {total / count:.4f} {time.monotonic() - start:.0f} s", flush=True)
        if (epoch + 1) % 4 == 0:
            save(resume, {name: part.state_dict() for name, part in parts.items()} | {"epoch": epoch + 1})
    quicken(average.module, nn.PReLU)
    return average.module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("weights.pth"))
    parser.add_argument("--epochs", type=int, default=52)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--octaves", type=int, default=3, help="see widen_gains; 0 leaves the network as trained")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    resume = args.out.with_suffix(".resume")
    model = learn(Frames.read(args.data, "train"), args.epochs, args.batch, args.rate, resume)
    widen_gains(model, args.octaves)
    save(args.out, {name: value.contiguous() for name, value in model.state_dict().items()})
    for split in ("val", "test"):
        print(split, *miou(model, Frames.read(args.data, split)), flush=True)
    resume.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
