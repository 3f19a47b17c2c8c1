"""What the ROS 2 node adds to its engine, and what it does under load: real processes, on the loopback.

    make ros demo
    .venv-ros/bin/python benchmarks/ros2_node.py --json                 # latency: node, the chain alone, a naive node
    .venv-ros/bin/python benchmarks/ros2_node.py overload --json        # twice the frames that the engine can answer
    .venv-ros/bin/python benchmarks/ros2_node.py start --json           # from process start to the first result
    .venv-ros/bin/python benchmarks/ros2_node.py soak --minutes 60 --json

The method is that of ros2_tracing (Bedard et al., IEEE RA-L 2022) and RobotPerf: a time stamp at each hop.  A frame's
stamp is the moment before it is published; a result's age counts until the listener, a third process, has it.  The
chain alone runs the same frames at the same pace in one process without ROS.  The naive node subscribes, infers in the
callback and publishes, with the defaults of rclpy and of the middleware; everything else runs with the profile that
`edgekit ros2 package` ships.
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
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.runtime.memory import keep_freed

SIZE = (720, 1280)
RATE_HZ = 30.0
DOMAIN = 100
BUNDLE = Path("edgekit-demo/artifacts/demo-seg-cpu")
PROFILE = "templates/config/fastdds.xml.txt"


def frames() -> list[np.ndarray]:
    """Sixteen different smooth BGR frames with some noise: camera-like for the middleware, and never the same twice."""
    import cv2

    made = []
    for seed in range(16):
        rng = np.random.default_rng(seed)
        small = rng.integers(20, 235, (12, 20, 3), np.uint8)
        smooth = cv2.resize(small, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        made.append(np.clip(smooth.astype(np.int16) + rng.integers(-4, 5, smooth.shape), 0, 255).astype(np.uint8))
    return made


def publish(args: argparse.Namespace) -> None:
    """Send frames at a steady pace; prints how many."""
    import rclpy
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node("camera")
    reliability = ReliabilityPolicy.RELIABLE if args.naive else ReliabilityPolicy.BEST_EFFORT
    publisher = node.create_publisher(
        Image, args.topic, QoSProfile(depth=10 if args.naive else 5, reliability=reliability)
    )
    messages = []
    for pixels in frames():
        message = Image(height=SIZE[0], width=SIZE[1], encoding="bgr8", step=SIZE[1] * 3)
        message.data = array.array("B", pixels.tobytes())
        messages.append(message)
    while publisher.get_subscription_count() == 0:
        time.sleep(0.01)
    time.sleep(1.0)
    begin, sent = time.monotonic(), 0
    while sent < int(args.seconds * args.rate):
        time.sleep(max(0.0, begin + sent / args.rate - time.monotonic()))
        message = messages[sent % len(messages)]
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)
        sent += 1
    time.sleep(1.0)
    print(json.dumps({"sent": sent, "seconds": time.monotonic() - begin - 1.0}))


def listen(args: argparse.Namespace) -> None:
    """Hear results until SIGINT; prints the age in milliseconds of each, and the levels that were heard."""
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from rclpy.executors import ExternalShutdownException
    from rclpy.qos import QoSProfile
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node("listener")
    ages: list[float] = []
    levels: list[tuple[float, str, int, str]] = []
    last: dict[str, int] = {}

    def result(message: Image) -> None:
        stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        ages.append((node.get_clock().now().nanoseconds * 1e-9 - stamp) * 1e3)

    def diagnosed(message: DiagnosticArray) -> None:
        for status in message.status:
            if last.get(status.name) != status.level[0]:
                last[status.name] = status.level[0]
                levels.append((time.time(), status.name, status.level[0], status.message))

    node.create_subscription(Image, args.topic, result, QoSProfile(depth=100))
    node.create_subscription(DiagnosticArray, "/diagnostics", diagnosed, QoSProfile(depth=100))
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)
    print(json.dumps({"ages_ms": ages, "levels": levels}))


def first(args: argparse.Namespace) -> None:
    """Print when the first result came."""
    import rclpy
    from sensor_msgs.msg import Image

    rclpy.init()
    node, times = rclpy.create_node("first"), []
    node.create_subscription(Image, args.topic, lambda _: times.append(time.time()), 1)
    while not times:
        rclpy.spin_once(node)
    print(json.dumps({"time": times[0]}))


def naive(args: argparse.Namespace) -> None:
    """What an engineer writes in ten minutes: inference in the callback, every default."""
    import rclpy
    from rclpy.executors import ExternalShutdownException
    from sensor_msgs.msg import Image

    from edgekit.bundle import open_bundle

    rclpy.init()
    node = rclpy.create_node("naive")
    with open_bundle(args.bundle) as bundle, bundle.engine() as engine:
        chain = bundle.chain(engine)
        publisher = node.create_publisher(Image, "/naive/output/mask", 10)

        def callback(message: Image) -> None:
            pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)[..., ::-1]
            mask = chain({"image": np.ascontiguousarray(pixels)}).labels
            answer = Image(header=message.header, height=mask.shape[0], width=mask.shape[1], encoding="mono8")
            answer.step, answer.data = mask.shape[1], array.array("B", mask.tobytes())
            publisher.publish(answer)

        node.create_subscription(Image, "/naive/input/image", callback, 10)
        with suppress(KeyboardInterrupt, ExternalShutdownException):
            rclpy.spin(node)


def alone(args: argparse.Namespace) -> None:
    """The chain on the same frames at the same pace, without ROS; prints milliseconds and CPU seconds a frame."""
    from edgekit.bundle import open_bundle
    from edgekit.core.pixels import RawImage, to_rgb

    images = [RawImage(*SIZE, "bgr8", SIZE[1] * 3, pixels.tobytes()) for pixels in frames()]
    with open_bundle(args.bundle) as bundle, bundle.engine() as engine:
        chain = bundle.chain(engine)
        for raw in images:
            chain({"image": to_rgb(raw)})
        times, begin, cpu = [], time.monotonic(), time.process_time()
        count = int(args.seconds * args.rate)
        for number in range(count):
            time.sleep(max(0.0, begin + number / args.rate - time.monotonic()))
            start = time.perf_counter()
            chain({"image": to_rgb(images[number % len(images)])})
            times.append((time.perf_counter() - start) * 1e3)
        print(json.dumps({"ms": times, "cpu_s_a_frame": (time.process_time() - cpu) / count}))


ROLES = {"publish": publish, "listen": listen, "first": first, "naive": naive, "alone": alone}


def environment(profile: str | None) -> dict[str, str]:
    found = os.environ | {"ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    found |= {"AMENT_PREFIX_PATH": found.get("AMENT_PREFIX_PATH", sys.prefix), "OMP_NUM_THREADS": "1"}
    return found | ({"FASTDDS_DEFAULT_PROFILES_FILE": profile} if profile else {})


@contextmanager
def process(command: list[str], profile: str | None) -> Iterator[subprocess.Popen[str]]:
    """A process that is asked to stop at the end, and then made to."""
    started = subprocess.Popen(
        [sys.executable, *command],
        env=environment(profile),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGINT)
            try:
                started.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                started.kill()


def role(name: str, args: argparse.Namespace, **options: Any) -> list[str]:
    command = [
        str(Path(__file__).resolve()),
        "--role",
        name,
        "--bundle",
        str(args.bundle),
        "--seconds",
        str(args.seconds),
    ]
    return command + [word for key, value in options.items() for word in (f"--{key}", str(value))]


def cpu_s(pid: int) -> float:
    """User and system time of a process and its children that live."""
    import psutil

    root = psutil.Process(pid)
    return sum(sum(one.cpu_times()[:2]) for one in (root, *root.children(recursive=True)))


def node_command(args: argparse.Namespace, **parameters: Any) -> list[str]:
    given = {"bundle": args.bundle, "autostart": "true", "rate_hz": args.rate} | parameters
    words = ["-m", "edgekit.ros2_node", "--ros-args"]
    return words + [word for key, value in given.items() for word in ("-p", f"{key}:={value}")]


def through(
    args: argparse.Namespace, command: list[str], name: str, rate: float, profile: str | None
) -> dict[str, Any]:
    """Frames at ``rate`` through a node; what was heard, and what the node's process took."""
    import psutil

    with process(command, profile) as node:
        hearing = role("listen", args, topic=f"/{name}/output/mask")
        with process(hearing, profile) as listener:
            naive = ["--naive"] if name == "naive" else []
            sending = role("publish", args, topic=f"/{name}/input/image", rate=rate) + naive
            with process(sending, profile) as publisher:
                time.sleep(4.0)
                before, memory = cpu_s(node.pid), psutil.Process(node.pid).memory_info().rss
                out, _ = publisher.communicate()
                spent = cpu_s(node.pid) - before
                grown = (psutil.Process(node.pid).memory_info().rss - memory) / 2**20
            listener.send_signal(signal.SIGINT)
            heard = json.loads(listener.communicate(timeout=60)[0])
    sent = json.loads(out)["sent"]
    return {"sent": sent, "cpu_s": spent, "grown_mib": grown} | heard


