"""Train the CamVid network, on CPU or GPU, and write its state_dict.

    python examples/camvid/train.py --data data/camvid --encoder mobilenet_v2.pth

Recipe: ImageNet encoder, AdamW with a one-cycle schedule, cross-entropy with
square-root inverse-frequency class weights plus a soft Jaccard term (Rahman and
Wang, 2016), random scale, crop, flip and colour, exponential moving average of
the weights.  The last average is kept: neither val nor test chooses it.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from model import build
from torch import Tensor, nn

VOID = 11
CLASSES = 11
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
CROP = (320, 448)


@dataclass(frozen=True)
class Frames:
    """Images ``(N, H, W, 3)`` uint8 RGB and masks ``(N, H, W)`` uint8, all in memory."""

    images: np.ndarray
    masks: np.ndarray

    @classmethod
    def read(cls, root: Path, split: str) -> Frames:
        stems = (root / f"{split}.txt").read_text().split()
        images = [cv2.imread(str(root / "images" / split / f"{s}.jpg"))[..., ::-1] for s in stems]
        masks = [cv2.imread(str(root / "labels" / split / f"{s}.png"), cv2.IMREAD_UNCHANGED) for s in stems]
        return cls(np.stack(images), np.stack(masks))


def normalise(image: np.ndarray) -> np.ndarray:
    return (image.astype(np.float32) / 255 - MEAN) / STD


def augment(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random scale 0.6..1.9, colour, crop to ``CROP`` (padding is void) and flip."""
    scale = float(np.exp(rng.uniform(np.log(0.6), np.log(1.9))))
    stretch = float(np.exp(rng.uniform(-0.1, 0.1)))
    size = (round(image.shape[1] * scale * stretch), round(image.shape[0] * scale))
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    height, width = CROP
    pad_y, pad_x = max(0, height - mask.shape[0]), max(0, width - mask.shape[1])
    if pad_y or pad_x:
        border = (pad_y // 2, pad_y - pad_y // 2, pad_x // 2, pad_x - pad_x // 2)
        image = cv2.copyMakeBorder(image, *border, cv2.BORDER_CONSTANT, value=(124, 116, 104))
        mask = cv2.copyMakeBorder(mask, *border, cv2.BORDER_CONSTANT, value=VOID)
    y = rng.integers(0, mask.shape[0] - height + 1)
    x = rng.integers(0, mask.shape[1] - width + 1)
    image, mask = image[y : y + height, x : x + width], mask[y : y + height, x : x + width]
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return _colour(image, rng), mask


def _colour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    pixels = image.astype(np.float32)
    pixels = (pixels - pixels.mean()) * rng.uniform(0.7, 1.3) + pixels.mean() * rng.uniform(0.65, 1.35)
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = grey + (pixels - grey) * rng.uniform(0.6, 1.4)
    return np.clip(pixels * rng.uniform(0.94, 1.06, size=3), 0, 255).astype(np.float32)


def batches(frames: Frames, size: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    order = rng.permutation(len(frames.images))
    for start in range(0, len(order) - size + 1, size):
        pairs = [augment(frames.images[i], frames.masks[i], rng) for i in order[start : start + size]]
        images = np.stack([normalise(image).transpose(2, 0, 1) for image, _ in pairs])
        masks = np.stack([mask for _, mask in pairs]).astype(np.int64)
        yield torch.from_numpy(images), torch.from_numpy(masks)


def prefetched(source: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """The same batches, the next one prepared in a thread while the last one is learnt."""
    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(next, source, None)
        while (batch := upcoming.result()) is not None:
            upcoming = pool.submit(next, source, None)
            yield batch


def class_weights(masks: np.ndarray) -> Tensor:
    counts = np.bincount(masks.ravel(), minlength=CLASSES + 1)[:CLASSES].astype(np.float64)
    weights = np.sqrt(np.median(counts) / counts).clip(0.3, 3.0)
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)


def loss_of(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy plus half a soft Jaccard loss over the classes present."""
    log_probability = logits.log_softmax(1)
    entropy = nn.functional.nll_loss(log_probability, target, weights, ignore_index=VOID)
    valid = target != VOID
    probability = log_probability.exp()
    label = target.clamp(max=CLASSES - 1)
    right = probability.gather(1, label.unsqueeze(1)).squeeze(1) * valid
    predicted = (probability * valid.unsqueeze(1)).sum((0, 2, 3))
    inter = torch.zeros_like(predicted).index_add(0, label.flatten(), right.flatten())
    size = torch.bincount(label[valid], minlength=CLASSES)
    union = predicted + size - inter
    return entropy + 0.5 * (1 - (inter[size > 0] + 1) / (union[size > 0] + 1)).mean()


@torch.no_grad()
def miou(model: nn.Module, frames: Frames, device: str) -> tuple[float, list[float]]:
    model.eval()
    confusion = np.zeros((CLASSES, CLASSES), np.int64)
    for image, mask in zip(frames.images, frames.masks, strict=True):
        tensor = torch.from_numpy(normalise(image).transpose(2, 0, 1)[None].copy()).to(device)
        predicted = model(tensor).argmax(1)[0].cpu().numpy()
        valid = mask != VOID
        index = mask[valid].astype(np.int64) * CLASSES + predicted[valid]
        confusion += np.bincount(index, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    diagonal = np.diag(confusion)
    iou = diagonal / np.maximum(1, confusion.sum(0) + confusion.sum(1) - diagonal)
    return float(iou.mean()), iou.tolist()


def save(path: Path, payload: object) -> None:
    """Write whole or not at all."""
    temporary = path.with_suffix(".tmp")
    torch.save(payload, temporary)
    os.replace(temporary, path)


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    frames = Frames.read(args.data, "train")
    model = build()
    encoder = torch.load(args.encoder, map_location="cpu", weights_only=True)
    wanted = {k: v for k, v in encoder.items() if k in model.state_dict()}
    if len(wanted) < 300:
        raise SystemExit(f"{args.encoder}: {len(wanted)} encoder tensors match, more than 300 expected")
    model.load_state_dict(wanted, strict=False)
    model = model.to(device, memory_format=torch.channels_last)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    encoder_parameters = list(model.features.parameters())
    others = [p for n, p in model.named_parameters() if not n.startswith("features.")]
    steps = len(frames.images) // args.batch * args.epochs
    optimizer = torch.optim.AdamW([{"params": encoder_parameters}, {"params": others}], lr=1e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [8e-4, 2.5e-3], total_steps=steps, pct_start=0.15)
    weights = class_weights(frames.masks).to(device)
    first = 0
    resume = args.out.with_suffix(".resume")
    if resume.exists():
        state = torch.load(resume, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        first = state["epoch"]
    start = time.monotonic()
    for epoch in range(first, args.epochs):
        model.train()
        rng = np.random.default_rng([args.seed, epoch])
        torch.manual_seed(args.seed * 10_000 + epoch)
        total = count = 0.0
        for images, masks in prefetched(batches(frames, args.batch, rng)):
            images = images.to(device, memory_format=torch.channels_last)
            with torch.autocast(device, torch.bfloat16):
                logits = model(images)
            loss = loss_of(logits.float(), masks.to(device), weights)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            average.update_parameters(model)
            total, count = total + loss.item(), count + 1
        print(f"epoch {epoch + 1}/{args.epochs} loss {total / count:.4f} {time.monotonic() - start:.0f} s", flush=True)
        if (epoch + 1) % 5 == 0:
            state = {"model": model.state_dict(), "average": average.state_dict(), "epoch": epoch + 1}
            save(resume, state | {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()})
        if (epoch + 1) % 20 == 0 and args.check:
            score, _ = miou(average.module, Frames.read(args.data, args.check), device)
            print(f"  {args.check} mIoU {score:.4f}", flush=True)
    save(args.out, {k: v.contiguous().cpu() for k, v in average.module.state_dict().items()})
    resume.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True, help="torchvision-style MobileNetV2 ImageNet state_dict")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("weights.pth"))
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", default="val", help="split whose mIoU is printed every 20 epochs; empty for none")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
