"""A board that is this machine behind an SSH server of its own, and what a fault does to it."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgekit_hil.report import RunVerdict

LOOK_S = 0.02


@dataclass(frozen=True)
class LocalBoard:
    """Where the board is on this machine.

    ``folder`` is that of its agent, ``home`` the HOME of everything that runs on it, ``bin`` what comes first on its
    PATH, ``python`` the script that is its Python, ``sys`` its /sys.  ``server`` gives the process id of its SSH
    server, ``start`` starts that again.
    """

    folder: Path
    home: Path
    bin: Path
    python: Path
    sys: Path
    port: int
    server: Callable[[], int]
    start: Callable[[], None]

    def runs(self, job: str) -> bool:
        """Whether a job of this name (``gate``, ``replay``) runs."""
        return any(Path(f"/proc/{one}").exists() for one in self.groups(job))

    def groups(self, job: str) -> list[int]:
        """The process groups of the jobs of this name."""
        return [
            json.loads(path.read_text("utf-8"))["group"] for path in self.folder.glob(f"jobs/*-{job}/supervisor.json")
        ]

    def sessions(self) -> list[int]:
        """The SSH server's own children: one for each connection."""
        return [pid for pid, parent in _parents().items() if parent == self.server()]

    def kill(self) -> None:
        """What a power cut does: everything that the board runs is gone at once."""
        parents, mark = _parents(), f"HOME={self.home}".encode()
        wanted = {self.server(), *(pid for pid in parents if mark in _environment(pid))}
        wanted |= {pid for pid, parent in parents.items() if parent == self.server()}
        for pid in wanted - {os.getpid()}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def boot(self) -> None:
        """The board is on again: its server answers, and what was leased before this boot is not."""
        lease = self.folder / "lease.json"
        if lease.exists():
            lease.write_text(json.dumps(json.loads(lease.read_text("utf-8")) | {"boot": "the boot before"}), "utf-8")
        self.start()


class Fault(Protocol):
    """Something that goes wrong on a board: ``inject`` before or beside a run, ``recover`` after it.

    ``expects`` is the verdict that the run must come to.
    """

    name: str
    expects: RunVerdict

    def inject(self, board: LocalBoard) -> None:
        """Begin; a fault in the middle of a run waits in a thread for its moment."""

    def recover(self, board: LocalBoard) -> None:
        """End it; the board is whole again."""


def when(holds: Callable[[], object], do: Callable[[], object], patience_s: float = 300.0) -> threading.Thread:
    """Do something as soon as something holds, in a thread."""

    def wait() -> None:
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            if holds():
                do()
                return
            time.sleep(LOOK_S)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def replaced(path: Path, text: str) -> Callable[[], None]:
    """Put a script in another one's place; the returned function puts the former one back."""
    former = path.read_text("utf-8")
    _script(path, text)
    return lambda: _script(path, former)


def _script(path: Path, text: str) -> None:
    # In one step: the board may be starting it.
    partial = path.with_name(f".{path.name}.new")
    partial.write_text(text, "utf-8")
    partial.chmod(0o755)
    os.replace(partial, path)


def _parents() -> dict[int, int]:
    return dict(_parent(int(path.name)) for path in Path("/proc").glob("[0-9]*"))


def _parent(pid: int) -> tuple[int, int]:
    try:
        return pid, int(Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError):
        return pid, 0


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def faults() -> Iterator[Fault]:
    """One of each."""
    from edgekit_hil.faults import (
        boot_hang,
        camera_stop,
        clock_change,
        disk_full,
        other_load,
        power_cut,
        ssh_drop,
        thermal_throttle,
        wrong_jetpack,
    )

    yield boot_hang.BootHang()
    yield wrong_jetpack.WrongJetpack()
    yield disk_full.DiskFull()
    yield power_cut.PowerCut()
    yield ssh_drop.SshDrop()
    yield clock_change.ClockChange()
    yield thermal_throttle.ThermalThrottle()
    yield other_load.OtherLoad()
    yield camera_stop.CameraStop()
