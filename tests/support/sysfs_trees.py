"""Folders like those below /sys, and commands that print what was recorded."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parents[1] / "golden" / "sensors"


def recorded(name: str) -> Any:
    """One of the files of recorded samples; each entry names its source."""
    return json.loads((RECORDED / f"{name}.json").read_text())


def plant(root: Path, files: Mapping[str, object]) -> Path:
    """Write each value, with the kernel's newline, into its path below ``root``."""
    for name, value in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return root


def command(path: Path, script: str) -> tuple[str, ...]:
    """A command that runs a shell script."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return (str(path),)


def printer(path: Path, text: str, status: int = 0) -> tuple[str, ...]:
    """A command that prints ``text`` and ends."""
    return command(path, f"printf %s {shlex.quote(text)}\nexit {status}")
