"""A "board": an OpenSSH server on a high port of the loopback, with its own keys, PATH, HOME and TMPDIR."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import edgekit
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    import psutil

FAKE = Path(__file__).parent / "fake_trtexec.py"
USER = pwd.getpwuid(os.getuid()).pw_name
HOST = f"{USER}@board"


@dataclass(frozen=True)
class Loopback:
    """A running server; ``config`` is for ``ssh -F``, ``folders`` is where it makes temporary folders."""

    root: Path
    config: Path
    port: int

    @property
    def folders(self) -> Path:
        return self.root / "board" / "tmp"

    @property
    def bin(self) -> Path:
        return self.root / "board" / "bin"

    @property
    def running(self) -> Path:
        """Where a hanging ``trtexec`` writes its process id."""
        return self.root / "board" / "running"

    def left(self) -> list[str]:
        """The builds' folders that are there."""
        return sorted(path.name for path in self.folders.glob("edgekit-build.*"))

    def wait_empty(self) -> None:
        """Give the server a moment to clean up."""
        until(lambda: not self.left())

    def trtexec(self, version: str = "10.3.0", mode: str = "good", name: str = "trtexec") -> Path:
        """Put a ``trtexec`` on the board's PATH, or at another path."""
        settings = self.root / "board" / "trtexec.json"
        settings.write_text(json.dumps({"version": version, "mode": mode, "running": str(self.running)}))
        script = f'#!/bin/sh\nFAKE_TRTEXEC={settings} exec {sys.executable} {FAKE} "$@"\n'
        return _script(self.bin / name, script)

    def python(self) -> Path:
        """Put a ``python3`` that has this edgekit on the board's PATH."""
        source = Path(edgekit.__file__).parents[1]
        return _script(self.bin / "python3", f'#!/bin/sh\nPYTHONPATH={source} exec {sys.executable} "$@"\n')

    def bare(self) -> None:
        """A board with nothing that builds."""
        shutil.rmtree(self.bin)
        self.bin.mkdir()
        # The system's own python3 could have an edgekit.
        _script(self.bin / "python3", "#!/bin/sh\nexit 1\n")
        self.running.unlink(missing_ok=True)


def ended(pid: int) -> bool:
    """Whether a process is gone, or waits only for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def require_server() -> str:
    """The path of sshd; without it, a skip, or in CI a failure."""
    found = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None or shutil.which("ssh") is None:
        missing = "needs OpenSSH's client and server: apt-get install openssh-client openssh-server"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@contextmanager
def serve(root: Path) -> Iterator[Loopback]:
    """Start a server that this user's new key opens."""
    sshd = require_server()
    for name in ("bin", "tmp", "home"):
        (root / "board" / name).mkdir(parents=True)
    for key in ("host_key", "user_key", "stranger_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / key)], check=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shutil.copy(root / "user_key.pub", root / "authorized")
    (root / "sshd_config").write_text(_server(root, port))
    (root / "known_hosts").write_text(f"[127.0.0.1]:{port} {(root / 'host_key.pub').read_text()}")
    board = Loopback(root, client(root, "ssh_config", port), port)
    with (root / "sshd.log").open("wb") as log:
        server = subprocess.Popen([sshd, "-D", "-e", "-f", str(root / "sshd_config")], stderr=log)
        try:
            _wait(port, root / "sshd.log")
            yield board
        finally:
            server.terminate()
            server.wait(PATIENCE_S)


def client(root: Path, name: str, port: int, key: str = "user_key", known: str = "known_hosts") -> Path:
    """Write a configuration for the client."""
    (root / name).write_text(
        f"Host board\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {root / key}\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {root / known}\n  GlobalKnownHostsFile /dev/null\n"
    )
    return root / name


def _server(root: Path, port: int) -> str:
    board = root / "board"
    return (
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {root / 'host_key'}\nPidFile none\n"
        f"AuthorizedKeysFile {root / 'authorized'}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
        f"SetEnv PATH={board / 'bin'}:/usr/bin:/bin TMPDIR={board / 'tmp'} HOME={board / 'home'}\n"
    )


def _wait(port: int, log: Path) -> None:
    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    until(answers, f"that sshd answers ({log})")


def _script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def server_process(root: Path) -> psutil.Process:
    """The sshd that :func:`serve` started in ``root``; other children of a test may be zombies."""
    import psutil

    def is_it(child: psutil.Process) -> bool:
        try:
            return str(root / "sshd_config") in child.cmdline()
        except psutil.NoSuchProcess:  # a zombie is one
            return False

    return next(filter(is_it, psutil.Process().children()))
