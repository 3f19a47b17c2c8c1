"""The link to a board: requests to :mod:`edgekit_hil.onboard` through labgrid's SSH connection, which may drop."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import logging
import shlex
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from labgrid.driver import SSHDriver

from edgekit.core.errors import EnvironmentFault, InputError, OutputError

STALL_S = 900.0
"""Of one request: a board that stands still without hanging up; the longest is the copy of a large bundle."""
_SSH_FAILED = 255
_log = logging.getLogger("edgekit.hil")
_STARTER = "from edgekit_hil.onboard.main import main\nmain()\n"


class LinkLost(EnvironmentFault):
    """The board does not answer over SSH: nothing is said of the bundle."""


def archive() -> bytes:
    """The zip archive that Python runs on the board; the same sources give the same bytes."""
    here, stream = Path(__file__).parent, io.BytesIO()
    files = {"__main__.py": _STARTER, "edgekit_hil/__init__.py": ""}
    files |= {
        f"edgekit_hil/onboard/{path.name}": path.read_text(encoding="utf-8")
        for path in sorted((here / "onboard").glob("*.py"))
    }
    with zipfile.ZipFile(stream, "w") as made:
        for name, content in sorted(files.items()):
            made.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def connect(ssh: SSHDriver, anew: bool = False) -> str:
    """Make labgrid's shared connection, or make it ``anew``; empty, or why that failed."""
    try:
        if anew:
            ssh.target.deactivate(ssh)
        ssh.target.activate(ssh)
    except Exception as error:  # noqa: BLE001 - labgrid raises Exception itself when the connection times out
        return str(error)
    return ""


class Link:
    """Requests to a board through an activated ``SSHDriver``; several threads may use it.

    Every request may be repeated: what was done already is found done.  A dropped connection is made anew for
    ``patience_s`` seconds, then :class:`LinkLost` is raised.
    """

    def __init__(self, ssh: SSHDriver, folder: str, python: str, patience_s: float = 60.0) -> None:
        self.name = str(ssh.networkservice.address)
        self._ssh, self._python, self._patience_s = ssh, python, patience_s
        self._folder = folder
        self._lock = threading.Lock()
        self._archive = archive()
        self._tool = f"{folder}/onboard-{hashlib.sha256(self._archive).hexdigest()[:16]}.zip"
        self._installed = False
        self.drops = 0
        """How often the connection had to be made anew."""
        self.lost = False
        """Whether it could not be."""

    def ask(
        self, what: str, request: dict[str, Any] | None = None, feed: Callable[[], IO[bytes]] | None = None
    ) -> dict[str, Any]:
        """One request; ``feed`` opens what goes to its stdin, anew for each try.

        Raises:
            LinkLost: the board does not answer.
            OutputError: its disk is full.
            EnvironmentFault: its Python failed.
        """
        self._install()
        words = [self._python, self._tool, self._folder, what]
        text = json.dumps(request or {})
        if feed is None:
            said = self.run(_quoted(words), lambda: io.BytesIO(text.encode()))
        else:
            said = self.run(_quoted([*words, text]), feed)
        try:
            answer: dict[str, Any] = json.loads(said)
        except ValueError as error:
            given = said.decode(errors="replace").strip()[:200]
            raise EnvironmentFault(f"{self.name}: {what}: the board answered {given!r}; run again") from error
        if "error" in answer:
            kind = OutputError if answer["kind"] == "disk" else EnvironmentFault
            fix = "; free space on the board" if kind is OutputError else ""
            raise kind(f"{self.name}: {answer['error']}{fix}")
        return answer

    def run(self, command: str, feed: Callable[[], IO[bytes]] | None = None) -> bytes:
        """The stdout of a shell command on the board that may be repeated.

        Raises:
            LinkLost: the board does not answer.
            EnvironmentFault: the command failed.
        """
        end = time.monotonic() + self._patience_s
        while True:
            done = self._once(command, feed)
            if done.returncode == 0:
                return done.stdout
            said = done.stderr.decode(errors="replace").strip()
            if done.returncode != _SSH_FAILED:
                last = said.splitlines()[-1] if said else f"exit status {done.returncode}"
                raise EnvironmentFault(f"{self.name}: {command.split(' ', 1)[0]} failed there: {last}")
            if time.monotonic() > end:
                self.lost = True
                raise LinkLost(
                    f"{self.name}: not reachable over SSH for {self._patience_s:g} s: {said or 'it hung up'}"
                )
            _log.warning("%s: the connection dropped (%s); trying again", self.name, said)
            time.sleep(0.5)
            self._again()

    @functools.cached_property
    def home(self) -> str:
        """The folder on the board, as an absolute path."""
        return str(self.ask("where")["folder"])

    def shell(self, words: list[str]) -> bytes:
        """The stdout of a command, word by word, that may be repeated; see :meth:`run`."""
        return self.run(_quoted(words))

    def read(self, path: str) -> bytes:
        """A file of the board."""
        return self.run(_quoted(["cat", "--", path]))

    def _once(self, command: str, feed: Callable[[], IO[bytes]] | None) -> subprocess.CompletedProcess[bytes]:
        service = self._ssh.networkservice
        words = ["ssh", "-x", *self._ssh.ssh_prefix, "-p", str(service.port), "-l", service.username, service.address]
        stream = None if feed is None else feed()
        try:
            return subprocess.run(
                [*words, "--", command],
                input=stream.read() if isinstance(stream, io.BytesIO) else None,
                stdin=None if isinstance(stream, io.BytesIO) else (stream or subprocess.DEVNULL),
                capture_output=True,
                check=False,
                start_new_session=True,
                timeout=STALL_S,
            )
        except subprocess.TimeoutExpired as error:
            return subprocess.CompletedProcess(error.cmd, _SSH_FAILED, b"", f"no answer in {STALL_S:g} s".encode())
        finally:
            if stream is not None:
                stream.close()

    def _again(self) -> None:
        """Make the shared connection anew; one thread does it, the others wait."""
        with self._lock:
            self.drops += 1
            why = connect(self._ssh, anew=True)
            if why:
                _log.info("%s: %s", self.name, why)

    def _install(self) -> None:
        """Bring the archive to the board, once."""
        if self._installed:
            return
        if not self._folder.startswith(("/", "~/")) or "'" in self._folder:
            raise InputError(f"folder: {self._folder!r} is no folder on the board; expected /path or ~/path")
        place, tool = _path(f"{self._folder}/.{threading.get_ident()}.partial"), _path(self._tool)
        # Its hash is compared, since a power cut can leave a file without its content; so is what is written here.
        same = f'[ "$(sha256sum <{tool} 2>/dev/null | cut -c1-64)" = {hashlib.sha256(self._archive).hexdigest()} ]'
        write = f"mkdir -p {_path(self._folder)} && cat >{place} && sync && mv {place} {tool} && sync"
        self.run(f"{same} && cat >/dev/null || {{ {write}; }}", lambda: io.BytesIO(self._archive))
        self._installed = True


def _quoted(words: list[str]) -> str:
    return " ".join(map(_path, words))


def _path(word: str) -> str:
    """One word of a shell command; a leading ``~/`` is left to the shell."""
    return f"~/{shlex.quote(word[2:])}" if word.startswith("~/") else shlex.quote(word)
