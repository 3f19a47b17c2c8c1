"""How long the ROS 2 node takes to name each fault: real processes, so many repeats of each, resumable.

    make venv ros
    PYTHONPATH=. .venv-ros/bin/python benchmarks/ros2_faults.py --repeats 20
    PYTHONPATH=. .venv-ros/bin/python benchmarks/ros2_faults.py --repeats 20 --only hang,crash

A camera sends 640x360 frames of moving blocks at 30 Hz.  The time counts from the first frame with the fault (or the
signal, or the call) to the message of ``/diagnostics`` that says so, here; for signals to the end of the process.  The
bundles are those of the tests.  What is in the file already is not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from lifecycle_msgs.msg import Transition
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from tests.support.ros import Client, NodeProcess, client, running

ROOT = Path(__file__).resolve().parents[1]
PERIOD_S = 1 / 30
PATIENCE_S = 30.0
ACTIVE = {"autostart": True, "rate_hz": 30.0}


@dataclass
class Bench:
    """A client, an active node of the name ``name`` and its bundle."""

    ros: Client
    node: NodeProcess
    name: str
    bundle: Path
    number: int = 0

    def frame(self) -> np.ndarray:
        """The next frame: blocks that move before a textured ground."""
        self.number += 1
        rng = np.random.default_rng(7)
        image = rng.integers(60, 180, (45, 80, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
        for block in range(6):
            top, left = (40 + 50 * block) % 300, (90 * block + 5 * self.number) % 580
            image[top : top + 50, left : left + 50] = np.array([40 * block, 255 - 40 * block, 128], np.uint8)
        noise = np.random.default_rng(self.number).integers(-3, 4, image.shape, np.int16)
        return np.clip(image.astype(np.int16) + noise, 0, 255).astype(np.uint8)

    def send(self, pixels: np.ndarray | None = None, **fields: Any) -> None:
        """A frame, and a period's rest."""
        self.ros.send(self.frame() if pixels is None else pixels, f"/{self.name}/input/image", **fields)
        time.sleep(PERIOD_S)

    def level(self, status: str) -> tuple[int, str]:
        return self.ros.status(f"{self.name}: {status}")

    def until(self, step: Callable[[], None], holds: Callable[[], bool]) -> float:
        """Seconds until it holds; NaN after half a minute."""
        begin = time.monotonic()
        while not holds():
            if time.monotonic() - begin > PATIENCE_S:
                return float("nan")
            step()
        return time.monotonic() - begin

    def calm(self) -> None:
        """Send good frames until everything is OK again."""
        names = ("input rate", "stamp age", "refused frames", "camera", "output", "inference", "engine")
        self.until(self.send, lambda: all(self.level(name)[0] == 0 for name in names))


Fault = Callable[[Bench], tuple[float, str]]


def _seen(status: str, least: int, words: str = "", **fields: Any) -> Fault:
    """Frames whose message fields are wrong."""

    def run(bench: Bench) -> tuple[float, str]:
        took = bench.until(
            lambda: bench.send(**fields),
            lambda: bench.level(status)[0] >= least and words in bench.level(status)[1],
        )
        return took, bench.level(status)[1]

    return run


def _pictured(change: Callable[[Bench], np.ndarray]) -> Fault:
    """Frames whose picture is wrong."""

    def run(bench: Bench) -> tuple[float, str]:
        took = bench.until(lambda: bench.send(change(bench)), lambda: bench.level("camera")[0] >= 1)
        return took, bench.level("camera")[1]

    return run


def _stamped(seconds: int | None) -> Fault:
    def run(bench: Bench) -> tuple[float, str]:
        def step() -> None:
            stamp = bench.ros.stamp()
            stamp.sec, stamp.nanosec = (0, 0) if seconds is None else (stamp.sec + seconds, stamp.nanosec)
            bench.send(stamp=stamp)

        took = bench.until(step, lambda: bench.level("stamp age")[0] >= 1)
        return took, bench.level("stamp age")[1]

    return run


