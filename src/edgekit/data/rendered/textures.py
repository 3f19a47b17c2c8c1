"""Textures of the rendered scenes: asphalt, grass, leaves, facades."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import MissingRequirement
from edgekit.data.rendered import streets


def opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise MissingRequirement("opencv", 'pip install "edgekit[demo]"') from error
    return cv2


def _noise(rng: np.random.Generator, size: int, octaves: tuple[int, ...]) -> NDArray[np.float32]:
    """Tileable noise ``(size, size)`` about 0, one octave for each grid size."""
    cv2 = opencv()
    total = np.zeros((size, size), np.float32)
    for grid in octaves:
        coarse = np.pad(rng.uniform(-1, 1, (grid, grid)).astype(np.float32), 2, mode="wrap")
        step = size // grid
        fine = cv2.resize(coarse, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
        total += fine[2 * step : 2 * step + size, 2 * step : 2 * step + size]
    return (total / len(octaves)).astype(np.float32)


def pool() -> dict[str, NDArray[np.uint8]]:
    """Tileable RGB textures; the mean is bright because vertex colours are multiplied in."""
    rng = np.random.default_rng(20)
    maps = {
        "asphalt": 0.88 + 0.16 * _noise(rng, 128, (4, 32, 128)),
        "worn": 0.9 + 0.22 * _noise(rng, 128, (8, 64)),
        "paving": 0.9 + 0.12 * _noise(rng, 128, (8, 128)),
        "grass": 0.82 + 0.4 * _noise(rng, 128, (8, 32, 128)),
        "leaves": 0.74 + 0.62 * _noise(rng, 128, (8, 16, 64)),
        "tiles": 0.86 + 0.14 * _noise(rng, 128, (16, 128)),
        "clouds": 0.97 + 0.05 * _noise(rng, 128, (2, 4, 16)),
    }
    maps["paving"][::32] *= 0.78
    maps["paving"][:, ::32] *= 0.78
    maps["tiles"][::8] *= 0.72
    found = {name: np.repeat(grey[..., None], 3, axis=2) for name, grey in maps.items()}
    for i in range(streets.FACADES):
        found[f"facade{i}"] = _facade(rng, i)
    found["shop"] = _facade(rng, -1)
    return {name: np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8) for name, rgb in found.items()}


def _facade(rng: np.random.Generator, style: int) -> NDArray[np.float32]:
    """Four bays by four floors of windows ``(256, 256, 3)``; ``style`` -1 is a row of shops."""
    wall = np.repeat((0.92 + 0.1 * _noise(rng, 256, (8, 128)))[..., None], 3, axis=2)
    if style in (1, 5):
        wall[::4] *= 0.86  # brick courses
    wide, tall = (26, 36) if style >= 0 else (58, 44)
    if style >= 0:
        wide, tall = int(rng.integers(20, 48)), int(rng.integers(28, 44))
        if style in (3, 6):
            wide = 64  # ribbon windows
    for row in range(4):
        for column in range(4):
            top, left = row * 64 + (64 - tall) // 2, column * 64 + (64 - wide) // 2
            glass = rng.uniform(0.12, 0.5) * np.array([0.85, 0.97, 1.15])
            if rng.random() < 0.12:
                glass = np.array([0.85, 0.75, 0.5])
            wall[top - 3 : top + tall + 3, max(left - 2, 0) : left + wide + 2] *= rng.uniform(0.95, 1.15)
            pane = np.linspace(1.15, 0.8, tall)[:, None, None] * glass
            wall[top : top + tall, left : left + wide] = pane
            wall[top : top + tall, left + wide // 2 - 1 : left + wide // 2 + 1] = 0.8
        if style in (2, 4):
            wall[row * 64 + 60 : row * 64 + 64] *= 0.7  # ledges
    return wall.astype(np.float32)
