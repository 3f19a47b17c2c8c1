"""The command line in a process of its own, as a user meets it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import edgekit as package
from tests.support import warm

# Works from a checkout too, where edgekit need not be installed.
ENVIRONMENT = {"PYTHONPATH": str(Path(package.__file__).parents[1]), "COLUMNS": "200"}
COMMAND = (sys.executable, "-m", "edgekit")

Result = subprocess.CompletedProcess[str]


def edgekit(*args: object, cwd: Path | None = None) -> Result:
    """Run a command to its end."""
    return warm.run([*COMMAND, *map(str, args)], env={**os.environ, **ENVIRONMENT}, cwd=cwd)


def start(*args: object) -> warm.Process | subprocess.Popen[bytes]:
    """Start a command in a process group of its own, output thrown away."""
    return warm.popen(
        [*COMMAND, *map(str, args)],
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@contextlib.contextmanager
def spawned(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that is talked with by lines, and killed when the block ends."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **ENVIRONMENT},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def python(script: str, *arguments: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """A script, as :func:`spawned`."""
    return spawned([sys.executable, "-c", script, *arguments])


def send(process: subprocess.Popen[str], line: str = "") -> None:
    """Give the process a line to read."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def line_of(stream: IO[str] | None) -> str:
    """The next line that the process writes to ``stream``, waited for; empty when it ended."""
    assert stream is not None
    return stream.readline().rstrip("\n")


def error_of(result: Result, code: int) -> str:
    """The one ``error:`` line of a failed command; checks exit code, traceback and stdout too."""
    assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.lower().startswith("error: ")]
    assert len(lines) == 1, result.stderr
    return lines[0].split(": ", 1)[1]


def listing(root: Path) -> dict[str, str]:
    """Every file below ``root`` with its hash, every folder and link; Python's own caches left out."""
    found = {}
    for path in sorted(root.rglob("*")):
        if "__pycache__" in path.parts:
            continue
        kind = "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        found[path.relative_to(root).as_posix()] = kind
    return found


def untouched(folder: Path, *words: object, code: int = 2) -> str:
    """The error of a command that must leave the folder as it is, entirely."""
    before = listing(folder)
    message = error_of(edgekit(*words, cwd=folder), code)
    assert listing(folder) == before
    return message