def spread(ms: list[float]) -> dict[str, float]:
    return {f"p{level}": float(np.percentile(ms, level)) for level in (50, 90, 99)} if ms else {}


def latency(args: argparse.Namespace, profile: str) -> dict[str, Any]:
    """The node, the chain alone and the naive node, in turn."""
    ran = through(args, node_command(args), "edgekit", args.rate, profile)
    with process(role("alone", args, rate=args.rate), None) as single:
        chain = json.loads(single.communicate()[0])
    other = through(args, role("naive", args), "naive", args.rate, None)
    base, found = spread(chain["ms"]), {}
    for name, one in (("node", ran), ("naive", other)):
        ages = one["ages_ms"]
        found[name] = {
            "sent": one["sent"],
            "lost": one["sent"] - len(ages),
            "age_ms": spread(ages),
            "added_ms": {level: value - base[level] for level, value in spread(ages).items()},
            "cpu_ms_a_frame_beyond_the_chain": 1e3 * (one["cpu_s"] / one["sent"] - chain["cpu_s_a_frame"]),
        }
    alarms = [level for level in ran["levels"] if level[2] > 0]
    return {"chain_ms": base, **found, "levels_above_ok": alarms}


def overload(args: argparse.Namespace, profile: str) -> dict[str, Any]:
    """Twice the frames that the engine answers; then half, to see the node come back."""
    with process(
        role("alone", args | {"seconds": 5} if isinstance(args, dict) else args, rate=args.rate), None
    ) as single:
        chain = json.loads(single.communicate()[0])
    rate = min(120.0, 2e3 / float(np.median(chain["ms"])))
    ran = through(args, node_command(args, rate_hz=rate), "edgekit", rate, profile)
    base = spread(chain["ms"])
    return {
        "rate_hz": rate,
        "chain_ms": base,
        "sent": ran["sent"],
        "answered": len(ran["ages_ms"]),
        "age_ms": spread(ran["ages_ms"]),
        "age_beyond_chain_ms": {level: value - base[level] for level, value in spread(ran["ages_ms"]).items()},
        "grown_mib": ran["grown_mib"],
        "levels": ran["levels"],
    }


