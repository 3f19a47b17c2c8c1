"""Commands and files on another machine, through the system's OpenSSH.

Keys, ports, jump hosts and aliases are those of the user's ``~/.ssh/config``, or of the file that the environment
variable ``EDGEKIT_SSH_CONFIG`` names.  Nothing is asked (``BatchMode``), and an unknown host key is refused.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from edgekit.core.artifacts import translated_writes
from edgekit.core.errors import EnvironmentFault, InputError, MissingRequirement, OutputError

CONFIG = "EDGEKIT_SSH_CONFIG"
_OPTIONS = ("BatchMode=yes", "ConnectTimeout=15", "ServerAliveInterval=15", "ServerAliveCountMax=4")
_SSH_FAILED = 255  # ssh's own exit status; every other is that of the command
_NO_FOLDER = 73  # EX_CANTCREAT of sysexits.h
_PATIENCE_S = 30.0
# A Unix socket's path has 108 bytes, and ssh adds some while it connects.
_LONGEST_SOCKET = 80
# Holds a folder while its input is open.  When this side ends, however it ends, or the connection breaks, the
# input closes: the build that runs there is ended and the folder removed.
_KEEP = f"""
trap '' HUP INT TERM PIPE
umask 077
d=$(mktemp -d "${{TMPDIR:-/tmp}}/edgekit-build.XXXXXXXX") || exit {_NO_FOLDER}
echo "$d"
cat >/dev/null
if [ -s "$d/.group" ]; then
  g=$(cat "$d/.group")
  kill -s TERM -- "-$g" 2>/dev/null
  n=0
  while kill -s 0 -- "-$g" 2>/dev/null && [ $n -lt 20 ]; do sleep 0.1; n=$((n + 1)); done
  kill -s KILL -- "-$g" 2>/dev/null
