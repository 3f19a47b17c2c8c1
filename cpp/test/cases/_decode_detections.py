"""Cases of detection: every family, every value of every option, and numbers that no honest model gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from decode import Cases, Noise, letterboxed, stretched
from pydantic import TypeAdapter, ValidationError

from edgekit.core.predictions import Geometry
from edgekit.core.spec import TaskSection
from edgekit.core.tensors import Array
from edgekit.tasks.detection.families import CODINGS, FAMILIES, Family, grids

_TENSOR = (64, 96)
_PLACE = letterboxed((120, 130), _TENSOR)
_PRIORS = [[0.1 + 0.2 * i, 0.2 + 0.1 * j, 0.2, 0.3] for i in range(5) for j in range(6)]

_MODES = ("class-aware", "class-agnostic", "soft-linear", "soft-gaussian", "none")
_TWO = [[[9, 9], [20, 8]], [[40, 30]]]

_OPTIONS: dict[str, tuple[Any, ...]] = {
    "layout": ("rows", "columns", "maps", "final"),
    "box_coding": tuple(CODINGS),
    "unit": ("pixels", "normalised"),
    "score_coding": ("probability", "sigmoid", "softmax"),
    "objectness": (True, False),
    "score_powers": ([0.6, 0.4], [0, 1], [2, 0.5], [1, 0]),
    "column_order": ("box-first", "objectness-first"),
    "background": ("none", "first", "last"),
    "multi_label": (True, False),
    "strides": ([8, 16, 32], [16], [24, 7]),
    "anchors": ([], [[[10, 13], [16, 30]]], [[[10, 13]], [[30, 20]], [[60, 40]]]),
    "anchor_order": ("anchor-first", "cell-first"),
    "priors": (_PRIORS,),
    "variances": ([0.1, 0.2], [1, 0.5]),
    "bins": (2, 8, 17),
    "clip": (True, False),
    "nms": (
        *({"mode": mode} for mode in _MODES),
        *({"iou": 0.05}, {"iou": 0.95}, {"mode": "soft-linear", "iou": 0.2}, {"mode": "soft-gaussian", "sigma": 0.05}),
    ),
    "score_threshold": (0, 0.3, 0.9),
    "candidates": (1, 7, 40),
    "max_detections": (1, 5, 1000),
    "confidence": (0, 1),
}
_PAIRS: tuple[dict[str, Any], ...] = (
    {"score_coding": "softmax", "background": "first", "objectness": False, "anchors": None},
    {"score_coding": "softmax", "background": "last", "objectness": False, "multi_label": True},
    {"score_coding": "softmax", "objectness": False, "multi_label": False},
    {"score_coding": "probability", "background": "last", "score_powers": [1, 0.5]},
    {"score_coding": "sigmoid", "objectness": True, "column_order": "objectness-first"},
    {"layout": "columns", "objectness": True, "column_order": "objectness-first", "score_coding": "sigmoid"},
    {"layout": "columns", "score_coding": "sigmoid", "background": "none", "multi_label": False},
    {"layout": "rows", "box_coding": "cxcywh-sigmoid", "unit": "normalised", "anchors": []},
    {"layout": "columns", "box_coding": "anchor-variance", "priors": _PRIORS, "anchors": []},
    {"layout": "rows", "box_coding": "anchor-exp", "priors": _PRIORS, "anchors": []},
    {"layout": "rows", "anchor_order": "cell-first", "strides": [8, 32], "anchors": _TWO, "box_coding": "anchor-exp"},
    {"layout": "maps", "anchor_order": "cell-first", "strides": [8], "box_coding": "anchor-exp", "anchors": _TWO[:1]},
    {"layout": "final", "background": "first", "box_coding": "yxyx", "unit": "normalised", "anchors": []},
    {"nms": {"mode": "soft-linear", "iou": 0.3}, "score_threshold": 0},
    {"nms": {"mode": "soft-gaussian", "sigma": 0.3}, "score_threshold": 0.05, "max_detections": 7},
)  # fmt: skip


def fill(cases: Cases) -> None:
    for name in FAMILIES:
        for classes in (1, 3, 20):
            for apart in (False, True):
                _add(cases, f"{name} of {classes}, apart {apart}", {"family": name}, classes, apart)
        for option, values in _OPTIONS.items():
            for value in values:
                _add(cases, f"{name} {option} {value}", {"family": name, option: value})
        for given in _PAIRS:
            for apart in (False, True):
                _add(cases, f"{name} {given} {apart}", {"family": name, **given}, apart=apart)
    _places(cases)
    _ties(cases)
    _hostile(cases)
    _lists(cases)
    _mismatches(cases)
    _many(cases)


def _section(given: Mapping[str, Any], classes: int, apart: bool) -> tuple[dict[str, Any], Family | None]:
    """The task's section, and the family that it resolves to; None: edgekit refuses it."""
    section = {"kind": "detection", "classes": [f"c{i}" for i in range(classes)], **given, "output": "head"}
    base = FAMILIES[given["family"]]
    layout, strides = given.get("layout") or base.layout, given.get("strides") or base.strides
    final = layout == "final"
    objectness = base.objectness if given.get("objectness") is None else given["objectness"]
    parts = ["boxes", "scores", *(["labels"] if final else ["objectness"] if objectness else [])]
    if apart:
        section["output"] = {p: [f"{p}{i}" for i in range(len(strides))] if layout == "maps" else p for p in parts}
    elif layout == "maps":
        section["output"] = [f"head{i}" for i in range(len(strides))]
    try:
        config = TypeAdapter(TaskSection).validate_python(section)
    except ValidationError:
        return section, None
    return section, config.resolved()


