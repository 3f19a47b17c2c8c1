"""Every coding undoes its own encoding, and reference points are where the papers put them."""

from __future__ import annotations

import dataclasses
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.core.tensors import Array
from edgekit.tasks.detection import families
from edgekit.tasks.detection.families import (
    CODINGS,
    FAMILIES,
    Family,
    grids,
    points,
    priors,
    sigmoid,
    softmax,
    to_pixels,
)

SIZE = (96, 160)
ANCHORS = (((8.0, 12.0), (20.0, 10.0)), ((30.0, 40.0), (64.0, 50.0)))
GRID = Family("rows", "grid-exp", strides=(8, 16))


def encoded(coding: str, boxes: Array, reference: Array, family: Family) -> Array:
    """Raw columns that mean ``boxes``, by the formulas of the papers."""
    centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    stride, anchor = reference[:, 2:3], reference[:, 3:]
    cell = reference[:, :2] / np.maximum(stride, 1) - 0.5
    sides = np.concatenate([reference[:, :2] - boxes[:, :2], boxes[:, 2:] - reference[:, :2]], axis=1)
    if coding == "grid-exp":
        return np.concatenate([centres / stride - cell, np.log(sizes / stride)], axis=1)
    if coding == "grid-tanh":
        share = sizes / [SIZE[1], SIZE[0]]
        return np.concatenate([np.arctanh(centres / stride - cell), np.log(share / (1 - share))], axis=1)
    if coding == "anchor-exp":
        offset = centres / stride - cell
        return np.concatenate([np.log(offset / (1 - offset)), np.log(sizes / anchor)], axis=1)
    if coding == "sides":
        return sides / stride
    if coding == "distribution":  # all weight on the two bins beside the value
        steps = np.arange(family.bins)
        share = np.maximum(0, 1 - np.abs((sides / stride)[..., None] - steps))
        return np.log(share + 1e-12).reshape(len(boxes), -1)
    if coding == "anchor-variance":
        centre, size = family.variances
        offset = (centres - reference[:, :2]) / anchor / centre
        return np.concatenate([offset, np.log(sizes / anchor) / size], axis=1)
    if coding == "anchor-sigmoid":
        share = np.concatenate([(centres / stride - cell + 0.5) / 2, np.sqrt(sizes / anchor) / 2], axis=1)
        return np.log(share / (1 - share))
    if family.unit == "normalised":
        shares = np.array([SIZE[1], SIZE[0]] * 2)
        boxes, centres, sizes = boxes / shares, centres / shares[:2], sizes / shares[:2]
    row = np.concatenate([centres, sizes], axis=1)
    return {
        "cxcywh": row,
        "cxcywh-sigmoid": np.log(row / (1 - row)) if coding == "cxcywh-sigmoid" else row,
        "xyxy": boxes,
        "yxyx": boxes[:, [1, 0, 3, 2]],
    }[coding]


class TestCodings:
    @settings(deadline=None, max_examples=30)
    @given(st.integers(0, 2**32 - 1))
    @pytest.mark.parametrize("unit", ["pixels", "normalised"])
    @pytest.mark.parametrize("coding", CODINGS)
    def test_undoes_the_encoding(self, coding: str, unit: str, seed: int) -> None:
        needs = CODINGS[coding].needs
        if unit == ("normalised" if needs != "nothing" else "pixels" if coding.endswith("sigmoid") else ""):
            return
        family = Family(
            "rows", coding, unit, strides=(8, 16), anchors=ANCHORS if needs == "anchors" else (), variances=(0.1, 0.2)
        )
        rng = np.random.default_rng(seed)
        reference = points(SIZE, family)
        reference = reference[rng.integers(0, len(reference), 20)]
        # Around the reference point, as far as each coding reaches.
        anchor = reference[:, 3:] if needs == "anchors" else reference[:, 2:3] * [2, 2]
        least, most = {"grid-tanh": (-1.4, 0.4), "anchor-exp": (-0.49, 0.49), "cxcywh-sigmoid": (-0.4, 0.4)}.get(
            coding, (-0.9, 0.9)
        )
        anchor = anchor / (4 if coding in ("grid-tanh", "cxcywh-sigmoid") else 1)  # no larger than the input
        centres = reference[:, :2] + rng.uniform(least, most, (20, 2)) * reference[:, 2:3]
        sizes = anchor * rng.uniform(1, 3, (20, 2)) + 2 * np.abs(centres - reference[:, :2]) * (needs == "strides")
        boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
        raw = encoded(coding, boxes, reference, family).astype(np.float32)
        assert np.abs(to_pixels(raw, reference, family, SIZE) - boxes).max() < 0.01

    def test_every_coding_can_be_named(self) -> None:
        assert set(CODINGS) == set(get_args(families.BoxCoding))

    def test_raw_is_not_changed(self) -> None:
        raw = np.ones((3, 4), np.float32)
        for coding in ("xyxy", "yxyx", "cxcywh"):
            to_pixels(raw, np.empty((3, 0), np.float32), Family("rows", coding, "normalised"), SIZE)
        assert (raw == 1).all()

    def test_overflow_is_infinite_and_silent(self) -> None:
        raw = np.full((1, 4), 500, np.float32)
        assert np.isinf(to_pixels(raw, points(SIZE, GRID)[:1], GRID, SIZE)).all()


