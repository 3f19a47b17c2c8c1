"""The node as a process: lifecycle, topics, results, parameters."""

from __future__ import annotations

import itertools
import shutil
import signal
import socket
import time
import urllib.request

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time
from lifecycle_msgs.msg import Transition
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from vision_msgs.msg import Classification, Detection2DArray, LabelInfo, VisionInfo

from edgekit.bundle import open_bundle
from tests.support.ros import LATCHED, compressed, pixels_of, running
from tests.support.waiting import until

ACTIVE = {"autostart": True, "rate_hz": 30.0}


def frame(seed: int = 0) -> np.ndarray:
    """A floor with a red and a green square, as the bundles' network knows them."""
    rng = np.random.default_rng(seed)
    image = rng.integers(90, 130, (64, 96, 1), np.uint8).repeat(3, axis=2)
    image[8:30, 10:34], image[34:58, 50:74] = (220, 30, 30), (30, 220, 30)
    return image


def expected(folder, image: np.ndarray):
    """What the bundle itself makes of a frame."""
    with open_bundle(folder) as bundle, bundle.engine() as engine:
        return bundle.chain(engine)({"image": image})


def test_a_life(ros, bundle, tmp_path):
    """unconfigured, inactive, active and back; results only while active, the bundle swapped without a restart."""
    masks = ros.hear("/edgekit/output/mask", Image)
    with running(tmp_path, bundle=bundle) as node:
        assert ros.state("/edgekit") == "unconfigured"
        assert ros.transition("/edgekit", Transition.TRANSITION_CONFIGURE)
        assert ros.state("/edgekit") == "inactive"
        until(lambda: ros.status("edgekit: engine")[1] == "The node is not active.")
        assert ros.transition("/edgekit", Transition.TRANSITION_ACTIVATE)
        ros.send_until(frame, lambda: masks, "a mask")
        np.testing.assert_array_equal(pixels_of(masks[0]), expected(bundle, frame()).labels)
        assert masks[0].header.frame_id == "camera"
        until(lambda: ros.status("edgekit: inference") == (0, "Inferences end in time."))
        engine = ros.statuses["edgekit: engine"][-1]
        facts = {one.key: one.value for one in engine.values}
        with open_bundle(bundle) as opened:
            assert facts["digest"] == opened.digest
        assert facts["runs"] == "Python: edgekit-native is not installed"
        # A parameter that is read at configure time cannot be changed under a running bundle.
        ((good, reason),) = ros.set("/edgekit", bundle=str(tmp_path / "other"))
        assert not good
        assert "deactivate and clean it up first" in reason
        assert ros.transition("/edgekit", Transition.TRANSITION_DEACTIVATE)
        assert ros.transition("/edgekit", Transition.TRANSITION_CLEANUP)
        shutil.copytree(bundle, tmp_path / "other")
        assert ros.set("/edgekit", bundle=str(tmp_path / "other")) == [(True, "")]
        assert ros.transition("/edgekit", Transition.TRANSITION_CONFIGURE)
        assert ros.transition("/edgekit", Transition.TRANSITION_ACTIVATE)
        seen = len(masks)
        ros.send_until(frame, lambda: len(masks) > seen, "a mask of the new bundle")
        assert node.stop(signal.SIGTERM) == 0


def test_every_stamp_comes_back(ros, bundles, tmp_path):
    masks = ros.hear("/edgekit/output/mask", Image)
    with running(tmp_path, bundle=bundles / "seg", overlay=True, **ACTIVE):
        overlays = ros.hear("/edgekit/output/overlay", Image)
        labels = ros.hear("/edgekit/output/label_info", LabelInfo, LATCHED)
        info = ros.hear("/edgekit/output/vision_info", VisionInfo, LATCHED)
        ros.send_until(frame, lambda: len(masks) > 2, "masks")
        sent = {(one.sec, one.nanosec) for one in ros.stamps}
        assert all((mask.header.stamp.sec, mask.header.stamp.nanosec) in sent for mask in masks)
        assert {(one.class_id, one.class_name) for one in labels[-1].class_map} == {
            (0, "floor"), (1, "red"), (2, "green"),
        }  # fmt: skip
        assert info[-1].method == "segmentation"
        assert info[-1].database_location.startswith("tiny-cpu@")
        until(lambda: overlays)
        assert pixels_of(overlays[-1]).shape == (64, 96, 3)


