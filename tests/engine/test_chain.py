"""What a frame goes through, step by step, and how long each step took."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit.core.errors import InputError
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.engine import Chain, Engine, predict
from edgekit.preprocess import Prepared


class Doubling(Engine):
    """y = 2 x; says when it ran."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps

    def activate(self) -> None:
        self.steps.append("open")
        self.inputs = self.outputs = (TensorSpec("x", (1,)),)

    def infer_impl(self, feeds: Arrays) -> dict[str, Array]:
        self.steps.append("infer")
        return {"y": 2 * feeds["x"]}

    def deactivate(self) -> None:
        self.steps.append("close")

    def describe(self) -> dict[str, Any]:
        return {}


class Steps:
    """Preprocessing and task at once: the frame's number goes in, what came out of the engine comes out."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps

    def __call__(self, images: Arrays, frame: str = "") -> Prepared:
        self.steps.append(f"pre {frame}".strip())
        return Prepared({"x": images["x"]}, "how it went in")  # type: ignore[arg-type]

    def decode(self, outputs: Arrays, geometry: object) -> tuple[float, object]:
        self.steps.append("post")
        return float(outputs["y"][0]), geometry


FRAME = {"x": np.array([3], np.float32)}


def made(steps: list[str]) -> Chain:
    both: Any = Steps(steps)
    return Chain(both, Doubling(steps), both)


def test_a_frame_goes_through_all_three() -> None:
    steps: list[str] = []
    it = made(steps)
    with it.engine:
        assert it(FRAME, "f1") == (6.0, "how it went in")
    assert steps == ["open", "pre f1", "infer", "post", "close"]


def test_the_engine_has_to_be_open() -> None:
    it = made([])
    with pytest.raises(InputError, match="Doubling is not open"):
        it(FRAME)
    it.engine.open()
    it(FRAME)
    it.engine.close()
    with pytest.raises(InputError, match="Doubling is not open"):
        it(FRAME)


def test_opening_and_closing_twice_does_nothing() -> None:
    steps: list[str] = []
    engine = Doubling(steps)
    engine.close()
    assert engine.open().open() is engine
    engine.close()
    engine.close()
    assert steps == ["open", "close"]


def test_an_engine_that_fails_to_open_is_not_open() -> None:
    engine = Doubling([])
    del engine.steps
    with pytest.raises(AttributeError):
        engine.open()
    engine.steps = []
    with pytest.raises(InputError, match="is not open"):
        engine.infer(FRAME)
    engine.close()
    assert engine.steps == []  # nothing was opened, so nothing is closed


def test_every_stage_is_timed_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter((1.0, 3.0, 3.0, 7.0, 15.0))  # start, prepared, and again, inferred, decoded
    monkeypatch.setattr("time.perf_counter", lambda: next(readings))
    it = made([])
    with it.engine:
        passed = it.timed(FRAME)
    assert (passed.pre_s, passed.infer_s, passed.post_s, passed.total_s) == (2.0, 4.0, 8.0, 14.0)
    assert passed.prediction == (6.0, "how it went in")


def test_outputs_that_are_not_usable_are_not_decoded() -> None:
    it = made([])
    with it.engine:
        passed = it.answered(it.preprocess(FRAME), 0.0, lambda outputs: not outputs)
    assert passed.prediction is None
    assert passed.outputs


def test_engines_share_a_prepared_frame() -> None:
    steps: list[str] = []
    it = made(steps)
    prepared = it.preprocess(FRAME)
    with it.engine, Doubling(steps) as other:
        found = [predict(engine, it.task, prepared) for engine in (it.engine, other)]
    assert found == [(6.0, "how it went in")] * 2
    assert steps.count("pre") == 1