class TestPoints:
    def test_cells_row_by_row_stride_by_stride(self) -> None:
        made = points((16, 24), dataclasses.replace(GRID, strides=(8, 16)))
        assert made[:, 2].tolist() == [8] * 6 + [16] * 2
        assert made[:6, :2].tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]]
        assert made[6:, :2].tolist() == [[8, 8], [24, 8]]  # a cell that is cut off counts

    def test_published_number_of_candidates(self) -> None:
        assert len(points((640, 640), FAMILIES["yolox"])) == 8400
        assert len(points((416, 416), FAMILIES["yolox"])) == 3549
        assert len(points((640, 640), FAMILIES["yolov5"])) == 25200

    @pytest.mark.parametrize(
        ("order", "widths"),
        [("anchor-first", [8, 8, 20, 20, 30, 64]), ("cell-first", [8, 20, 8, 20, 30, 64])],
    )
    def test_order_of_anchors(self, order: str, widths: list[float]) -> None:
        family = Family("rows", "anchor-sigmoid", strides=(8, 16), anchors=ANCHORS, anchor_order=order)
        made = points((8, 16), family)
        assert made[:, 3].tolist() == widths
        assert made[:, 0].tolist() == ([4, 12, 4, 12, 8, 8] if order == "anchor-first" else [4, 4, 12, 12, 8, 8])

    def test_ssd300_has_its_8732_boxes(self) -> None:
        counts = (4, 6, 6, 6, 4, 4)
        strides = (8, 16, 32, 64, 100, 300)
        anchors = tuple(((30.0, 30.0),) * count for count in counts)
        family = dataclasses.replace(FAMILIES["ssd"], strides=strides, anchors=anchors)
        assert grids((300, 300), strides) == [(n, n) for n in (38, 19, 10, 5, 3, 1)]
        assert len(points((300, 300), family)) == 8732

    def test_priors_are_shares_of_the_input(self) -> None:
        made = priors((100, 200), ((0.5, 0.25, 0.1, 0.2),))
        assert made.tolist() == [pytest.approx([100, 25, 0, 20, 20])]


class TestActivations:
    def test_extremes(self) -> None:
        values = np.array([-np.inf, -200, 0, 200, np.inf], np.float32)
        assert sigmoid(values).tolist() == [0, 0, 0.5, 1, 1]
        assert softmax(np.array([[1000.0, 1000.0, -np.inf]])).tolist() == [[0.5, 0.5, 0]]


class TestFamilies:
    @pytest.mark.parametrize(
        ("family", "classes", "columns"),
        [
            ("yolox", 80, 85), ("yolov5", 80, 85), ("yolov8", 80, 144), ("yolov8-decoded", 80, 84),
            ("ssd", 20, 25), ("detr", 91, 96), ("detr-sigmoid", 80, 84),
        ],
    )  # fmt: skip
    def test_published_widths(self, family: str, classes: int, columns: int) -> None:
        assert FAMILIES[family].columns(classes) == columns
