"""Each fault of input, engine and bundle, and the diagnostic that names it; benchmarks/ros2_node.py repeats them."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from lifecycle_msgs.msg import Transition
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from tests.ros2_node.ros.test_node import ACTIVE, frame
from tests.support.ros import client, compressed, running
from tests.support.waiting import until

OK, WARN, ERROR = 0, 1, 2
STEADY = "/steady/input/image"
REFUSED = "edgekit: refused frames"


@pytest.fixture(scope="module")
def module_ros():
    with client("faults") as made:
        yield made


@pytest.fixture(scope="module")
def node(bundles, tmp_path_factory, module_ros):
    """One active node on an engine that works, for the faults of frames; others have other names."""
    folder = tmp_path_factory.mktemp("faults")
    with running(folder, name="steady", bundle=bundles / "seg", **ACTIVE) as made:
        masks = module_ros.hear("/steady/output/mask", Image)
        module_ros.send_until(frame, lambda: masks, "a mask", STEADY)
        yield made


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"encoding": "rgb88"}, "encoding 'rgb88' cannot be read; did you mean 'rgb8'"),
        ({"encoding": "mono16", "step": 192}, "uint16"),
        ({"step": 10}, "step 10 does not fit"),
        ({"data": [0] * 100}, "truncated: 100 bytes instead of 18432"),
        ({"width": 0}, "64 x 0 pixels has no content"),
    ],
)
def test_frames_that_cannot_be_read(module_ros, node, fields, words):
    refused = "steady: refused frames"
    module_ros.send_until(frame, lambda: words in module_ros.status(refused)[1], words, STEADY, **fields)
    assert module_ros.status(refused)[0] in (WARN, ERROR)
    module_ros.send_until(frame, lambda: module_ros.status(refused)[0] == OK, "normal again", STEADY)


@pytest.mark.parametrize(("shift_s", "words"), [(3600.0, "future"), (-3600.0, "past"), (None, "Zero timestamp")])
def test_stamps_that_are_wrong(module_ros, node, shift_s, words):
    status = "steady: stamp age"

    def wrong():
        stamp = module_ros.stamp()
        stamp.sec = 0 if shift_s is None else stamp.sec + int(shift_s)
        stamp.nanosec = 0 if shift_s is None else stamp.nanosec
        module_ros.send(frame(), STEADY, stamp=stamp)
        return words in module_ros.status(status)[1]

    until(wrong, words)
    assert module_ros.status(status)[0] in (WARN, ERROR)
    module_ros.send_until(frame, lambda: module_ros.status(status)[0] == OK, "normal again", STEADY)


def test_a_camera_that_stops_or_repeats_itself_or_is_covered(module_ros, node):
    rate, camera = "steady: input rate", "steady: camera"
    until(lambda: module_ros.status(rate)[0] == ERROR, "no frame")
    module_ros.send_until(frame(1), lambda: module_ros.status(camera)[0] == ERROR, "the same frame", STEADY)
    assert "repeated" in module_ros.status(camera)[1]
    seeds = iter(range(100_000))
    module_ros.send_until(
        lambda: frame(next(seeds)), lambda: module_ros.status(camera)[0] == OK, "normal again", STEADY
    )
    dark = lambda: np.random.default_rng(next(seeds)).integers(0, 4, (64, 96, 3), np.uint8)  # noqa: E731
    module_ros.send_until(dark, lambda: module_ros.status(camera)[0] >= WARN, "a covered lens", STEADY)
    module_ros.send_until(
        lambda: frame(next(seeds)), lambda: module_ros.status(camera)[0] == OK, "normal again", STEADY
    )


def test_truncated_compressed_data(ros, bundles, tmp_path):
    with running(tmp_path, bundle=bundles / "seg", image_transport="compressed", **ACTIVE):
        publisher = ros.publisher("/edgekit/input/image/compressed", CompressedImage)

        def refused():
            message = compressed(b"\xff\xd8\xff\xe0" + bytes(100))
            message.header.stamp = ros.stamp()
            publisher.publish(message)
            return "is no whole JPEG or PNG" in ros.status(REFUSED)[1]

        until(refused)


def test_a_publisher_with_another_quality_of_service_is_named(ros, bundles, tmp_path):
    reliable = {"qos_overrides./edgekit/input/image.subscription.reliability": "reliable"}
    with running(tmp_path, bundle=bundles / "seg", **ACTIVE, **reliable):
        ros.node.create_publisher(
            Image, "/edgekit/input/image", QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        )
        until(lambda: "does not fit in reliability" in ros.status(REFUSED)[1], "the mismatch")
        assert "qos_overrides" in ros.status(REFUSED)[1]


@pytest.mark.parametrize("fault", ["hang", "hang-gil"])
def test_a_hung_engine_is_an_error_and_ends_the_process(ros, bundles, tmp_path, fault):
    masks, status = ros.hear("/edgekit/output/mask", Image), "edgekit: inference"
    with running(tmp_path, bundle=bundles / "faulty", hang_exit_s=1.0, **ACTIVE) as node:
        ros.send_until(frame, lambda: masks and ros.status(status)[0] == OK, "a mask")
        node.told(fault)
        ros.send_until(frame, lambda: "hangs for longer" in ros.status(status)[1], "the hang")
        assert ros.status(status)[0] == ERROR
        assert node.process.wait(timeout=120) == -signal.SIGKILL
        until(lambda: "ended without being asked" in ros.status(status)[1], "the end of the process")


def test_an_engine_that_fails_is_told_and_started_again(ros, bundles, tmp_path):
    masks, status = ros.hear("/edgekit/output/mask", Image), "edgekit: engine"
    with running(tmp_path, bundle=bundles / "faulty", **ACTIVE) as node:
        ros.send_until(frame, lambda: masks, "a mask")
        node.told("raise")
        ros.send_until(frame, lambda: "the device is gone" in ros.status(status)[1], "the failure")
        assert ros.status(status)[0] == ERROR
        node.told("")
        seen = len(masks)
        ros.send_until(frame, lambda: len(masks) > seen, "a mask after the restart")
        until(lambda: ros.status(status)[0] == OK)


def test_an_engine_that_gives_no_numbers(ros, bundles, tmp_path):
    masks, status = ros.hear("/edgekit/output/mask", Image), "edgekit: output"
    with running(tmp_path, bundle=bundles / "faulty", **ACTIVE) as node:
        ros.send_until(frame, lambda: masks, "a mask")
        node.told("nan")
        ros.send_until(frame, lambda: ros.status(status)[0] == ERROR, "NaN")
        assert "NaN" in ros.status(status)[1]
        node.told("")
        ros.send_until(frame, lambda: ros.status(status)[0] == OK, "normal again")


def test_a_process_that_crashes_is_told_by_its_watchdog(ros, bundles, tmp_path):
    masks, status = ros.hear("/edgekit/output/mask", Image), "edgekit: inference"
    with running(tmp_path, bundle=bundles / "faulty", **ACTIVE) as node:
        ros.send_until(frame, lambda: masks and ros.status(status)[0] == OK, "a mask")
        node.told("crash")
        ros.send_until(frame, lambda: node.process.poll() is not None, "the crash")
        assert node.process.returncode == -signal.SIGABRT
        until(lambda: "ended without being asked" in ros.status(status)[1], "the crash")
        assert ros.status(status)[0] == ERROR


NEVER_LEAVES = """
import os, sys
from rclpy.node import Node
from edgekit.ros2_node.heartbeat import Heartbeat
from edgekit.ros2_node.ros import watchdog