def test_objects(ros, bundles, tmp_path):
    found = ros.hear("/edgekit/output/detections", Detection2DArray)
    with running(tmp_path, bundle=bundles / "objects", **ACTIVE):
        ros.send_until(frame, lambda: found, "detections")
        boxes = {one.results[0].hypothesis.class_id: one.bbox for one in found[-1].detections}
        assert set(boxes) == {"red", "green"}
        # The squares' centres: (22, 19) and (62, 46) of a frame twice the size of the tensor.
        assert abs(boxes["red"].center.position.x - 22) < 3
        assert abs(boxes["red"].center.position.y - 19) < 3
        assert abs(boxes["green"].center.position.x - 62) < 3
        assert boxes["green"].size_x == pytest.approx(24)
        truth = expected(bundles / "objects", frame())
        assert found[-1].detections[0].results[0].hypothesis.score == pytest.approx(float(truth.scores[0]), abs=1e-6)
        assert ros.set("/edgekit", score_threshold=1.0) == [(True, "")]
        ros.send_until(np.full((64, 96, 3), 100, np.uint8), lambda: not found[-1].detections, "fewer detections")
        ((good, _),) = ros.set("/edgekit", score_threshold=1.5)
        assert not good


def test_several_tasks_and_a_namespace(ros, bundles, tmp_path):
    base = "/front/eye"
    masks = ros.hear(f"{base}/output/area/mask", Image)
    kinds = ros.hear(f"{base}/output/kind/classification", Classification)
    vectors = ros.hear(f"{base}/output/who/embedding", Image)
    with running(tmp_path, name="eye", namespace="/front", bundle=bundles / "several", **ACTIVE):
        ros.send_until(frame, lambda: masks and kinds and vectors, "all three", topic=f"{base}/input/image")
        truth = expected(bundles / "several", frame())
        np.testing.assert_array_equal(pixels_of(masks[0]), truth["area"].labels)
        np.testing.assert_allclose(pixels_of(vectors[0])[0], truth["who"].vector, rtol=1e-5)
        best = int(truth["kind"].probabilities.argmax())
        assert kinds[0].results[0].class_id == ["day", "night", "fog", "rain"][best]
        assert kinds[0].results[0].score == pytest.approx(float(truth["kind"].probabilities[best]), abs=1e-5)
        until(lambda: ros.status("front/eye: engine")[0] == 0)


def test_compressed_frames_under_the_names_of_image_transport(ros, bundles, tmp_path):
    masks = ros.hear("/edgekit/output/mask", Image)
    content = cv2.imencode(".png", frame()[..., ::-1])[1].tobytes()
    with running(tmp_path, bundle=bundles / "seg", image_transport="compressed", **ACTIVE):
        publisher = ros.publisher("/edgekit/input/image/compressed", CompressedImage)

        def mask():
            message = compressed(content)
            message.header.stamp = ros.stamp()
            publisher.publish(message)
            return masks

        until(mask)
        np.testing.assert_array_equal(pixels_of(masks[0]), expected(bundles / "seg", frame()).labels)


def test_cameras_share_one_engine_in_turn(ros, bundles, tmp_path):
    """One camera sends three times as often as the other, both more than the engine can answer: each gets half."""
    cameras = ("front", "rear")
    masks = {name: ros.hear(f"/edgekit/{name}/output/mask", Image) for name in cameras}
    with running(tmp_path, fault="slow 50", bundle=bundles / "faulty", cameras="[front, rear]", **ACTIVE):

        def both():
            for name in ("front", "front", "rear", "front"):
                ros.send(frame(), f"/edgekit/{name}/input/image")
            return min(map(len, masks.values())) >= 20

        until(both)
        front, rear = map(len, masks.values())
        assert abs(front - rear) <= 4  # the first frames of one may come before the other is discovered
        until(
            lambda: ros.status("edgekit: front: input rate")[0] >= 0 and ros.status("edgekit: rear: stamp age")[0] >= 0
        )


def test_two_cameras_of_one_query_are_joined_by_their_stamps(ros, bundles, tmp_path):
    means = ros.hear("/edgekit/image/output/embedding", Image)
    with running(tmp_path, bundle=bundles / "pair", cameras="[image, right]", **ACTIVE):
        value = iter(range(10, 250))

        def pair():
            stamp, level = ros.stamp(), next(value)
            ros.send(np.full((32, 48, 3), level, np.uint8), "/edgekit/image/input/image", stamp=stamp)
            ros.send(np.full((32, 48, 3), level + 5, np.uint8), "/edgekit/right/input/image", stamp=stamp)
            return means

        until(pair)
        left, right = pixels_of(means[-1])[0]
        # An embedding has length 1: the quotient says which two levels were in one query.
        level = 5 / (right / left - 1)
        assert level == pytest.approx(round(level), abs=1e-2)
        assert 10 <= round(level) < 250


