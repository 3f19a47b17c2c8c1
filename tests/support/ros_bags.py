"""Processes for tests of record and replay: edgekit's commands, and a small node, on a ROS domain of their own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ,
    "ROS_DOMAIN_ID": os.environ.get("ROS_DOMAIN_ID", str(1 + os.getpid() % 100)),
    "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
    "PYTHONUNBUFFERED": "1",
}


class Process:
    """A running command; ``said`` are the lines of its stderr."""

    def __init__(self, *command: object) -> None:
        self.child = subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.child.stderr is not None
        for line in self.child.stderr:
            self.said.append(line.rstrip())

    def until_said(self, *words: str) -> None:
        """Wait until a line has each of the words."""
        until(
            lambda: (
                all(any(word in line for line in list(self.said)) for word in words) or self.child.poll() is not None
            ),
            f"{words} among {self.said}",
        )
        assert all(any(word in line for line in self.said) for word in words), self.said

    def tell(self, line: str) -> None:
        """Write a line to its stdin."""
        assert self.child.stdin is not None
        self.child.stdin.write(f"{line}\n")
        self.child.stdin.flush()

    def meet(self) -> None:
        """Wait until each topic of the echo node has a subscriber: saying that one is there is not meeting it."""
        self.tell("meet")
        self.until_said("met")

    def end(self, signal_number: int | None = None) -> tuple[int, str]:
        """Send a signal, and wait; exit code and stdout."""
        if signal_number is not None:
            self.child.send_signal(signal_number)
        assert self.child.stdout is not None
        output = self.child.stdout.read()  # until it ends: nothing else holds its stdout
        self._reader.join()
        return self.child.wait(), output


@contextlib.contextmanager
def running(*command: object) -> Iterator[Process]:
    """A process that is killed when the block ends, if it has not ended by itself."""
    process = Process(*command)
    try:
        yield process
    finally:
        process.child.kill()
        process.child.wait()


@contextlib.contextmanager
def echo_node(*arguments: str) -> Iterator[Process]:
    """The node of :mod:`tests.support.echo_node`, ready."""
    with running("-m", "tests.support.echo_node", *arguments) as node:
        assert node.child.stdout is not None
        assert node.child.stdout.readline().strip() == "ready", node.said
        yield node


def edgekit(*arguments: object) -> Any:
    """The JSON document of a command that succeeds."""
    with running("-m", "edgekit", *arguments, "--json") as process:
        code, output = process.end()
        assert code == 0, process.said
        return json.loads(output)


def frames(folder: Path, count: int) -> Path:
    """A folder of pictures."""
    folder.mkdir()
    for i in range(count):
        picture = np.random.default_rng(i).integers(0, 255, (24, 32, 3), np.uint8)
        cv2.imwrite(str(folder / f"f{i:03d}.jpg"), picture)
    return folder
