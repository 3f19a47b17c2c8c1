"""Real ROS 2 processes for tests: a node of edgekit, and a client that sends frames and hears everything.

Every test process talks on a domain of its own, and only on the loopback.
"""

from __future__ import annotations

import array
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
DOMAIN = 40 + os.getpid() % 60
PLUGIN = ROOT / "tests/support/faulty_engine"
SENSOR = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
RELIABLE = QoSProfile(depth=50)


def environment(**more: str) -> dict[str, str]:
    """Of every process: one domain, the loopback, this checkout's code."""
    paths = os.pathsep.join(map(str, (ROOT / "src", PLUGIN, ROOT)))
    ros = {"ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "PYTHONPATH": paths}
    return (
        os.environ | ros | {"OMP_NUM_THREADS": "1", "ROS_LOG_DIR": str(Path(tempfile.gettempdir()) / "ros-logs")} | more
    )


@dataclass
class NodeProcess:
    """A node of edgekit in a process of its own."""

    process: subprocess.Popen[str]
    name: str
    fault: Path

    def told(self, words: str) -> None:
        """What the faulty engine does from now on."""
        self.fault.write_text(words)

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=120)


@contextmanager
def running(
    folder: Path, name: str = "edgekit", namespace: str = "", fault: str = "", **parameters: Any
) -> Iterator[NodeProcess]:
    """A node with these parameters; ended, and its output shown, at the end.

    ``fault`` is what a faulty engine is told from the start.
    """
    words = folder / f"{name}.fault"
    words.write_text(fault)
    command = [sys.executable, "-m", "edgekit.ros2_node", "--ros-args", "-r", f"__node:={name}"]
    if namespace:
        command += ["-r", f"__ns:={namespace}"]
    for key, value in parameters.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        command += ["-p", f"{key.replace('__', '.')}:={text}"]
    process = subprocess.Popen(
        command, env=environment(EDGEKIT_FAULT=str(words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield NodeProcess(process, f"{namespace}/{name}", words)
    finally:
        process.terminate()  # killed, it would leave the middleware's shared memory
        try:
            print(process.communicate(timeout=60)[0])
        except subprocess.TimeoutExpired:
            process.kill()
            print(process.communicate()[0])


@dataclass
class Client:
    """Sends frames and keeps what it hears, by topic; spins on a thread of its own."""

    node: Any
    heard: dict[str, list[Any]] = field(default_factory=dict)
    statuses: dict[str, list[Any]] = field(default_factory=dict)
    stamps: list[Any] = field(default_factory=list)
    """Of the frames that were sent."""
    _publishers: dict[str, Any] = field(default_factory=dict)

    def hear(self, topic: str, kind: type, profile: QoSProfile = RELIABLE) -> list[Any]:
        """Subscribe; the list grows with every message."""
        found = self.heard.setdefault(topic, [])
        self.node.create_subscription(kind, topic, found.append, profile)
        return found

    def publisher(self, topic: str, kind: type, profile: QoSProfile = SENSOR) -> Any:
        """A publisher that somebody listened to when it was made."""
        if topic not in self._publishers:
            made = self.node.create_publisher(kind, topic, profile)
            until(lambda: made.get_subscription_count() > 0, f"a subscription of {topic}")
            self._publishers[topic] = made
        return self._publishers[topic]

    def stamp(self) -> Any:
        """Now, for a header."""
        return self.node.get_clock().now().to_msg()

    def send(self, pixels: np.ndarray, topic: str = "/edgekit/input/image", **fields: Any) -> Image:
        """Send an RGB frame, or whatever ``fields`` make of it; returns the message."""
        message = picture(pixels)
        message.header.stamp = self.stamp()
        for name, value in fields.items():
            setattr(message, name, value) if name != "stamp" else setattr(message.header, "stamp", value)
        self.stamps.append(message.header.stamp)
        self.publisher(topic, Image).publish(message)
        return message

    def send_until(
        self, pixels: Any, holds: Any, what: str, topic: str = "/edgekit/input/image", **fields: Any
    ) -> None:
        """Send frames at about 30 Hz until ``holds()``; ``pixels`` may be a function that makes each."""

        def once() -> bool:
            self.send(pixels() if callable(pixels) else pixels, topic, **fields)
            pause.wait(1 / 30)
            return bool(holds())

        pause = threading.Event()
        until(once, what)

    def status(self, name: str) -> tuple[int, str]:
        """Level and message of a status now; (-1, "") before it was heard."""
        found = self.statuses.get(name)
        return (found[-1].level[0], found[-1].message) if found else (-1, "")

    def call(self, service: str, kind: Any, request: Any) -> Any:
        """Call a service; the response."""
        client = self.node.create_client(kind, service)
        until(client.service_is_ready, f"the service {service}")
        future = client.call_async(request)
        until(future.done, f"an answer of {service}")
        self.node.destroy_client(client)
        return future.result()

    def transition(self, name: str, number: int) -> bool:
        """Ask a node for a lifecycle transition; whether it succeeded."""
        request = ChangeState.Request(transition=Transition(id=number))
        return bool(self.call(f"{name}/change_state", ChangeState, request).success)

    def state(self, name: str) -> str:
        """The lifecycle state of a node."""
        return str(self.call(f"{name}/get_state", GetState, GetState.Request()).current_state.label)

    def set(self, node: str, **values: Any) -> list[tuple[bool, str]]:
        """Set parameters of a node; success and reason of each."""
        parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        results = self.call(
            f"{node}/set_parameters", SetParameters, SetParameters.Request(parameters=parameters)
        ).results
        return [(one.successful, one.reason) for one in results]

    def get(self, node: str, name: str) -> Any:
        """A parameter of a node, as a ParameterValue."""
        return self.call(f"{node}/get_parameters", GetParameters, GetParameters.Request(names=[name])).values[0]

    def _diagnosed(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.statuses.setdefault(status.name, []).append(status)


@contextmanager
def client(name: str = "client") -> Iterator[Client]:
    """A client that hears ``/diagnostics``."""
    os.environ |= {key: environment()[key] for key in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOG_DIR")}
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node(name, context=context)
    made = Client(node)
    node.create_subscription(DiagnosticArray, "/diagnostics", made._diagnosed, QoSProfile(depth=100))
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def spin() -> None:
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        executor.shutdown()
        thread.join()
        node.destroy_node()
        rclpy.shutdown(context=context)


def picture(pixels: np.ndarray) -> Image:
    """An rgb8 image message of ``(H, W, 3)`` uint8."""
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding="rgb8", step=pixels.shape[1] * 3)
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(pixels).tobytes())
    message.data = data
    message.header.frame_id = "camera"
    return message


def compressed(content: bytes) -> CompressedImage:
    """A compressed image message."""
    message = CompressedImage(format="jpeg")
    message.data = array.array("B", content)
    return message


def pixels_of(message: Image) -> np.ndarray:
    """The array in an image message that edgekit published."""
    dtype = {"mono8": np.uint8, "rgb8": np.uint8, "32FC1": np.float32}[message.encoding]
    found = np.frombuffer(message.data, dtype)
    shape = (message.height, message.width, 3) if message.encoding == "rgb8" else (message.height, message.width)
    return found.reshape(shape)
