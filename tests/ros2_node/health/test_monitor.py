from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core.errors import InputError, SpecError
from edgekit.core.predictions import ClassScores, Detections, Embedding, LabelMap, Values
from edgekit.core.tensors import Array
from edgekit.ros2_node.health import Level, Limits, Monitor, Processed, Status
from edgekit.ros2_node.parameters import declarations

GOLDEN = Path(__file__).parents[2] / "golden" / "diagnostics.json"


def picture(number: int = 0, light: float = 1.0) -> Array:
    """A street of stripes and blocks that moves with ``number``."""
    y, x = np.mgrid[:120, :200]
    waves = np.where(((x + 7 * number) // 10 + y // 12) % 2, 190, 60) + (x * 3 + y * 5 + number) % 7
    return np.clip(np.stack([waves, waves * 0.9, waves * 0.8], -1) * light, 0, 255).astype(np.uint8)


def blurred(image: Array) -> Array:
    import cv2

    return np.asarray(cv2.GaussianBlur(image, (0, 0), 4))


class Node:
    """Drives a monitor at a camera's rate on a clock of its own."""

    def __init__(self, limits: Limits | None = None, **more: Any) -> None:
        self.monitor = Monitor(limits or Limits(), [""], **more)
        self.now_s, self.number = 100.0, 0
        self.monitor.active(True, self.now_s)

    def step(self, period_s: float = 1 / 30) -> None:
        self.now_s += period_s
        self.number += 1

    def run(self, seconds: float, rate_hz: float = 30, process: bool = True, **changes: Any) -> None:
        for _ in range(round(seconds * rate_hz)):
            self.step(1 / rate_hz)
            stamp_s = changes.get("stamp_s", self.now_s - 0.01)
            self.monitor.received("", stamp_s, self.now_s)
            if process:
                self.process(**{"stamp_s": stamp_s, **changes})

    def process(self, **changes: Any) -> None:
        made = {name: change() if callable(change) else change for name, change in changes.items()}
        image = made.pop("image", None)
        self.monitor.processed(
            Processed(
                "",
                made.pop("stamp_s", self.now_s - 0.01),
                self.now_s,
                picture(self.number) if image is None else image,
                **({"pre_ms": 2.0, "infer_ms": 5.0, "post_ms": 1.0, "age_at_start_ms": 1.0, "age_ms": 9.0} | made),
            )
        )

    def status(self, name: str) -> Status:
        return next(each for each in self.monitor.statuses(self.now_s) if each.name == name)

    def level(self, name: str) -> Level:
        return self.status(name).level


def worst(node: Node) -> dict[str, str]:
    return {each.name: each.message for each in node.monitor.statuses(node.now_s) if each.level != Level.OK}


def test_a_node_that_is_well_says_what_the_golden_file_says() -> None:
    node = Node(Limits(input_min_hz=30, input_max_hz=30), identity={"bundle": "tiny-cpu@0123456789ab"})
    node.run(5)
    found = [
        {"name": each.name, "level": int(each.level), "message": each.message, "values": dict(each.values)}
        for each in node.monitor.statuses(node.now_s)
    ]
    assert found == json.loads(GOLDEN.read_text())


def test_before_it_is_active_only_the_engine_is_told() -> None:
    monitor = Monitor(Limits(), ["front", "rear"])
    assert [each.name for each in monitor.statuses(0.0)] == ["engine"]
    monitor.active(True, 0.0)
    names = [each.name for each in monitor.statuses(0.1)]
    assert "front: input rate" in names
    assert "rear: camera" in names
    assert {each.level for each in monitor.statuses(0.1)} == {Level.OK, Level.WARN}  # no stamp yet


def test_no_input_is_an_error_after_the_timeout_and_ends_with_the_first_frames() -> None:
    node = Node()
    node.run(3)
    node.step(0.9)
    assert node.level("input rate") == Level.OK
    node.step(0.2)
    assert node.status("input rate").message == "No events recorded."
    assert node.level("input rate") == Level.ERROR
    node.run(0.2)
    assert node.level("input rate") == Level.OK


def test_no_frame_ever_is_an_error_too() -> None:
    node = Node()
    assert node.level("input rate") == Level.OK
    node.step(1.1)
    assert node.level("input rate") == Level.ERROR


@pytest.mark.parametrize(
    ("rate_hz", "level", "message"),
    [
        (10, Level.WARN, "Frequency too low."),
        (27.5, Level.OK, "Desired frequency met"),
        (60, Level.WARN, "Frequency too high."),
    ],
)
def test_rates(rate_hz: float, level: Level, message: str) -> None:
    node = Node(Limits(input_min_hz=30, input_max_hz=30))
    node.run(4, rate_hz)
    status = node.status("input rate")
    assert (status.level, status.message) == (level, message)
    assert float(dict(status.values)["Actual frequency (Hz)"]) == pytest.approx(rate_hz)


@pytest.mark.parametrize(
    ("stamp", "message"),
    [
        (lambda now_s: now_s + 0.2, "Timestamps too far in future seen."),
        (lambda now_s: now_s - 2, "Timestamps too far in past seen."),
        (lambda now_s: 0.0, "Zero timestamp seen."),
        (lambda now_s: now_s - 0.5, "Timestamp jumped back."),
    ],
)
def test_stamps(stamp: Any, message: str) -> None:
    node = Node()
    node.run(2)
    assert node.level("stamp age") == Level.OK
    node.step()
    node.monitor.received("", stamp(node.now_s), node.now_s)
    assert node.status("stamp age").message == message
    assert node.level("stamp age") == Level.ERROR
    node.run(1.2)
    assert node.level("stamp age") == Level.OK


def test_refused_frames_warn_and_only_refused_frames_are_an_error() -> None:
    node = Node()
    node.run(1)
    reason = "encoding 'yuv' is not known; expected rgb8, bgr8, mono8 ..."
    node.monitor.refused("", reason, node.now_s)
    assert (node.level("refused frames"), reason in node.status("refused frames").message) == (Level.WARN, True)
    node.run(0.1)
    assert node.level("refused frames") == Level.WARN
    for _ in range(3):
        node.monitor.refused("", reason, node.now_s)
    assert node.level("refused frames") == Level.ERROR
    node.run(1.5)
    assert node.level("refused frames") == Level.OK


def test_processing_time_warns_at_once_and_is_an_error_when_it_lasts() -> None:
    node = Node(Limits(max_allowed_processing_time_ms=20, max_acceptable_consecutive_delay_ms=500))
    node.run(1)
    node.run(0.1, infer_ms=30.0)
    status = node.status("processing time")
    assert status.level == Level.WARN
    assert status.message == "Processing time exceeds the acceptable limit of 20 ms by 13 ms."
    assert dict(status.values)["is_processing_time_ms_in_expected_range"] == "False"
    node.run(0.6, infer_ms=30.0)
    assert node.level("processing time") == Level.ERROR
    assert dict(node.status("processing time").values)["is_consecutive_processing_delay_in_range"] == "False"
    node.run(0.1)
    assert node.level("processing time") == Level.OK


def test_drops_warn_only_once_they_last_and_are_over_within_a_second() -> None:
    node = Node()
    node.run(1)
    node.monitor.dropped("", "a newer frame came", node.now_s)
    levels = []
    for _ in range(60):
        node.run(1 / 30)
        levels.append(node.level("drops"))
    assert set(levels) == {Level.OK}  # one frame is no overload
    for _ in range(60):
        node.run(1 / 30)
        node.monitor.dropped("", "a newer frame came", node.now_s)
        levels.append(node.level("drops"))
    assert levels[-1] == Level.WARN
    for _ in range(30):
        node.run(1 / 30)
        levels.append(node.level("drops"))
    assert levels[-1] == Level.OK
    assert sum(a != b for a, b in itertools.pairwise(levels)) == 2  # nothing flapped


def test_missed_deadlines() -> None:
    node = Node()
    node.run(1)
    node.monitor.missed_deadline("", 120.0, node.now_s)
    assert node.level("deadline") == Level.WARN
    for _ in range(30):
        node.run(1 / 30)
        node.monitor.missed_deadline("", 120.0, node.now_s)
    assert node.level("deadline") == Level.ERROR
    node.run(1)
    assert node.level("deadline") == Level.OK


def test_fault_and_degradation_are_told_until_they_are_taken_back() -> None:
    node = Node()
    node.monitor.fault("the engine crashed: out of memory")
    node.monitor.degraded("the lighter bundle runs")
    assert worst(node) | {} == {
        "engine": "the engine crashed: out of memory",
        "degradation": "the lighter bundle runs",
        "stamp age": "No data since last update.",
    }
    node.monitor.fault("")
    node.monitor.degraded("")
    assert set(worst(node)) == {"stamp age"}


@pytest.mark.parametrize(
    ("changed", "level", "words"),
    [
        (lambda image: np.full_like(image, 128), Level.ERROR, "covered"),
        (lambda image: image // 64, Level.ERROR, "dark"),
        (lambda image: np.maximum(image, 251), Level.WARN, "saturated"),
        (blurred, Level.WARN, "out of focus"),
    ],
)
def test_camera_faults_are_named_and_end(changed: Any, level: Level, words: str) -> None:
    node = Node(Limits(frozen_s=60, exposure_factor=100))
    node.run(1)
    assert node.level("camera") == Level.OK, node.status("camera").message
    node.run(1, image=lambda: changed(picture(node.number)))
    status = node.status("camera")
    assert status.level >= level
    assert words in status.message
    node.run(1.5)
    assert node.level("camera") == Level.OK


def test_the_same_picture_repeated_is_an_error_and_the_next_other_one_ends_it() -> None:
    node = Node()
    node.run(1)
    still = picture(node.number)
    node.run(0.9, image=still)
    assert node.level("camera") == Level.OK
    node.run(0.4, image=still)
    assert node.level("camera") == Level.ERROR
    assert "repeated" in node.status("camera").message
    node.run(0.1)
    assert node.level("camera") == Level.OK


@pytest.mark.parametrize("light", [0.4, 1.3])
def test_a_jump_of_exposure_is_told_once_for_a_while(light: float) -> None:
    node = Node(Limits(exposure_factor=1.25))
    node.run(1)
    node.run(0.1, image=lambda: picture(node.number, light))
    assert "exposure jumped" in node.status("camera").message
    node.run(1.5, image=lambda: picture(node.number, light))
    assert node.level("camera") == Level.OK


def test_sixteen_bits_of_which_twelve_are_used_are_not_dark() -> None:
    node = Node()
    node.run(2, image=lambda: picture(node.number).astype(np.uint16) * 16)
    assert node.level("camera") == Level.OK, node.status("camera").message


def boxes(count: int, score: float = 0.5) -> Detections:
    scores = np.full(count, score, np.float32)
    return Detections(np.zeros((count, 4), np.float32), scores, np.zeros(count, np.int64))


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (boxes(0), "Nothing was found for 3 s."),
        (boxes(2, 1.0), "Every score is at its end for 2 s."),
        (ClassScores(np.array([1, 0], np.float32)), "Every score is at its end for 2 s."),
        (LabelMap(np.zeros((80, 80), np.uint8)), "One class fills the mask for 2 s."),
        ({"boxes": boxes(0)}, "Nothing was found for 3 s."),
    ],
)
def test_outputs_that_say_nothing_for_long_warn(prediction: Any, message: str) -> None:
    node = Node(Limits(empty_s=3, saturated_s=2))
    node.run(1.5, prediction=prediction)
    assert node.level("output") == Level.OK
    node.run(2, prediction=prediction)
    assert (node.level("output"), node.status("output").message) == (Level.WARN, message)
    node.run(1.5, prediction=boxes(1))
    assert node.level("output") == Level.OK


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (ClassScores(np.array([np.nan, 0], np.float32)), "Class scores hold NaN or infinity."),
        (Embedding(np.zeros(4, np.float32)), "The embedding is zero."),
        (Values(("speed",), np.array([np.inf])), "Values hold NaN or infinity."),
    ],
)
def test_predictions_that_cannot_be_true_are_errors_at_once(prediction: Any, message: str) -> None:
    node = Node()
    node.run(0.1, prediction=prediction)
    assert (node.level("output"), node.status("output").message) == (Level.ERROR, message)
    node.run(1.2)
    assert node.level("output") == Level.OK