def _silence(bench: Bench) -> tuple[float, str]:
    took = bench.until(lambda: time.sleep(0.005), lambda: bench.level("input rate")[0] == 2)
    return took, bench.level("input rate")[1]


def _frozen() -> Callable[[Bench], np.ndarray]:
    held: dict[int, np.ndarray] = {}
    return lambda bench: held.setdefault(id(bench), bench.frame())


def _blurred(bench: Bench) -> np.ndarray:
    import cv2

    return cv2.GaussianBlur(bench.frame(), (0, 0), 8)


def _engine(words: str, status: str, least: int = 2) -> Fault:
    """What a faulty engine is told; the message is not that of a frame."""

    def run(bench: Bench) -> tuple[float, str]:
        bench.node.told(words)
        took = bench.until(bench.send, lambda: bench.level(status)[0] >= least)
        message = bench.level(status)[1]
        bench.node.told("")
        return took, message

    return run


def _edited(bench: Bench) -> tuple[float, str]:
    engine = next(bench.bundle.rglob("*.ort.onnx"))
    engine.write_bytes(engine.read_bytes()[:-8] + bytes(8))
    name = f"/{bench.name}"
    begin = time.monotonic()
    for transition in (
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
    ):
        bench.ros.transition(name, transition)
    bench.until(lambda: time.sleep(0.005), lambda: bench.level("engine")[0] == 2)
    return time.monotonic() - begin, bench.level("engine")[1]


def _parameter(bench: Bench) -> tuple[float, str]:
    begin = time.monotonic()
    ((good, reason),) = bench.ros.set(f"/{bench.name}", rate_hz=-1.0)
    return (float("nan") if good else time.monotonic() - begin), reason


def _quality(bench: Bench) -> tuple[float, str]:
    """The node asks for reliable frames; this publisher offers best effort."""
    profile = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    publisher = bench.ros.node.create_publisher(Image, f"/{bench.name}/input/image", profile)
    took = bench.until(lambda: time.sleep(0.005), lambda: "does not fit" in bench.level("refused frames")[1])
    message = bench.level("refused frames")[1]
    bench.ros.node.destroy_publisher(publisher)
    return took, message


def _signal(number: int, busy: bool) -> Fault:
    def run(bench: Bench) -> tuple[float, str]:
        if busy:
            bench.node.told("slow 300")
            bench.until(bench.send, lambda: bench.level("inference")[0] == 2)
        begin = time.monotonic()
        bench.node.process.send_signal(number)
        code = bench.node.process.wait(timeout=60)
        return time.monotonic() - begin, f"exit code {code}"

    return run


