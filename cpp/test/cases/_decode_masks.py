"""Cases of segmentation: sizes, borders, ties and values without a class."""

from __future__ import annotations

from typing import Any

import numpy as np
from decode import Cases, Noise, letterboxed, stretched

from edgekit.core.predictions import Geometry
from edgekit.core.tensors import Array

_SIZES = [(1, 1), (1, 7), (7, 1), (2, 3), (9, 16), (17, 33), (48, 64), (100, 77)]
_ORIGINALS = [(1, 1), (5, 4), (16, 16), (17, 31), (45, 80), (130, 97)]


def _section(classes: int = 3, **more: Any) -> dict[str, Any]:
    return {"kind": "segmentation", "output": "logits", "classes": [f"c{i}" for i in range(classes)], **more}


def _one_channel(threshold: float) -> dict[str, Any]:
    return {"kind": "segmentation", "output": "logits", "classes": ["road"], "threshold": threshold}


def fill(cases: Cases) -> None:
    _sizes(cases)
    _letterboxes(cases)
    _ties(cases)
    _regions(cases)
    _thresholds(cases)
    _without_class(cases)
    _wrong(cases)
    shape = (1, 11, 360, 480)
    cases.add("camvid", _section(11), {"logits": Noise(shape, 1, -8, 16)}, stretched((720, 1280), (360, 480)))
    cases.add(
        "camvid of its own size", _section(11), {"logits": Noise(shape, 2, -8, 16)}, stretched((360, 480), (360, 480))
    )
    quarter = (1, 11, 90, 120)
    cases.add(
        "camvid at a quarter", _section(11), {"logits": Noise(quarter, 3, -8, 16)}, stretched((720, 960), (360, 480))
    )
    scene = (1, 9, 288, 480)
    cases.add("scenes, smaller", _section(9), {"logits": Noise(scene, 4, -8, 16)}, stretched((144, 200), (288, 480)))


def _sizes(cases: Cases) -> None:
    seed = 100
    for size in _SIZES:
        for original in _ORIGINALS:
            for cell in (1, 4):
                seed += 1
                classes = (2, 3, 11, 20)[seed % 4]
                tensor = (size[0] * cell, size[1] * cell)
                logits = Noise((1, classes, *size), seed, -8, 16)
                cases.add(
                    f"{size} of {tensor} to {original}",
                    _section(classes),
                    {"logits": logits},
                    stretched(original, tensor),
                )
    many = Noise((1, 256, 6, 5), 7, -8, 16)
    cases.add("256 classes", _section(256), {"logits": many}, stretched((20, 19), (24, 20)))