@pytest.mark.parametrize("place", [0, 123_457, 999_999])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_wrong_number_of_a_million_is_found_within_some_frames(place: int, value: float) -> None:
    node = Node()
    output = np.random.default_rng(0).normal(size=1_000_000).astype(np.float32)
    output[place] = value
    node.run(0.4, outputs={"logits": output})
    assert node.status("output").message == "Output 'logits' holds NaN or infinity."


def test_outputs_that_stay_while_the_input_changes_are_an_error() -> None:
    node = Node()
    output = np.arange(8, dtype=np.float32)
    node.run(0.8, outputs={"logits": output})
    assert node.level("output") == Level.OK
    node.run(0.5, outputs={"logits": output})
    assert "stay the same" in node.status("output").message
    node.run(1.2, outputs=lambda: {"logits": output + node.number})
    assert node.level("output") == Level.OK


def test_a_still_picture_may_have_still_outputs_and_a_constant_output_says_nothing() -> None:
    node = Node(Limits(frozen_s=60))
    node.run(3, outputs={"logits": np.arange(8, dtype=np.float32)}, image=picture())
    assert node.level("output") == Level.OK
    node.run(3, outputs={"boxes": np.zeros(8, np.float32), "count": np.zeros(1, np.int64)})
    assert node.level("output") == Level.OK


