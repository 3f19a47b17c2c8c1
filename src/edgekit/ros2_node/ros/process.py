"""The process around a node: signals, the executor's thread, and an end that comes in time."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from edgekit.core.errors import EdgekitError
from edgekit.ros2_node.ros.node import PerceptionNode
from edgekit.runtime.memory import keep_freed

END_S = 1.7
"""Of what runs when a signal comes; then the process ends without it, before a launch file loses patience."""


def run(argv: Sequence[str]) -> int:
    """Run a node until SIGINT or SIGTERM; the exit code."""
    keep_freed()
    stop = threading.Event()
    # rclpy's own handlers would shut the context down under an inference that wants to publish.
    rclpy.init(args=list(argv), signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        node = PerceptionNode()
    except EdgekitError as error:
        print(f"edgekit: {error}", file=sys.stderr)
        rclpy.shutdown()
        return error.exit_code
    # Python runs no handler while a call holds its lock; the watchdog sees the signal all the same.
    signal.set_wakeup_fd(node.watchdog.pipe, warn_on_full_buffer=False)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=_spin, args=(executor, stop), name="executor", daemon=True)
    thread.start()
    stop.wait()
    _end(node, executor, thread)
    return 0


def _spin(executor: SingleThreadedExecutor, stop: threading.Event) -> None:
    """Until the executor is shut down; if it ends by an error, so does the process."""
    try:
        executor.spin()
    except ExternalShutdownException:
        pass
    finally:
        stop.set()


def _end(node: PerceptionNode, executor: SingleThreadedExecutor, thread: threading.Thread) -> None:
    """Release everything; what hangs is left to the end of the process."""
    hard = threading.Timer(END_S, _leave)
    hard.daemon = True
    hard.start()
    executor.shutdown(timeout_sec=0)
    thread.join()
    signal.set_wakeup_fd(-1)
    node.close()
    node.destroy_node()
    rclpy.shutdown()
    hard.cancel()


def _leave() -> None:
    os.write(2, f"edgekit: ended after {END_S:g} s without releasing everything\n".encode())
    os._exit(0)