def _add(
    cases: Cases, name: str, given: Mapping[str, Any], classes: int = 3, apart: bool = False, place: Geometry = _PLACE
) -> None:
    section, family = _section(given, classes, apart)
    if family is None:
        cases.add(name, section, {"head": np.zeros((1, 4, 8), np.float32)}, place)
    else:
        outputs = _outputs(section, family, classes, place.tensor, len(cases.cases))
        # Of half the digits, so that they take little room.
        small = {n: v.astype(np.float16).astype(v.dtype) for n, v in outputs.items()}
        cases.add(name, section, small, place)


def _outputs(
    section: Mapping[str, Any], family: Family, classes: int, size: tuple[int, int], seed: int
) -> dict[str, Array]:
    """What such a model may give."""
    rng = np.random.default_rng(seed)
    made: dict[str, Array] = {}
    if family.layout == "final":
        count = 40
        boxes, scores = _boxes(rng, family, count, size), _scores(rng, family, count, 1)
        labels = rng.integers(-1, classes, (count, 1)) + (family.background == "first")
        if isinstance(section["output"], str):
            return {"head": np.concatenate([boxes, scores, labels], axis=1).astype(np.float32)[None]}
        return {
            "boxes": boxes[None],
            "scores": scores.T,
            "labels": labels.T.astype((np.int64, np.int32, np.float32)[seed % 3]),
        }
    counts = [rows * columns for rows, columns in grids(size, family.strides)]
    sizes = [count * (len(family.anchors[i]) if family.anchors else 1) for i, count in enumerate(counts)]
    if section.get("priors"):
        sizes = [len(section["priors"])]
    elif CODINGS[family.box_coding].needs == "nothing" and family.layout != "maps":
        sizes = [50]
    groups = [[n] for n in sizes] if family.layout == "maps" else [sizes]
    for i, group in enumerate(groups):
        count = sum(group)
        columns = {
            "boxes": _boxes(rng, family, count, size),
            "scores": _scores(rng, family, count, family.score_columns(classes)),
        }
        if family.objectness:
            columns["objectness"] = _scores(rng, family, count, 1)
        if isinstance(section["output"], dict):
            for part, values in columns.items():
                name = section["output"][part]
                made[name if isinstance(name, str) else name[i]] = _laid(family, values, size, i, seed)
            continue
        order = (
            ("objectness", "boxes", "scores")
            if family.column_order != "box-first"
            else ("boxes", "objectness", "scores")
        )
        head = np.concatenate([columns[part] for part in order if part in columns], axis=1)
        name = section["output"]
        made[name if isinstance(name, str) else name[i]] = _laid(family, head, size, i, seed)
    return made


def _laid(family: Family, rows: Array, size: tuple[int, int], level: int, seed: int) -> Array:
    """Rows of candidates ``(N, K)`` as the layout has them."""
    if family.layout == "rows":
        return rows[None]
    if family.layout == "columns":
        return np.ascontiguousarray(rows.T)[None]
    height, width = grids(size, family.strides)[level]
    maps = rows.reshape(family.per_cell, height, width, -1)
    if seed % 2:
        return maps[None]
    return np.ascontiguousarray(maps.transpose(0, 3, 1, 2)).reshape(1, -1, height, width)


