from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit.core.errors import InputError, SpecError
from edgekit.ros2_node.health import Level, Limits, Monitor, Processed
from edgekit.ros2_node.parameters import declarations
from tests.ros2_node.health.driving import Node, picture

GOLDEN = Path(__file__).parents[2] / "golden" / "diagnostics.json"


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


def test_a_publisher_that_cannot_be_heard_is_an_error_until_a_frame_is_read() -> None:
    node = Node()
    node.run(1.0)
    node.monitor.unheard("", "it does not fit in reliability", node.now_s)
    node.now_s += 3600
    assert node.level("refused frames") == Level.ERROR
    assert node.status("refused frames").message == "No frame can be heard: it does not fit in reliability"
    node.run(3.0)
    assert node.level("refused frames") == Level.OK
    node.monitor.unheard("", "again", node.now_s)
    node.monitor.active(True, node.now_s)
    assert node.level("refused frames") == Level.ERROR
    node.monitor.active(False, node.now_s)
    node.monitor.active(True, node.now_s)
    assert node.level("refused frames") == Level.OK


def test_refused_frames_between_good_ones_are_no_error() -> None:
    node = Node()
    for _ in range(6):
        node.run(1 / 30)
        node.monitor.refused("", "truncated", node.now_s)
    assert node.level("refused frames") == Level.WARN
    assert dict(node.status("refused frames").values)["Frames refused in a row"] == "1"


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
