"""A board with a Jetson's programs, one fault, one run, and what is left on the board after it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hil.tests.support.jetson import Jetson, jetson

from edgekit_hil.environment import open_target
from edgekit_hil.faults.board import Fault, LocalBoard
from edgekit_hil.onboard import lease, store
from edgekit_hil.options import RunOptions
from edgekit_hil.report import RunReport
from edgekit_hil.run import run
from tests.support.loopback import USER, Loopback, require_server, serve, server_process
from tests.support.waiting import until

_ENVIRONMENT = """\
imports: [edgekit_hil.drivers.agent, edgekit_hil.drivers.jetson, edgekit_hil.strategies.board]
targets:
  main:
    resources:
      NetworkService: {{address: 127.0.0.1, port: {port}, username: {user}}}
    drivers:
      SSHDriver: {{keyfile: {key}, connection_timeout: 2.0}}
      AgentDriver: {{folder: {folder}, python: {python}, ros_python: "{ros}", patience_s: 3.0}}
      JetsonDriver:
        mode: MODE_50W
        jetpack: "6.2"
        heartbeat: {folder}/lease.json
        silent_s: 3600
        sudo: ""
        folder: {root}/guard
        sys: {sys}
        release: {release}
      BoardStrategy: {{boot_timeout_s: 2.0}}
"""


@dataclass
class Rig:
    """A board for faults; ``bag`` is replayed when a fault stops the camera."""

    server: Loopback
    board: LocalBoard
    stand_in: Jetson
    environment: Path
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def trial(self, fault: Fault, bundle: Path, out: Path, bag: Path | None = None, queries: int = 120) -> Trial:
        """One run with the fault, and the board looked at after it."""
        before = (self.stand_in.mode, self.stand_in.clocks)
        fault.inject(self.board)
        try:
            report = run(self.environment, bundle, RunOptions(out, queries=queries, bag=bag))
            released = _free(self.board.folder)
            half = half_bundles(self.board.folder, bundle)
        finally:
            fault.recover(self.board)
        if report.verdict == "infrastructure" and (self.stand_in.mode, self.stand_in.clocks) != before:
            self.put_back()
        released = released or _free(self.board.folder)
        half += half_bundles(self.board.folder, bundle)
        restored = (self.stand_in.mode, self.stand_in.clocks) == before
        return Trial(fault.name, report, released, restored, half)

    def put_back(self) -> None:
        """Power mode and clocks, as the next run does before it takes its own: the watcher may have been killed too."""
        strategy = open_target(self.environment)
        strategy.transition("booted")
        strategy.target.activate(strategy.clocks)
        strategy.clocks.unlock()
        strategy.transition("released")


@dataclass(frozen=True)
class Trial:
    """What a run with a fault came to."""

    name: str
    report: RunReport
    released: bool
    restored: bool
    half: list[str]


def _free(folder: Path) -> bool:
    return lease.holder(folder) is None


def half_bundles(folder: Path, bundle: Path) -> list[str]:
    """Trees of bundles that are not whole, and after the next run's tidying what is left of files half written."""
    whole = {path.relative_to(bundle).as_posix(): path.stat().st_size for path in bundle.rglob("*") if path.is_file()}
    wrong = []
    for tree in (folder / "bundles").glob("[!.]*"):
        found = {path.relative_to(tree).as_posix(): path.stat().st_size for path in tree.rglob("*") if path.is_file()}
        if found != whole:
            wrong.append(tree.name)
    if folder.exists():
        store.sweep(folder, 32, lambda remove: remove() is None)
    return wrong + [path.name for path in (*folder.glob("store/.incoming.*"), *folder.glob("*/.*.partial"))]


@contextmanager
def rig(root: Path) -> Iterator[Rig]:
    """Start a board; its Python has this edgekit."""
    with serve(root) as server:
        stand_in = jetson(server)
        folder, python = root / "board" / "edgekit-hil", server.python()
        config = root / "sshd_config"
        started: list[subprocess.Popen[bytes]] = []

        def start() -> None:
            with (root / "sshd.log").open("ab") as log:
                words = [require_server(), "-D", "-e", "-f", str(config)]
                started.append(subprocess.Popen(words, stderr=log))
            until(lambda: b"Server listening" in (root / "sshd.log").read_bytes().splitlines()[-1], "that sshd listens")

        def pid() -> int:
            return started[-1].pid if started else server_process(root).pid

        board = LocalBoard(
            folder, root / "board" / "home", server.bin, python, stand_in.state / "sys", server.port, pid, start
        )
        environment = root / "environment.yaml"
        words = {
            "port": server.port,
            "user": USER,
            "key": root / "user_key",
            "folder": folder,
            "python": python,
            "root": root / "board",
            "sys": board.sys,
            "release": stand_in.state / "release",
            "ros": os.environ.get("EDGEKIT_ROS_PYTHON", ""),
        }
        environment.write_text(_ENVIRONMENT.format(**words))
        try:
            yield Rig(server, board, stand_in, environment)
        finally:
            for process in started:
                process.kill()
                process.wait()
