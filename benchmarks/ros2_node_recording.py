"""Recording beside inference: frames lost, what it does to the node's latency, and bytes on the disk.

    .venv-ros/bin/python benchmarks/ros2_node_recording.py BUNDLE [--seconds 120] --json

A camera process sends 1280x720 JPEGs (CompressedImage, best effort) at 30 Hz with the shipped Fast DDS profile to a
node that runs BUNDLE; a listener takes the time from a frame's stamp to its result.  A half of the time without a
recorder, the whole of it with `edgekit record`, then the other half without, so that a drift of the machine's speed
meets both.  Each process is one of its own; everything stays on the loopback.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

HEIGHT, WIDTH, RATE_HZ = 720, 1280, 30
IMAGES = "/edgekit/input/image/compressed"
PROFILE = "FASTDDS_DEFAULT_PROFILES_FILE"
PATIENCE_S = 120
PICTURES = 15
SETTLE_S = 2.0
"""After a process appeared, before its part is counted."""


def camera() -> None:
    """Send frames from now on; each has its number in its frame_id."""
    import cv2
    import rclpy
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import CompressedImage

    rclpy.init()
    node = rclpy.create_node("camera")
    publisher = node.create_publisher(
        CompressedImage, IMAGES, QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    )
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(PICTURES):
        coarse = rng.integers(0, 255, (HEIGHT // 16, WIDTH // 16, 3), np.uint8)
        picture = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)
        pictures.append(array.array("B", cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()))
    sent = 0
    message, begin = CompressedImage(format="jpeg"), time.monotonic()
    while True:
        message.data = pictures[sent % PICTURES]
        message.header.stamp = node.get_clock().now().to_msg()
        message.header.frame_id = str(sent)
        publisher.publish(message)
        sent += 1
        time.sleep(max(0.0, begin + sent / RATE_HZ - time.monotonic()))


def listener() -> None:
    """Hear results; for each line on stdin print the latencies since the last, as JSON, in milliseconds."""
    import rclpy
    from rclpy.qos import QoSProfile

    from edgekit.core.bags import stamp_ns
    from edgekit.ros2_node.ros import graph

    rclpy.init()
    node = rclpy.create_node("listener")
    found: list[graph.Found] = []
    end = time.monotonic() + PATIENCE_S
    while not found and time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
        outputs = graph.of_node(node, "/edgekit")
        found = [one for one in outputs if one.name.rpartition("/")[2] in ("mask", "detections", "classification")]
    latencies: list[float] = []

    def take(data: bytes) -> None:
        latencies.append((time.time_ns() - stamp_ns(data)) / 1e6)

    node.create_subscription(graph.message_class(found[0].type), found[0].name, take, QoSProfile(depth=50), raw=True)

    def answer() -> None:
        for _ in sys.stdin:
            taken = latencies[:]
            del latencies[: len(taken)]
            print(json.dumps(taken), flush=True)
        os._exit(0)

    threading.Thread(target=answer, daemon=True).start()
    rclpy.spin(node)


class Child:
    """A process of this benchmark; it is killed at the end."""

    def __init__(self, environment: dict[str, str], *command: object) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, *map(str, command)], env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )
        self.errors: list[str] = []
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        self.errors += iter(self.process.stderr)  # type: ignore[arg-type]

    def ask(self) -> Any:
        """One line for one line."""
        self.process.stdin.write("\n")  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise SystemExit(f"{self.process.args}: ended\n{''.join(self.errors)}")
        return json.loads(line)

    def until(self, holds: Any, what: str) -> None:
        """Wait until ``holds()``."""
        end = time.monotonic() + PATIENCE_S
        while not holds():
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"{what}: waited in vain\n{''.join(self.errors)}")
            time.sleep(0.05)


@contextmanager
def child(environment: dict[str, str], *command: object) -> Iterator[Child]:
    made = Child(environment, *command)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()


def on_disk(folder: Path) -> int:
    """Bytes of all files; one may vanish meanwhile."""
    sizes = []
    for path in folder.rglob("*"):
        try:
            sizes.append(path.stat().st_size if path.is_file() else 0)
        except FileNotFoundError:
            continue
    return sum(sizes)


def recording(bundle: Path, seconds: float = 120.0, max_mib: int = 400) -> dict[str, Any]:
    """Run it; ``max_mib`` bounds the bag, whose oldest files make room."""
    from edgekit.ros2_node.package.writing import write_package

    with tempfile.TemporaryDirectory() as scratch:
        write_package(Path(scratch) / "camera")
        environment = os.environ | {
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "OMP_NUM_THREADS": "1",
            PROFILE: str(Path(scratch) / "camera" / "config" / "fastdds.xml"),
        }
        environment.setdefault("AMENT_PREFIX_PATH", sys.prefix)
        parameters = {"bundle": bundle, "autostart": "true", "image_transport": "compressed"}
        options = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
        with (
            child(environment, "-m", "edgekit.ros2_node", "--ros-args", *options),
            child(environment, __file__, "--listener") as hears,
            child(environment, __file__, "--camera"),
        ):
            hears.until(lambda: len(hears.ask()) > 0, "a first result")
            without = _part(hears, seconds / 2)
            bag = Path(scratch) / "bag"
            with_recorder, recorded = _recorded(environment, hears, bag, seconds, max_mib)
            time.sleep(SETTLE_S)
            without += _part(hears, seconds / 2)
    p99 = {name: float(np.percentile(part, 99)) for name, part in (("without", without), ("with", with_recorder))}
    p50 = {name: float(np.median(part)) for name, part in (("without", without), ("with", with_recorder))}
    return {
        "seconds": seconds,
        **recorded,
        "stamp_to_result_p50_ms": p50,
        "stamp_to_result_p99_ms": p99,
        "p99_ratio": p99["with"] / p99["without"],
        "results": {"without": len(without), "with": len(with_recorder)},
        "load_1min": os.getloadavg()[0],
    }


def _part(hears: Child, seconds: float) -> list[float]:
    """Latencies of some seconds."""
    hears.ask()
    time.sleep(seconds)
    found: list[float] = hears.ask()
    return found


def _recorded(
    environment: dict[str, str], hears: Child, bag: Path, seconds: float, max_mib: int
) -> tuple[list[float], dict[str, Any]]:
    """Latencies while a recorder runs, and what became of the frames that were sent meanwhile."""
    options = ("--max-mib", max_mib, "--when-full", "oldest", "--json")
    with child(environment, "-m", "edgekit", "record", bag, *options) as recorder:
        recorder.until(lambda: any(f"recording {IMAGES}" in line for line in list(recorder.errors)), "the recorder")
        recorder.until(lambda: _numbers(bag)[0], "a first frame on the disk")
        first = min(_numbers(bag)[0])  # its file makes room later
        most, end = 0, time.monotonic() + seconds
        hears.ask()
        while time.monotonic() < end:
            time.sleep(0.25)
            most = max(most, on_disk(bag))
        latencies = hears.ask()
        time.sleep(SETTLE_S)
        busy = psutil.Process(recorder.process.pid).cpu_times()
        recorder.process.send_signal(signal.SIGINT)
        summary = json.loads(recorder.process.stdout.read())  # type: ignore[union-attr]
        recorder.process.wait()
    kept, frame_kib = _numbers(bag)
    images = summary["topics"][IMAGES]
    return latencies, {
        # The camera numbers its frames: from the first that is recorded to the last, each is written or lost.
        "frames": max(kept) - first + 1,
        "frames_lost": max(kept) - first + 1 - images["written"],
        "frames_missing_among_the_kept": max(kept) - min(kept) + 1 - len(kept),
        "dropped": images["dropped"],
        "bound_mib": max_mib,
        "most_mib_on_disk": most / 2**20,
        "files_that_made_room": len(summary["removed"]),
        "recorder_cpu_ms_per_frame": 1e3 * (busy.user + busy.system) / max(1, images["received"]),
        "frame_kib": frame_kib,
        "backlog_most_mib": summary["backlog_most_bytes"] / 2**20,
    }


def _numbers(bag: Path) -> tuple[set[int], float]:
    """Numbers of the frames in a bag, and their mean size in KiB."""
    from edgekit.core.bags import Bag

    if not any(bag.rglob("*.mcap")):
        return set(), 0.0
    with Bag(bag) as opened:
        sizes = {
            int(opened.decode(message).header.frame_id): len(message.data) for message in opened.messages([IMAGES])
        }
    return set(sizes), sum(sizes.values()) / max(1, len(sizes)) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--max-mib", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--camera", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--listener", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.camera or args.listener:
        camera() if args.camera else listener()
        return
    if args.bundle is None:
        parser.error("name a bundle")
    result = recording(args.bundle, args.seconds, args.max_mib)
    print(json.dumps(result, indent=2) if args.json else result)


if __name__ == "__main__":
    main()