def wait_for_ever(node):
    while True:
        pass

Node.destroy_node = wait_for_ever
theirs, ours = os.pipe()
os.close(ours)  # the node has ended
sys.argv = ["watchdog", "/gone", str(Heartbeat().descriptor), str(os.getpid()), str(theirs), "0"]
watchdog.main()
"""


def test_a_watchdog_ends_though_its_participant_does_not_leave():
    """Fast DDS was seen to spin in DomainParticipant::set_listener; the pipes of the node stayed open with it."""
    assert subprocess.run([sys.executable, "-c", NEVER_LEAVES], timeout=120, check=False).returncode == -signal.SIGALRM


def test_a_bundle_that_is_edited_while_it_runs_is_refused_when_it_is_read_again(ros, bundle, tmp_path):
    masks, status = ros.hear("/edgekit/output/mask", Image), "edgekit: engine"
    with running(tmp_path, bundle=bundle, rate_hz=30.0) as _:
        ros.transition("/edgekit", Transition.TRANSITION_CONFIGURE)
        ros.transition("/edgekit", Transition.TRANSITION_ACTIVATE)
        ros.send_until(frame, lambda: masks, "a mask")
        engine = next(bundle.rglob("*.ort.onnx"))
        engine.write_bytes(engine.read_bytes()[:-8] + bytes(8))
        seen = len(masks)
        ros.send_until(frame, lambda: len(masks) > seen, "the engine in memory goes on")
        ros.transition("/edgekit", Transition.TRANSITION_DEACTIVATE)
        ros.transition("/edgekit", Transition.TRANSITION_CLEANUP)
        assert not ros.transition("/edgekit", Transition.TRANSITION_CONFIGURE)
        assert ros.state("/edgekit") == "unconfigured"
        until(lambda: ros.status(status)[0] == ERROR)
        assert engine.name in ros.status(status)[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("when", ["configure", "inference", "hang-gil"])
def test_signals_end_it_and_leave_nothing(ros, bundles, tmp_path, number, when):
    """A node that hangs with the interpreter's lock is ended by its watchdog; Fast DDS then leaves its own memory."""
    name = f"ends_{when.replace('-', '_')}_{number}"
    first = "slow 3000" if when == "configure" else ""
    with running(tmp_path, name=name, fault=first, bundle=bundles / "faulty", **ACTIVE) as node:
        until(lambda: name in ros.node.get_node_names(), "a node that configures")
        if when != "configure":
            masks, inference = ros.hear(f"/{name}/output/mask", Image), f"{name}: inference"
            watched = lambda: masks and ros.status(inference)[0] == OK  # noqa: E731
            ros.send_until(frame, watched, "a mask, and the watchdog", f"/{name}/input/image")
            node.told("hang-gil" if when == "hang-gil" else "slow 300")
            ros.send_until(frame, lambda: ros.status(inference)[0] == ERROR, "a long inference", f"/{name}/input/image")
        held = shared_memory(node.process.pid)
        code = node.stop(number)
        assert code == (-signal.SIGKILL if when == "hang-gil" else 0)
        until(lambda: not children(node.process.pid), "no process left")
        released = "without releasing" not in node.process.stdout.read()  # a busy machine took too long
    if when != "hang-gil" and released:
        until(lambda: not orphans(held), "no shared memory left")


SEGMENT = re.compile(r"/dev/shm/(?!fast(?:dds|rtps)_port|lttng-ust)[^ ]+$")
"""Memory of a process; the ports of Fast DDS are mailboxes of all, which whoever comes later cleans up."""


def shared_memory(process: int) -> set[str]:
    """Files of /dev/shm that a process has mapped."""
    lines = Path(f"/proc/{process}/maps").read_text().splitlines()
    return {found.group() for line in lines if (found := SEGMENT.search(line))}


def orphans(files: set[str]) -> set[str]:
    """Those that are still there and that no process has mapped."""
    mapped: set[str] = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                mapped |= shared_memory(int(folder.name))
    return {file for file in files - mapped if Path(file).exists()}


def children(parent: int) -> list[str]:
    """Processes that a node started and that are still there, whoever holds them now."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0") if folder.name.isdigit() else []
        except OSError:
            continue
        if b"edgekit.ros2_node.ros.watchdog" in words and str(parent).encode() in words:
            found.append(folder.name)
    return found