def _letterboxes(cases: Cases) -> None:
    seed = 300
    for original in [(30, 50), (50, 30), (37, 41), (200, 90), (64, 64)]:
        for centred in (True, False):
            for tensor, cell in [((64, 64), 1), ((64, 64), 4), ((48, 96), 8), ((60, 100), 5)]:
                seed += 1
                size = (tensor[0] // cell, tensor[1] // cell)
                geometry = letterboxed(original, tensor, centred)
                logits = Noise((1, 4, *size), seed, -8, 16)
                cases.add(f"{original} in {tensor} by {cell}, {centred}", _section(4), {"logits": logits}, geometry)
    # Scores of a size that does not divide the tensor's.
    geometry = letterboxed((90, 160), (64, 64))
    cases.add("odd scores", _section(3), {"logits": Noise((1, 3, 13, 11), 5, -8, 16)}, geometry)
    inside = Geometry((64, 64), (64, 64), (8, 8, 32, 48))
    cases.add("a part enlarged", _section(3), {"logits": Noise((1, 3, 16, 16), 6, -8, 16)}, inside)
    same = Geometry((32, 48), (64, 64), (8, 8, 32, 48))
    cases.add("a part as it is", _section(3), {"logits": Noise((1, 3, 64, 64), 8, -8, 16)}, same)


def _ties(cases: Cases) -> None:
    rng = np.random.default_rng(0)
    for original in [(12, 20), (24, 40), (31, 57), (5, 7)]:
        for levels in (1, 2, 3):
            logits = rng.integers(0, levels, (1, 5, 12, 20)).astype(np.float32)
            cases.add(f"ties of {levels} to {original}", _section(5), {"logits": logits}, stretched(original, (12, 20)))
    signed = np.array([0.0, -0.0], np.float32)[rng.integers(0, 2, (1, 3, 6, 6))]
    cases.add("zeros of both signs", _section(3), {"logits": signed}, stretched((11, 11), (6, 6)))


def _scene(rng: np.random.Generator, classes: int, size: tuple[int, int]) -> Array:
    """Scores of whole regions, each of one class that is far above the others."""
    ids = np.kron(rng.integers(0, classes, (3, 4)), np.ones((size[0] // 3 + 1, size[1] // 4 + 1), int))[
        : size[0], : size[1]
    ]
    scores = rng.normal(0, 0.1, (1, classes, *size))
    np.put_along_axis(scores[0], ids[None], 4 + rng.normal(0, 0.1, (1, *size)), axis=0)
    return scores.astype(np.float16).astype(np.float32)


def _regions(cases: Cases) -> None:
    """Where one class is far above the others, and where it only seems to be."""
    rng = np.random.default_rng(8)
    for size in [(36, 64), (36, 61), (50, 17), (40, 9), (40, 5)]:
        for original in [(96, 160), (200, 131), (size[0], 2 * size[1] + 1), (3 * size[0], size[1])]:
            for classes in (2, 9):
                name = f"regions of {classes} {size} to {original}"
                section, geometry = _section(classes), stretched(original, size)
                cases.add(name, section, {"logits": _scene(rng, classes, size)}, geometry)
    inside = Geometry((150, 190), (36, 64), (4, 8, 28, 48))
    cases.add("regions in a letterbox", _section(5), {"logits": _scene(rng, 5, (36, 64))}, inside)
    place = stretched((150, 190), (36, 64))
    for value in (np.nan, np.inf, -np.inf, 3e38):
        for spot in [(5, 6), (0, 0), (35, 63), (20, 60)]:
            if np.isinf(value) and spot == (35, 63):
                continue  # as below
            scores = _scene(rng, 4, (36, 64))
            scores[0, 2, spot[0], spot[1]] = value
            cases.add(f"regions and {value} at {spot}", _section(4), {"logits": scores}, place)
    for steps in (1, 2, 4, 16, 64):  # one class always above another, by units in the last place
        scores = np.full((1, 3, 36, 64), 100, np.float32)
        scores[0, 0] += rng.normal(0, 5, (36, 64)).astype(np.float32)
        scores[0, 1] = scores[0, 0] + np.spacing(scores[0, 0]) * rng.integers(1, steps + 1, (36, 64))
        scores[0, 2] = -scores[0, 0]
        cases.add(f"regions {steps} units apart", _section(3), {"logits": scores}, place)
    scaled = _scene(rng, 4, (36, 64)) * (10.0 ** (np.arange(36) % 5))[:, None].astype(np.float32)
    cases.add("regions of rows of other magnitudes", _section(4), {"logits": scaled}, place)
    for threshold in (0.5, -2.0):
        values = (_scene(rng, 2, (36, 64))[:, :1] + np.float32(threshold - 1)).astype(np.float32)
        cases.add(f"regions above {threshold}", _one_channel(threshold), {"logits": values}, place)
    cases.add("regions of one number", _section(3), {"logits": np.zeros((1, 3, 36, 64), np.float32)}, place)


def _thresholds(cases: Cases) -> None:
    rng = np.random.default_rng(1)
    for threshold in (0.0, 0.5, -1.25, 0.1):
        for shape in [(1, 1, 9, 13), (1, 9, 13)]:
            for original in [(9, 13), (20, 31), (4, 5)]:
                values = rng.normal(0, 1, shape).astype(np.float32)
                values[..., ::3] = threshold  # not above it
                geometry = stretched(original, (36, 52))
                cases.add(
                    f"above {threshold} {shape} {original}", _one_channel(threshold), {"logits": values}, geometry
                )
    named = {"kind": "segmentation", "output": "logits", "classes": ["background", "road"], "threshold": 0.5}
    cases.add("both named", named, {"logits": rng.random((1, 1, 8, 8), np.float32)}, stretched((10, 10), (8, 8)))


def _with(shape: tuple[int, ...], *places: tuple[tuple[int, ...], float]) -> Array:
    values = np.random.default_rng(len(places)).normal(0, 1, shape).astype(np.float32)
    for place, value in places:
        values[place] = value
    return values


def _without_class(cases: Cases) -> None:
    """NaN and infinity: in the middle, on borders, where a smaller image does not look."""
    spots = [(0, 0), (0, 4), (4, 4), (8, 8), (8, 0), (3, 11), (8, 11)]
    for original in [(9, 12), (18, 24), (20, 33), (3, 4), (9, 24), (18, 12)]:
        for value in (np.nan, np.inf, -np.inf, 3e38):
            for spot in spots:
                if np.isinf(value) and spot == (8, 11):
                    continue  # OpenCV makes NaN of the very last pixel alone
                values = _with((1, 3, 9, 12), ((0, 1, *spot), value))
                name = f"{value} at {spot} to {original}"
                cases.add(name, _section(3), {"logits": values}, stretched(original, (9, 12)))
    lowest = np.full((1, 3, 9, 12), -np.inf, np.float32)
    cases.add("no class is above another", _section(3), {"logits": lowest}, stretched((9, 12), (9, 12)))
    lowest[:, 2] = 1
    cases.add("only one is finite", _section(3), {"logits": lowest}, stretched((9, 12), (9, 12)))
    cases.add("only one is finite, resized", _section(3), {"logits": lowest}, stretched((18, 25), (9, 12)))
    in_border = _with((1, 3, 16, 16), ((0, 0, 1, 3), np.nan))
    cases.add("NaN in the letterbox", _section(3), {"logits": in_border}, Geometry((20, 40), (16, 16), (4, 0, 8, 16)))
    enlarged = _with((1, 3, 16, 16), ((0, 0, 8, 3), np.nan))
    cases.add("NaN, enlarged", _section(3), {"logits": enlarged}, letterboxed((37, 41), (64, 64)))


def _wrong(cases: Cases) -> None:
    geometry, promised = stretched((8, 8), (8, 8)), {"logits": (None, None, None, None)}
    for shape in [(1, 4, 8, 8), (2, 3, 8, 8), (1, 3, 0, 8), (1, 3, 8), (1, 1, 8, 8), (3, 8, 8)]:
        cases.add(f"shape {shape}", _section(3), {"logits": np.zeros(shape, np.float32)}, geometry, promised)
    for dtype in (np.float64, np.float16, np.uint8):
        logits = {"logits": np.zeros((1, 3, 8, 8), dtype)}
        cases.add(f"{dtype.__name__} promised", _section(3), logits, geometry)
        cases.add(f"{dtype.__name__} found", _section(3), logits, geometry, dtype="float32")
    cases.add("two channels", _one_channel(0), {"logits": np.zeros((1, 2, 8, 8), np.float32)}, geometry, promised)
    cases.add("one channel without a threshold", _section(2), {"logits": np.zeros((1, 1, 8, 8), np.float32)}, geometry)
    cases.add("one class", _section(1), {"logits": np.zeros((1, 1, 8, 8), np.float32)}, geometry)
    cases.add(
        "three classes", {**_section(3), "threshold": 0.5}, {"logits": np.zeros((1, 1, 8, 8), np.float32)}, geometry
    )
    cases.add(
        "no such output", {**_section(3), "output": "logit"}, {"logits": np.zeros((1, 3, 8, 8), np.float32)}, geometry
    )
