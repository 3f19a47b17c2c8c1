"""The command line in a process of its own, as a user meets it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import edgekit as package

# Works from a checkout too, where edgekit need not be installed.
ENVIRONMENT = {"PYTHONPATH": str(Path(package.__file__).parents[1]), "COLUMNS": "200"}
COMMAND = (sys.executable, "-m", "edgekit")

Result = subprocess.CompletedProcess[str]


def edgekit(*args: object, cwd: Path | None = None) -> Result:
    """Run a command to its end."""
    words = [*COMMAND, *map(str, args)]
    environment = {**os.environ, **ENVIRONMENT}
    return subprocess.run(
        words,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def start(*args: object) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own, output thrown away."""
    return subprocess.Popen(
        [*COMMAND, *map(str, args)],
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


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