def _boxes(rng: np.random.Generator, family: Family, count: int, size: tuple[int, int]) -> Array:
    shape = (count, family.box_columns)
    if CODINGS[family.box_coding].needs != "nothing" or family.box_coding == "cxcywh-sigmoid":
        spread = {"sides": 2, "distribution": 3}.get(family.box_coding, 0.7)
        made = rng.normal(0.3, spread, shape)
        return (np.abs(made) if family.box_coding == "sides" else made).astype(np.float32)
    corners = np.sort(rng.random((count, 2, 2)), axis=1).reshape(count, 4) * 1.2 - 0.1
    if family.box_coding == "cxcywh":
        corners = np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], axis=1)
    if family.unit == "pixels":
        corners = corners * [size[1], size[0], size[1], size[0]]
    return (corners[:, [1, 0, 3, 2]] if family.box_coding == "yxyx" else corners).astype(np.float32)


def _scores(rng: np.random.Generator, family: Family, count: int, columns: int) -> Array:
    if family.layout != "final" and family.score_coding != "probability":
        return rng.normal(-2, 3, (count, columns)).astype(np.float32)
    return (rng.random((count, columns)) ** 3).astype(np.float32)


def _places(cases: Cases) -> None:
    """Letterboxes, crops, and images of other sizes than the input."""
    places = [
        stretched((64, 96), (64, 96)),
        stretched((720, 1280), (64, 96)),
        letterboxed((720, 1280), (64, 96), centred=False),
        letterboxed((33, 500), (64, 96)),
        Geometry((480, 640), (64, 96), (-4, -10, 72, 116)),
    ]
    for place in places:
        for family in ("yolox", "yolov8", "yolov5-decoded", "detr", "end2end", "fastestdet"):
            for clip in (True, False):
                _add(cases, f"{family} {clip} in {place}", {"family": family, "clip": clip}, place=place)


def _rows(*rows: list[float]) -> dict[str, Array | Noise]:
    return {"head": np.array(rows, np.float32)[None]}


def _flat(**more: Any) -> dict[str, Any]:
    """Corners in pixels, then a score for each of two classes."""
    return {
        "kind": "detection", "classes": ["a", "b"], "output": "head", "family": "yolox-decoded", "box_coding": "xyxy",
        "objectness": False, **more,
    }  # fmt: skip


def _each_mode(**more: Any) -> Iterator[dict[str, Any]]:
    for mode in _MODES:
        for multi_label in (True, False):
            yield _flat(nms={"mode": mode, "iou": 0.5}, multi_label=multi_label, **more)


def _ties(cases: Cases) -> None:
    """Equal scores, equal boxes, overlaps that are just the limit."""
    rng = np.random.default_rng(11)
    place = stretched((64, 96), (64, 96))
    same = _rows(*[[8, 8, 40, 40, 0.5, 0.5]] * 9)
    half = _rows([0, 0, 20, 10, 0.9, 0.1], [0, 0, 10, 10, 0.9, 0.2], [0, 0, 20, 20, 0.9, 0.9], [0, 0, 20, 5, 0.3, 0.9])
    levels = np.concatenate(
        [rng.integers(0, 9, (200, 2)) * 5, rng.integers(10, 19, (200, 2)) * 5, rng.integers(0, 4, (200, 2)) / 4], 1
    )
    for number, section in enumerate(_each_mode(candidates=60, max_detections=20)):
        for name, outputs in (("same", same), ("half", half), ("levels", _rows(*levels.tolist()))):
            cases.add(f"{name} {number}", section, outputs, place)
            cases.add(f"{name} {number} at the threshold", {**section, "score_threshold": 0.25}, outputs, place)
    for candidates in (1, 3, 199, 200, 400):
        section = _flat(
            candidates=candidates, max_detections=500, multi_label=True, nms={"mode": "none"}, score_threshold=0
        )
        cases.add(f"the surest {candidates}", section, _rows(*levels.tolist()), place)