def test_a_simulation_that_starts_again_begins_anew() -> None:
    node = Node()
    node.run(3)
    node.now_s = 5.0
    node.run(1.5)
    assert node.level("input rate") == Level.OK
    assert float(dict(node.status("input rate").values)["Actual frequency (Hz)"]) == pytest.approx(30)


def test_names_of_cameras() -> None:
    with pytest.raises(InputError, match="at least one, and each once"):
        Monitor(Limits(), [])
    with pytest.raises(InputError, match="at least one, and each once"):
        Monitor(Limits(), ["a", "a"])
    with pytest.raises(InputError, match="no camera named 'frnt'; did you mean 'front'"):
        Monitor(Limits(), ["front"]).received("frnt", 0.0, 0.0)


def test_limits_are_declared_and_checked() -> None:
    for one in declarations(Limits):
        assert one.description, one.name
        assert one.when == "live"
        assert one.low is not None
        assert one.high is not None
        above: dict[str, Any] = {one.name: type(one.default)(one.high + 1)}  # type: ignore[arg-type]
        with pytest.raises(SpecError, match=one.name):
            replace(Limits(), **above)
    with pytest.raises(SpecError, match="input_min_hz: 30 is above input_max_hz 10"):
        Limits(input_min_hz=30, input_max_hz=10)


def test_threads_may_call_at_once() -> None:
    monitor = Monitor(Limits(), ["a", "b"])
    monitor.active(True, 0.0)

    def work(camera: str) -> None:
        for k in range(60):
            monitor.received(camera, k / 30, k / 30)
            monitor.processed(Processed(camera, k / 30, k / 30, picture(k)))
            monitor.dropped(camera, "newer", k / 30)
            monitor.statuses(k / 30)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, "ab"))
    counts = {
        name: dict(each.values)["Events since startup"]
        for each in monitor.statuses(2.0)
        if "rate" in (name := each.name)
    }
    assert counts == {"a: input rate": "60", "b: input rate": "60"}