def test_rectified_frames(ros, bundles, tmp_path):
    masks = ros.hear("/edgekit/output/mask", Image)
    with running(tmp_path, bundle=bundles / "seg", rectify=True, **ACTIVE):
        refused = "edgekit: refused frames"
        ros.send_until(frame, lambda: "no camera_info came yet" in ros.status(refused)[1], "a refusal")
        info = CameraInfo(height=64, width=96, distortion_model="plumb_bob", d=[-0.3, 0.1, 0.0, 0.0, 0.0])
        info.k = [60.0, 0.0, 47.5, 0.0, 60.0, 31.5, 0.0, 0.0, 1.0]
        info.p = [60.0, 0.0, 47.5, 0.0, 0.0, 60.0, 31.5, 0.0, 0.0, 0.0, 1.0, 0.0]
        publisher = ros.publisher("/edgekit/input/camera_info", CameraInfo)
        ros.send_until(frame, lambda: publisher.publish(info) or masks, "a mask")
        k, d = np.reshape(info.k, (3, 3)), np.array(info.d)
        flat = cv2.undistort(frame(), k, d, None, k)
        assert (pixels_of(masks[-1]) == expected(bundles / "seg", flat).labels).mean() > 0.98
        assert (pixels_of(masks[-1]) == expected(bundles / "seg", frame()).labels).mean() < 0.98


def test_ages_follow_the_clock_of_a_simulation(ros, bundles, tmp_path):
    """A simulation in the year 1970: by the wall clock its frames would be old, and its own stamps in the past."""
    masks, status = ros.hear("/edgekit/output/mask", Image), "edgekit: stamp age"
    with running(tmp_path, bundle=bundles / "seg", use_sim_time=True, **ACTIVE):
        clock = ros.node.create_publisher(Clock, "/clock", 10)
        ticks = itertools.count(1000 * 30)

        def frame_of_the_simulation():
            tick = next(ticks)
            now = Time(sec=tick // 30, nanosec=tick % 30 * 33_333_333)
            clock.publish(Clock(clock=now))
            ros.send(frame(), stamp=now)
            time.sleep(1 / 100)  # faster than the wall clock
            return len(masks) > 30 and ros.status(status) == (0, "Timestamps are reasonable.")

        until(frame_of_the_simulation)
        named = ("Earliest timestamp delay:", "Latest timestamp delay:")
        ages = {one.key: float(one.value) for one in ros.statuses[status][-1].values if one.key in named}
        assert all(abs(age) < 1.0 for age in ages.values()), ages
        assert len(ages) == 2


def test_a_wrong_parameter_at_the_start_is_one_clear_line(bundles, tmp_path):
    with running(tmp_path, bundle=bundles / "seg", image_transport="h264") as node:
        assert node.process.wait(timeout=120) == 2
        output = node.process.stdout.read()
        assert "image_transport: 'h264'" in output
        assert "Traceback" not in output


def test_the_page_for_prometheus(ros, bundles, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    masks = ros.hear("/edgekit/output/mask", Image)
    with running(tmp_path, bundle=bundles / "seg", metrics_port=port, **ACTIVE):
        ros.send_until(frame, lambda: masks, "a mask")
        refused = "edgekit: refused frames"
        ros.send_until(frame, lambda: "rgb88" in ros.status(refused)[1], "a refusal", encoding="rgb88")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            page = answer.read().decode()
    counted = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in page.splitlines() if line[0] != "#"}
    assert counted['edgekit_frames_total{camera="",outcome="answered"}'] >= 1
    assert counted['edgekit_frames_total{camera="",outcome="refused"}'] >= 1
    assert counted['edgekit_stage_seconds_count{stage="inference"}'] >= 1
    assert counted['edgekit_status_level{status="engine"}'] == 0


def test_a_port_that_is_taken_is_said(bundles, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with running(tmp_path, bundle=bundles / "seg", metrics_port=taken.getsockname()[1], **ACTIVE) as node:
            assert node.process.wait(timeout=120) == 2
            assert "address already in use; name a free one" in node.process.stdout.read()