def _hostile(cases: Cases) -> None:
    place, inf, nan = letterboxed((90, 100), (64, 96)), np.inf, np.nan
    good = [10, 10, 30, 30, 0.9, 0.3]
    lists: dict[str, list[list[float]]] = {
        "infinite": [[-inf, 5, inf, 20, 0.8, 0.7], good, [0, 0, 20, inf, 0.6, 0.9], [1, 1, 9, 9, 0.5, 0.5]],
        "far": [[-3e38, -3e38, 3e38, 3e38, 0.8, 0.7], good, [2e6, 2e6, 3e6, 3e6, 0.9, 0.9]],
        "one point": [[inf, inf, inf, inf, 0.9, 0.9], good],
        "empty boxes": [
            [10, 10, 10, 20, 0.9, 0.8],
            [30, 30, 20, 40, 0.9, 0.8],
            good,
            [10, 10, 10 + 1e-7, 20, 0.9, 0.8],
        ],
        "outside": [[-50, -50, -10, -10, 0.9, 0.8], [200, 200, 300, 300, 0.9, 0.8], [-20, -20, 20, 20, 0.7, 0.1], good],
        "whole": [[0, 0, 96, 64, 0.9, 0.8], [-1, -1, 97, 65, 0.9, 0.8]],
        "nan box": [good, [10, nan, 30, 30, 0.9, 0.3]],
        "nan score": [good, [10, 10, 30, 30, nan, 0.3]],
        "rounded": [[10, 10, 30, 30, 1.009, -0.009], [40, 10, 60, 30, -0.01, -0.005], [70, 10, 90, 30, 1.008, 0.9]],
        "no probability": [good, [10, 10, 30, 30, 1.2, 0.3]],
        "negative": [good, [10, 10, 30, 30, -0.5, -0.3]],
        "infinite score": [good, [10, 10, 30, 30, inf, 0.3]],
        "nothing sure": [[10, 10, 30, 30, 0.001, 0.002]],
    }
    for name, rows in lists.items():
        for number, section in enumerate(_each_mode(clip=name == "outside")):
            cases.add(f"{name} {number}", section, _rows(*rows), place)
        for coding in ("sigmoid", "softmax"):
            cases.add(f"{name} {coding}", _flat(score_coding=coding), _rows(*rows), place)
        cases.add(
            f"{name} softmax, background",
            _flat(score_coding="softmax", background="last", classes=["a"]),
            _rows(*rows),
            place,
        )
        cases.add(f"{name} as centres", _flat(box_coding="cxcywh"), _rows(*rows), place)
        powers = _flat(objectness=True, classes=["a"], score_powers=[0.6, 0.4])
        cases.add(f"{name} with powers", powers, _rows(*rows), place)
        powered = _flat(objectness=True, classes=["a"], score_powers=[0.6, 0.4], score_threshold=0, multi_label=True)
        cases.add(f"{name} with powers from 0", powered, _rows(*rows), place)
    none = {"head": np.zeros((1, 0, 6), np.float32)}
    for number, section in enumerate(_each_mode()):
        cases.add(f"no candidates {number}", section, none, place, {"head": (1, None, 6)})
    wild = np.random.default_rng(5).normal(0, 100, (1, 126, 8)).astype(np.float32)
    wild[..., 4:] = np.random.default_rng(6).random((1, 126, 4))
    yolox = {"kind": "detection", "classes": ["a", "b", "c"], "family": "yolox", "output": "head"}
    cases.add("exponents overflow", yolox, {"head": wild}, place)
    wild[0, 3, 1] = inf
    cases.add("infinity in the grid", yolox, {"head": wild}, place)


def _lists(cases: Cases) -> None:
    """Models that suppress inside."""
    place = stretched((100, 200), (64, 96))
    rows = np.array(
        [[1, 1, 20, 20, 0.9, 0], [5, 5, 9, 9, 0.9, 1], [1, 2, 3, 4, 0.4, 2], [0, 0, 0, 0, 0, -1]], np.float32
    )
    base: dict[str, Any] = {"kind": "detection", "classes": ["a", "b", "c"], "family": "end2end", "output": "head"}
    for name, head in (("list", rows), ("flat list", rows), ("empty list", rows[:0])):
        given = head if name == "flat list" else head[None]
        cases.add(name, base, {"head": given}, place, {"head": (None, 6) if given.ndim == 2 else (1, None, 6)})
    for name, column, value in (
        ("beyond", 5, 3),
        ("1.2", 4, 1.2),
        ("NaN", 5, np.nan),
        ("infinite", 5, np.inf),
        ("half", 5, 1.7),
        ("-0.5", 5, -0.5),
    ):
        other = rows.copy()
        other[1, column] = value
        for background in ("none", "first"):
            cases.add(
                f"list with {name} {background}", {**base, "background": background}, {"head": other[None]}, place
            )
    parts = {"boxes": "boxes", "scores": "scores", "labels": "labels", "count": "count"}
    apart = {**base, "output": parts, "classes": ["a", "b"]}
    for total in (-1, 0, 1, 2, 3):
        for dtype in (np.int64, np.int32, np.float32):
            outputs: dict[str, Array | Noise] = {
                "boxes": rows[None, :2, :4], "scores": rows[None, :2, 4], "labels": rows[None, :2, 5].astype(dtype),
                "count": np.array([total], dtype),
            }  # fmt: skip
            cases.add(f"{total} of two, {dtype.__name__}", apart, outputs, place)
    fewer = {**outputs, "scores": rows[None, :1, 4], "count": np.array([[1]], np.int64)}
    cases.add("fewer scores than boxes", apart, fewer, place, {"scores": (1, None)})
    unsure = rows[None] * np.array([1, 1, 1, 1, 0, 1], np.float32)
    cases.add("list of no score", {**base, "score_threshold": 0}, {"head": unsure}, place)
    cases.add(
        "list with suppression", {**base, "nms": {"mode": "class-agnostic", "iou": 0.01}}, {"head": rows[None]}, place
    )
    cases.add(
        "shares of the input",
        {**base, "unit": "normalised"},
        {"head": (rows / [96, 64, 96, 64, 1, 1]).astype(np.float32)[None]},
        place,
    )