STEADY: dict[str, Fault] = {
    "no input": _silence,
    "the same frame repeated": _pictured(_frozen()),
    "lens covered": _pictured(lambda bench: bench.frame() // 64),
    "defocus": _pictured(_blurred),
    "exposure jump": _pictured(lambda bench: np.clip(bench.frame().astype(np.int16) * 2 + 60, 0, 255).astype(np.uint8)),
    "stamp in the future": _stamped(3600),
    "stamp zero": _stamped(None),
    "stamp jumping back": _stamped(-3600),
    "wrong encoding": _seen("refused frames", 1, "rgb88", encoding="rgb88"),
    "wrong size": _seen("refused frames", 1, "step", step=100),
    "truncated data": _seen("refused frames", 1, "truncated", data=[0] * 1000),
    "engine gives NaN": _engine("nan", "output"),
    "parameter out of range": _parameter,
}
"""Of these a node recovers: one node for all repeats."""
ENDING: dict[str, Fault] = {
    "engine hangs": _engine("hang", "inference"),
    "engine hangs with Python's lock": _engine("hang-gil", "inference"),
    "engine fails": _engine("raise", "engine"),
    "engine crashes": _engine("crash", "inference"),
    "bundle edited": _edited,
    "SIGINT during inference": _signal(signal.SIGINT, busy=True),
    "SIGTERM during inference": _signal(signal.SIGTERM, busy=True),
}
"""Each repeat has a node of its own."""
OTHER = {
    "publisher of another quality of service": _quality,
    "SIGINT during configure": _signal(signal.SIGINT, busy=False),
    "SIGTERM during configure": _signal(signal.SIGTERM, busy=False),
}


@contextmanager
def bench(ros: Client, bundle: Path, name: str, calm: bool = True, **more: Any) -> Iterator[Bench]:
    """A node, active and OK where ``calm``."""
    with tempfile.TemporaryDirectory() as folder:
        own = Path(shutil.copytree(bundle, Path(folder) / "bundle"))
        with running(Path(folder), name=name, bundle=own, **ACTIVE, **more) as node:
            made = Bench(ros, node, name, own)
            if calm:
                made.calm()
            yield made


def repeat(ros: Client, name: str, bundles: Path, count: int) -> list[tuple[float, str]]:
    """So many times one fault."""
    found = []
    plain = f"f{os.getpid()}_{abs(hash(name)) % 10_000}"
    if name in STEADY:
        with bench(ros, bundles / "faulty", plain) as steady:
            for _ in range(count):
                found.append(STEADY[name](steady))
                steady.calm()
        return found
    for number in range(count):
        options: dict[str, Any] = {}
        if name == "publisher of another quality of service":
            options = {f"qos_overrides./{plain}_{number}/input/image.subscription.reliability": "reliable"}
        if "configure" in name:
            options = {"fault": "slow 3000"}
        calm = name in ENDING
        with bench(ros, bundles / "faulty", f"{plain}_{number}", calm, **options) as one:
            if not calm:
                one.until(lambda: time.sleep(0.01), lambda: one.name in ros.node.get_node_names())
            found.append((ENDING | OTHER)[name](one))
    return found


def built(folder: Path) -> Path:
    """The bundles of the tests, by the environment that has torch."""
    if not (folder / "faulty").is_dir():
        paths = os.pathsep.join(map(str, (ROOT / "src", ROOT / "tests/support/faulty_engine", ROOT)))
        clean = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
        command = [str(ROOT / ".venv/bin/python"), "-m", "tests.support.ros_bundles", str(folder)]
        subprocess.run(command, env=clean | {"PYTHONPATH": paths}, cwd=ROOT, check=True)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/ros2_faults.json"))
    parser.add_argument("--bundles", type=Path, default=Path("build/ros2_bundles"))
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--only", default="", help="parts of the faults' names, separated by commas")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    from edgekit.core.artifacts import write_json
    from edgekit.profiling import machine

    report = json.loads(args.out.read_text()) if args.out.is_file() else {"faults": {}}
    wanted = [name for name in STEADY | ENDING | OTHER if any(part in name for part in args.only.split(","))]
    bundles = built(args.bundles)
    for name in wanted:
        if len(report["faults"].get(name, {}).get("seconds", ())) >= args.repeats:
            continue
        with client() as ros:
            runs = repeat(ros, name, bundles, args.repeats)
        seconds = [took for took, _ in runs]
        named = [took for took in seconds if took == took]  # NaN: not named
        report["faults"][name] = {
            "named": len(named),
            "of": len(seconds),
            "median_s": float(np.median(named)) if named else None,
            "slowest_s": max(named, default=None),
            "seconds": [took if took == took else None for took in seconds],
            "message": runs[-1][1],
        }
        report |= {"date": datetime.now(UTC).date().isoformat(), "machine": vars(machine())}
        write_json(args.out, report)
        row = report["faults"][name]
        print(f"{name:42} {row['named']:3} of {row['of']:3}  median {row['median_s']}  {row['message']}", flush=True)


if __name__ == "__main__":
    main()
