"""What a technique is given to measure with: evenly spread frames, and times that leave out the first queries."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgekit.core.spec import ParityLimits
from edgekit.core.specfile import read_spec
from edgekit.data import Dataset, Sample
from edgekit.engine import backend
from edgekit.stages import labels
from edgekit.stages.job import Feeds, Given, TargetBench
from edgekit.stages.prove import comparison_of

QUERIES = 20


class Drive(Dataset):
    """Frames that are their own number."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Sample:
        return Sample(str(index), {"image": np.full((2, 2, 3), index, np.uint8)})

    def fingerprint(self) -> str:
        return str(self._count)


def numbered(images: dict[str, np.ndarray], sample: str = "") -> Any:
    return SimpleNamespace(feeds={"x": int(images["image"].flat[0])}, geometry=None)


@pytest.mark.parametrize(
    ("frames", "limit", "expected"),
    [(9, 3, [0, 3, 6]), (10, 4, [0, 2, 5, 7]), (3, 8, [0, 1, 2]), (3, None, [0, 1, 2])],
)
def test_some_frames_of_a_drive_are_spread_over_all_of_it(frames: int, limit: int | None, expected: list[int]) -> None:
    feeds = Feeds(numbered, Drive(frames), limit)  # type: ignore[arg-type]
    assert [found["x"] for found in feeds] == expected
    assert len(feeds) == len(expected)


def test_the_second_judge_sees_all_of_a_drive() -> None:
    judge = comparison_of(None, numbered, Drive(12), Path("fp32.onnx"), ParityLimits(frames=4))  # type: ignore[arg-type]
    assert [judge.frames[i].feeds["x"] for i in range(len(judge.frames))] == [0, 3, 6, 9]
    with pytest.raises(IndexError):
        judge.frames[4]


class Slow:
    """An engine on a clock of its own: the first query after it is opened takes a minute, every other a millisecond."""

    def __init__(self, clock: list[float]) -> None:
        self._clock, self._warm = clock, False

    def __enter__(self) -> Slow:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def infer(self, feeds: object) -> None:
        self._clock[0] += 0.001 if self._warm else 60.0
        self._warm = True


@pytest.fixture
def bench(tiny_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TargetBench:
    spec = read_spec(tiny_project)
    found = labels.of(spec, "evaluation")
    clock = [0.0]
    monkeypatch.setattr(TargetBench, "_engine", lambda self, model: Slow(clock))
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    given = Given(spec, tmp_path / "fp32.onnx")
    return TargetBench(spec, "cpu", backend(spec.targets["cpu"]), given.model, found, tmp_path, None, given)


def test_the_first_query_of_an_engine_counts_for_no_latency(bench: TargetBench) -> None:
    for found in bench.latency({"a": b"a", "b": b"b"}, QUERIES).values():
        assert found.samples == QUERIES
        assert found.mean == pytest.approx(1.0)


def test_the_first_query_of_an_opening_counts_for_no_speed(bench: TargetBench) -> None:
    for found in bench.times_ms({"a": b"a", "b": b"b"}).values():
        assert found == pytest.approx([1.0] * len(found))