def _mismatches(cases: Cases) -> None:
    place = stretched((64, 96), (64, 96))
    yolox = {"kind": "detection", "classes": ["a", "b", "c"], "family": "yolox", "output": "head"}
    promised = {"head": (None, None, None)}
    for shape in [(1, 125, 8), (1, 126, 9), (2, 126, 8), (126, 8), (1, 8, 126)]:
        cases.add(f"yolox {shape}", yolox, {"head": np.zeros(shape, np.float32)}, place, promised)
    cases.add("yolox promised", yolox, {"head": np.zeros((1, 126, 9), np.float32)}, place)
    cases.add("yolox float64", yolox, {"head": np.zeros((1, 126, 8))}, place)
    cases.add("yolox float64 found", yolox, {"head": np.zeros((1, 126, 8))}, place, dtype="float32")
    ssd = {"kind": "detection", "classes": ["a"], "family": "ssd", "output": "head", "priors": _PRIORS}
    cases.add("priors of another number", ssd, {"head": np.zeros((1, 31, 6), np.float32)}, place)
    fcos = {"kind": "detection", "classes": ["a"], "family": "fcos", "strides": [8, 16], "output": ["x", "y"]}
    maps = {"x": np.zeros((1, 5, 4, 6), np.float32), "y": np.zeros((1, 5, 8, 12), np.float32)}
    cases.add("grids in another order", fcos, maps, place)
    apart = {**fcos, "strides": [8], "output": {"boxes": "x", "scores": "y"}}
    values = {"x": np.zeros((1, 4, 8, 12), np.float32), "y": np.zeros((1, 1, 8, 11), np.float32)}
    cases.add("fewer scores than boxes in a map", apart, values, place)
    turned = {"x": np.zeros((1, 4, 8, 12), np.float32), "y": np.zeros((1, 1, 12, 8), np.float32)}
    cases.add("a turned map of scores", apart, turned, place)
    objects = {**fcos, "strides": [8], "objectness": True, "output": {"boxes": "x", "scores": "y", "objectness": "z"}}
    fewer = {"x": maps["y"][:, :4], "y": maps["y"][:, :1], "z": np.zeros((1, 1, 8, 11), np.float32)}
    cases.add("fewer objectness scores than boxes", objects, fewer, place)
    rows = {"boxes": "boxes", "scores": "scores", "objectness": "objects"}
    values = {
        "boxes": np.zeros((1, 4, 4), np.float32),
        "scores": np.ones((1, 4, 3), np.float32),
        "objects": np.ones((1, 3, 1), np.float32),
    }
    cases.add("fewer objectness scores than rows", {**yolox, "family": "yolox-decoded", "output": rows}, values, place)
    cases.add("no such family", {**yolox, "family": "yolo"}, {"head": np.zeros((1, 126, 8), np.float32)}, place)


def _many(cases: Cases) -> None:
    """Outputs as large as those of published models."""
    coco = [f"c{i}" for i in range(80)]
    place = letterboxed((720, 1280), (416, 416), centred=False)
    yolox = {"kind": "detection", "classes": coco, "family": "yolox", "output": "head"}
    cases.add("yolox-nano, all sure", yolox, {"head": Noise((1, 3549, 85), 1, 0, 1)}, place)
    yolov8 = {"kind": "detection", "classes": coco, "family": "yolov8", "output": "head"}
    cases.add("yolov8-nano", yolov8, {"head": Noise((1, 144, 3549), 2, -16, 16)}, place)
    unsure = {**yolov8, "candidates": 30000, "max_detections": 300, "score_threshold": 0.25}
    cases.add("yolov8-nano, many", unsure, {"head": Noise((1, 144, 3549), 3, -8, 8)}, place)
    soft = {**yolov8, "nms": {"mode": "soft-gaussian"}, "candidates": 500}
    cases.add("yolov8-nano, soft", soft, {"head": Noise((1, 144, 3549), 4, -8, 8)}, place)