fi
rm -rf "$d"
"""
# sshd starts every command in a process group of its own, which is named for _KEEP.
_RUN = 'cd "$1" || exit; shift; echo $$ >.group; "$@" 2>&1; c=$?; rm -f .group; exit $c'


class Host:
    """``user@board``, an alias of the SSH configuration, or ``ssh://user@board:port``."""

    def __init__(self, name: str) -> None:
        if not re.fullmatch(r"[^\s-]\S*", name):
            raise InputError(f"--host: {name!r} is no host; expected user@board")
        self.name = name
        self._shared: str | None = None

    def call(self, script: str, *args: str, feed: IO[bytes] | None = None, into: IO[bytes] | None = None) -> str:
        """Run a POSIX shell script with ``args`` to its end; its output, unless that goes ``into`` a file.

        Raises:
            EnvironmentFault: the host cannot be reached, or the script failed.
            OutputError: a disk is full there.
        """
        with _found():
            done: subprocess.CompletedProcess[bytes] = subprocess.run(
                self._words(script, args),
                stdin=feed or subprocess.DEVNULL,
                stdout=into or subprocess.PIPE,
                stderr=subprocess.PIPE,
                check=False,
                start_new_session=True,
            )
        if done.returncode != 0:
            raise self.fault(done.returncode, done.stderr.decode(errors="replace"))
        return "" if into else done.stdout.decode(errors="replace")

    def fault(self, code: int, said: str) -> EnvironmentFault:
        """The error that an exit status and the lines on stderr stand for."""
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        last = lines[-1] if lines else f"exit status {code}"
        if "No space left on device" in said or "Disk quota exceeded" in said or code == _NO_FOLDER:
            return OutputError(
                f"{self.name}: no room for the build ({last}); free space there, or point its TMPDIR elsewhere"
            )
        if code != _SSH_FAILED:
            return EnvironmentFault(f"{self.name}: a command failed there: {last}")
        if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said:
            return EnvironmentFault(
                f"{self.name}: its host key is not the one in known_hosts. If the board was flashed again, remove "
                f"the old key with ssh-keygen -R and connect once by hand: ssh {self.name}"
            )
        if "Host key verification failed" in said:
            return EnvironmentFault(
                f"{self.name}: its host key is unknown; connect once by hand and compare the key: ssh {self.name}"
            )
        if "Permission denied" in said:
            return EnvironmentFault(
                f"{self.name}: it refused the key ({last}); give it yours with: ssh-copy-id {self.name}"
            )
        return EnvironmentFault(f"{self.name}: not reachable over SSH: {last}; try: ssh {self.name} true")

    @contextlib.contextmanager
    def folder(self) -> Iterator[Folder]:
        """A temporary folder there; it is removed, and what runs in it ended, when this process leaves or dies.

        Inside, every command and copy goes through the one connection that holds the folder.
        """
        with tempfile.TemporaryFile() as errors, self._sharing() as share, _found():
            keeper = subprocess.Popen(
                self._words(_KEEP, (), share),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
            try:
                assert keeper.stdout is not None
                path = keeper.stdout.readline().decode().strip()
                if not path:
                    raise self.fault(keeper.wait(), _all(errors))
                yield Folder(self, path)
            finally:
                _end(keeper)

    @contextlib.contextmanager
    def _sharing(self) -> Iterator[tuple[str, ...]]:
        """Options that make a connection one that others may use; none when there is such a connection."""
        with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
            socket = f"{folder}/ssh"
            if self._shared is not None or len(socket) > _LONGEST_SOCKET:
                yield ()
                return
            self._shared = socket
            try:
                yield ("-o", "ControlMaster=yes")
            finally:
                self._shared = None

    def stream(self, folder: str, command: Sequence[str], feed: bytes, line: Callable[[str], object]) -> int:
        """Run a command in a folder there, handing over each line of its output; its exit status.

        Raises:
            EnvironmentFault: the connection broke.
        """
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as errors, _found():
            given.write(feed)
            given.seek(0)
            running = subprocess.Popen(
                self._words(_RUN, (folder, *command)),
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
            try:
                assert running.stdout is not None
                for raw in running.stdout:
                    line(raw.decode(errors="replace").rstrip("\r\n"))
                code = running.wait()
            finally:
                _end(running)
            if code == _SSH_FAILED:
                raise self.fault(code, _all(errors))
            return code

    def _words(self, script: str, args: Sequence[str], extra: Sequence[str] = ()) -> list[str]:
        given = os.environ.get(CONFIG)
        words = ["ssh", *(("-F", given) if given else ()), "-T", *extra]
        shared = () if self._shared is None else (f"ControlPath={self._shared}",)
        for option in (*_OPTIONS, *shared):
            words += ["-o", option]
        # The login shell may be any; what it reads is one quoted command.
        return [*words, "--", self.name, "exec " + shlex.join(["sh", "-c", script, "sh", *args])]


class Folder:
    """A temporary folder on a host."""

    def __init__(self, host: Host, path: str) -> None:
        self.host = host
        self.path = path

    def put(self, source: Path, name: str) -> None:
        """Copy a file there.

        Raises:
            OutputError: the disk there is full.
            EnvironmentFault: it did not arrive whole.
        """
        with source.open("rb") as stream:
            arrived = self.host.call('cat >"$1" && wc -c <"$1"', f"{self.path}/{name}", feed=stream)
        if int(arrived) != source.stat().st_size:
            raise EnvironmentFault(f"{self.host.name}: {source.name} arrived with {arrived.strip()} bytes; build again")

    def get(self, name: str, target: Path) -> None:
        """Copy a file here.

        Raises:
            OutputError: the disk here is full.
            EnvironmentFault: it is not there, or the connection broke.
        """
        with translated_writes(target), target.open("wb") as stream:
            self.host.call('cat "$1"', f"{self.path}/{name}", into=stream)

    def names(self) -> tuple[str, ...]:
        """Files in the folder, sorted."""
        return tuple(sorted(self.host.call('cd "$1" && ls -1', self.path).splitlines()))

    def run(self, command: Sequence[str], line: Callable[[str], object], feed: bytes = b"") -> int:
        """Run a command in the folder; see :meth:`Host.stream`."""
        return self.host.stream(self.path, command, feed, line)


@contextlib.contextmanager
def _found() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        if error.filename != "ssh":
            raise
        raise MissingRequirement("the command ssh", "sudo apt-get install openssh-client") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close its pipes and wait: for a keeper, until the folder there is gone."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    elif process.poll() is None:
        process.terminate()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _all(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")
