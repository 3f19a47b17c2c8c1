"""The content-addressed work folder: a stage that did not change is not run again."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.artifacts import atomic_directory, sha256_of, tree_hashes, write_json

RECORD = "stage.json"
_log = logging.getLogger("edgekit")


@contextlib.contextmanager
def alone(project: Path) -> Iterator[None]:
    """Keep other processes that make results of the same project waiting; a killed one waits for nobody.

    The lock is on the folder itself, so it leaves no file.
    """
    handle = os.open(project, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("another edgekit works on %s; waiting for it", project)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@dataclass(frozen=True)
class Stage:
    """A finished stage: its folder, and whether this call ran it."""

    path: Path
    key: str
    reused: bool
    seconds: float


class Workspace:
    """Results of stages in ``<root>/<stage>-<key>/``; a folder there is complete.

    The key hashes everything that decides the result.  A folder whose files no
    longer have their recorded hashes is made again.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def has(self, name: str, inputs: Mapping[str, Any]) -> bool:
        """Whether the stage's result for ``inputs`` is there."""
        return _intact(self.root / f"{name}-{sha256_of(dict(inputs))[:16]}")

    def stage(self, name: str, inputs: Mapping[str, Any], fill: Callable[[Path], None]) -> Stage:
        """Reuse the stage's result for ``inputs``, or run ``fill(folder)`` and keep what it writes."""
        key = sha256_of(dict(inputs))[:16]
        final = self.root / f"{name}-{key}"
        if _intact(final):
            _log.info("%s: unchanged, reused %s", name, final)
            return Stage(final, key, True, 0.0)
        start = time.monotonic()
        with atomic_directory(final) as folder:
            fill(folder)
            write_json(
                folder / RECORD,
                {
                    "stage": name,
                    "inputs": json.loads(json.dumps(dict(inputs), default=str)),
                    "files": tree_hashes(folder),
                },
            )
        seconds = time.monotonic() - start
        _log.info("%s: %.1f s, wrote %s", name, seconds, final)
        return Stage(final, key, False, seconds)


def _intact(folder: Path) -> bool:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        files = {name: digest for name, digest in tree_hashes(folder).items() if name != RECORD}
        return bool(record["files"] == files)
    except (OSError, ValueError, KeyError, TypeError):
        return False
