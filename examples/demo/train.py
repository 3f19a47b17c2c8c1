"""Train the demo network on rendered driving scenes, on CPU or GPU, and write its state_dict.

    python examples/demo/train.py

Scenes of seed 1 are learnt, scenes of seed 2 only measured at the end.  Recipe: AdamW with
a one-cycle schedule, cross-entropy with square-root inverse-frequency class weights plus a
soft Jaccard term (Rahman and Wang, 2016), crops, flips and colour, and an exponential moving
average of the weights, which is what is saved.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from model import build
from torch import Tensor, nn

from edgekit.data.rendered import CLASSES, Config

# The same numbers stand in edgekit.yaml under preprocess.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
CROP = (256, 448)
Frames = tuple[np.ndarray, np.ndarray]


def rendered(count: int, seed: int) -> Frames:
    """Images ``(N, H, W, 3)`` uint8 RGB and masks ``(N, H, W)`` uint8, all in memory."""
    samples = list(Config(count=count, seed=seed).open())
    return np.stack([s.images["image"] for s in samples]), np.stack([s.truth for s in samples])


def normalise(image: np.ndarray) -> np.ndarray:
    """``(H, W, 3)`` 0..255 to ``(3, H, W)`` float32."""
    scaled: np.ndarray = (image.astype(np.float32) / 255 - MEAN) / STD
    return scaled.transpose(2, 0, 1)


def augment(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random crop of size ``CROP``, flipped half the time, with other brightness and colour."""
    y, x = (int(rng.integers(0, full - part + 1)) for full, part in zip(mask.shape, CROP, strict=True))
    image, mask = image[y : y + CROP[0], x : x + CROP[1]], mask[y : y + CROP[0], x : x + CROP[1]]
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    gain = rng.uniform(0.8, 1.2) * rng.uniform(0.93, 1.07, 3)
    return np.clip(image * gain.astype(np.float32), 0, 255), mask


def batches(frames: Frames, size: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    order = rng.permutation(len(frames[0]))
    for start in range(0, len(order) - size + 1, size):
        pairs = [augment(frames[0][i], frames[1][i], rng) for i in order[start : start + size]]
        images = np.stack([normalise(image) for image, _ in pairs])
        masks = np.stack([mask for _, mask in pairs]).astype(np.int64)
        yield torch.from_numpy(images), torch.from_numpy(masks)


def class_weights(masks: np.ndarray) -> Tensor:
    counts = np.bincount(masks.ravel(), minlength=len(CLASSES)).astype(np.float64)
    weights = np.sqrt(np.median(counts) / np.maximum(counts, 1)).clip(0.3, 3.0)
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)


def loss_of(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy plus half a soft Jaccard loss over the classes present."""
    log_probability = logits.log_softmax(1)
    entropy = nn.functional.nll_loss(log_probability, target, weights)
    probability = log_probability.exp()
    right = probability.gather(1, target.unsqueeze(1)).squeeze(1)
    predicted = probability.sum((0, 2, 3))
    inter = torch.zeros_like(predicted).index_add(0, target.flatten(), right.flatten())
    size = torch.bincount(target.flatten(), minlength=len(CLASSES))
    union = predicted + size - inter
    return entropy + 0.5 * (1 - (inter[size > 0] + 1) / (union[size > 0] + 1)).mean()


@torch.no_grad()
def iou(model: nn.Module, frames: Frames, device: str) -> np.ndarray:
    """IoU of every class over all pixels, float32 arithmetic."""
    model.eval()
    count = len(CLASSES)
    confusion = np.zeros((count, count), np.int64)
    for image, mask in zip(*frames, strict=True):
        tensor = torch.from_numpy(normalise(image)[None].copy()).to(device)
        predicted = model(tensor).argmax(1)[0].cpu().numpy()
        index = mask.astype(np.int64).ravel() * count + predicted.ravel()
        confusion += np.bincount(index, minlength=count**2).reshape(count, count)
    hit = np.diag(confusion)
    scores: np.ndarray = hit / np.maximum(1, confusion.sum(0) + confusion.sum(1) - hit)
    return scores


def save(path: Path, state: dict[str, Tensor]) -> None:
    """Write whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    if args.threads:
        torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    start = time.monotonic()
    frames = rendered(args.scenes, seed=1)
    print(f"{args.scenes} scenes rendered in {time.monotonic() - start:.0f} s", flush=True)
    model = build(len(CLASSES)).to(device, memory_format=torch.channels_last)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99), use_buffers=True
    )
    steps = args.scenes // args.batch * args.epochs
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps, pct_start=0.2)
    weights = class_weights(frames[1]).to(device)
    rng = np.random.default_rng(args.seed)
    start = time.monotonic()
    for epoch in range(args.epochs):
        model.train()
        total = count = 0.0
        for images, masks in batches(frames, args.batch, rng):
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
        elapsed = time.monotonic() - start
        print(f"epoch {epoch + 1}/{args.epochs} loss {total / count:.4f} {elapsed:.0f} s", flush=True)
    save(args.out, {k: v.contiguous().cpu() for k, v in average.module.state_dict().items()})
    scores = iou(average.module, rendered(args.check, seed=2), device)
    for name, score in zip(CLASSES, scores, strict=True):
        print(f"  {name:13s} IoU {score:.4f}")
    print(f"mIoU {scores.mean():.4f} on {args.check} scenes of seed 2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("weights.pth"))
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--scenes", type=int, default=700, help="training scenes, all kept in memory")
    parser.add_argument("--check", type=int, default=100, help="scenes measured at the end")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: all); 1 is fastest on busy cores")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
