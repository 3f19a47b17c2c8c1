"""What a teacher makes of a frame, averaged with what it makes of its neighbours in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgekit.core.errors import DataError, SpecError
from edgekit.data import Sample
from edgekit.distill._neighbours import Neighbours, described, neighbours
from edgekit.inputs.image import Config as Image
from edgekit.preprocess import Preprocess
from edgekit.stages.job import LabelledFeeds
from edgekit.technique import Job

HEIGHT, WIDTH, STEP = 48, 64, 3
WIDE = cv2.GaussianBlur(np.random.default_rng(0).random((HEIGHT, WIDTH + 64), np.float32), (0, 0), 2)
CLASSES = np.stack([WIDE, 1 - WIDE, np.roll(WIDE, 9, 1)]) * 20
"""Scores of a wide picture, of which each frame shows a window."""


@dataclass(frozen=True)
class Drive:
    """A camera that moves ``STEP`` pixels to the right from frame to frame; every ``length`` frames it starts anew."""

    count: int = 6
    length: int = 6

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray], None]:
        return {"image": window(WIDE[None].repeat(3, 0), index % self.length)[None]}, None

    def sequence(self, index: int) -> str | None:
        return f"drive {index // self.length}"


def window(wide: np.ndarray, step: int) -> np.ndarray:
    return wide[..., STEP * step : STEP * step + WIDTH].copy()


def teacher(wrong: int | None = None, stride: int = 1) -> Callable[[int], dict[str, np.ndarray]]:
    """Right about every frame, but for the frame ``wrong``, of which it says nothing."""

    def given(index: int) -> dict[str, np.ndarray]:
        scores = window(CLASSES, index)[:, ::stride, ::stride]
        return {"logits": (np.zeros_like(scores) if index == wrong else scores)[None]}

    return given


def made(given: Any, drive: Any = Drive()) -> Neighbours:
    return Neighbours(given, drive, "image", True, drive.sequence)


def probabilities(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores - scores.max(0))
    return np.asarray(raised / raised.sum(0))


@pytest.mark.parametrize("stride", [1, 2])
def test_what_moved_is_averaged_where_it_is_now(stride: int) -> None:
    found = made(teacher(wrong=2, stride=stride))(2)["logits"]
    truth = probabilities(window(CLASSES, 2)[:, ::stride, ::stride])
    assert found.shape == (1, *truth.shape)
    np.testing.assert_allclose(np.exp(found[0]).sum(0), 1, atol=1e-5)
    inside = (slice(None), slice(4, -4), slice(8, -8))
    expected = (2 * truth + 1 / 3) / 3  # two neighbours know, the frame itself says nothing
    assert np.abs(np.exp(found[0]) - expected)[inside].mean() < (0.01 if stride == 1 else 0.03)
    where_it_was = (probabilities(window(CLASSES, 1)) + probabilities(window(CLASSES, 3)) + 1 / 3)[
        :, ::stride, ::stride
    ]
    assert np.abs(where_it_was / 3 - expected)[inside].mean() > 0.05


def test_what_left_the_picture_counts_for_nothing() -> None:
    """The left edge of the first frame is not in the second."""
    mean = made(teacher(wrong=2))
    alone = made(teacher(wrong=0))(0)["logits"]  # one neighbour, a frame later
    truth = probabilities(window(CLASSES, 0))
    np.testing.assert_allclose(np.exp(alone[0])[:, 8:-8, 0], 1 / 3, atol=1e-5)
    assert np.abs(np.exp(alone[0]) - (truth + 1 / 3) / 2)[:, 4:-4, 8:-8].mean() < 0.01
    assert 0.8 < mean.share(0) < 0.96 < mean.share(2)


def test_another_sequence_is_no_neighbour() -> None:
    mean = made(teacher(), Drive(count=4, length=2))
    assert [mean.beside(index) for index in range(4)] == [(1,), (0,), (3,), (2,)]
    assert made(teacher(), Drive(count=3, length=1)).beside(1) == ()
    single = made(teacher(), Drive(count=3, length=1))(1)["logits"]
    np.testing.assert_allclose(np.exp(single[0]), probabilities(window(CLASSES, 1)), atol=1e-5)
    assert described(mean, [0, 1, 2, 3])["frames"] == 1
    assert described(made(teacher(), Drive(3, 1)), [0, 1, 2]) == {"frames": 0.0, "places": 0.0}


def test_the_teacher_runs_once_for_every_frame() -> None:
    calls: list[int] = []

    def counted(index: int) -> dict[str, np.ndarray]:
        calls.append(index)
        return teacher()(index)

    mean = made(counted)
    for index in range(6):
        mean(index)
    assert calls == list(range(6))


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_the_picture_is_found(tmp_path: Path, layout: str) -> None:
    drive = Drive()

    class Turned(Drive):
        def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray], None]:
            return {"speed": np.ones((1, 1), np.float32), "image": drive[index][0]["image"].transpose(0, 2, 3, 1)}, None

    examples = drive if layout == "nchw" else Turned()
    sections = {"speed": {"kind": "constant"}, "image": {"kind": "image", "layout": layout}}
    given = replace(job(tmp_path), preprocess=sections, sequence=drive.sequence)
    found = neighbours(given, examples, {"logits"}, teacher())
    np.testing.assert_allclose(found(2)["logits"], made(teacher())(2)["logits"], atol=1e-5)


def job(folder: Path) -> Job:
    sections = {"image": {"kind": "image"}}
    return Job(folder / "a.onnx", [], outputs=("logits",), preprocess=sections, sequence=Drive().sequence)


def test_what_cannot_be_averaged_is_refused(tmp_path: Path) -> None:
    good = job(tmp_path)
    with pytest.raises(SpecError, match=r"output 'logits' \[1, 3, 48, 64\] is no map of class scores"):
        neighbours(good, Drive(), set(), teacher())
    with pytest.raises(SpecError, match=r"output 'logits' \[1, 3\] is no map of class scores"):
        neighbours(good, Drive(), {"logits"}, lambda index: {"logits": np.zeros((1, 3))})
    with pytest.raises(SpecError, match="an input that is an image of 12 pixels or more, and there is none"):
        neighbours(replace(good, preprocess={"image": {"kind": "array"}}), Drive(), {"logits"}, teacher())
    for sequence in (None, lambda index: None, str):
        with pytest.raises(
            DataError, match=r"no two frames of data\.training are said to follow.*leave neighbours out"
        ):
            neighbours(replace(good, sequence=sequence), Drive(), {"logits"}, teacher())


def test_the_sequence_is_that_of_the_data_set() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    frames = [Sample("a", {"image": image}, metadata={"sequence": "one"}), Sample("b", {"image": image})]
    found = LabelledFeeds(Preprocess({"image": Image(resize=(4, 6))}), frames, lambda truth, geometry: truth)  # type: ignore[arg-type]
    assert [found.sequence(index) for index in range(2)] == ["one", None]
