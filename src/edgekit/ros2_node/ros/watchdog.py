"""A process beside the node that says when an inference hangs, even while that holds the node's interpreter.

It reads the memory in :mod:`edgekit.ros2_node.heartbeat`, publishes the status "inference" of the node on
``/diagnostics``, and ends a node that hangs for too long: a hung call cannot be ended otherwise.  It ends with the
node.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from edgekit.ros2_node.heartbeat import Heartbeat, State
from edgekit.ros2_node.ros.graph import split_name

POLL_S = 0.003
"""How often the memory is looked at: a tenth of a camera's period."""
STOP_S = 1.9
"""A node that was asked to stop (SIGINT, SIGTERM) and has not after so long is killed."""
LEAVE_S = 1
"""Fast DDS can wait for ever for a listener of its own while a participant leaves: the system ends the process then."""
STATUS = "inference"


@dataclass
class Verdict:
    """What is said of the node, from one look at its memory to the next."""

    exit_s: float
    hold_s: float = 1.0
    hung_until_s: float = field(default=-1.0, init=False)

    def of(self, heartbeat: Heartbeat, now_s: float) -> tuple[bytes, str]:
        """Level and message.  An inference that hung and came back stays visible for ``hold_s``: nothing flaps."""
        if heartbeat.hung:
            self.hung_until_s = now_s + self.hold_s
            after = f"; the node is ended after {self.exit_s:g} s" if self.exit_s else ""
            return (
                DiagnosticStatus.ERROR,
                f"The inference hangs for longer than {heartbeat.limit_s * 1e3:.0f} ms{after}.",
            )
        if heartbeat.state != State.ACTIVE:
            return DiagnosticStatus.OK, "The node is not active."
        if now_s < self.hung_until_s:
            return DiagnosticStatus.ERROR, "The inference hung, and came back."
        return DiagnosticStatus.OK, "Inferences end in time."

    def kills(self, heartbeat: Heartbeat) -> bool:
        """Whether the node has hung for so long that it is ended."""
        return bool(self.exit_s) and heartbeat.hung and heartbeat.running_s > self.exit_s


class Watchdog:
    """Looks at a node's memory until the node ends.

    Args:
        node: publishes.
        watched: the full name of the node that is watched.
        heartbeat: its memory.
        parent: its process, whose end ``signals`` shows.
        signals: a pipe from the node: a byte for each signal that it gets, the end when it has ended.
        verdict: when it hangs.
    """

    def __init__(
        self, node: Node, watched: str, heartbeat: Heartbeat, parent: int, signals: int, verdict: Verdict
    ) -> None:
        self._node, self._watched, self._heartbeat, self._verdict = node, watched, heartbeat, verdict
        self._parent, self._signals = parent, signals
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._said: tuple[bytes, str] | None = None
        self._due_s = 0.0

    def run(self) -> None:
        """Watch until the node ended."""
        kill_at_s = float("inf")
        while True:
            readable, _, _ = select.select([self._signals], [], [], POLL_S)
            if readable:
                if not os.read(self._signals, 64):
                    break
                kill_at_s = min(kill_at_s, time.monotonic() + STOP_S)
            now_s = time.monotonic()
            self._say(now_s)
            if now_s > kill_at_s or self._verdict.kills(self._heartbeat):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._parent, signal.SIGKILL)
        if self._heartbeat.state != State.ENDED:
            self._publish(DiagnosticStatus.ERROR, "The node's process ended without being asked to.")
            self._publisher.wait_for_all_acked(Duration(seconds=1))  # what is not sent yet is lost with the publisher

    def _say(self, now_s: float) -> None:
        said = self._verdict.of(self._heartbeat, now_s)
        changed = self._said is None or said[0] != self._said[0]
        if changed or now_s >= self._due_s:
            self._publish(*said)
            self._said, self._due_s = said, now_s + 1.0

    def _publish(self, level: bytes, message: str) -> None:
        beat = self._heartbeat
        values = {
            "Inferences": str(beat.count),
            "Running for (s)": f"{beat.running_s:f}",
            "Limit (s)": f"{beat.limit_s:f}",
            "Last inference ended before (s)": f"{beat.age_s:f}",
            "Process": str(self._parent),
        }
        status = DiagnosticStatus(level=level, name=f"{self._watched.lstrip('/')}: {STATUS}", message=message)
        status.hardware_id = self._watched
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)


@dataclass
class Guarded:
    """A running watchdog, as the node holds it."""

    process: subprocess.Popen[bytes]
    pipe: int
    """The node's end of the pipe; a signal's number is written to it (``signal.set_wakeup_fd``)."""

    def close(self) -> None:
        """Let it end, and wait for it: no zombie is left."""
        os.close(self.pipe)
        self.process.wait()


def start(watched: str, heartbeat: Heartbeat, exit_s: float) -> Guarded:
    """Start the watchdog of this process; it ends when this process does, however that happens."""
    theirs, ours = os.pipe()
    os.set_blocking(ours, False)
    command = [sys.executable, "-m", __name__, watched, str(heartbeat.descriptor), str(os.getpid()), str(theirs)]
    try:
        # A session of its own: a Ctrl-C in a terminal is for the node, which ends it.
        process = subprocess.Popen(
            [*command, str(exit_s)], pass_fds=[heartbeat.descriptor, theirs], start_new_session=True
        )
    except OSError:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    return Guarded(process, ours)


def main() -> None:
    """Entry point of the process; see :func:`start`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("watched")
    for name in ("descriptor", "parent", "signals"):
        parser.add_argument(name, type=int)
    parser.add_argument("exit_s", type=float)
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    rclpy.init(args=["--ros-args", "--log-level", "warn"], signal_handler_options=SignalHandlerOptions.NO)
    name, namespace = split_name(args.watched)
    node = rclpy.create_node(
        f"{name}_watchdog", namespace=namespace, start_parameter_services=False, enable_rosout=False
    )
    try:
        verdict = Verdict(args.exit_s)
        Watchdog(node, args.watched, Heartbeat(args.descriptor), args.parent, args.signals, verdict).run()
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LEAVE_S)
        node.destroy_node()
        rclpy.shutdown()


if __name__ == "__main__":
    main()