def start(args: argparse.Namespace, profile: str) -> dict[str, Any]:
    """From the start of the node's process to its first result, while the camera sends; ten times."""
    took = []
    args.seconds = 600.0
    with process(role("publish", args, topic="/edgekit/input/image", rate=args.rate), profile):
        for _ in range(10):
            begin = time.time()
            with (
                process(node_command(args), profile),
                process(role("first", args, topic="/edgekit/output/mask"), profile) as first,
            ):
                took.append(json.loads(first.communicate(timeout=120)[0])["time"] - begin)
    return {"start_to_first_result_s": took, "median_s": float(np.median(took))}


def soak(args: argparse.Namespace, profile: str) -> dict[str, Any]:
    """Minutes at the normal rate: memory, drops and levels."""
    import psutil

    args.seconds = args.minutes * 60
    with (
        process(node_command(args), profile) as node,
        process(role("listen", args, topic="/edgekit/output/mask"), profile) as listener,
    ):
        with process(role("publish", args, topic="/edgekit/input/image", rate=args.rate), profile) as publisher:
            rss: list[tuple[float, float]] = []
            begin = time.monotonic()
            while publisher.poll() is None:
                time.sleep(5.0)
                rss.append((time.monotonic() - begin, psutil.Process(node.pid).memory_info().rss / 2**20))
            sent = json.loads(publisher.communicate()[0])["sent"]
        listener.send_signal(signal.SIGINT)
        heard = json.loads(listener.communicate(timeout=60)[0])
    settled = [one for one in rss if one[0] > 60] or rss
    slope, error = _slope(settled)
    return {
        "minutes": args.minutes,
        "sent": sent,
        "lost": sent - len(heard["ages_ms"]),
        "age_ms": spread(heard["ages_ms"]),
        "rss_mib_an_hour": slope * 3600,
        "rss_mib_an_hour_interval": [(slope - 1.96 * error) * 3600, (slope + 1.96 * error) * 3600],
        "levels": heard["levels"],
    }


def _slope(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Least squares and its standard error, from the means of ten blocks: neighbours are not independent."""
    from scipy.stats import linregress

    fit = linregress(*np.array([block.mean(axis=0) for block in np.array_split(np.array(points), 10)]).T)
    return float(fit.slope), float(fit.stderr)


MEASUREMENTS = {"latency": latency, "overload": overload, "start": start, "soak": soak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measure", nargs="?", choices=MEASUREMENTS, default="latency")
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=RATE_HZ)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--role", choices=ROLES, help=argparse.SUPPRESS)
    parser.add_argument("--topic", default="", help=argparse.SUPPRESS)
    parser.add_argument("--naive", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.role:
        if args.role != "naive":
            keep_freed()  # as in the node; and camera and listener are not what is measured
        ROLES[args.role](args)
        return
    from edgekit.profiling import machine

    with tempfile.NamedTemporaryFile("w", suffix=".xml") as profile:
        profile.write((files("edgekit.ros2_node.package") / PROFILE).read_text())
        profile.flush()
        found = MEASUREMENTS[args.measure](args, profile.name)
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "measure": args.measure,
        "bundle": args.bundle.name,
        "rate_hz": args.rate,
        "seconds": args.seconds,
        "machine": asdict(machine()),
    } | found
    print(json.dumps(report if args.json else found, indent=1))


if __name__ == "__main__":
    main()
